/**
 * The board on which the caller posts jobs and from which caller and workers take tiles: a job is a
 * call of one kernel and how it is cut. Whoever takes a tile works out its arguments (`tiles.ts`) and
 * makes its call; for the caller to do so for all of them took a tenth of MobileNet's time on two
 * threads, and most of it on 16.
 *
 * Jobs are done in the order they were posted, one after the other: whoever finishes the last tile of
 * one opens the next, so the caller may be many jobs ahead and nobody waits for it in between.
 *
 *     posted    ┌───────┬───────┬───────┬───────┬ ─ ─          a ring of JOBS
 *               │ job 7 │ job 8 │ job 9 │  ...  │
 *               └───────┴───────┴───────┴───────┴ ─ ─
 *                over    │ open: its tiles are taken
 *                        └ ┌───────────┬───────────┬───────────┐
 *                          │ thread 0's│ thread 1's│ thread 2's│  tiles, in their order
 *                          └──►────────┴──►────────┴──►────────┘
 *
 * Each thread begins with tiles of its own, the same part of every job, so that it mostly reads what
 * it has written: those of its layers lie in its own cache. Then it helps the others.
 *
 *     words     generation │ posted │ finished │ done │ failed │ sleeping │ ready │ next x THREADS │
 *     (i32)     one cache line each, since different threads write them           jobs │ states of tiles
 *     job       number and tiles │ kernel │ arguments │ cut │ first tile in the ring of states │ threads
 *     args      a ring of JOBS: MAX_ARGS doubles each, and where the tiles' ranges are noted
 *     ends      a ring of JOBS: when each was over
 *
 * `next` of a thread: a job's number above TILE_BITS, and below how many of the thread's tiles of that
 * job have been taken. It is of an older job until the first of them is.
 */
import type { Cut } from './tiles.js';
import { divide } from './tiles.js';

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

/** Bytes of a spread, f32 [min x4 | max x4]: the range of a result before it becomes bytes. */
export const SPREAD_BYTES = 32;

/** For MAX_TILES. */
const TILE_BITS = 10;
const TILE_MASK = (1 << TILE_BITS) - 1;
const JOB_MASK = (1 << 21) - 1;

/** Jobs, and tiles of all of them, that can be on the board. Powers of two. */
const JOBS = 256;
const TILES = 8192;

/** Arguments of one call at most: f32Depthwise has 22. Behind them: where its spreads are. */
const MAX_ARGS = 23;
const NUMBERS = MAX_ARGS + 1;

/** Words of a cache line. */
const LINE = 16;

const GENERATION = 0 * LINE;
const POSTED = 1 * LINE;
const FINISHED = 2 * LINE;
const DONE = 3 * LINE;
const FAILED = 4 * LINE;
const SLEEPING = 5 * LINE;
const READY = 6 * LINE;
const FIRST_NEXT = 7 * LINE;
/** Threads with tiles of their own; others help. */
const THREADS = 64;
const FIRST_JOB = FIRST_NEXT + THREADS * LINE;

/** Words of a job. */
const NUMBER = 0;
const KERNEL = 1;
const ARGS = 2;
const ROWS = 3;
const COLUMNS = 4;
const FIRST = 5;
const SHARES = 6;

const STATES = FIRST_JOB + JOBS * LINE;
const ARGS_OFFSET = 4 * (STATES + TILES);
const ENDS_OFFSET = ARGS_OFFSET + 8 * NUMBERS * JOBS;

/** States of a tile. */
const OPEN = 0;
const FINISHED_TILE = 1;
const THREW = 2;

/**
 * Milliseconds for which an idle worker looks for work before it sleeps: where there are cores to spare,
 * longer than the main thread needs from one inference to the next (MobileNet v1 on 16 threads: 2.75
 * ms with 0.1, 2.3 with 1); else from one layer to the next, since others want the core (GoogLeNet on
 * two cores: 8.95 ms with 0.1, 8.8 with 0.3, 9.05 with 1. With two more programs at work: 22.7 ms with
 * 0.1, 23 with 0.3; MobileNet v1 63 ms with 0.1, 73 with 1).
 */
const { navigator } = globalThis as { navigator?: { hardwareConcurrency?: number } };
const SPIN_MS = (navigator?.hardwareConcurrency ?? 1) > 2 ? 1 : 0.3;

export class Board {
  static readonly BYTES = ENDS_OFFSET + 8 * JOBS;
  private readonly words: Int32Array;
  private readonly args: Float64Array;
  private readonly ends: Float64Array;
  /** Which of the threads this is; the caller is the first. */
  private thread = 0;
  /** Caller: where the next job's tiles begin in their ring. */
  private nextTile = 0;
  /** The job of which a tile was taken last, and how to make arguments for its others. */
  private taken: { job: number; argsOf: (tile: number) => number[] } | undefined;

  /** @param memory Board.BYTES zeros; shared where workers are to see it. */
  constructor(readonly memory: ArrayBufferLike) {
    this.words = new Int32Array(memory, 0, STATES + TILES);
    this.args = new Float64Array(memory, ARGS_OFFSET, NUMBERS * JOBS);
    this.ends = new Float64Array(memory, ENDS_OFFSET, JOBS);
  }

  /** Workers that have reported for work. */
  get ready(): number {
    return Atomics.load(this.words, READY);
  }

  /** Jobs posted and not finished. */
  get pending(): number {
    const { words } = this;
    return (Atomics.load(words, POSTED) - Atomics.load(words, FINISHED)) & JOB_MASK;
  }

  /** Whether every tile of every job has been finished. */
  get isOver(): boolean {
    return this.pending === 0;
  }

  /** Whether there is a tile to take. */
  get hasTile(): boolean {
    const job = this.openJob;
    const tiles = this.tilesOf(job);
    const threads = this.words[wordsOf(job) + SHARES];
    for (let thread = 0; thread < threads && tiles > 0; thread++) {
      if (this.untaken(job, thread, Atomics.load(this.words, nextOf(thread))) >= 0) return true;
    }
    return false;
  }

  /** Whether a worker sleeps. */
  get isAsleep(): boolean {
    return Atomics.load(this.words, SLEEPING) > 0;
  }

  /** Whether tiles of the open job have thrown and all others are done: it waits for `repair`. */
  get isStuck(): boolean {
    const { words } = this;
    return (
      Atomics.load(words, FAILED) > 0 && Atomics.load(words, DONE) === this.tilesOf(this.openJob)
    );
  }

  /**
   * Caller: when the last job but so many was over, in milliseconds of the epoch, as far as the board
   * remembers; else 0.
   */
  endOf(jobsAgo: number): number {
    const job = Atomics.load(this.words, POSTED) - jobsAgo;
    return jobsAgo < JOBS ? this.ends[job & (JOBS - 1)] : 0;
  }

  /** Caller: wakes all workers, to spin for a while. */
  wake(): void {
    if (!this.isAsleep) return;
    Atomics.add(this.words, GENERATION, 1);
    Atomics.notify(this.words, GENERATION);
  }

  /** Caller: whether there is room for a job of so many tiles. */
  hasRoom(tiles: number): boolean {
    // Looked at once: others finish jobs meanwhile, and behind the last one there is none to measure.
    const { openJob } = this;
    const pending = (Atomics.load(this.words, POSTED) + 1 - openJob) & JOB_MASK;
    if (pending === 0) return true;
    const used = (this.nextTile - this.words[wordsOf(openJob) + FIRST]) & (TILES - 1);
    return pending < JOBS && used + tiles < TILES;
  }

  /**
   * Caller: posts a job, for which there is room. Wakes as many workers as can have a tile.
   *
   * @param spreads where each tile's range is noted, SPREAD_BYTES each, if it is.
   */
  post(kernel: TiledKernel, args: readonly number[], cut: Cut = [1, 1], spreads = 0): void {
    const { words } = this;
    const job = Atomics.load(words, POSTED) + 1;
    const at = wordsOf(job);
    const tiles = cut[0] * cut[1];
    const numbers = (job & (JOBS - 1)) * NUMBERS;
    this.taken = undefined;
    this.args.set(args, numbers);
    this.args[numbers + MAX_ARGS] = spreads;
    for (let i = 0; i < tiles; i++) words[STATES + ((this.nextTile + i) & (TILES - 1))] = OPEN;
    words[at + KERNEL] = KERNELS.indexOf(kernel);
    words[at + ARGS] = args.length;
    [words[at + ROWS], words[at + COLUMNS]] = cut;
    words[at + FIRST] = this.nextTile;
    words[at + SHARES] = Math.min(1 + this.ready, THREADS);
    this.nextTile = (this.nextTile + tiles) & (TILES - 1);
    // Last: who sees it takes tiles.
    Atomics.store(words, at + NUMBER, ((job & JOB_MASK) << TILE_BITS) | tiles);
    Atomics.store(words, POSTED, job);
    // Otherwise whoever finishes the job before does it, or both.
    if (((this.openJob - job) & JOB_MASK) === 0) this.open(job);
  }

  /**
   * Anyone: takes a tile and makes its call.
   *
   * @returns false where there is none to take: some may be under way elsewhere, and more jobs
   *   behind them.
   */
  take(kernels: Calls): boolean {
    const { words } = this;
    const job = this.openJob;
    const tiles = this.tilesOf(job);
    if (tiles === 0) return false;
    const threads = words[wordsOf(job) + SHARES];
    for (let i = 0; i < threads; i++) {
      const tile = this.claim(job, (this.thread + i) % threads);
      if (tile < 0) continue;
      this.call(kernels, job, tile);
      const isLast = Atomics.add(words, DONE, 1) + 1 === tiles;
      if (isLast && Atomics.load(words, FAILED) === 0) this.endJob();
      return true;
    }
    return false;
  }

  /**
   * Caller: the same jobs on a memory of its own, for when workers have been terminated. They may live
   * on for a while, but here they get no more tiles, and nobody counts those that they still finish.
   */
  desert(): Board {
    const { words } = this;
    const numbers = Array.from({ length: JOBS }, (_, job) =>
      Atomics.exchange(words, wordsOf(job) + NUMBER, 0),
    );
    // Before the states of tiles: what is finished in between may be done, or be done again.
    const finished = Atomics.load(words, FINISHED);
    const board = new Board(new ArrayBuffer(Board.BYTES));
    board.words.set(words);
    board.args.set(this.args);
    board.ends.set(this.ends);
    board.nextTile = this.nextTile;
    board.words[FINISHED] = finished;
    numbers.forEach((number, job) => (board.words[wordsOf(job) + NUMBER] = number));
    return board;
  }

  /**
   * Caller: makes the calls of the open job again that threw elsewhere, and ends it. With `all` also
   * those that nobody has finished, for when their workers are gone.
   *
   * @throws what a call throws once more; the others have been made.
   */
  repair(kernels: Calls, all = false): void {
    const { words } = this;
    const job = this.openJob;
    const errors: unknown[] = [];
    const tiles = this.tilesOf(job);
    for (let thread = 0; thread < THREADS && all; thread++)
      Atomics.store(words, nextOf(thread), ((job & JOB_MASK) << TILE_BITS) | TILE_MASK);
    for (let tile = 0; tile < tiles; tile++) {
      const state = Atomics.load(words, this.stateOf(job, tile));
      if (state === FINISHED_TILE || (state === OPEN && !all)) continue;
      try {
        this.run(kernels, job, tile);
      } catch (error) {
        errors.push(error);
      }
    }
    Atomics.store(words, FAILED, 0);
    this.endJob();
    if (errors.length > 0) throw errors[0] as Error;
  }

  /** Worker: takes part in every job until it is terminated. */
  serve(kernels: Calls): never {
    const { words } = this;
    this.thread = (1 + Atomics.add(words, READY, 1)) % THREADS;
    for (;;) {
      const seen = Atomics.load(words, GENERATION);
      while (this.take(kernels));
      const idleFrom = performance.now();
      while (Atomics.load(words, GENERATION) === seen) {
        if (performance.now() - idleFrom < SPIN_MS) continue;
        this.taken = undefined;
        Atomics.add(words, SLEEPING, 1);
        Atomics.wait(words, GENERATION, seen);
        Atomics.sub(words, SLEEPING, 1);
      }
    }
  }

  /** The number of the job whose tiles may be taken; of the next one where there is none. */
  private get openJob(): number {
    return Atomics.load(this.words, FINISHED) + 1;
  }

  private endJob(): void {
    const { words } = this;
    Atomics.store(words, DONE, 0);
    this.ends[this.openJob & (JOBS - 1)] = performance.timeOrigin + performance.now();
    const next = Atomics.add(words, FINISHED, 1) + 2;
    if (!this.isOver) this.open(next);
  }

  /** Tells those who wait of a job that is open now. */
  private open(job: number): void {
    const { words } = this;
    Atomics.add(words, GENERATION, 1);
    if (this.isAsleep) Atomics.notify(words, GENERATION, this.tilesOf(job));
  }

  /** 0 for a job that is not there: not posted yet, or over for long. */
  private tilesOf(job: number): number {
    const number = Atomics.load(this.words, wordsOf(job) + NUMBER);
    return number >> TILE_BITS === (job & JOB_MASK) ? number & TILE_MASK : 0;
  }

  /** Takes the next of a thread's tiles; -1 where there is none, or the job is over. */
  private claim(job: number, thread: number): number {
    const { words } = this;
    const at = nextOf(thread);
    for (;;) {
      const next = Atomics.load(words, at);
      // While there is a tile the job is open, so what was loaded is of this job or an older one.
      if (this.openJob !== job) return -1;
      const tile = this.untaken(job, thread, next);
      if (tile < 0) return -1;
      const taken = takenOf(job, next);
      const wanted = ((job & JOB_MASK) << TILE_BITS) | (taken + 1);
      if (Atomics.compareExchange(words, at, next, wanted) === next) return tile;
    }
  }

  /** The next of a thread's tiles, as its `next` says; -1 where all have been taken. */
  private untaken(job: number, thread: number, next: number): number {
    const tiles = this.tilesOf(job);
    const threads = this.words[wordsOf(job) + SHARES];
    const first = Math.floor((thread * tiles) / threads);
    const end = Math.floor(((thread + 1) * tiles) / threads);
    const tile = first + takenOf(job, next);
    return tile < end ? tile : -1;
  }

  private stateOf(job: number, tile: number): number {
    return STATES + this.indexOf(job, tile);
  }

  /** Of a tile in the ring of all. */
  private indexOf(job: number, tile: number): number {
    return (this.words[wordsOf(job) + FIRST] + tile) & (TILES - 1);
  }

  private call(kernels: Calls, job: number, tile: number): void {
    try {
      this.run(kernels, job, tile);
      Atomics.store(this.words, this.stateOf(job, tile), FINISHED_TILE);
    } catch {
      // The caller makes this call once more, and its error is the one that is told.
      Atomics.store(this.words, this.stateOf(job, tile), THREW);
      Atomics.add(this.words, FAILED, 1);
    }
  }

  private run(kernels: Calls, job: number, tile: number): void {
    // Forgotten in time: after 2^21 jobs there is another one of this number.
    if (this.taken?.job !== job) this.taken = { job, argsOf: this.argumentsOf(job) };
    kernels[KERNELS[this.words[wordsOf(job) + KERNEL]]](...this.taken.argsOf(tile));
  }

  private argumentsOf(job: number): (tile: number) => number[] {
    const { words } = this;
    const at = wordsOf(job);
    const numbers = (job & (JOBS - 1)) * NUMBERS;
    // 0.1 µs; with the iterator of a typed array 0.7.
    const args: number[] = [];
    for (let i = 0; i < words[at + ARGS]; i++) args.push(this.args[numbers + i]);
    const spreads = this.args[numbers + MAX_ARGS];
    const cut: Cut = [words[at + ROWS], words[at + COLUMNS]];
    if (cut[0] * cut[1] === 1) return () => args;
    const division = divide(KERNELS[words[at + KERNEL]], args)!;
    return tile => {
      const part = division.part(tile, cut);
      if (spreads > 0) part[division.spread!] = spreads + SPREAD_BYTES * tile;
      return part;
    };
  }
}

/** How many of a thread's tiles of a job have been taken, as its `next` says. */
const takenOf = (job: number, next: number): number =>
  next >> TILE_BITS === (job & JOB_MASK) ? next & TILE_MASK : 0;

const nextOf = (thread: number): number => FIRST_NEXT + thread * LINE;

/** Where the words of a job begin. */
const wordsOf = (job: number): number => FIRST_JOB + (job & (JOBS - 1)) * LINE;
