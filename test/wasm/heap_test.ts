/** wasm/memory/* */
import { itOnBothBuilds } from './instantiate';
import { Random } from './random';

describe('alloc and free', () => {
  itOnBothBuilds('blocks are aligned, apart, and come back', kernels => {
    const random = new Random(1);
    const blocks = new Map<number, number>();
    for (let round = 0; round < 2000; ++round) {
      if (blocks.size > 0 && random.next() < 0.5) {
        const at = [...blocks.keys()][random.integer(0, blocks.size - 1)];
        kernels.free(at);
        blocks.delete(at);
        continue;
      }
      const bytes = random.integer(0, 5000);
      const at = kernels.alloc(bytes);
      expect(at % 16).toBe(0);
      for (const [other, size] of blocks) {
        if (at < other + size && other < at + bytes) fail(`${at}+${bytes} in ${other}+${size}`);
      }
      blocks.set(at, bytes);
    }
    for (const at of blocks.keys()) kernels.free(at);
    kernels.free(0);
  });

  itOnBothBuilds('memory does not grow when blocks are reused', (kernels, arena) => {
    kernels.free(kernels.alloc(1 << 24));
    const before = arena.bytes;
    for (let i = 0; i < 100; ++i) kernels.free(kernels.alloc(1 << 24));
    expect(arena.bytes).toBe(before);
  });

  itOnBothBuilds('too much traps and leaves the heap usable', kernels => {
    expect(() => kernels.alloc(2 ** 30)).toThrow();
    kernels.free(kernels.alloc(16));
  });
});
