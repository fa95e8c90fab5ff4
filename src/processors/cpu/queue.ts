/**
 * The kernels as their callers see them: the same functions, whose large calls are divided into
 * tiles and done by several threads. A call may return before it is done. Whoever looks at the heap
 * waits for it (`Heap.f32` and its like do), and blocks freed meanwhile stay until it is over, so
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
];

/** Kernels whose result the caller wants at once. */
const ANSWERS: readonly TiledKernel[] = ['f32ToQu8'];

/** A call below this, in nanoseconds, is not worth waking anybody: that takes 5 to 50 µs. */
const WORTH_NS = 60_000;

/** A tile is not smaller than this: taking one costs 1 µs. */
const SMALLEST_TILE_NS = 15_000;

/** Nor larger than this, so that the page gets its turn in time. */
const LARGEST_TILE_NS = 2_000_000;

/** Tiles for each thread, so that a slow core does not hold the others up. */
const TILES_PER_THREAD = 4;

/** Milliseconds without a tile finished after which a worker counts as dead. */
const PATIENCE_MS = 5000;

interface Job {
  kernel: TiledKernel;
  tiles: number[][];
}

export class Queue {
  /** What callers call. */
  readonly kernels: WasmKernels;
  private readonly jobs: Job[] = [];
  /** Blocks given back while jobs were under way. */
  private readonly freed: number[] = [];
  private readonly ownBoard = new Board(new ArrayBuffer(Board.BYTES));
  /** The board with the first job on it; undefined when that has not been posted. */
  private board: Board | undefined;
  private waitingFrom: number | undefined;
  private error: unknown;
  private wanted = 1;
  private pool: Pool | undefined;

  /**
   * @param raw the module's exports
   * @param openPool starts workers; absent where memory cannot be shared.
   */
  constructor(
    private readonly raw: WasmKernels,
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

  /** Gives a block back when nothing that is under way can use it any more. */
  free(pointer: number): void {
    if (this.isBusy) this.freed.push(pointer);
    else this.raw.free(pointer);
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
      this.board = undefined;
      this.jobs.shift();
    }
    for (const pointer of this.freed.splice(0)) this.raw.free(pointer);
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
    const tiles = this.tilesOf(kernel, args);
    if (tiles.length === 1 && !this.isBusy) return this.calls[kernel](...args);
    this.jobs.push({ kernel, tiles });
    if (this.jobs.length === 1) this.board = this.post(this.jobs[0]);
    if (!answers) return undefined;
    const { board } = this;
    this.finish();
    return board!.result;
  }

  private tilesOf(kernel: TiledKernel, args: number[]): number[][] {
    const division = divide(kernel, args, this.relaxed);
    if (!division) return [args];
    const { ns } = division;
    let count = Math.ceil(ns / LARGEST_TILE_NS);
    if (this.wanted > 1 && ns >= WORTH_NS) {
      this.pool ??= this.openPool!(this.wanted - 1);
      const { threads } = this;
      const most = threads > 1 ? threads * TILES_PER_THREAD : 1;
      count = Math.max(count, Math.min(most, Math.floor(ns / SMALLEST_TILE_NS)));
    }
    return count <= 1 ? [args] : division.parts(Math.min(count, MAX_TILES));
  }

  private post({ kernel, tiles }: Job): Board {
    const { pool } = this;
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
