/** wasm/f32-qu8-convert/x16.ts */
import { pad } from '../reference/copy';
import { quantiseValue } from '../reference/quantise';
import { expectFloats, forRandomProblems, itOnBothBuilds, type Arena } from './instantiate';
import { Random } from './random';
import type { WasmKernels } from '../../wasm/exports';

/** x [h,w,c] at (top, left) of y [hp,wp,c]. */
function check(
  kernels: WasmKernels,
  arena: Arena,
  random: Random,
  [h, w, c]: readonly [number, number, number],
  [top, left, hp, wp]: readonly [number, number, number, number],
  zeroPoint: number,
  xor: number,
) {
  const inverseScale = Math.fround(97.3);
  const x = random.floats(h * w * c).map(v => v * 3);
  const y = arena.reserve(hp * wp * c);
  const geometry = [h, w, c, top, left, hp, wp] as const;
  const outside = kernels.f32ToQu8(arena.put(x), ...geometry, inverseScale, zeroPoint, xor, y);
  const bytes = x.map(v => quantiseValue(v, inverseScale, zeroPoint) ^ xor);
  const wanted = pad(bytes, ...geometry, zeroPoint ^ xor);
  expectFloats(arena.u8(y, hp * wp * c), wanted, `${[h, w, c, top, left, zeroPoint]}`);
  const scaled = Array.from(x, v => Math.fround(v * inverseScale) + zeroPoint);
  const expected = scaled.some(v => v < -0.5 || v > 255.5) ? 1 : 0;
  expect(outside).withContext('outside').toBe(expected);
}

describe('f32ToQu8', () => {
  itOnBothBuilds(
    'bytes equal the oracle: sizes, borders, zero points, both signs',
    (kernels, arena) => {
      const random = new Random(1);
      for (const [h, w, c] of [
        [1, 1, 1],
        [1, 1, 15],
        [1, 1, 16],
        [1, 1, 17],
        [3, 4, 3],
        [5, 3, 33],
      ] as const) {
        for (const [top, bottom, left, right] of [
          [0, 0, 0, 0],
          [1, 1, 1, 1],
          [2, 0, 0, 0],
          [0, 2, 0, 0],
          [0, 0, 3, 0],
          [0, 0, 0, 3],
          [1, 2, 3, 4],
        ] as const) {
          const at = [top, left, h + top + bottom, w + left + right] as const;
          for (const zeroPoint of [0, 7, 128, 255]) {
            for (const xor of [0, 0x80]) {
              check(kernels, arena, random, [h, w, c], at, zeroPoint, xor);
            }
          }
        }
      }
    },
  );

  itOnBothBuilds('random problems', (kernels, arena) => {
    forRandomProblems(arena, 2, random => {
      const [h, w, c] = [random.integer(1, 5), random.integer(1, 5), random.integer(1, 35)];
      const [top, left] = [random.integer(0, 3), random.integer(0, 3)];
      const at = [
        top,
        left,
        h + top + random.integer(0, 3),
        w + left + random.integer(0, 3),
      ] as const;
      const zeroPoint = random.integer(0, 255);
      const xor = random.one([0, 0x80]);
      check(kernels, arena, random, [h, w, c], at, zeroPoint, xor);
    });
  });

  itOnBothBuilds('halves to even; clamped; NaN to 0', (kernels, arena) => {
    const inside = [0, -0, 0.5, 1.5, 2.5, 3.5, -0.5, -1.5, 154.5, 155, 0.49999997, 1e-45];
    const outside = [156, -101, 1e30, -1e30, Infinity, -Infinity, 155.75, -100.75, NaN];
    for (const v of [...inside, ...outside]) {
      for (const n of [1, 16, 21]) {
        const y = arena.reserve(n);
        const x = new Float32Array(n).fill(v);
        const flag = kernels.f32ToQu8(arena.put(x), 1, 1, n, 0, 0, 1, 1, 1, 100, 0, y);
        expectFloats(arena.u8(y, n), new Array<number>(n).fill(quantiseValue(v, 1, 100)), `${v}`);
        expect(flag)
          .withContext(`${v}`)
          .toBe(outside.includes(v) ? 1 : 0);
      }
    }
  });

  itOnBothBuilds('nothing of an empty image', (kernels, arena) => {
    const y = arena.reserve(4);
    expect(kernels.f32ToQu8(0, 0, 0, 1, 1, 1, 2, 2, 1, 3, 0, y)).toBe(0);
    expectFloats(arena.u8(y, 4), [3, 3, 3, 3], 'border');
  });
});
