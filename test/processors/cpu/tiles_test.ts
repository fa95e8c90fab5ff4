/**
 * src/processors/cpu/tiles.ts: a call and its tiles give the same bits, write the same bytes, and
 * need nothing that lies elsewhere.
 */
import type { Calls } from '../../../src/processors/cpu/board.js';
import { KERNELS } from '../../../src/processors/cpu/board.js';
import { tiledKernel } from '../../../src/processors/cpu/queue.js';
import type { Division } from '../../../src/processors/cpu/tiles.js';
import { MAX_TILES, divide } from '../../../src/processors/cpu/tiles.js';
import { itOn } from '../../wasm/instantiate';
import { CALLS } from './calls.js';

const COUNTS = [1, 2, 3, 5, 16, 400];

/** Arguments of all tiles where so many are wanted. */
function parts({ cut, part }: Division, count: number, threads = 2): number[][] {
  const pieces = cut(count, threads);
  return Array.from({ length: pieces[0] * pieces[1] }, (_, i) => part(i, pieces));
}

describe('tiles', () => {
  for (const build of ['baseline', 'relaxed'] as const) {
    for (const { kernel, name, lay } of CALLS) {
      itOn(build, `${name} in tiles is the same as whole`, (kernels, arena) => {
        const space = {
          put: (values: Float32Array) => arena.put(values),
          reserve: (bytes: number) => arena.reserve(bytes),
        };
        const { args, outputs } = lay(space, kernels);
        const call = (kernels as unknown as Calls)[kernel];
        const bytes = () => outputs.map(({ at, bytes: length }) => arena.u8(at, length));
        const clear = () => outputs.forEach(output => arena.clear(output.at, output.bytes));
        const wholeResult = (call(...args) as number | undefined) ?? 0;
        const whole = bytes();
        const division = divide(tiledKernel(kernel, build === 'relaxed')!, args)!;
        expect(division.ns).toBeGreaterThanOrEqual(0);
        for (const count of COUNTS) {
          clear();
          const tiles = parts(division, count);
          expect(tiles.length).withContext(`${count} wanted`).toBeLessThanOrEqual(MAX_TILES);
          // The last first: none may lean on another.
          let result = 0;
          for (const part of tiles.reverse()) {
            result |= (call(...part) as number | undefined) ?? 0;
          }
          expect(result).withContext(`result of ${count}`).toBe(wholeResult);
          expect(bytes()).withContext(`${tiles.length} tiles`).toEqual(whole);
        }
      });
    }
  }

  it('every kernel of the board has calls here', () => {
    expect(new Set(CALLS.map(({ kernel }) => kernel))).toEqual(new Set(KERNELS));
  });

  it('every kernel is really divided', () => {
    for (const wanted of KERNELS) {
      const space = { put: () => 64, reserve: () => 64 };
      const kernels = new Proxy({}, { get: () => () => 0 });
      const counts = CALLS.filter(({ kernel }) => kernel === wanted).map(({ kernel, lay }) => {
        const { args } = lay(space, kernels as never);
        // Pointers are all alike here, which would be taken for a call in place.
        const spread = args.map((arg, i) => (arg === 64 ? 64 + i : arg));
        return parts(divide(kernel, spread)!, 3).length;
      });
      expect(Math.max(...counts))
        .withContext(wanted)
        .toBeGreaterThanOrEqual(3);
    }
  });

  it('a product cut both ways has no more tiles than a job may have', () => {
    // x [m,64] * w [64,n]: so many rows or columns that one way is not quite enough.
    for (const [m, n] of [
      [24_550, 1320],
      [1320, 24_550],
      [15_000, 6400],
    ]) {
      const args = [64, m, m, 64, 0, 1, 64, 64, 128, n, n, 0, 0, 0, 0, 192, n];
      const { length } = parts(divide('f32Gemm', args)!, MAX_TILES);
      expect(length).toBeLessThanOrEqual(MAX_TILES);
      expect(length).toBeGreaterThan(MAX_TILES / 2);
    }
  });

  it('calls in place are not divided: a tile may be done twice', () => {
    expect(divide('f32Unary', [0, 64, 1000, 0, 0, 64])).toBeUndefined();
    expect(divide('f32Binary', [0, 1, 9, 64, 0, 1, 128, 0, 1, 64])).toBeUndefined();
    expect(divide('f32Binary', [0, 1, 9, 64, 0, 1, 128, 0, 1, 128])).toBeUndefined();
    expect(divide('f32Softmax', [64, 5, 5, 64])).toBeUndefined();
    expect(divide('f32Affine', [64, 5, 5, 1, 1, 64])).toBeUndefined();
  });
});
