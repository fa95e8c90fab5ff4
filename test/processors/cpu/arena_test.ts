/** src/processors/cpu/arena.ts */
import { Arena } from '../../../src/processors/cpu/arena.js';
import { Random } from '../../wasm/random';

const PAGE = 65536;

function open(pages = 1, from = 1000, maximum = 1000) {
  const memory = new WebAssembly.Memory({ initial: pages, maximum });
  return { memory, arena: new Arena(memory, from) };
}

describe('arena', () => {
  it('blocks are aligned to cache lines, apart, behind the static data, and inside the memory', () => {
    const { memory, arena } = open();
    const random = new Random(1);
    const blocks = new Map<number, number>();
    for (let round = 0; round < 3000; round++) {
      if (blocks.size > 0 && random.next() < 0.5) {
        const at = [...blocks.keys()][random.integer(0, blocks.size - 1)];
        arena.free(at);
        blocks.delete(at);
        continue;
      }
      const bytes = random.integer(0, 5000);
      const at = arena.alloc(bytes);
      expect(at % 64).toBe(0);
      expect(at).toBeGreaterThanOrEqual(1000);
      // Kernels may read 64 bytes further.
      expect(at + bytes + 64).toBeLessThanOrEqual(memory.buffer.byteLength);
      for (const [other, size] of blocks) {
        if (at < other + Math.max(size, 1) && other < at + Math.max(bytes, 1)) {
          fail(`${at}+${bytes} in ${other}+${size}`);
        }
      }
      blocks.set(at, bytes);
    }
    const size = memory.buffer.byteLength;
    for (const at of blocks.keys()) arena.free(at);
    // All of it is one range again.
    expect(arena.alloc(size - 2 * PAGE)).toBeGreaterThan(0);
    expect(memory.buffer.byteLength).toBe(size);
  });

  it('is never at 0, which means absent', () => {
    expect(open(1, 0).arena.alloc(1)).toBeGreaterThan(0);
  });

  it('joins what is given back with its neighbours, in whatever order', () => {
    for (const order of [
      [0, 1, 2],
      [0, 2, 1],
      [1, 0, 2],
      [2, 1, 0],
    ]) {
      const { memory, arena } = open(4);
      const blocks = [0, 1, 2].map(() => arena.alloc(PAGE));
      const fence = arena.alloc(100);
      for (const i of order) arena.free(blocks[i]);
      expect(arena.alloc(3 * PAGE)).toBe(blocks[0]);
      expect(fence).toBeGreaterThan(blocks[2]);
      expect(memory.buffer.byteLength).toBe(4 * PAGE);
    }
  });

  it('takes the smallest range that is large enough', () => {
    const { arena } = open(10);
    const [large, , small] = [5000, 64, 3000, 64].map(bytes => arena.alloc(bytes));
    arena.free(large);
    arena.free(small);
    expect(arena.alloc(2990)).toBe(small);
    expect(arena.alloc(2990)).toBe(large);
  });

  it('memory grows by what is missing and an eighth, and not when blocks are used again', () => {
    const { memory, arena } = open(80);
    arena.alloc(70 * PAGE);
    arena.alloc(12 * PAGE);
    expect(memory.buffer.byteLength).toBe(90 * PAGE);
    const large = arena.alloc(100 * PAGE);
    // 7 pages and some were left at the end.
    expect(memory.buffer.byteLength).toBeLessThanOrEqual(184 * PAGE);
    const before = memory.buffer.byteLength;
    arena.free(large);
    for (let i = 0; i < 100; i++) arena.free(arena.alloc(100 * PAGE));
    expect(memory.buffer.byteLength).toBe(before);
  });

  it('too much gives 0 and loses nothing', () => {
    const { memory, arena } = open(1, 1000, 100);
    const mine = arena.alloc(30 * PAGE);
    expect(arena.alloc(100 * PAGE)).toBe(0);
    expect(arena.alloc(2 ** 40)).toBe(0);
    expect(memory.buffer.byteLength).toBeLessThan(40 * PAGE);
    // All that the memory may have, though an eighth more would be too much.
    expect(arena.alloc(69 * PAGE)).toBeGreaterThan(0);
    arena.free(mine);
    expect(arena.alloc(30 * PAGE)).toBe(mine);
  });

  it('what is no block is not given back', () => {
    const { arena } = open();
    const at = arena.alloc(10);
    arena.free(at);
    expect(() => arena.free(at)).toThrowError(/expected a block/);
    expect(() => arena.free(at + 8)).toThrowError(/expected a block/);
  });
});
