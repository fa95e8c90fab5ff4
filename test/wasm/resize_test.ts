/** wasm/f32-resize/x4.ts, wasm/qu8-resize/x8.ts, wasm/x8-resize/nearest.ts */
import { resizeBilinear, resizeNearestNeighbor, type Resize } from '../reference/resize';
import { expectFloats, forRandomProblems, itOnBothBuilds, type Arena } from './instantiate';
import { EPSILON, Random } from './random';
import type { WasmKernels } from '../../wasm/exports';

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

/** About the vectors of 4 floats and of 8 bytes. */
const CHANNELS = [1, 3, 4, 5, 8, 17];

/** Bytes in their own units: see wasm/qu8-resize. */
const BYTE_TOLERANCE = 0.54;

/** Both ways, of floats and of bytes. */
function check(kernels: WasmKernels, arena: Arena, problem: Resize, random: Random) {
  const { h, w, c, oh, ow } = problem;
  const size = oh * ow * c;
  const context = `[${h},${w},${c}] -> [${oh},${ow}]`;
  const flags = [problem.alignCorners ? 1 : 0, problem.halfPixelCenters ? 1 : 0] as const;
  const rest = [oh, ow, ...flags, 0, oh] as const;

  const floats = random.floats(h * w * c);
  const x = arena.put(floats);
  const y = arena.reserve(size * 4);
  kernels.f32Resize(x, h, w, c, ...rest, y);
  // |x| <= 1: differences of at most 2, three interpolations of three operations each, and two
  // fractions rounded from doubles: below 24 roundings of 1.
  const tolerance = () => 24 * EPSILON;
  expectFloats(arena.f32(y, size), resizeBilinear(floats, problem), context, tolerance);
  const moved = arena.reserve(size * 4);
  kernels.x8ResizeNearest(x, h, w, 4 * c, ...rest, moved);
  const nearest = resizeNearestNeighbor(floats, problem);
  expectFloats(arena.f32(moved, size), nearest, `nearest ${context}`);

  // Ends of the range are likely, so that the steepest slopes are among them.
  const bytes = random.bytes(h * w * c, 0, 255);
  const extremes = bytes.map((v, i) => (i % 3 === 0 ? (v & 1) * 255 : v));
  const qx = arena.put(extremes);
  const qy = arena.reserve(size);
  kernels.qu8Resize(qx, h, w, c, ...rest, qy);
  const exact = resizeBilinear(extremes, problem);
  expectFloats(arena.u8(qy, size), exact, `bytes ${context}`, () => BYTE_TOLERANCE);
  const qMoved = arena.reserve(size);
  kernels.x8ResizeNearest(qx, h, w, c, ...rest, qMoved);
  const wanted = resizeNearestNeighbor(extremes, problem);
  expectFloats(arena.u8(qMoved, size), wanted, `nearest bytes ${context}`);
}

describe('resizing', () => {
  for (const alignCorners of [0, 1] as const) {
    for (const halfPixelCenters of [0, 1] as const) {
      // tfjs refuses both.
      if (alignCorners && halfPixelCenters) continue;
      const what = `alignCorners ${alignCorners} halfPixelCenters ${halfPixelCenters}`;
      itOnBothBuilds(`bilinear and nearest, floats and bytes, ${what}`, (kernels, arena) => {
        const random = new Random(1);
        const flags = { alignCorners: !!alignCorners, halfPixelCenters: !!halfPixelCenters };
        for (const [h, w, oh, ow] of SIZES) {
          for (const c of CHANNELS) check(kernels, arena, { h, w, c, oh, ow, ...flags }, random);
        }
      });
    }
  }

  itOnBothBuilds('random problems', (kernels, arena) => {
    forRandomProblems(arena, 2, random => {
      const [h, w, c] = [random.integer(1, 12), random.integer(1, 12), random.integer(1, 20)];
      const [oh, ow] = [random.integer(1, 20), random.integer(1, 20)];
      const [alignCorners, halfPixelCenters] = random.one([
        [false, false],
        [true, false],
        [false, true],
      ]);
      check(kernels, arena, { h, w, c, oh, ow, alignCorners, halfPixelCenters }, random);
    });
  });

  itOnBothBuilds('NaN and infinities stay in their neighbourhood', (kernels, arena) => {
    const random = new Random(3);
    for (const special of [NaN, Infinity, -Infinity]) {
      const x = random.floats(3 * 4 * 5);
      x[22] = special;
      const y = arena.reserve(6 * 7 * 5 * 4);
      kernels.f32Resize(arena.put(x), 3, 4, 5, 6, 7, 0, 0, 0, 6, y);
      const problem = { h: 3, w: 4, c: 5, oh: 6, ow: 7 };
      const flags = { alignCorners: false, halfPixelCenters: false };
      const wanted = resizeBilinear(x, { ...problem, ...flags });
      expectFloats(arena.f32(y, 6 * 7 * 5), wanted, `${special}`, () => 24 * EPSILON);
    }
  });
});
