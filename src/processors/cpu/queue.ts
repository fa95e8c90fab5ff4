/**
 * The kernels as their callers see them: the same functions, whose large calls are divided into
 * tiles and done by several threads. A call may return before it is done; calls are done in their
 * order. Whoever looks at the heap waits for all of them (`Heap.f32` and its like do), and what shall
 * only happen when a call is over is said with `afterwards`: giving a block back, taking a note of a
 * range. So a caller sees no difference, and one that does not look is soon many calls ahead of
 * those who compute:
 *
 *     caller    pad, gemm ─► pad, gemm ─► pool ─► pad, gemm ─► looks: helps, waits
 *     workers        pad │ gemm gemm gemm gemm │ pad │ gemm gemm gemm gemm │ pool │ ...
 *
 * On one thread it is the same with nobody to help.
 */
import type { WasmKernels } from '../../../wasm/exports.js';
import type { Arena } from './arena.js';
import type { Calls, TiledKernel } from './board.js';
import { Board, KERNELS, SPREAD_BYTES } from './board.js';
import type { Pool } from './pool.js';
import { NO_SPREAD } from './quantisation.js';
import type { Job } from './tape.js';
import type { Cut, Division } from './tiles.js';
import { MAX_TILES, divide } from './tiles.js';

/** Exports that touch no operand: they need not wait. */
const AT_ONCE: readonly (keyof WasmKernels)[] = [
  'heapBase',
  'setScratch',
  'relaxedDotKind',
  'setTileRows',
  'qs8PackedBytes',
  'qs8PackedBytesI16',
  'qs8PackedBytesTaps',
];

/** A call below this, in nanoseconds, is not worth waking anybody: that takes 5 to 50 µs. */
const WORTH_WAKING_NS = 60_000;

/** While calls are under way, and for a moment afterwards, everybody is awake. */
const WORTH_NS = 10_000;

/** A tile is not smaller than this, in nanoseconds: taking one costs half a microsecond or more. */
const SMALLEST_TILE_NS = 4_000;

/**
 * Nor larger than this, so that the page gets its turn in time. Each tile reads all the weights
 * anew: ESRGAN-slim is 3 % slower in tiles of 2 ms than in one piece.
 */
const LARGEST_TILE_NS = 4_000_000;

/** A call from here on, in nanoseconds, is not made on the spot: its caller may want a turn before. */
const LONG_NS = 500_000;

/**
 * Tiles for each thread at most, so that a slow core does not hold the others up; fewer where they
 * would be smaller than this.
 */
const TILES_PER_THREAD = 8;
const TILE_NS = 10_000;

/** Milliseconds of waiting without a job finished after which a worker counts as dead. */
const PATIENCE_MS = 5000;

/**
 * No more than this counts from one look to the next: in between nobody waited (there was nothing to
 * do) or nobody ran (a debugger, a lid closed), and the workers are not to blame.
 */
const GLANCE_MS = 100;

/** Ranges of tiles that have not been seen yet. */
const NO_SPREADS = Float32Array.from({ length: 8 * MAX_TILES }, (_, i) => NO_SPREAD[i % 8]);

const WHOLE: Cut = [1, 1];

/** Without relaxed SIMD these are the same functions under other names, by which they divide. */
const IN_BASELINE: Partial<Record<string, TiledKernel>> = {
  qu8Gemm: 'qu8GemmI16',
  qs8Pack: 'qs8PackI16',
};

/** By which name a kernel is on the board, if it can be. */
export function tiledKernel(name: string, relaxed: boolean): TiledKernel | undefined {
  const alias = relaxed ? undefined : IN_BASELINE[name];
  return alias ?? KERNELS.find(kernel => kernel === name);
}

export class Queue {
  /** What callers call. */
  readonly kernels: WasmKernels;
  /** What waits for calls, in their order: blocks to free, notes to take. */
  private readonly waiting: { mark: number; todo: () => void }[] = [];
  private readonly ownBoard = new Board(new ArrayBuffer(Board.BYTES));
  /** Where jobs are posted; another one only when all are over. */
  private board = this.ownBoard;
  /** Jobs posted so far, on whatever board. */
  private called = 0;
  /** How often somebody has looked at the heap, and so waited for what was under way. */
  waits = 0;
  /** Jobs that were over when somebody last waited, and for how long that has been so. */
  private silence = { over: -1, ms: 0, lookedAt: 0 };
  private error: Error | undefined;
  /** Told of every call, while somebody wants to know. */
  heard: ((kernel: TiledKernel, args: readonly number[]) => void) | undefined;
  private wanted = 1;
  private pool: Pool | undefined;

  /**
   * @param raw the module's exports
   * @param memory what they work on, and who hands it out
   * @param openPool starts workers; absent where memory cannot be shared.
   */
  constructor(
    private readonly raw: WasmKernels,
    private readonly memory: WebAssembly.Memory,
    private readonly arena: Arena,
    private readonly relaxed: boolean,
    private openPool: ((helpers: number) => Pool) | undefined,
  ) {
    const kernels: Record<string, unknown> = {};
    for (const name of Object.keys(raw)) kernels[name] = this.facade(name as keyof WasmKernels);
    this.kernels = kernels as unknown as WasmKernels;
  }

  /** Threads wanted, the caller among them. Workers start when there is something for them. */
  set threads(wanted: number) {
    if (wanted === this.wanted) return;
    this.finish();
    this.wanted = this.openPool ? wanted : 1;
    this.pool?.dispose();
    this.pool = undefined;
  }

  /** Threads at work: the caller, and the workers that have reported. */
  get threads(): number {
    return 1 + (this.pool?.helpers ?? 0);
  }

  /** Lets workers look for work that is about to come; waking them takes 5 to 50 µs. */
  wake(): void {
    this.pool?.board.wake();
  }

  /** Whether a call is still under way. */
  get isBusy(): boolean {
    return this.board.pending > 0;
  }

  /**
   * When the last of the calls up to a mark was over, in milliseconds of the epoch; 0 where that is
   * not known any more. Calls that were made on the spot do not count.
   */
  overAt(mark: number): number {
    return this.board.endOf(this.called - mark);
  }

  /** All calls so far, for `isDone`. */
  get mark(): number {
    return this.called;
  }

  /** Whether the calls up to a mark are over, and what waited for them has been done. */
  isDone(mark: number): boolean {
    this.settle();
    return this.isOver(mark);
  }

  /** Does this when what is under way is over; now, if nothing is. */
  afterwards(todo: () => void): void {
    if (this.isBusy) this.waiting.push({ mark: this.called, todo });
    else {
      this.settle();
      todo();
    }
  }

  /** Does what has waited for calls that are over now. */
  settle(): void {
    while (this.waiting.length > 0 && this.isOver(this.waiting[0].mark)) {
      this.waiting.shift()!.todo();
    }
  }

  /**
   * Helps until the calls up to a mark are over, or until the clock says `until`; what goes wrong is
   * kept for `finish`.
   */
  work(mark: number, until: number): void {
    let start = performance.now();
    while (!this.isOver(mark)) {
      if (this.board.take(this.calls)) {
        // The next one takes as long as this one did, more or less.
        const now = performance.now();
        if (2 * now - start > until) break;
        start = now;
      } else if (this.board.isStuck) {
        this.repair();
      } else if (!this.awaitTile(mark, until)) {
        break;
      }
    }
    this.settle();
  }

  /** Returns when every call has been done; what goes wrong is kept for `finish`. */
  wait(): void {
    this.waits++;
    this.work(this.called, Infinity);
  }

  /**
   * The same.
   *
   * @throws what a call has thrown.
   */
  finish(): void {
    this.wait();
    const error = this.takeError();
    if (error) throw error;
  }

  /** What a call has thrown since this was asked last. */
  takeError(): Error | undefined {
    const { error } = this;
    this.error = undefined;
    return error;
  }

  dispose(): void {
    this.pool?.dispose();
    this.pool = this.openPool = undefined;
    this.wanted = 1;
    this.waiting.length = 0;
    this.board = new Board(new ArrayBuffer(Board.BYTES));
  }

  /** Whether workers look for work. */
  private get isAwake(): boolean {
    return this.threads > 1 && !this.pool!.board.isAsleep;
  }

  private isOver(mark: number): boolean {
    return this.called - this.board.pending >= mark;
  }

  private get calls(): Calls {
    return this.raw as unknown as Calls;
  }

  private facade(name: keyof WasmKernels): (...args: number[]) => unknown {
    const own = this.calls[name];
    if (AT_ONCE.includes(name)) return own;
    const tiled = tiledKernel(name, this.relaxed);
    if (tiled) return (...args) => this.call(tiled, args);
    return (...args) => {
      this.wait();
      return own(...args);
    };
  }

  /** The mark at which the job under way is over. */
  get oldest(): number {
    return Math.min(this.called - this.board.pending + 1, this.called);
  }

  /** Whether there is room for a job. */
  hasRoom({ cut }: Job): boolean {
    return this.board.hasRoom(cut[0] * cut[1]);
  }

  /** Posts a call that has been worked out before, for which there is room. */
  post({ kernel, args, cut, spreads }: Job): void {
    if (!this.isBusy) this.openBoard();
    this.board.post(kernel, args, cut, spreads);
    this.called++;
  }

  private openBoard(): void {
    this.settle();
    this.board = this.threads > 1 ? this.pool!.board : this.ownBoard;
  }

  private call(kernel: TiledKernel, args: number[]): void {
    this.heard?.(kernel, args);
    const division = divide(kernel, args);
    const cut = division ? this.cutOf(division, this.isBusy || this.isAwake) : WHOLE;
    const tiles = cut[0] * cut[1];
    if (!this.isBusy) {
      this.settle();
      if (tiles === 1 && !(division && division.ns >= LONG_NS)) {
        this.calls[kernel](...args);
        return;
      }
      this.openBoard();
    }
    // A result's range is noted by each tile for itself, since two must not write to one place.
    const at = tiles > 1 ? (division!.spread ?? 0) : 0;
    const parts = at > 0 && args[at] > 0 ? this.arena.alloc(SPREAD_BYTES * tiles) : 0;
    const hasMemory = parts > 0 || at === 0 || args[at] === 0;
    if (parts > 0) this.spreads(parts, tiles).set(NO_SPREADS.subarray(0, 8 * tiles));
    while (!this.board.hasRoom(tiles)) {
      // Others may have finished the last job since: there is none behind it to wait for.
      this.work(this.oldest, Infinity);
    }
    this.board.post(kernel, args, hasMemory ? cut : WHOLE, parts);
    this.called++;
    if (parts > 0) this.afterwards(() => this.foldSpreads(args[at], parts, tiles));
  }

  /**
   * How often a call is cut for the threads at work.
   *
   * @param areAwake whether they look for work.
   */
  cutOf(division: Division, areAwake: boolean): Cut {
    const { ns } = division;
    let count = Math.ceil(ns / LARGEST_TILE_NS);
    let threads = 1;
    if (this.wanted > 1 && ns >= (areAwake ? WORTH_NS : WORTH_WAKING_NS)) {
      this.pool ??= this.openPool!(this.wanted - 1);
      ({ threads } = this);
      if (threads > 1) {
        const rounds = Math.min(TILES_PER_THREAD, Math.floor(ns / threads / TILE_NS));
        const few = Math.max(1, Math.min(threads, Math.floor(ns / SMALLEST_TILE_NS)));
        count = Math.max(count, rounds > 0 ? rounds * threads : few);
      }
    }
    return count > 1 ? division.cut(Math.min(count, MAX_TILES), threads) : WHOLE;
  }

  private foldSpreads(whole: number, parts: number, count: number): void {
    const target = this.spreads(whole, 1);
    this.spreads(parts, count).forEach((v, i) => {
      const lane = i % 8;
      if (lane < 4 ? v < target[lane] : v > target[lane]) target[lane] = v;
    });
    this.arena.free(parts);
  }

  private spreads(at: number, count: number): Float32Array {
    return new Float32Array(this.memory.buffer, at, 8 * count);
  }

  /** Waits for tiles that are under way in workers, and does those of workers that are gone. */
  private awaitTile(mark: number, until: number): boolean {
    const { board } = this;
    while (!board.hasTile && !board.isStuck && !this.isOver(mark)) {
      const now = performance.now();
      if (this.silentFor(now) > PATIENCE_MS) this.pool?.fail(`silent for ${PATIENCE_MS} ms`);
      if (!this.pool || this.pool.helpers === 0) {
        this.board = board.desert();
        if (this.isBusy) this.repair(true);
        break;
      }
      if (now > until) return false;
    }
    return true;
  }

  /** Milliseconds for which somebody has waited without seeing a job finished. */
  private silentFor(now: number): number {
    const { silence } = this;
    const over = this.called - this.board.pending;
    silence.ms =
      over === silence.over ? silence.ms + Math.min(now - silence.lookedAt, GLANCE_MS) : 0;
    silence.over = over;
    silence.lookedAt = now;
    return silence.ms;
  }

  private repair(all = false): void {
    try {
      this.board.repair(this.calls, all);
    } catch (error) {
      this.error ??= error as Error;
    }
  }
}
