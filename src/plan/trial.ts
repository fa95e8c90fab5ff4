/**
 * `MULAYER_SPLIT=auto`, for now by trial: the first inferences of a graph try the CPU alone, the
 * GPU alone, and splits between them; the fastest stays. A cooperative plan that is slower than the
 * better processor alone is therefore never kept. The cost model will take the place of this.
 *
 *     run       1         2, 3, 4    5, 6, 7    8, 9, 10    11, 12, 13         then
 *     split     observe   cpu        gpu        0.5         0.25 or 0.75       the fastest
 *
 * Where one processor is HOPELESS times slower, the splits are not tried.
 */
import type { Rule } from './partition.js';

/** Runs of each candidate: the first compiles or packs, the best of the others counts. */
const RUNS = 3;

/** A processor this many times slower cannot win more than an exchange costs. */
const HOPELESS = 4;

export class Trial {
  private readonly times = new Map<Rule, number[]>();
  private chosen: Rule | undefined;

  /** What the next run shall do. */
  next(): Rule {
    if (this.chosen !== undefined) return this.chosen;
    const [cpu, gpu] = [this.best('cpu'), this.best('gpu')];
    if (cpu === undefined) return 'cpu';
    if (gpu === undefined) return 'gpu';
    const candidates: Rule[] = ['cpu', 'gpu'];
    if (cpu < HOPELESS * gpu && gpu < HOPELESS * cpu) candidates.push(0.5, cpu < gpu ? 0.75 : 0.25);
    for (const split of candidates) if (this.best(split) === undefined) return split;
    this.chosen = candidates.reduce((a, b) => (this.best(b)! < this.best(a)! ? b : a));
    return this.chosen;
  }

  /** Whether the next run is timed, so that its results should be brought to the CPU. */
  get isRunning(): boolean {
    return this.chosen === undefined;
  }

  /** @param ms of a whole run, its results on the CPU. */
  add(split: Rule, ms: number): void {
    if (!this.isRunning) return;
    const times = this.times.get(split) ?? [];
    times.push(ms);
    this.times.set(split, times);
  }

  /** Milliseconds of the best run but the first, once there have been enough. */
  private best(split: Rule): number | undefined {
    const times = this.times.get(split) ?? [];
    return times.length < RUNS ? undefined : Math.min(...times.slice(1));
  }
}
