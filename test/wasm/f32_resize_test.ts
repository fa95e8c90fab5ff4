/** wasm/f32-resize/x4.ts */
import { resizeBilinear, resizeNearestNeighbor } from '../reference/resize';
import { expectFloats, itOnBothBuilds } from './instantiate';
import { EPSILON, Random } from './random';

const SIZES: [h: number, w: number, oh: number, ow: number][] = [
  [1, 1, 1, 1],
  [1, 1, 4, 5],
  [3, 4, 1, 1],
  [2, 3, 4, 6],
  [4, 6, 2, 3],
  [5, 7, 13, 3],
  [7, 5, 3, 11],
  [10, 10, 9, 11],
  [3, 3, 2, 1030],
];

describe('f32Resize', () => {
  for (const [op, name] of ['bilinear', 'nearest'].entries()) {
    for (const alignCorners of [0, 1] as const) {
      for (const halfPixelCenters of [0, 1] as const) {
        // tfjs refuses both.
        if (alignCorners && halfPixelCenters) continue;
        const what = `${name} alignCorners ${alignCorners} halfPixelCenters ${halfPixelCenters}`;
        itOnBothBuilds(what, (kernels, arena) => {
          const random = new Random(op);
          for (const [h, w, oh, ow] of SIZES) {
            for (const c of [1, 3, 4, 5]) {
              const x = random.floats(h * w * c);
              const y = arena.reserve(oh * ow * c * 4);
              kernels.f32Resize(
                op,
                arena.put(x),
                h,
                w,
                c,
                oh,
                ow,
                alignCorners,
                halfPixelCenters,
                y,
              );
              const flags = { alignCorners: !!alignCorners, halfPixelCenters: !!halfPixelCenters };
              const problem = { h, w, c, oh, ow, ...flags };
              const wanted =
                op === 0 ? resizeBilinear(x, problem) : resizeNearestNeighbor(x, problem);
              // |x| <= 1: differences of at most 2, three interpolations of three operations each,
              // and two fractions rounded from doubles: below 24 roundings of 1.
              const tolerance = () => (op === 0 ? 24 * EPSILON : 0);
              const context = `[${h},${w},${c}] -> [${oh},${ow}]`;
              expectFloats(arena.f32(y, oh * ow * c), wanted, context, tolerance);
            }
          }
        });
      }
    }
  }

  itOnBothBuilds('NaN and infinities stay in their neighbourhood', (kernels, arena) => {
    const random = new Random(3);
    for (const special of [NaN, Infinity, -Infinity]) {
      const x = random.floats(3 * 4 * 5);
      x[22] = special;
      const y = arena.reserve(6 * 7 * 5 * 4);
      kernels.f32Resize(0, arena.put(x), 3, 4, 5, 6, 7, 0, 0, y);
      const problem = { h: 3, w: 4, c: 5, oh: 6, ow: 7 };
      const flags = { alignCorners: false, halfPixelCenters: false };
      const wanted = resizeBilinear(x, { ...problem, ...flags });
      expectFloats(arena.f32(y, 6 * 7 * 5), wanted, `${special}`, () => 24 * EPSILON);
    }
  });
});
