/** src/processors/cpu/board.ts: tiles are taken once, by whoever comes. */
import type { Calls } from '../../../src/processors/cpu/board.js';
import { Board } from '../../../src/processors/cpu/board.js';
import { MAX_TILES } from '../../../src/processors/cpu/tiles.js';

/** Elements of a tile of f32Unary. */
const TILE = 64;

/** f32Unary in place of all kernels: notes which function, and which tile, it is called for. */
function recorder(result: (args: number[]) => unknown = () => undefined) {
  const seen: number[][] = [];
  const f32Unary = (op: number, x: number) => {
    const args = [x / (4 * TILE), op];
    seen.push(args);
    return result(args);
  };
  return { seen, kernels: { f32Unary } as unknown as Calls };
}

/** Takes all there are. */
function takeAll(board: Board, kernels: Calls): void {
  while (board.take(kernels));
}

function post(board: Board, n: number, op = 0): void {
  board.post('f32Unary', [op, 0, TILE * n, 0, 0, 1 << 30], [n, 1]);
}

/** What is called for the tiles of a job. */
const tiles = (n: number, op = 0) => Array.from({ length: n }, (_, i) => [i, op]);

describe('board', () => {
  let board: Board;
  beforeEach(() => {
    board = new Board(new ArrayBuffer(Board.BYTES));
  });

  it('gives out each tile once, with its arguments', () => {
    const { seen, kernels } = recorder();
    for (const n of [1, 3, MAX_TILES]) {
      post(board, n);
      expect(board.isOver).toBeFalse();
      takeAll(board, kernels);
      expect(board.isOver).toBeTrue();
      expect(seen.splice(0)).toEqual(tiles(n));
    }
  });

  it('does jobs in their order, and none before the one before is over', () => {
    const other = new Board(board.memory);
    const { seen, kernels } = recorder(([a]) => {
      if (a !== 1) return;
      // The last tile of the first job is under way.
      expect(other.hasTile).toBeFalse();
      expect(other.pending).toBe(3);
    });
    post(board, 2);
    post(board, 1, 7);
    post(board, 1, 8);
    takeAll(board, kernels);
    expect(seen).toEqual([...tiles(2), ...tiles(1, 7), ...tiles(1, 8)]);
    expect(board.isOver).toBeTrue();
  });

  it('has room for so many jobs and tiles, over and over', () => {
    const { seen, kernels } = recorder();
    for (const size of [1, 7, 100, MAX_TILES]) {
      let [posted, done] = [0, 0];
      for (let round = 0; round < 20; round++) {
        while (board.hasRoom(size)) {
          post(board, size);
          posted++;
        }
        expect(posted - done).toBeGreaterThan(2);
        while (board.pending > 1) board.take(kernels);
        done = posted - 1;
      }
      takeAll(board, kernels);
      expect(seen.splice(0)).toEqual(Array.from({ length: posted }, () => tiles(size)).flat());
    }
  });

  it('has room whenever others finish the last job while it looks', () => {
    const { kernels } = recorder();
    for (let look = 1; look < 5; look++) {
      board = new Board(new ArrayBuffer(Board.BYTES));
      const other = new Board(board.memory);
      // The ring of tiles is at its end, where no job has been before.
      for (const size of [511, 511, 511, 511]) {
        post(board, size);
        takeAll(other, kernels);
      }
      post(board, 3);
      const { load } = Atomics;
      let looks = 0;
      Atomics.load = ((words: Int32Array, at: number) => {
        if (++looks === look) takeAll(other, kernels);
        return load(words, at);
      }) as typeof load;
      try {
        expect(board.hasRoom(MAX_TILES)).withContext(`at look ${look}`).toBeTrue();
      } finally {
        Atomics.load = load;
      }
    }
  });

  it('each thread begins with the same part of every job, and helps the others then', () => {
    const words = new Int32Array(board.memory);
    const threads = [0, 1, 2].map(() => new Board(board.memory));
    threads.forEach((thread, i) => {
      Object.assign(thread, { thread: i });
      // The line in which workers report.
      if (i > 0) Atomics.add(words, 16 * 6, 1);
    });
    for (const n of [9, 12]) {
      post(board, n);
      for (const [i, thread] of threads.entries()) {
        const { seen, kernels } = recorder();
        for (let tile = 0; tile < n / 3; tile++) thread.take(kernels);
        expect(seen).toEqual(tiles(n).slice((i * n) / 3, ((i + 1) * n) / 3));
      }
      expect(board.isOver).toBeTrue();
    }
    for (const n of [1, 2, 7]) {
      post(board, n);
      const { seen, kernels } = recorder();
      takeAll(threads[2], kernels);
      expect(seen.map(([tile]) => tile).sort((a, b) => a - b)).toEqual(
        tiles(n).map(([tile]) => tile),
      );
      expect(board.isOver).toBeTrue();
    }
  });

  it('has nothing for who asks again, however often', () => {
    const { seen, kernels } = recorder();
    post(board, 2);
    for (let i = 0; i < 5000; i++) board.take(kernels);
    post(board, 2);
    takeAll(board, kernels);
    expect(seen.length).toBe(4);
  });

  it('tiles of a job that somebody else has ended meanwhile are not taken in the next', () => {
    const other = new Board(board.memory);
    const late = recorder();
    const { seen, kernels } = recorder(() => {
      if (seen.length > 1) return;
      // Between two tiles of the first job somebody else takes what is left of it.
      takeAll(other, late.kernels);
    });
    post(board, 3);
    takeAll(board, kernels);
    expect([...seen, ...late.seen]).toEqual(tiles(3));
    expect(board.isOver).toBeTrue();
  });

  it('goes on when the numbers of jobs overflow', () => {
    for (const posted of [(1 << 21) - 4, 0x7fffffff - 3]) {
      const memory = new ArrayBuffer(Board.BYTES);
      // Words of two cache lines: jobs posted, jobs finished.
      const words = new Int32Array(memory);
      words[16] = words[32] = posted;
      const late = new Board(memory);
      const { seen, kernels } = recorder();
      for (let job = 0; job < 8; job++) {
        post(late, 5);
        post(late, 2);
        expect(late.pending).toBe(2);
        takeAll(late, kernels);
        expect(late.isOver).toBeTrue();
        expect(seen.splice(0)).toEqual([...tiles(5), ...tiles(2)]);
      }
    }
  });

  it('what throws holds the jobs behind it, and is done again by the caller', () => {
    const { kernels } = recorder(([a]) => {
      if (a === 1) throw new Error('tile 1');
    });
    post(board, 3);
    post(board, 1, 5);
    takeAll(board, kernels);
    expect(board.isStuck).toBeTrue();
    expect(board.pending).toBe(2);
    const second = recorder();
    board.repair(second.kernels);
    takeAll(board, second.kernels);
    expect(second.seen).toEqual([[1, 0], ...tiles(1, 5)]);
    expect(board.isOver).toBeTrue();
  });

  it('the caller gets the error if there still is one, and the jobs behind go on', () => {
    const { seen, kernels } = recorder(([a]) => {
      if (a === 1) throw new Error('tile 1');
    });
    post(board, 3);
    post(board, 1, 5);
    takeAll(board, kernels);
    expect(() => board.repair(kernels)).toThrowError('tile 1');
    takeAll(board, kernels);
    expect(seen.at(-1)).toEqual([0, 5]);
    expect(board.isOver).toBeTrue();
  });

  it('what nobody finished is done by the caller, once', () => {
    const { kernels } = recorder(() => {
      throw new Error('gone');
    });
    post(board, 3);
    board.take(kernels);
    const caller = recorder();
    board.repair(caller.kernels, true);
    takeAll(board, caller.kernels);
    expect(caller.seen).toEqual(tiles(3));
    expect(board.isOver).toBeTrue();
  });
});
