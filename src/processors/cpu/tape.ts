/**
 * The calls of a run, recorded once and made again for each later run of the same graph: then nobody
 * lowers steps, takes memory or works out tiles, and the caller posts jobs as fast as it can. (An
 * inference of MobileNet v1 on one thread of a Xeon: 1.1 of 9.5 ms were JavaScript between kernels.)
 *
 *     recorded   step 3: x8Pad(...), qu8Gemm(...)   step 4: qu8Gemm(...)   ...
 *                          │ arguments hold addresses
 *                          ▼
 *     region     ┌────────┬───────────────┬──────┬ ─ ─    results and scratch of the run, where they
 *                │ pad 3  │ result 3      │ ...  │        were when it was recorded: a piece of the
 *                └────────┴───────────────┴──────┴ ─ ─    heap that is kept for the runs to come
 *     elsewhere  packed weights, biases, tables: a tape whose blocks are given back is void
 *     its own    numbers that JavaScript had written for a kernel, and copies them in again; where
 *                ranges of results are noted
 *
 * Jobs are done one after the other, so what one may write over in the recorded order it may always.
 */
import type { TiledKernel } from './board.js';
import { SPREAD_BYTES } from './board.js';
import type { Heap, Purpose } from './heap.js';
import type { Range } from './quantisation.js';
import { NO_SPREAD, rangeOfSpread } from './quantisation.js';
import type { Cut } from './tiles.js';
import { divide } from './tiles.js';
import type { Arena } from './arena.js';

/** A call as it is posted. */
export interface Job {
  readonly kernel: TiledKernel;
  readonly args: readonly number[];
  readonly cut: Cut;
  /** Where each tile's range is noted, or 0. */
  readonly spreads: number;
}

interface RecordedCall {
  readonly kernel: TiledKernel;
  readonly args: readonly number[];
}

/** An address and bytes. */
export type Block = readonly [pointer: number, bytes: number];

/** The failure after which a larger region will do. */
export const TOO_SMALL = 'the region is too small';

/** A copy of bytes, as one row. */
const COPY_FROM = 1;
const copyOf = (from: number, bytes: number, to: number): RecordedCall => ({
  kernel: 'copyStrided',
  args: [1, from, to, 1, 1, 1, 1, 1, bytes, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1],
});

/** A piece of the heap in which one run after the other has its results. */
export class Region {
  constructor(
    readonly pointer: number,
    readonly bytes: number,
    private readonly arena: Arena,
  ) {}

  alloc(bytes: number): number {
    return this.arena.alloc(bytes);
  }

  holds(pointer: number): boolean {
    return pointer >= this.pointer && pointer < this.pointer + this.bytes;
  }

  /** What is told twice, or was never handed out here but by a tape, is passed over. */
  free(pointer: number): void {
    if (this.arena.holds(pointer)) this.arena.free(pointer);
  }

  get isEmpty(): boolean {
    return this.arena.isEmpty;
  }
}

/** Where memory comes from for a while; 0: from the heap, as always. */
export interface Source {
  alloc(bytes: number, purpose: Purpose): number;
}

/** Hears all calls of a run, and gives it memory of the region. */
export class Recorder implements Source {
  /** Calls of each step, in their order. */
  private readonly steps: RecordedCall[][] = [];
  /** Where the results of each step were, and their bytes. */
  private readonly results: Block[][] = [];
  /** Why there will be no tape. */
  failure: string | undefined;
  /** Whether what happens belongs to a step. */
  isOn = false;
  /** Numbers written for kernels: copied in again by each run. */
  private readonly written: { numbers: Uint8Array; call: RecordedCall }[] = [];
  /** Blocks outside of the region that were given back while it recorded. */
  private readonly lost: Block[] = [];
  private isLive = false;
  /** Blocks outside of the region that the step has taken. */
  private readonly taken = new Set<number>();

  constructor(readonly region: Region) {}

  /** @param isLive whether the step will be computed anew in each run: only its results are placed. */
  begin(isLive: boolean): void {
    this.isLive = isLive;
    this.taken.clear();
    this.steps.push([]);
    this.results.push([]);
  }

  alloc(bytes: number, purpose: Purpose): number {
    const isPlaced = purpose === 'result' || (purpose === 'scratch' && !this.isLive);
    if (!this.isOn || !isPlaced) return 0;
    const pointer = this.region.alloc(bytes);
    if (pointer === 0) this.failure ??= TOO_SMALL;
    else if (purpose === 'result') this.results.at(-1)!.push([pointer, bytes]);
    return pointer;
  }

  /** A kernel is called. */
  heard(kernel: TiledKernel, args: readonly number[]): void {
    if (this.isOn) this.steps.at(-1)!.push({ kernel, args });
  }

  /** Numbers that JavaScript writes for a kernel. */
  wrote(pointer: number, numbers: ArrayBufferView): void {
    if (!this.isOn || this.isLive || numbers === NO_SPREAD || !this.region.holds(pointer)) return;
    const { buffer, byteOffset, byteLength } = numbers;
    const call = copyOf(0, byteLength, pointer);
    this.written.push({ numbers: new Uint8Array(buffer, byteOffset, byteLength).slice(), call });
    this.steps.at(-1)!.push(call);
  }

  /** A block outside of the region is handed out. */
  gave(pointer: number): void {
    if (this.isOn) this.taken.add(pointer);
  }

  /** A block outside of the region is given back. */
  freed(pointer: number, bytes: number): void {
    // What a live step takes and gives back nobody else can read.
    if (this.isLive && this.isOn && this.taken.has(pointer)) return;
    this.lost.push([pointer, bytes]);
  }

  /** Where the results of the first steps were. */
  blocksOf(steps: number): Block[][] {
    return this.results.slice(0, steps);
  }

  /** What steps [from, to) have called, to be called again; undefined where that would not do. */
  tape(heap: Heap, from: number, to: number): Tape | undefined {
    const steps = this.steps.slice(from, to).map(step => step.map(call => planned(heap, call)));
    const all = steps.flat();
    if (this.failure || all.length === 0 || all.some(call => this.hasLost(call))) return undefined;
    const calls = new Set(all.map(({ call }) => call));
    const written = this.written.filter(({ call }) => calls.has(call));
    const ranges = all.reduce((sum, { spread, tiles }) => sum + (spread > 0 ? tiles : 0), 0);
    const bytes = written.reduce((sum, { numbers }) => sum + roundUp(numbers.length), 0);
    const ownBytes = bytes + SPREAD_BYTES * ranges;
    const own = heap.keep(ownBytes);
    if (own === 0) return undefined;
    const originals = new Map<RecordedCall, number>();
    let at = own;
    for (const { numbers, call } of written) {
      heap.put(at, numbers);
      originals.set(call, at);
      at += roundUp(numbers.length);
    }
    const spreads = at;
    const range = () => (at - spreads) / SPREAD_BYTES;
    const jobs: Job[] = [];
    const ends: number[] = [];
    const noted: [number, number][] = [];
    for (const step of steps) {
      const first = range();
      for (const { call, cut, tiles, spread } of step) {
        const args = [...call.args];
        args[COPY_FROM] = originals.get(call) ?? args[COPY_FROM];
        if (spread > 0) args[spread] = at;
        jobs.push({ kernel: call.kernel, args, cut, spreads: spread > 0 && tiles > 1 ? at : 0 });
        if (spread > 0) at += SPREAD_BYTES * tiles;
      }
      ends.push(jobs.length);
      noted.push([first, range()]);
    }
    return new Tape(heap, this.region, own, ownBytes, jobs, ends, spreads, noted, ranges);
  }

  /** Whether a call reads what has been given back since. Ranges are noted elsewhere. */
  private hasLost({ call: { args }, spread }: Planned): boolean {
    return args.some(
      (arg, i) =>
        (i !== spread || spread === 0) &&
        this.lost.some(([pointer, bytes]) => arg >= pointer && arg < pointer + bytes),
    );
  }
}

/** A recorded call and how it is cut when all threads are at work. */
interface Planned {
  readonly call: RecordedCall;
  readonly cut: Cut;
  readonly tiles: number;
  /** Index of the argument that says where a range is noted; 0 where none is. */
  readonly spread: number;
}

function planned(heap: Heap, call: RecordedCall): Planned {
  const division = divide(call.kernel, call.args);
  const cut: Cut = division ? heap.queue.cutOf(division, true) : [1, 1];
  const at = division?.spread ?? 0;
  return { call, cut, tiles: cut[0] * cut[1], spread: call.args[at] > 0 ? at : 0 };
}

/** Gives results the memory that they had when the run was recorded. */
export class Script implements Source {
  isOn = false;
  /** Whether a step has asked for something else. */
  failed = false;
  private next = 0;
  private blocks: readonly Block[] = [];

  /** Of one step. */
  begin(blocks: readonly Block[]): void {
    this.blocks = blocks;
    this.next = 0;
  }

  alloc(bytes: number, purpose: Purpose): number {
    if (!this.isOn || purpose !== 'result' || this.failed) return 0;
    const [pointer, size] = this.blocks[this.next++] ?? [0, -1];
    this.failed = size !== bytes;
    return this.failed ? 0 : pointer;
  }
}

export class Tape {
  readonly threads: number;
  private isGone = false;

  /**
   * @param own block with all that is only the tape's, of so many bytes
   * @param ends for each step: how many jobs are there up to its end
   * @param noted for each step: which of the ranges are its result's
   * @param count of ranges
   */
  constructor(
    private readonly heap: Heap,
    readonly region: Region,
    private readonly own: number,
    private readonly ownBytes: number,
    readonly jobs: readonly Job[],
    readonly ends: readonly number[],
    private readonly spreads: number,
    private readonly noted: readonly [number, number][],
    private readonly count: number,
  ) {
    this.threads = heap.queue.threads;
    heap.watch(this, pointersOf(jobs));
  }

  /** Whether something it reads has been given back. */
  get isVoid(): boolean {
    return this.isGone || this.heap.region !== this.region;
  }

  /** Before its jobs are posted. */
  rewind(): void {
    const all = this.heap.peek(this.spreads, (this.count * SPREAD_BYTES) / 4);
    for (let i = 0; i < all.length; i++) all[i] = NO_SPREAD[i % 8];
  }

  /** The range of a step's result before it became bytes, once its jobs are done; if it did. */
  spreadOf(step: number): Range | undefined {
    const [from, to] = this.noted[step];
    if (from === to) return undefined;
    const ranges = this.heap.peek(this.spreads + SPREAD_BYTES * from, 8 * (to - from));
    let [min, max] = rangeOfSpread(ranges.subarray(0, 8));
    for (let i = 8; i < ranges.length; i++) {
      if (i % 8 < 4 ? ranges[i] < min : ranges[i] > max) {
        if (i % 8 < 4) min = ranges[i];
        else max = ranges[i];
      }
    }
    return [min, max];
  }

  dispose(): void {
    if (this.isGone) return;
    this.isGone = true;
    this.heap.unwatch(this, this.own, this.ownBytes);
  }
}

/** What may be addresses: all whole numbers. Taking a number for one costs a tape, at the worst. */
function pointersOf(jobs: readonly Job[]): number[] {
  const numbers = new Set(jobs.flatMap(({ args }) => args));
  return [...numbers].filter(arg => Number.isInteger(arg) && arg > 0);
}

const roundUp = (bytes: number): number => Math.ceil(bytes / SPREAD_BYTES) * SPREAD_BYTES;
