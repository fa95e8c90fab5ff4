/** wasm/f32-depthwise/4x4.ts */
import { LINEAR, type Activation } from '../reference/activation';
import { depthwiseConv2d, type Conv2D } from '../reference/conv2d';
import { describeWindows, randomWindows, windows, WINDOWS } from './images';
import { expectFloats, forRandomProblems, itOnBothBuilds, type Arena } from './instantiate';
import { randomActivation, randomSwish } from './patches';
import { EPSILON, Random } from './random';
import type { WasmKernels } from '../../wasm/exports';

interface Operands {
  x: Float32Array;
  filter: Float32Array;
  ldw: number;
  bias: Float32Array | null;
  activation: Activation;
}

function operands(p: Conv2D, random: Random, ldw = p.co): Operands {
  return {
    x: random.floats(p.h * p.w * p.ci),
    filter: random.floats((p.kh * p.kw - 1) * ldw + p.co),
    ldw,
    bias: null,
    activation: LINEAR,
  };
}

function check(kernels: WasmKernels, arena: Arena, p: Conv2D, o: Operands) {
  const { lo, hi, alpha } = o.activation;
  const length = p.oh * p.ow * p.co;
  const y = arena.reserve(length * 4);
  kernels.f32Depthwise(
    arena.put(o.x),
    p.h,
    p.w,
    p.ci,
    arena.put(o.filter),
    o.ldw,
    p.kh,
    p.kw,
    p.co / p.ci,
    p.strideH,
    p.strideW,
    p.dilationH,
    p.dilationW,
    p.top,
    p.left,
    p.oh,
    p.ow,
    o.bias ? arena.put(o.bias) : 0,
    alpha ? arena.put(Float32Array.from(alpha)) : 0,
    lo,
    hi,
    y,
  );
  const wanted = depthwiseConv2d(o.x, o.filter, o.ldw, p, o.bias, o.activation);
  // As in f32_gemm_test.ts, with K = kh * kw.
  const x = o.x.map(Math.abs);
  const bias = o.bias?.map(Math.abs) ?? null;
  const sums = depthwiseConv2d(x, o.filter.map(Math.abs), o.ldw, p, bias, LINEAR);
  const tolerance = (i: number) => (p.kh * p.kw + 5) * EPSILON * sums[i];
  expectFloats(arena.f32(y, length), wanted, describeWindows(p), tolerance);
}

describe('f32Depthwise', () => {
  for (const p of WINDOWS) {
    itOnBothBuilds(describeWindows(p), (kernels, arena) => {
      check(kernels, arena, p, operands(p, new Random(1)));
    });
  }

  itOnBothBuilds('random problems', (kernels, arena) => {
    forRandomProblems(arena, 6, random => {
      const p = randomWindows(random, random.one([1, 1, 1, 2, 3, 5]));
      check(kernels, arena, p, {
        ...operands(p, random, p.co + random.one([0, 0, 5])),
        bias: random.one([null, random.floats(p.co)]),
        activation: randomActivation(random, p.co),
      });
    });
  });

  itOnBothBuilds('several outputs a channel', (kernels, arena) => {
    const random = new Random(2);
    for (const multiplier of [2, 3, 4, 5, 9]) {
      for (const c of [1, 3, 4]) {
        const p = windows([5, 7, c], [3, 3], {}, multiplier);
        check(kernels, arena, p, operands(p, random));
        check(kernels, arena, p, { ...operands(p, random), bias: random.floats(p.co) });
      }
    }
  });

  itOnBothBuilds('a slice of the filter: ldw above c * multiplier', (kernels, arena) => {
    const random = new Random(3);
    for (const p of WINDOWS) check(kernels, arena, p, operands(p, random, p.co + 5));
    const p = windows([5, 7, 3], [3, 3], {}, 2);
    check(kernels, arena, p, operands(p, random, 11));
  });

  itOnBothBuilds('bias, clamping, PReLU, hard swish', (kernels, arena) => {
    const random = new Random(4);
    for (const p of WINDOWS) {
      const o = { ...operands(p, random), bias: random.floats(p.co) };
      check(kernels, arena, p, { ...o, activation: { lo: 0, hi: 0.5, alpha: null } });
      check(kernels, arena, p, { ...o, activation: { ...LINEAR, alpha: random.floats(p.co) } });
      check(kernels, arena, p, { ...o, activation: randomSwish(random, p.co) });
    }
  });

  itOnBothBuilds(
    'NaN and infinities reach the windows that hold them, no others',
    (kernels, arena) => {
      const random = new Random(5);
      for (const special of [NaN, Infinity, -Infinity]) {
        for (const p of WINDOWS) {
          const o = operands(p, random);
          o.x[random.integer(0, o.x.length - 1)] = special;
          check(kernels, arena, p, o);
          const q = operands(p, random);
          q.filter[random.integer(0, q.filter.length - 1)] = special;
          check(kernels, arena, p, q);
        }
      }
    },
  );
});
