/**
 * `MULAYER_SPLIT=auto`: the first inferences of a graph try the CPU alone, the GPU alone, and what the
 * planner makes of their times; the fastest stays. A cooperative plan that is slower than the better
 * processor alone is therefore never kept.
 *
 *     run       1         2, 3, 4    5, 6, 7    8, 9, 10    11 to 16               then
 *     rule      observe   cpu        gpu        bands       bands, GPU taken       the fastest
 *                                                           for slower, faster
 *
 * Where one processor is HOPELESS times slower, nothing else is tried.
 */
import type { Node } from '../graph/graph.js';
import type { Prices } from './bands.js';
import type { Rule } from './partition.js';

/** Runs of each candidate: the first compiles or packs, the best of the others counts. */
const RUNS = 3;

/** A processor this many times slower cannot win more than an exchange costs. */
const HOPELESS = 4;

/** How many times slower than its whole runs say the GPU is taken to be in bands. */
const LEANINGS = [1, 1.4, 0.7];

/** Milliseconds of an exchange, and of a million numbers of it, which travel as bytes mostly. */
const READ_BACK = { a: 0.15, b: 0.5 };
const UPLOAD = { a: 0.03, b: 0.3 };

/** Multiply-accumulates that take a GPU as long as a number of its results, and as a draw. */
const MACS_OF_NUMBER = 20;
const MACS_OF_DRAW = 2e6;

/** A candidate's runs. */
interface Times {
  readonly ms: number[];
  /** Milliseconds of the steps, by the node they end with, of the best run. */
  steps: ReadonlyMap<number, number>;
}

export class Trial {
  private readonly times = new Map<Rule, Times>();
  private readonly bands: readonly Rule[] = LEANINGS.map(gpu => ({ gpu }));
  private chosen: Rule | undefined;

  /** What the next run shall do. */
  next(): Rule {
    if (this.chosen !== undefined) return this.chosen;
    const [cpu, gpu] = [this.best('cpu'), this.best('gpu')];
    if (cpu === undefined) return 'cpu';
    if (gpu === undefined) return 'gpu';
    const candidates: Rule[] = ['cpu', 'gpu'];
    if (cpu < HOPELESS * gpu && gpu < HOPELESS * cpu) candidates.push(...this.bands);
    for (const rule of candidates) if (this.best(rule) === undefined) return rule;
    this.chosen = candidates.reduce((a, b) => (this.best(b)! < this.best(a)! ? b : a));
    return this.chosen;
  }

  /** Whether the next run is timed, so that its results should be brought to the CPU. */
  get isRunning(): boolean {
    return this.chosen === undefined;
  }

  /**
   * @param ms of a whole run, its results on the CPU.
   * @param steps of it: milliseconds by the index of the node that a step ends with.
   */
  add(rule: Rule, ms: number, steps: ReadonlyMap<number, number>): void {
    if (!this.isRunning) return;
    const times = this.times.get(rule) ?? { ms: [], steps };
    this.times.set(rule, times);
    times.ms.push(ms);
    if (ms <= Math.min(...times.ms.slice(1))) times.steps = steps;
  }

  /**
   * What the nodes at these indices take, by the whole runs; by their work alone where there were none.
   *
   * @param slower how many times slower the GPU is taken to be than it was.
   */
  prices(nodes: readonly Node[], at: readonly number[], slower: number): Prices {
    const work = nodes.map(workOf);
    const all = work.reduce((a, b) => a + b, 0);
    const [cpu, gpu] = [this.best('cpu'), this.best('gpu')];
    if (cpu === undefined || gpu === undefined) {
      const free = () => 0;
      return { cpu: i => work[i], gpu: i => work[i], issue: 0, upload: free, readBack: free };
    }
    const { steps } = this.times.get('cpu')!;
    const measured = at.map(index => steps.get(index) ?? 0);
    const total = measured.reduce((a, b) => a + b, 0);
    const shares = total > 0 ? measured.map(ms => ms / total) : work.map(macs => macs / all);
    const issued = [...this.times.get('gpu')!.steps.values()];
    return {
      cpu: i => shares[i] * cpu,
      gpu: i => (work[i] * gpu * slower) / all,
      issue: issued.reduce((a, b) => a + b, 0) / Math.max(1, issued.length),
      upload: numbers => UPLOAD.a + (UPLOAD.b * numbers) / 1e6,
      readBack: numbers => READ_BACK.a + (READ_BACK.b * numbers) / 1e6,
    };
  }

  /** Milliseconds of the best run but the first, once there have been enough. */
  private best(rule: Rule): number | undefined {
    const { ms = [] } = this.times.get(rule) ?? {};
    return ms.length < RUNS ? undefined : Math.min(...ms.slice(1));
  }
}

/** What a node is to a GPU, in multiply-accumulates. */
function workOf({ kernel, inputs, attributes, outputs }: Node): number {
  const numbers = outputs.flatMap(({ shape }) => shape.reduce((a, b) => a * b, 1));
  const macs = kernel.macs?.({ inputs, attributes, outputs }) ?? 0;
  return macs + MACS_OF_NUMBER * numbers.reduce((a, b) => a + b, 0) + MACS_OF_DRAW;
}
