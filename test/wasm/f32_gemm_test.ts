/** wasm/f32-gemm/4x8.ts and 1x4.ts */
import { LINEAR, type Activation } from '../reference/activation';
import { patchGemm, patchSums } from '../reference/gemm';
import { expectFloats, forRandomProblems, itOnBothBuilds, type Arena } from './instantiate';
import {
  PROBLEMS,
  product,
  randomActivation,
  randomPatches,
  randomSwish,
  type PatchProblem,
} from './patches';
import { EPSILON, Random } from './random';
import type { WasmKernels } from '../../wasm/exports';

interface Operands {
  x: Float32Array;
  w: Float32Array;
  ldw: number;
  bias: Float32Array | null;
  activation: Activation;
  /** Floats between the ends of a row of y and the next. */
  gap: number;
}

function run(kernels: WasmKernels, arena: Arena, p: PatchProblem, o: Operands): Float32Array {
  const ldy = p.n + o.gap;
  // The last row of y has no gap behind it: the guard follows at once.
  const y = arena.reserve(((p.m - 1) * ldy + p.n) * 4);
  kernels.f32Gemm(
    arena.put(o.x),
    p.m,
    p.ow,
    p.pixelStride,
    p.rowStride,
    p.segmentOffsets.length,
    p.segmentLength,
    arena.put(Int32Array.from(p.segmentOffsets)),
    arena.put(o.w),
    p.n,
    o.ldw,
    o.bias ? arena.put(o.bias) : 0,
    o.activation.alpha ? arena.put(Float32Array.from(o.activation.alpha)) : 0,
    o.activation.lo,
    o.activation.hi,
    y,
    ldy,
  );
  const rows = new Float32Array(p.m * p.n);
  const all = arena.u8(y, ((p.m - 1) * ldy + p.n) * 4);
  const floats = new Float32Array(all.buffer);
  for (let i = 0; i < p.m; ++i) {
    rows.set(floats.subarray(i * ldy, i * ldy + p.n), i * p.n);
    if (i === p.m - 1) continue;
    const between = all.subarray((i * ldy + p.n) * 4, (i + 1) * ldy * 4);
    if (!between.every(v => v === 0xff)) fail(`${p.name}: written between the rows of y`);
  }
  return rows;
}

/**
 * K products and one bias are added in some order, each operation rounding once (twice where the
 * multiply-add is not fused): |error| <= (K + 2) * EPSILON * (sum |x*w| + |bias|), Higham 3.1.
 * An activation does not enlarge it but for a slope, here at most 1 in magnitude; a hard swish rounds
 * three times more.
 */
function tolerance(p: PatchProblem, o: Operands): (i: number) => number {
  const sums = patchSums(o.x.map(Math.abs), p, o.w.map(Math.abs), p.n, o.ldw);
  const K = p.segmentOffsets.length * p.segmentLength;
  return i => (K + 5) * EPSILON * (sums[i] + Math.abs(o.bias?.[i % p.n] ?? 0));
}

function check(kernels: WasmKernels, arena: Arena, p: PatchProblem, o: Operands, exact = false) {
  const wanted = patchGemm(o.x, p, o.w, p.n, o.ldw, o.bias, o.activation);
  expectFloats(run(kernels, arena, p, o), wanted, p.name, exact ? undefined : tolerance(p, o));
}

function operands(p: PatchProblem, random: Random, ldw = p.n): Operands {
  const K = p.segmentOffsets.length * p.segmentLength;
  return {
    x: random.floats(p.size),
    w: random.floats((K - 1) * ldw + p.n),
    ldw,
    bias: null,
    activation: LINEAR,
    gap: 0,
  };
}

describe('f32Gemm', () => {
  for (const p of PROBLEMS) {
    itOnBothBuilds(p.name, (kernels, arena) => {
      check(kernels, arena, p, operands(p, new Random(1)));
    });
  }

  itOnBothBuilds('slices of w and y: ldw and ldy above n', (kernels, arena) => {
    const random = new Random(2);
    for (const p of PROBLEMS) {
      if (p.m * p.n * p.segmentLength > 1e5) continue;
      check(kernels, arena, p, { ...operands(p, random, p.n + random.integer(1, 9)), gap: 3 });
    }
  });

  itOnBothBuilds('bias, clamping, PReLU, hard swish', (kernels, arena) => {
    const random = new Random(3);
    for (const m of [1, 3, 4, 6, 26]) {
      for (const n of [1, 4, 7, 8, 13]) {
        const p = product(m, 11, n);
        const bias = random.floats(n);
        const o = { ...operands(p, random), bias };
        check(kernels, arena, p, o);
        check(kernels, arena, p, { ...o, activation: { lo: 0, hi: 6, alpha: null } });
        check(kernels, arena, p, { ...o, activation: { lo: -0.25, hi: 0.5, alpha: null } });
        check(kernels, arena, p, { ...o, activation: { ...LINEAR, alpha: random.floats(n) } });
        check(kernels, arena, p, { ...o, activation: randomSwish(random, n) });
      }
    }
  });

  itOnBothBuilds('zeros give zeros', (kernels, arena) => {
    for (const p of [product(1, 5, 9), product(30, 5, 9)]) {
      const o = operands(p, new Random(4));
      check(kernels, arena, p, { ...o, x: new Float32Array(p.size) }, true);
    }
  });

  // Sums of at most 2^24 are exact in float32 whatever the order.
  itOnBothBuilds('integers exactly', (kernels, arena) => {
    const random = new Random(5);
    for (const p of PROBLEMS) {
      const o = operands(p, random);
      const integer = () => random.integer(-64, 64);
      check(kernels, arena, p, { ...o, x: o.x.map(integer), w: o.w.map(integer) }, true);
    }
  });

  itOnBothBuilds(
    'NaN and infinities, in x and in w, where the oracle has them',
    (kernels, arena) => {
      const random = new Random(6);
      for (const m of [1, 5, 25]) {
        for (const special of [NaN, Infinity, -Infinity]) {
          const p = product(m, 7, 10);
          const o = operands(p, random);
          o.x[p.size - 3] = special;
          check(kernels, arena, p, o);
          const q = operands(p, random);
          q.w[23] = special;
          check(kernels, arena, p, q);
          check(kernels, arena, p, { ...q, activation: { lo: 0, hi: 6, alpha: null } });
          check(kernels, arena, p, { ...q, activation: { ...LINEAR, alpha: random.floats(10) } });
        }
      }
    },
  );

  itOnBothBuilds('huge values: finite, or infinite as the oracle', (kernels, arena) => {
    const random = new Random(7);
    for (const p of [product(1, 2, 9), product(30, 2, 9)]) {
      const o = operands(p, random);
      const x = o.x.map(() => 1e19);
      check(kernels, arena, p, { ...o, x, w: o.w.map(v => Math.sign(v) * 1e19) });
      check(kernels, arena, p, { ...o, x, w: o.w.map(() => 3e19) });
    }
  });

  itOnBothBuilds('random problems', (kernels, arena) => {
    forRandomProblems(arena, 8, random => {
      const p = randomPatches(random);
      check(kernels, arena, p, {
        ...operands(p, random, p.n + random.one([0, 0, 5])),
        bias: random.one([null, random.floats(p.n)]),
        activation: randomActivation(random, p.n),
        gap: random.one([0, 0, 3]),
      });
    });
  });

  itOnBothBuilds('nothing for m = 0 or n = 0', (kernels, arena) => {
    kernels.f32Gemm(0, 0, 1, 4, 4, 1, 4, arena.put(new Int32Array(1)), 0, 4, 4, 0, 0, 0, 0, 0, 4);
    kernels.f32Gemm(0, 4, 4, 4, 4, 1, 4, arena.put(new Int32Array(1)), 0, 0, 4, 0, 0, 0, 0, 0, 4);
  });
});
