/** wasm/f32-pool/x4.ts */
import type { Conv2D } from '../reference/conv2d';
import { pool } from '../reference/pool';
import { describeWindows, randomWindows, windows, WINDOWS } from './images';
import { expectFloats, forRandomProblems, itOnBothBuilds, type Arena } from './instantiate';
import { EPSILON, Random } from './random';
import type { WasmKernels } from '../../wasm/exports';

const KINDS = ['max', 'avg'] as const;

function check(kernels: WasmKernels, arena: Arena, p: Conv2D, x: Float32Array) {
  for (const [op, kind] of KINDS.entries()) {
    const length = p.oh * p.ow * p.ci;
    const y = arena.reserve(length * 4);
    kernels.f32Pool(
      op,
      arena.put(x),
      p.h,
      p.w,
      p.ci,
      p.kh,
      p.kw,
      p.strideH,
      p.strideW,
      p.dilationH,
      p.dilationW,
      p.top,
      p.left,
      p.oh,
      p.ow,
      y,
    );
    // The maximum is one of the values. The mean: count additions and a division, each rounding.
    const means = kind === 'avg' ? pool(kind, x.map(Math.abs), p) : null;
    const tolerance = (i: number) => (means ? (p.kh * p.kw + 1) * EPSILON * means[i] : 0);
    expectFloats(
      arena.f32(y, length),
      pool(kind, x, p),
      `${kind} ${describeWindows(p)}`,
      tolerance,
    );
  }
}

describe('f32Pool', () => {
  for (const p of WINDOWS) {
    itOnBothBuilds(describeWindows(p), (kernels, arena) => {
      check(kernels, arena, p, new Random(1).floats(p.h * p.w * p.ci));
    });
  }

  itOnBothBuilds('random problems', (kernels, arena) => {
    forRandomProblems(arena, 4, random => {
      const p = randomWindows(random);
      check(kernels, arena, p, random.floats(p.h * p.w * p.ci));
    });
  });

  itOnBothBuilds('NaN and infinities', (kernels, arena) => {
    const random = new Random(2);
    for (const special of [NaN, Infinity, -Infinity]) {
      for (const p of WINDOWS) {
        const x = random.floats(p.h * p.w * p.ci);
        x[random.integer(0, x.length - 1)] = special;
        check(kernels, arena, p, x);
      }
      const p = windows([4, 4, 5], [2, 2]);
      check(kernels, arena, p, new Float32Array(80).fill(special));
    }
  });

  itOnBothBuilds('windows wholly outside: -Infinity and NaN', (kernels, arena) => {
    const p = windows([3, 3, 5], [2, 2], { pad: [3, 3, 3, 3] });
    check(kernels, arena, p, new Random(3).floats(45));
  });
});
