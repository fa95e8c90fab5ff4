/**
 * `MULAYER_SPLIT=auto`: the first inferences of a graph try the CPU alone, the GPU alone, and what the
 * planner makes of their times (`bands.ts`); the fastest stays. A cooperative plan that is slower than
 * the better processor alone is therefore never kept.
 *
 *     run       1         2, 3, 4    5, 6, 7    8, 9, 10    11, 12, 13     14, 15, 16     17 to 22
 *     rule      observe   cpu        gpu        planned     planned again, by the times   the best two
 *                                                           that its own parts took       in turn
 *
 * Where one processor is HOPELESS times slower, nothing else is tried. The best two run once more since
 * what a processor does while it is new to a graph, or somebody else has it, is not what it can do: 3
 * runs of VGG-16 on 16 threads said 38 ms, later ones 18.
 */
import type { Node } from '../graph/graph.js';
import type { Banded, Prices } from './bands.js';
import type { Planned, Rule } from './partition.js';
import type { Placement } from './plan.js';

/** Runs of each candidate: the first compiles or packs, the best of the others counts. */
const RUNS = 3;

/** Of each of the best two, in the end. */
const LAST_RUNS = 3;

/** A processor this many times slower cannot win more than an exchange costs. */
const HOPELESS = 4;

/** How often is planned, each time by more that is known. */
const ROUNDS = 3;

/** Milliseconds of an exchange, and of a million numbers of it, which travel as bytes mostly. */
const READ_BACK = { a: 0.25, b: 0.5 };
const UPLOAD = { a: 0.05, b: 0.5 };

/** Multiply-accumulates that take a GPU as long as a number of its results, and as a draw. */
const MACS_OF_NUMBER = 20;
const MACS_OF_DRAW = 2e6;
/** And as a number that is exchanged; an exchange as this part of all. */
const MACS_OF_SENT = 100;
const EXCHANGE = 0.01;

/** What a step takes of the whole one's time on the GPU, however few its rows: until it was measured. */
const FIXED = { rows: 0.3, channels: 0.1 };
/** With more of a step than this there is nothing to learn of that. */
const NEARLY_ALL = 0.9;

/** Milliseconds by the index of the node that a step ends with. */
export type StepTimes = ReadonlyMap<number, number>;

/** What `auto` has tried for a graph. */
export interface Tried {
  /** `cpu` or `gpu`: all on it; `planned`: both, for the first, second, ... time. */
  split: string;
  /** Milliseconds of its quickest inference. */
  ms: number;
  /** Milliseconds that the plan promised. */
  predicted?: number;
}

/** A candidate's runs. */
interface Times {
  readonly ms: number[];
  /** Of the best run. */
  steps: StepTimes;
}

export class Trial {
  private readonly times = new Map<Rule, Times>();
  private readonly planned: readonly Planned[] = Array.from({ length: ROUNDS }, (_, round) => ({
    round,
  }));
  /** The best two, once all were tried. */
  private last: readonly [Rule, Rule] | undefined;
  private chosen: Rule | undefined;
  /** What whole steps took on the GPU, by its own clock. */
  private gpuTimes: StepTimes = new Map();
  /** What a step takes of that however few its rows, or channels. */
  private readonly fixed = { rows: new Map<number, number>(), channels: new Map<number, number>() };

  private readonly plans = new Map<string, Banded>();
  /** Milliseconds that were predicted of what was planned. */
  private readonly predicted = new Map<Rule, number>();

  /** What was tried so far. */
  get tried(): Tried[] {
    return [...this.times].map(([rule, { ms }]) => ({
      split: typeof rule === 'object' ? `planned ${rule.round + 1}` : String(rule),
      ms: Math.min(...ms),
      ...(this.predicted.has(rule) && { predicted: this.predicted.get(rule)! }),
    }));
  }

  /**
   * What was planned under this name, which stays: it is tried, and would be another one after that.
   *
   * @param plan makes it.
   */
  plan(rule: Rule, name: string, plan: () => Banded): readonly Placement[] {
    const { placements, time } = this.plans.get(name) ?? plan();
    this.plans.set(name, { placements, time });
    this.predicted.set(rule, time);
    return placements;
  }

  /** What the next run shall do. */
  next(): Rule {
    if (this.chosen !== undefined) return this.chosen;
    const [cpu, gpu] = [this.best('cpu'), this.best('gpu')];
    if (cpu === undefined) return 'cpu';
    if (gpu === undefined) return 'gpu';
    const candidates: Rule[] = ['cpu', 'gpu'];
    if (cpu < HOPELESS * gpu && gpu < HOPELESS * cpu) candidates.push(...this.planned);
    for (const rule of candidates) if (this.best(rule) === undefined) return rule;
    const sorted = [...candidates].sort((a, b) => this.best(a)! - this.best(b)!);
    this.last ??= [sorted[0], sorted[1]];
    const [a, b] = this.last.map(rule => this.times.get(rule)!.ms.length);
    if (b < RUNS + LAST_RUNS) return a > b ? this.last[1] : this.last[0];
    this.chosen = sorted[0];
    return this.chosen;
  }

  /** The faster processor, as far as is known: for runs that cannot try what is next. */
  get known(): Rule {
    const [cpu = Infinity, gpu = Infinity] = [this.best('cpu'), this.best('gpu')];
    return gpu < cpu ? 'gpu' : 'cpu';
  }

  /** Whether the next run is timed, so that its results should be brought to the CPU. */
  get isRunning(): boolean {
    return this.chosen === undefined;
  }

  /** Whether the GPU shall tell the times of this run's steps: of a candidate's last. */
  wantsTimes(rule: Rule): boolean {
    return rule !== 'cpu' && this.times.get(rule)?.ms.length === RUNS - 1;
  }

  /** @param ms of a whole run, its results on the CPU. */
  add(rule: Rule, ms: number, steps: StepTimes): void {
    if (!this.isRunning) return;
    const times = this.times.get(rule) ?? { ms: [], steps };
    this.times.set(rule, times);
    times.ms.push(ms);
    if (ms <= Math.min(...times.ms.slice(1))) times.steps = steps;
  }

  /** @param times of the steps on the GPU, by its own clock, as these were placed. */
  hear(
    rule: Rule,
    times: StepTimes,
    nodes: readonly Node[],
    at: readonly number[],
    placements: readonly Placement[],
  ): void {
    if (rule === 'gpu') this.gpuTimes = times;
    placements.forEach((placement, i) => {
      if (placement.where !== 'split') return;
      const [part, whole] = [times.get(at[i]), this.gpuTimes.get(at[i])];
      if (part === undefined || !whole) return;
      const { axis, cut, from = cut } = placement;
      const share = 1 - from / nodes[i].outputs[0].shape.at(axis ?? -1)!;
      if (share > NEARLY_ALL) return;
      const fixed = (part / whole - share) / (1 - share);
      const all = this.fixed[axis === undefined ? 'channels' : 'rows'];
      all.set(at[i], Math.max(fixed, 0));
    });
  }

  /**
   * What the nodes at these indices take, by the runs so far; by their work alone where there were none.
   *
   * @param threads of the CPU, one of which submits.
   */
  prices(nodes: readonly Node[], at: readonly number[], threads: number): Prices {
    const work = nodes.map(workOf);
    const [cpu, gpu] = [this.best('cpu'), this.best('gpu')];
    if (cpu === undefined || gpu === undefined) {
      const exchange = (numbers: number) => EXCHANGE * sum(work) + MACS_OF_SENT * numbers;
      const part = (i: number, share: number) => work[i] * share;
      return { cpu: part, gpu: part, issue: 0, upload: exchange, readBack: exchange };
    }
    const steps = at.map(index => this.times.get('cpu')!.steps.get(index) ?? 0);
    const onCpu = sum(steps) > 0 ? steps.map(ms => (ms / sum(steps)) * cpu) : spread(work, cpu);
    const byWork = spread(work, gpu);
    const onGpu = at.map((index, i) => this.gpuTimes.get(index) ?? byWork[i]);
    const issued = [...this.times.get('gpu')!.steps.values()];
    const fixed = {
      rows: typical(this.fixed.rows, FIXED.rows),
      channels: typical(this.fixed.channels, FIXED.channels),
    };
    return {
      cpu: (i, share) => onCpu[i] * share,
      gpu: (i, share, of) => {
        const least = this.fixed[of].get(at[i]) ?? fixed[of];
        return share === 1 ? onGpu[i] : onGpu[i] * (least + (1 - least) * share);
      },
      issue: sum(issued) / Math.max(1, issued.length) / threads,
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
  const numbers = outputs.map(({ shape }) => shape.reduce((a, b) => a * b, 1));
  const macs = kernel.macs?.({ inputs, attributes, outputs }) ?? 0;
  return macs + MACS_OF_NUMBER * sum(numbers) + MACS_OF_DRAW;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

const spread = (weights: readonly number[], total: number): number[] =>
  weights.map(weight => (weight / sum(weights)) * total);

/** The median of what is known. */
function typical(known: StepTimes, initial: number): number {
  const sorted = [...known.values()].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? initial;
}
