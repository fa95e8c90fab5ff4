/**
 * kernels/unary.ts: element-wise operations of one operand.
 *
 * The wasm kernels are good to 4 units in the last place (`test/wasm/f32_elementwise_test.ts`), and
 * tfjs-cpu rounds a double. GPUs have exp2 and log2 of their own: 2^-17 of the result.
 */
import * as tf from '@tensorflow/tfjs-core';

import { unaries } from '../../kernels/unary.js';
import { UNARY } from '../reference/elementwise';
import type { Problem } from '../support.js';
import {
  CPU_FLOAT_WAY,
  EPSILON16,
  EPSILON32,
  FLOAT_WAYS,
  floats,
  grid,
  itInWays,
  signedGrid,
  SOME_FLOAT_WAYS,
  TINY16,
  TINY32,
  useMulayer,
} from '../support.js';

type Function = (x: number) => number;

const oracle = (name: string, p0 = 0, p1 = 0): Function => {
  const [, f] = UNARY.find(([wanted]) => wanted === name)!;
  return x => f(x, p0, p1);
};

interface Operation {
  call: (x: tf.Tensor) => tf.Tensor;
  f: Function;
  /** Where the function is defined: 0 to 8, or 0 to 1; -4 to 4 when absent. */
  domain?: 'positive' | 'unit';
  /** Exact in float32: choices, and what has no fraction. */
  exact?: boolean;
}

const COMMON: Record<string, Operation> = {
  Relu: { call: tf.relu, f: oracle('relu'), exact: true },
  Relu6: { call: tf.relu6, f: oracle('relu6'), exact: true },
  LeakyRelu: { call: x => tf.leakyRelu(x, 0.3), f: oracle('leakyRelu', Math.fround(0.3)) },
  ClipByValue: {
    call: x => tf.clipByValue(x, -1.25, 2.5),
    f: oracle('clip', -1.25, 2.5),
    exact: true,
  },
  Neg: { call: tf.neg, f: oracle('neg'), exact: true },
  Abs: { call: tf.abs, f: oracle('abs'), exact: true },
  Square: { call: tf.square, f: oracle('square') },
  Sqrt: { call: tf.sqrt, f: oracle('sqrt'), domain: 'positive' },
  Rsqrt: { call: tf.rsqrt, f: oracle('rsqrt'), domain: 'unit' },
  Reciprocal: { call: tf.reciprocal, f: oracle('reciprocal'), domain: 'unit' },
  Exp: { call: tf.exp, f: oracle('exp') },
  Sigmoid: { call: tf.sigmoid, f: oracle('sigmoid') },
  Tanh: { call: tf.tanh, f: oracle('tanh') },
  Elu: { call: tf.elu, f: oracle('elu') },
  Softplus: { call: tf.softplus, f: oracle('softplus') },
  Step: { call: x => tf.step(x, 0.25), f: oracle('step', 0.25), exact: true },
  Floor: { call: tf.floor, f: oracle('floor'), exact: true },
  Ceil: { call: tf.ceil, f: oracle('ceil'), exact: true },
  Round: { call: tf.round, f: oracle('round'), exact: true },
};

/** The integral of 2 / sqrt(pi) * exp(-t^2) from 0 to x, by Simpson's rule. */
function erf(x: number): number {
  const steps = 2000;
  const f = (t: number) => Math.exp(-t * t);
  let sum = f(0) + f(x);
  for (let i = 1; i < steps; i++) sum += (i % 2 ? 4 : 2) * f((i * x) / steps);
  return ((2 / Math.sqrt(Math.PI)) * sum * x) / steps / 3;
}

/** Klambauer et al., Self-Normalizing Neural Networks, 2017. */
const selu = (x: number) => 1.0507009873554805 * (x >= 0 ? x : 1.6732632423543772 * Math.expm1(x));

const RARE: Record<string, Operation> = {
  Acos: { call: tf.acos, f: Math.acos, domain: 'unit' },
  Acosh: { call: tf.acosh, f: Math.acosh, domain: 'positive' },
  Asin: { call: tf.asin, f: Math.asin, domain: 'unit' },
  Asinh: { call: tf.asinh, f: Math.asinh },
  Atan: { call: tf.atan, f: Math.atan },
  Atanh: { call: tf.atanh, f: Math.atanh, domain: 'unit' },
  Cos: { call: tf.cos, f: Math.cos },
  Cosh: { call: tf.cosh, f: Math.cosh },
  Erf: { call: tf.erf, f: erf },
  Expm1: { call: tf.expm1, f: Math.expm1 },
  Log: { call: tf.log, f: Math.log, domain: 'positive' },
  Log1p: { call: tf.log1p, f: Math.log1p, domain: 'positive' },
  Selu: { call: tf.selu, f: selu },
  Sign: { call: tf.sign, f: Math.sign, exact: true },
  Sin: { call: tf.sin, f: Math.sin },
  Sinh: { call: tf.sinh, f: Math.sinh },
  Tan: { call: tf.tan, f: Math.tan },
};

function numbers(length: number, { domain }: Operation): Float32Array {
  if (domain === 'positive') return grid(length, 1);
  return domain === 'unit' ? grid(length, 1).map(v => (v + 1 / 64) / 8) : signedGrid(length);
}

function problem(op: string, operation: Operation, shape: number[], isRare: boolean): Problem {
  const xs = numbers(tf.util.sizeFromShape(shape), operation);
  const values = [...xs].map(operation.f);
  // tfjs's erf is a polynomial good to 1.5e-7 (Abramowitz and Stegun, 7.1.26).
  const extra = op === 'Erf' ? 2e-7 : 0;
  const size = (i: number) => (operation.exact ? 0 : Math.abs(values[i]));
  return {
    op,
    onGpu: !isRare,
    setUp() {
      const x = tf.tensor(xs, shape);
      return () => operation.call(x);
    },
    ...floats(
      values,
      i => 8 * EPSILON32 * size(i) + TINY32 + extra,
      // The result, and a parameter such as leaky ReLU's slope.
      i => 2 ** -17 * size(i) + 2 * EPSILON16 * Math.abs(values[i]) + TINY16,
    ),
  };
}

/** The GPU's own functions are a little rougher, in 32 bits as well. */
function onBoth(op: string, operation: Operation, shape: number[]): Problem {
  const wanted = problem(op, operation, shape, false);
  const size = (i: number) => (operation.exact ? 0 : Math.abs(wanted.float32.values[i]));
  return { ...wanted, gpu32: { ...wanted.float32, tolerance: i => 2 ** -17 * size(i) + TINY32 } };
}

const SPECIALS = [0, -0, NaN, Infinity, -Infinity, 1e-45, -1e-40, 3e38, -3e38, 0.5, -1.5, 2.5, 90];

describe('element-wise operations of one operand', () => {
  useMulayer();

  it('are all in these tables', () => {
    const tables = [...Object.keys(COMMON), ...Object.keys(RARE)];
    expect(tables.sort()).toEqual(unaries.map(({ name }) => name).sort());
  });

  for (const [op, operation] of Object.entries(COMMON)) {
    itInWays(op, SOME_FLOAT_WAYS, () => onBoth(op, operation, [2, 3, 17]));
    itInWays(`${op} of special numbers`, CPU_FLOAT_WAY, () => special(op, operation));
  }

  for (const shape of [[], [1], [3], [4], [5], [7, 1], [2, 2, 2, 2, 9]]) {
    itInWays(`of shape [${shape.join()}]`, FLOAT_WAYS, () => onBoth('Exp', COMMON.Exp, shape));
  }
  itInWays('of rank 7, which no texture has', FLOAT_WAYS, () => ({
    ...problem('Relu', COMMON.Relu, [1, 2, 1, 2, 1, 2, 9], true),
  }));

  for (const [op, operation] of Object.entries(RARE)) {
    itInWays(op, CPU_FLOAT_WAY, () => problem(op, operation, [3, 17], true));
  }
  itInWays('a rare one, on the CPU in every way', FLOAT_WAYS, () =>
    problem('Erf', RARE.Erf, [3, 17], true),
  );
});

function special(op: string, { call, f, exact }: Operation): Problem {
  const xs = Float32Array.from(SPECIALS);
  const values = Float32Array.from(xs, f);
  const size = (i: number) => (exact ? 0 : Math.abs(values[i]));
  const setUp = () => {
    const x = tf.tensor1d(xs);
    return () => call(x);
  };
  return {
    op,
    setUp,
    ...floats(
      values,
      i => 8 * EPSILON32 * size(i) + 8 * TINY32,
      () => 0,
    ),
  };
}
