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
import { Board, KERNELS, MAX_TILES } from './board.js';
import type { Pool } from './pool.js';
import { NO_SPREAD } from './quantisation.js';
import { divide } from './tiles.js';

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

/** While calls are under way everybody is awake. */
const WORTH_NS = 10_000;

/**
 * A tile is not smaller than this: taking one costs 1 µs. MobileNet v1 on 16 threads: 3.9 ms with 60
 * and 15 µs for these two, 3.2 with 10 and 4.
 */
const SMALLEST_TILE_NS = 4_000;

/**
 * Nor larger than this, so that the page gets its turn in time. Each tile reads all the weights
 * anew: ESRGAN-slim is 3 % slower in tiles of 2 ms than in one piece.
 */
const LARGEST_TILE_NS = 4_000_000;

/**
 * Tiles for each thread, so that a slow core does not hold the others up; twice as many where they
 * are long enough. VGG-16's convolutions on 16 threads: 20.0 ms with 4 always, 17.9 with 8.
 */
const TILES_PER_THREAD = 4;
const LONG_TILE_NS = 50_000;

/** Milliseconds of waiting without a job finished after which a worker counts as dead. */
const PATIENCE_MS = 5000;

/**
 * No more than this counts from one look to the next: in between nobody waited (there was nothing to
 * do) or nobody ran (a debugger, a lid closed), and the workers are not to blame.
 */
const GLANCE_MS = 100;

/** Bytes of a spread, f32 [min x4 | max x4]: the range of a result before it becomes bytes. */
const SPREAD_BYTES = 32;

interface Job {
  tiles: number[][];
  /** Where the range of all tiles' results is noted, if it is, and where those of the tiles are. */
  spread?: { whole: number; parts: number };
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

  private isOver(mark: number): boolean {
    return this.called - this.board.pending >= mark;
  }

  private get calls(): Calls {
    return this.raw as unknown as Calls;
  }

  private facade(name: keyof WasmKernels): (...args: number[]) => unknown {
    const own = this.calls[name];
    if (AT_ONCE.includes(name)) return own;
    const tiled = KERNELS.find(kernel => kernel === name);
    if (tiled) return (...args) => this.call(tiled, args);
    return (...args) => {
      this.wait();
      return own(...args);
    };
  }

  private call(kernel: TiledKernel, args: number[]): void {
    const { tiles, spread } = this.jobOf(kernel, args);
    if (!this.isBusy) {
      this.settle();
      if (tiles.length === 1) {
        this.calls[kernel](...args);
        return;
      }
      this.board = this.threads > 1 ? this.pool!.board : this.ownBoard;
    }
    while (!this.board.hasRoom(tiles.length)) {
      // Others may have finished the last job since: there is none behind it to wait for.
      this.work(Math.min(this.called - this.board.pending + 1, this.called), Infinity);
    }
    this.board.post(kernel, tiles);
    this.called++;
    if (spread) this.afterwards(() => this.foldSpreads(spread, tiles.length));
  }

  private jobOf(kernel: TiledKernel, args: number[]): Job {
    const whole = { tiles: [args] };
    const division = divide(kernel, args, this.relaxed);
    if (!division) return whole;
    const { ns, spread } = division;
    let count = Math.ceil(ns / LARGEST_TILE_NS);
    if (this.wanted > 1 && ns >= (this.isBusy ? WORTH_NS : WORTH_WAKING_NS)) {
      this.pool ??= this.openPool!(this.wanted - 1);
      const { threads } = this;
      const tiles = threads > 1 ? threads * TILES_PER_THREAD : 1;
      const atLeast = (tileNs: number, most: number) => Math.min(most, Math.floor(ns / tileNs));
      count = Math.max(
        ...[count, atLeast(SMALLEST_TILE_NS, tiles), atLeast(LONG_TILE_NS, 2 * tiles)],
      );
    }
    if (count <= 1) return whole;
    const tiles = division.parts(Math.min(count, MAX_TILES));
    if (spread === undefined || !args[spread] || tiles.length === 1) return { tiles };
    // A result's range is noted by each tile for itself, since two must not write to one place.
    const parts = this.arena.alloc(SPREAD_BYTES * tiles.length);
    if (parts === 0) return whole;
    const numbers = this.spreads(parts, tiles.length);
    tiles.forEach((tile, i) => {
      tile[spread] = parts + SPREAD_BYTES * i;
      numbers.set(NO_SPREAD, 8 * i);
    });
    return { tiles, spread: { whole: args[spread], parts } };
  }

  private foldSpreads({ whole, parts }: { whole: number; parts: number }, count: number): void {
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
