/**
 * The steps of a run are issued ahead of what the CPU's threads compute, and retired in their order
 * when they are done, so that no thread waits for the next step's lowering:
 *
 *     issue ──► │ step 8 │ step 7 │ step 6 │ step 5 │ ──► done? may stay? ──► retire
 *                    the threads are here ─┘    └─ no: computed again; 6, 7, 8 are issued anew
 *
 * A step that may not stay has bytes that have left their range. What it read is there for the second
 * time, since inputs are given back when a step is retired.
 *
 * Where there is one thread, steps are issued one by one.
 */
import type { CpuProcessor } from '../processors/cpu/processor.js';
import type { Quantised } from '../processors/cpu/buffer.js';
import type { LayerReport } from './report.js';

/**
 * Why a run pauses: a turn of the event loop may be taken, something long comes next, the GPU be
 * waited for, or the CPU's threads be helped until they are so far (`CpuProcessor.work`).
 */
export type Pause = 'turn' | 'long' | 'gpu' | { readonly mark: number };

/**
 * Steps issued and not retired at most: enough that threads find the next one ready. Large ones take
 * long, so fewer of them will do. CenterNet in int8 holds 64 MB at most with 8 always; so 36, as
 * without.
 */
const AHEAD = 8;
const AHEAD_BYTES = 4e6;

/** What issuing a step gives. */
export interface Issued {
  /** Of its results. */
  readonly bytes: number;
  /** Absent where nobody wanted it. */
  readonly row?: LayerReport;
  /** Bytes whose range has to be looked at when they are there. */
  guarded?: Quantised | undefined;
}

/** A step that has been issued and not been retired. */
export interface UnderWay extends Issued {
  readonly index: number;
  /** It is done when the CPU is so far. */
  mark: number;
}

/** What a run is to the pipeline: steps by their index. */
export interface Work {
  readonly length: number;
  /** Whether a step may only be issued when all before it are retired. */
  isAlone(index: number): boolean;
  issue(index: number): Generator<Pause, Issued>;
  /** Of a step that is done. */
  mustRepeat(step: UnderWay): boolean;
  /** Computes a step again, and waits for it. */
  repeat(step: UnderWay): Generator<Pause, void>;
  /** Forgets what a step has computed, from inputs that were wrong. */
  drop(index: number): void;
  fail(index: number, error: Error): void;
  /** The step is done, and needs its inputs no longer. */
  retire(index: number): void;
}

/**
 * @param from the first step that has not been computed yet.
 * @returns the rows of what was computed; their `ms` are from the end of one to that of the next.
 */
export function* pipeline(
  cpu: CpuProcessor,
  work: Work,
  from = 0,
): Generator<Pause, LayerReport[]> {
  const rows: LayerReport[] = [];
  const underWay: UnderWay[] = [];
  let [next, last] = [from, performance.now()];
  while (next < work.length || underWay.length > 0) {
    if (next < work.length && mayIssue(cpu, work, next, underWay)) {
      const issued = yield* work.issue(next);
      underWay.push({ ...issued, index: next++, mark: cpu.mark });
      tellErrors(cpu, work, underWay);
      yield 'turn';
      continue;
    }
    const [oldest] = underWay;
    tellErrors(cpu, work, underWay);
    if (!cpu.isDone(oldest.mark)) {
      yield { mark: oldest.mark };
    } else if (work.mustRepeat(oldest)) {
      for (const { index } of underWay.splice(1)) work.drop(index);
      next = oldest.index + 1;
      yield* work.repeat(oldest);
    } else {
      underWay.shift();
      work.retire(oldest.index);
      if (oldest.row) {
        const end = endOf(cpu, oldest, last);
        rows.push({ ...oldest.row, ms: end - last });
        last = end;
      }
      yield 'turn';
    }
  }
  return rows;
}

function mayIssue(
  cpu: CpuProcessor,
  work: Work,
  index: number,
  underWay: readonly UnderWay[],
): boolean {
  if (underWay.length === 0) return true;
  if (underWay.length >= AHEAD || cpu.threads === 1) return false;
  const held = underWay.reduce((sum, { bytes }) => sum + bytes, 0);
  return held < AHEAD_BYTES && !work.isAlone(index);
}

/** Whose kernel it was that trapped is not known: all that is under way has failed. */
function tellErrors(cpu: CpuProcessor, work: Work, underWay: readonly UnderWay[]): void {
  const error = cpu.takeError();
  if (error) for (const { index } of underWay) work.fail(index, error);
}

/**
 * When a step was done: when its kernels were, where they were computed by others while this thread
 * did something else; at the latest now.
 */
function endOf(cpu: CpuProcessor, { mark }: UnderWay, before: number): number {
  const now = performance.now();
  const over = cpu.overAt(mark) - performance.timeOrigin;
  return over > before && over < now ? over : now;
}
