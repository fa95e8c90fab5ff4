/** src/processors/cpu/board.ts: tiles are taken once, by whoever comes. */
import type { Calls } from '../../../src/processors/cpu/board.js';
import { Board, MAX_TILES } from '../../../src/processors/cpu/board.js';

/** f32Unary in place of all kernels: notes its arguments. */
function recorder(result: (args: number[]) => unknown = () => undefined) {
  const seen: number[][] = [];
  // As many parameters as the export has: so many arguments are taken from the board.
  const f32Unary = (a: number, b: number) => {
    seen.push([a, b]);
    return result([a, b]);
  };
  return { seen, kernels: { f32Unary } as unknown as Calls };
}

const tiles = (n: number) => Array.from({ length: n }, (_, i) => [i, -i / 2]);

describe('board', () => {
  let board: Board;
  beforeEach(() => {
    board = new Board(new ArrayBuffer(Board.BYTES));
  });

  it('gives out each tile once, with its arguments', () => {
    const { seen, kernels } = recorder();
    for (const n of [1, 3, MAX_TILES]) {
      board.post('f32Unary', tiles(n));
      expect(board.isOver).toBeFalse();
      expect(board.take(kernels)).toBeTrue();
      expect(board.isOver).toBeTrue();
      expect(seen.splice(0)).toEqual(tiles(n));
    }
  });

  it('has nothing for who asks again, however often', () => {
    const { seen, kernels } = recorder();
    board.post('f32Unary', tiles(2));
    for (let i = 0; i < 5000; i++) board.take(kernels);
    board.post('f32Unary', tiles(2));
    board.take(kernels);
    expect(seen.length).toBe(4);
  });

  it('stops when the time is up, after one tile at least', () => {
    const { seen, kernels } = recorder();
    board.post('f32Unary', tiles(3));
    expect(board.take(kernels, 0)).toBeFalse();
    expect(seen.length).toBe(1);
    expect(board.take(kernels, 0)).toBeFalse();
    expect(board.take(kernels, 0)).withContext('that was the last').toBeTrue();
    expect(board.isOver).toBeTrue();
  });

  it('a ticket of a job that is over is worth nothing in the next', () => {
    const other = new Board(board.memory);
    const late = recorder();
    const { seen, kernels } = recorder(() => {
      if (seen.length > 1) return;
      // Between two tiles of the first job somebody else finishes it, and the second is posted.
      other.take(late.kernels);
    });
    board.post('f32Unary', tiles(3));
    board.take(kernels);
    expect([...seen, ...late.seen]).toEqual(tiles(3));
    expect(board.isOver).toBeTrue();
  });

  it('goes on through a million jobs', () => {
    const { seen, kernels } = recorder();
    const words = new Int32Array(board.memory);
    // The job's number is about to overflow.
    words[1] = 0x7ffffc00 - 1024 * 2;
    for (let job = 0; job < 6; job++) {
      board.post('f32Unary', tiles(5));
      board.take(kernels);
      expect(board.isOver).toBeTrue();
      expect(seen.splice(0)).toEqual(tiles(5));
    }
  });

  it('results are or-ed', () => {
    const { kernels } = recorder(([a]) => a);
    board.post('f32Unary', [[1], [0], [4]]);
    board.take(kernels);
    expect(board.result).toBe(5);
    board.post('f32Unary', [[0]]);
    board.take(kernels);
    expect(board.result).toBe(0);
  });

  it('what throws is done again by the caller, which gets the error if there still is one', () => {
    const { kernels } = recorder(([a]) => {
      if (a === 1) throw new Error('tile 1');
    });
    board.post('f32Unary', tiles(3));
    board.take(kernels);
    expect(board.isOver).toBeTrue();
    expect(() => board.repair(kernels)).toThrowError('tile 1');
    const second = recorder();
    board.repair(second.kernels);
    expect(second.seen).toEqual([[1, -0.5]]);
  });

  it('what nobody finished is done by the caller', () => {
    const { kernels } = recorder(() => {
      throw new Error('gone');
    });
    board.post('f32Unary', tiles(3));
    board.take(kernels, 0);
    const caller = recorder();
    board.repair(caller.kernels, true);
    expect(caller.seen).toEqual(tiles(3));
    expect(board.isOver).toBeTrue();
  });
});
