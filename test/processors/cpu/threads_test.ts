/**
 * src/processors/cpu/board.ts, with real workers (a page's or Node's) and the script that they are
 * given: thousands of jobs in random numbers of tiles, with breaks in which the workers fall asleep.
 *
 * A job adds 1 to all of an image of bytes. Jobs are cut differently, so that a tile reads what several
 * tiles of the job before have made: an element that is not the number of jobs in the end (modulo 256)
 * was made before its time, or never, or twice.
 *
 *     job 1    ┌───────┬───────┬───────┐    y = x + 1
 *     job 2    ├────┬──┴─┬────┬┴───┬───┤    y = y + 1, in place, where twice is one too many
 *     job 3    ├────┴────┼────┴────┼───┤    x = y + 1
 */
import baselineBytes from '../../../build/baseline.wasm';
import workerText from '../../../build/worker.txt';
import { Arena } from '../../../src/processors/cpu/arena.js';
import type { Calls } from '../../../src/processors/cpu/board.js';
import { Board } from '../../../src/processors/cpu/board.js';
import { withSharedMemory } from '../../../src/processors/cpu/heap.js';
import { canShareMemory } from '../../../src/processors/cpu/pool.js';
import { MAX_TILES } from '../../../src/processors/cpu/tiles.js';
import type { WorkerSetup } from '../../../src/processors/cpu/worker.js';
import type { WasmKernels } from '../../../wasm/exports';
import { Random } from '../../wasm/random';

/** Bytes: as many blocks as there can be tiles, of a cache line each. */
const IMAGE = 64 * MAX_TILES;

/** What a page's Worker and Node's have in common. */
interface Thread {
  postMessage(message: unknown): void;
  terminate(): unknown;
}

interface NodeThreads {
  Worker: new (script: string, options: { eval: boolean }) => Thread;
}

const { process } = globalThis as {
  process?: { getBuiltinModule?(name: string): NodeThreads };
};
const node = process?.getBuiltinModule?.('node:worker_threads');

const LISTENER = `globalThis.addEventListener = (_, listener) =>
  require('node:worker_threads').parentPort.once('message', data => listener({ data }));`;

function openThread(): Thread {
  if (node) return new node.Worker(LISTENER + workerText, { eval: true });
  const url = URL.createObjectURL(new Blob([workerText], { type: 'text/javascript' }));
  const worker = new Worker(url);
  URL.revokeObjectURL(url);
  return worker;
}

const later = () => new Promise(resolve => setTimeout(resolve, 1));

/** A memory with images and the kernels on it, here and in workers. */
class Crew {
  private readonly module = new WebAssembly.Module(withSharedMemory(baselineBytes));
  private readonly memory = new WebAssembly.Memory({ initial: 4, maximum: 1024, shared: true });
  private readonly kernels: WasmKernels;
  private readonly arena: Arena;
  private readonly table: number;
  private threads: Thread[] = [];
  private readonly random: Random;
  /** Tiles posted, and those that this thread has made. */
  posted = 0;
  own = 0;
  readonly calls: Calls;

  constructor(seed: number) {
    this.random = new Random(seed);
    const { exports } = new WebAssembly.Instance(this.module, {
      env: { memory: this.memory, abort: () => fail('abort') },
    });
    this.kernels = exports as unknown as WasmKernels;
    const { x8Lookup } = exports as unknown as Calls;
    this.calls = {
      x8Lookup: (...tile) => {
        this.own++;
        x8Lookup(...tile);
      },
    };
    this.arena = new Arena(this.memory, this.kernels.heapBase());
    this.table = this.arena.alloc(256);
    this.view(this.table, 256).forEach((_, i, table) => (table[i] = (i + 1) & 255));
  }

  /** Workers on a board, when they have reported. */
  async hire(board: Board, count: number): Promise<void> {
    const ready = board.ready + count;
    for (let i = 0; i < count; i++) {
      const thread = openThread();
      const { module, memory } = this;
      const scratch = this.arena.alloc(16384);
      const setup: WorkerSetup = { module, memory, scratch, board: board.memory };
      thread.postMessage(setup);
      this.threads.push(thread);
    }
    while (board.ready < ready) await later();
  }

  dismiss() {
    for (const thread of this.threads.splice(0)) void thread.terminate();
  }

  /** Zeros. */
  image(): number {
    const at = this.arena.alloc(IMAGE);
    this.view(at).fill(0);
    return at;
  }

  view(at: number, bytes = IMAGE): Uint8Array {
    return new Uint8Array(this.memory.buffer, at, bytes);
  }

  /** Posts a job, helping until there is room for it; now and then there is nothing to do for a while. */
  post(board: Board, x: number, y: number): void {
    const { random } = this;
    const tiles = random.one([1, 2, 3, 20, 100, 400]);
    while (!board.hasRoom(tiles)) board.take(this.calls);
    board.post('x8Lookup', [x, IMAGE, this.table, y], [tiles, 1]);
    this.posted += tiles;
    const chance = random.next();
    if (chance < 0.3) board.take(this.calls);
    if (chance > 0.995) {
      // From shorter than a worker spins to longer.
      const until = performance.now() + random.next();
      while (performance.now() < until);
      board.wake();
    }
  }

  /** Until all is over, or for 10 s. */
  finish(board: Board): void {
    const start = performance.now();
    while (!board.isOver && performance.now() - start < 10_000) board.take(this.calls);
    expect(board.isOver).withContext('all is over').toBeTrue();
    expect(board.isStuck).toBeFalse();
  }

  expectAll(image: number, jobs: number): void {
    const wanted = jobs & 255;
    const wrong = this.view(image).findIndex(v => v !== wanted);
    if (wrong >= 0) fail(`element ${wrong}: expected ${wanted}, got ${this.view(image)[wrong]}`);
  }
}

function itWithThreads(name: string, body: () => Promise<void>) {
  it(
    name,
    async () => {
      if (node || canShareMemory()) await body();
      else pending('this engine shares no memory');
    },
    60_000,
  );
}

describe('the board and real workers', () => {
  let crew: Crew;
  afterEach(() => {
    crew.dismiss();
  });

  for (const [name, before] of [
    ['from the first job on', 0],
    // In what a thread has taken, and in the words themselves.
    ['while the numbers that threads keep overflow', (1 << 21) - 1500],
    ['while the numbers of jobs overflow', 0x7fffffff - 1500],
  ] as const) {
    itWithThreads(`make each tile once, in the order of the jobs: ${name}`, async () => {
      crew = new Crew(before + 1);
      const memory = new SharedArrayBuffer(Board.BYTES);
      // Words of two cache lines: jobs posted, jobs finished.
      const words = new Int32Array(memory);
      words[16] = words[32] = before;
      const board = new Board(memory);
      await crew.hire(board, 3);
      let [x, y] = [crew.image(), crew.image()];
      const jobs = 4000;
      for (let job = 0; job < jobs; job++) {
        if (job % 3 === 0) crew.post(board, x, x);
        else {
          crew.post(board, x, y);
          [x, y] = [y, x];
        }
        if (job % 500 === 0) await later();
      }
      crew.finish(board);
      crew.expectAll(x, jobs);
      expect(crew.own).withContext('tiles of the caller').toBeLessThan(crew.posted);
    });
  }

  itWithThreads('the caller goes on alone when they are terminated at any moment', async () => {
    crew = new Crew(7);
    for (let round = 0; round < 8; round++) {
      let board = new Board(new SharedArrayBuffer(Board.BYTES));
      await crew.hire(board, 2);
      // An image for each job: whoever is still at one writes what is there.
      const images = [crew.image()];
      const jobs = 50;
      for (let job = 0; job < jobs; job++) {
        images.push(crew.image());
        crew.post(board, images[job], images[job + 1]);
        if (job === 10 + 5 * round) {
          crew.dismiss();
          board = board.desert();
          if (!board.isOver) board.repair(crew.calls, true);
        }
      }
      crew.finish(board);
      images.forEach((image, job) => crew.expectAll(image, job));
    }
  });
});
