/**
 * The board on which the caller posts a job and from which caller and workers take its tiles: one
 * kernel, and the arguments of one call of it for each tile. Whoever takes a tile makes that call.
 *
 *     words   ┌────────────┬────────┬──────┬──────┬────────┬────────┬────────┬───────┬─ ─
 *     (i32)   │ generation │ posted │ next │ done │ failed │ result │ kernel │ ready │ states of tiles
 *             └────────────┴────────┴──────┴──────┴────────┴────────┴────────┴───────┴─ ─
 *     args    tile 0: MAX_ARGS doubles │ tile 1 │ ...
 *
 * `posted` and `next` hold the job's number above TILE_BITS and the number of tiles, or the next
 * tile, below. A worker that was late, and takes a ticket of a job that is over, sees that the two
 * numbers differ; one ticket is never taken for a tile of two jobs.
 *
 * The worker's bundle has this file too, so it imports nothing.
 */

/** Kernels that can be on the board, by number. */
export const KERNELS = [
  'f32Gemm',
  'qu8Gemm',
  'qu8GemmI16',
  'qs8Pack',
  'qs8PackI16',
  'f32MinMax',
  'f32ToQu8',
  'qu8ToF32',
  'qu8Requantise',
  'x8Pad',
  'copyStrided',
  'f32Pad',
  'f32Depthwise',
  'qu8Depthwise',
  'f32Pool',
  'qu8MaxPool',
  'qu8AvgPool',
  'f32Binary',
  'qu8Binary',
  'f32Unary',
  'x8Lookup',
  'x8Clamp',
  'f32Affine',
  'f32Reduce',
  'f32Softmax',
  'f32Resize',
  'qu8Resize',
  'x8ResizeNearest',
  'fill',
  'gatherRows',
] as const;

export type TiledKernel = (typeof KERNELS)[number];

/** The exports that a tile may call. */
export type Calls = Readonly<Record<string, (...args: number[]) => unknown>>;

/** Tiles of one job at most. Every thread may take one ticket too many; there are 64 threads. */
export const MAX_TILES = 512;

const TILE_BITS = 10;
const TILE_MASK = (1 << TILE_BITS) - 1;

/** Arguments of one call at most: f32Depthwise has 22. */
const MAX_ARGS = 24;

const GENERATION = 0;
const POSTED = 1;
const NEXT = 2;
const DONE = 3;
const FAILED = 4;
const RESULT = 5;
const KERNEL = 6;
const READY = 7;
const STATES = 8;

const ARGS_OFFSET = 4 * (STATES + MAX_TILES);

/** States of a tile. */
const OPEN = 0;
const FINISHED = 1;
const THREW = 2;

/**
 * Milliseconds for which an idle worker looks for work before it sleeps: longer than the main thread
 * needs from one kernel to the next, usually, and short enough to leave the core to others.
 */
const SPIN_MS = 0.1;

export class Board {
  static readonly BYTES = ARGS_OFFSET + 8 * MAX_ARGS * MAX_TILES;
  private readonly words: Int32Array;
  private readonly args: Float64Array;

  /** @param memory Board.BYTES zeros; shared where workers are to see it. */
  constructor(readonly memory: ArrayBufferLike) {
    this.words = new Int32Array(memory, 0, STATES + MAX_TILES);
    this.args = new Float64Array(memory, ARGS_OFFSET);
  }

  /** Workers that have reported for work. */
  get ready(): number {
    return Atomics.load(this.words, READY);
  }

  /** Whether every tile of the job has been finished, or has failed. */
  get isOver(): boolean {
    return Atomics.load(this.words, DONE) === this.tiles;
  }

  /** All results of the job's calls, or-ed. */
  get result(): number {
    return Atomics.load(this.words, RESULT);
  }

  /** Caller: posts a job; the one before must be over. Wakes as many workers as can have a tile. */
  post(kernel: TiledKernel, tiles: readonly (readonly number[])[]): void {
    const { words, args } = this;
    tiles.forEach((tile, i) => args.set(tile, i * MAX_ARGS));
    words.fill(OPEN, STATES, STATES + tiles.length);
    words[DONE] = words[FAILED] = words[RESULT] = 0;
    words[KERNEL] = KERNELS.indexOf(kernel);
    const job = ((Atomics.load(words, POSTED) >> TILE_BITS) + 1) << TILE_BITS;
    // In this order: a ticket of the new job is only worth something when `posted` is the new one's.
    Atomics.store(words, POSTED, job | tiles.length);
    Atomics.store(words, NEXT, job);
    Atomics.add(words, GENERATION, 1);
    if (this.ready > 0) Atomics.notify(words, GENERATION, tiles.length - 1);
  }

  /**
   * Anyone: takes tiles until there are none, or until the clock says `until`.
   *
   * @returns whether there are no more tiles to take; some may still be under way elsewhere.
   */
  take(kernels: Calls, until = Infinity): boolean {
    const { words } = this;
    let start = performance.now();
    for (;;) {
      // Looked at before a ticket is taken, so that those who ask in vain do not use tickets up.
      if (!this.isTile(Atomics.load(words, NEXT))) return true;
      const ticket = Atomics.add(words, NEXT, 1);
      if (!this.isTile(ticket)) return true;
      this.call(kernels, ticket & TILE_MASK);
      Atomics.add(words, DONE, 1);
      if (until === Infinity) continue;
      // The next one takes as long as this one did, more or less.
      const now = performance.now();
      if (2 * now - start > until) return !this.isTile(Atomics.load(words, NEXT));
      start = now;
    }
  }

  /**
   * Caller: makes the calls again that threw elsewhere. With `all` also those that nobody has
   * finished, for when their workers are gone.
   */
  repair(kernels: Calls, all = false): void {
    const { words } = this;
    if (!all && Atomics.load(words, FAILED) === 0) return;
    for (let tile = 0; tile < this.tiles; tile++) {
      const state = Atomics.load(words, STATES + tile);
      if (state === FINISHED || (state === OPEN && !all)) continue;
      this.run(kernels, tile);
      Atomics.store(words, STATES + tile, FINISHED);
    }
    Atomics.store(words, DONE, this.tiles);
  }

  /** Worker: takes part in every job until it is terminated. */
  serve(kernels: Calls): never {
    const { words } = this;
    let seen = Atomics.load(words, GENERATION);
    Atomics.add(words, READY, 1);
    for (;;) {
      this.take(kernels);
      const idleFrom = performance.now();
      while (Atomics.load(words, GENERATION) === seen) {
        if (performance.now() - idleFrom < SPIN_MS) continue;
        Atomics.wait(words, GENERATION, seen);
      }
      seen = Atomics.load(words, GENERATION);
    }
  }

  private get tiles(): number {
    return Atomics.load(this.words, POSTED) & TILE_MASK;
  }

  /** Whether this ticket is for a tile of the job on the board. */
  private isTile(ticket: number): boolean {
    const posted = Atomics.load(this.words, POSTED);
    const sameJob = ticket >> TILE_BITS === posted >> TILE_BITS;
    return sameJob && (ticket & TILE_MASK) < (posted & TILE_MASK);
  }

  private call(kernels: Calls, tile: number): void {
    try {
      this.run(kernels, tile);
      Atomics.store(this.words, STATES + tile, FINISHED);
    } catch {
      // The caller makes this call once more, and its error is the one that is told.
      Atomics.store(this.words, STATES + tile, THREW);
      Atomics.add(this.words, FAILED, 1);
    }
  }

  private run(kernels: Calls, tile: number): void {
    const kernel = kernels[KERNELS[this.words[KERNEL]]];
    const from = tile * MAX_ARGS;
    const result = kernel(...this.args.subarray(from, from + kernel.length));
    if (typeof result === 'number' && result !== 0) Atomics.or(this.words, RESULT, result);
  }
}
