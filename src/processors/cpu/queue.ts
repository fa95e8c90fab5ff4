/**
 * The kernels as their callers see them: the same functions, whose large calls are divided into
 * tiles and done by several threads. A call may return before it is done. Whoever looks at the heap
 * waits for it (`Heap.f32` and its like do), and blocks freed meanwhile stay until it is over (`afterwards`), so
 * that a caller sees no difference. What it is good for: the last call of a layer, the large one as
 * a rule, is still under way when the lowering returns, and the run can let the page live until it
 * is done:
 *
 *     lowering   pad ─► view: waits ─► offsets ─► gemm ─► return
 *     run                                                 └► yield 'cpu' ─► work 8 ms ─► page ─► ...
 *     workers                                     tiles tiles tiles tiles tiles tiles
 *
 * On one thread it is the same with nobody to help.
 */
import type { WasmKernels } from '../../../wasm/exports.js';
import type { Calls, TiledKernel } from './board.js';
import { Board, KERNELS, MAX_TILES } from './board.js';
import type { Pool } from './pool.js';
import { divide } from './tiles.js';

/** Exports that touch no operand: they need not wait. */
const AT_ONCE: readonly (keyof WasmKernels)[] = [
  'alloc',
  'free',
  'setScratch',
  'relaxedDotKind',
  'setTileRows',
  'qs8PackedBytes',
  'qs8PackedBytesI16',
  'qs8PackedBytesTaps',
];

/** Kernels whose result the caller wants at once. */
const ANSWERS: readonly TiledKernel[] = ['f32ToQu8'];

/** A call below this, in nanoseconds, is not worth waking anybody: that takes 5 to 50 µs. */
const WORTH_NS = 60_000;

/** A tile is not smaller than this: taking one costs 1 µs. */
const SMALLEST_TILE_NS = 15_000;

/**
 * Nor larger than this, so that the page gets its turn in time. Each tile reads all the weights
 * anew: ESRGAN-slim is 3 % slower in tiles of 2 ms than in one piece.
 */
const LARGEST_TILE_NS = 4_000_000;

/** Tiles for each thread, so that a slow core does not hold the others up. */
const TILES_PER_THREAD = 4;

/** Milliseconds without a tile finished after which a worker counts as dead. */
const PATIENCE_MS = 5000;

interface Job {
  kernel: TiledKernel;
  tiles: number[][];
  /** Where the range of all tiles' results is noted, if it is. */
  spread?: number;
}

/** Bytes of a spread: f32 [min x4 | max x4]. */
const SPREAD_BYTES = 32;

export class Queue {
  /** What callers call. */
  readonly kernels: WasmKernels;
  private readonly jobs: Job[] = [];
  /** What waits for the jobs: blocks to free, notes to take. */
  private readonly waiting: (() => void)[] = [];
  private readonly ownBoard = new Board(new ArrayBuffer(Board.BYTES));
  /** The board with the first job on it; undefined when that has not been posted. */
  private board: Board | undefined;
  private waitingFrom: number | undefined;
  private error: unknown;
  private wanted = 1;
  /** A block for the spreads of a job's tiles, kept once it is there. */
  private spreads = 0;
  private pool: Pool | undefined;

  /**
   * @param raw the module's exports
   * @param memory what they work on
   * @param openPool starts workers; absent where memory cannot be shared.
   */
  constructor(
    private readonly raw: WasmKernels,
    private readonly memory: WebAssembly.Memory,
    private readonly relaxed: boolean,
    private readonly openPool: ((helpers: number) => Pool) | undefined,
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

  /** Whether a call is still under way. */
  get isBusy(): boolean {
    return this.jobs.length > 0;
  }

  /** Does this when what is under way is over; now, if nothing is. */
  afterwards(todo: () => void): void {
    if (this.isBusy) this.waiting.push(todo);
    else todo();
  }

  /** Helps until all is done, or until the clock says `until`; what goes wrong is kept for `finish`. */
  work(until: number): void {
    while (this.isBusy) {
      const board = (this.board ??= this.post(this.jobs[0]));
      if (!board.take(this.calls, until) || !this.isOver(board, until)) return;
      try {
        board.repair(this.calls);
      } catch (error) {
        this.error ??= error;
      }
      this.foldSpreads(this.jobs[0]);
      this.board = undefined;
      this.jobs.shift();
    }
    for (const todo of this.waiting.splice(0)) todo();
  }

  /**
   * Returns when every call has been done.
   *
   * @throws what a call has thrown.
   */
  finish(): void {
    this.work(Infinity);
    const { error } = this;
    this.error = undefined;
    if (error !== undefined) throw error as Error;
  }

  dispose(): void {
    this.pool?.dispose();
    this.pool = undefined;
    this.jobs.length = 0;
    this.board = undefined;
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
      this.finish();
      return own(...args);
    };
  }

  private call(kernel: TiledKernel, args: number[]): unknown {
    const answers = ANSWERS.includes(kernel);
    if (answers) this.finish();
    const job = this.jobOf(kernel, args);
    if (job.tiles.length === 1 && !this.isBusy) return this.calls[kernel](...args);
    this.jobs.push(job);
    if (this.jobs.length === 1) this.board = this.post(this.jobs[0]);
    if (!answers) return undefined;
    const { board } = this;
    this.finish();
    return board!.result;
  }

  private jobOf(kernel: TiledKernel, args: number[]): Job {
    const whole = { kernel, tiles: [args] };
    const division = divide(kernel, args, this.relaxed);
    if (!division) return whole;
    const { ns, spread } = division;
    let count = Math.ceil(ns / LARGEST_TILE_NS);
    if (this.wanted > 1 && ns >= WORTH_NS) {
      this.pool ??= this.openPool!(this.wanted - 1);
      const { threads } = this;
      const most = threads > 1 ? threads * TILES_PER_THREAD : 1;
      count = Math.max(count, Math.min(most, Math.floor(ns / SMALLEST_TILE_NS)));
    }
    if (count <= 1) return whole;
    const tiles = division.parts(Math.min(count, MAX_TILES));
    if (spread === undefined || !args[spread] || tiles.length === 1) return { kernel, tiles };
    this.spreads ||= this.raw.alloc(SPREAD_BYTES * MAX_TILES);
    tiles.forEach((tile, i) => (tile[spread] = this.spreads + SPREAD_BYTES * i));
    return { kernel, tiles, spread: args[spread] };
  }

  /** A result's range is noted by each tile for itself, since two must not write to one place. */
  private clearSpreads({ tiles, spread }: Job): void {
    if (spread === undefined) return;
    const all = new Float32Array(this.memory.buffer, this.spreads, 8 * tiles.length);
    for (let i = 0; i < all.length; i++) all[i] = i % 8 < 4 ? Infinity : -Infinity;
  }

  private foldSpreads({ tiles, spread }: Job): void {
    if (spread === undefined) return;
    const all = new Float32Array(this.memory.buffer, this.spreads, 8 * tiles.length);
    const whole = new Float32Array(this.memory.buffer, spread, 8);
    all.forEach((v, i) => {
      const lane = i % 8;
      if (lane < 4 ? v < whole[lane] : v > whole[lane]) whole[lane] = v;
    });
  }

  private post(job: Job): Board {
    const { pool } = this;
    const { kernel, tiles } = job;
    this.clearSpreads(job);
    const board = pool && pool.helpers > 0 && tiles.length > 1 ? pool.board : this.ownBoard;
    board.post(kernel, tiles);
    return board;
  }

  /** Waits for tiles that are under way in workers, and does those of workers that are gone. */
  private isOver(board: Board, until: number): boolean {
    while (!board.isOver) {
      const now = performance.now();
      this.waitingFrom ??= now;
      if (now - this.waitingFrom > PATIENCE_MS) this.pool?.fail(`silent for ${PATIENCE_MS} ms`);
      if (!this.pool || this.pool.helpers === 0) {
        try {
          board.repair(this.calls, true);
        } catch (error) {
          this.error ??= error;
        }
        break;
      }
      if (now > until) return false;
    }
    this.waitingFrom = undefined;
    return true;
  }
}
