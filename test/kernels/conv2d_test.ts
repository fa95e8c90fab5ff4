/**
 * kernels/conv2d.ts: Conv2D and FusedConv2D.
 *
 * A sum of K products: in float32 each product and addition rounds once, so the result is within
 * (K + 2) * 2^-24 of sum |x| |w| + |bias|. In F16 the operands are rounded too, and the result:
 * another 4 * 2^-10. In int8 the sum of the quantised numbers is exact and what follows (scale,
 * bias, activation) is 4 roundings; the oracle's own, in doubles, show where sums cancel out.
 */
import * as tf from '@tensorflow/tfjs-core';

import { LINEAR } from '../reference/activation';
import { conv2d as reference, type Conv2D } from '../reference/conv2d';
import { roundActivations, roundWeights } from '../reference/int8';
import { EPSILON16, EPSILON32, EPSILON64, TINY16, TINY32 } from '../support.js';
import type { Problem, Wanted } from '../support.js';
import { CPU_WAYS, expectNear, itInWays, SOME_WAYS, useMulayer, WAYS } from '../support.js';
import { Random } from '../wasm/random';
import { act, type Activation, curve } from './epilogue.js';

type Pad = 'same' | 'valid' | number | [[0, 0], [number, number], [number, number], [0, 0]];

interface Layer {
  /** [n, h, w, ci] */
  x: [number, number, number, number];
  /** [kh, kw, co] */
  filter: [number, number, number];
  strides?: [number, number];
  dilations?: [number, number];
  pad?: Pad;
  activation?: Activation;
  /** Shape of the bias; absent: none. */
  bias?: number[];
  /** Shape of the PReLU slopes. */
  alpha?: number[];
  /** Makes the numbers; uniform in [-1, 1) when absent. */
  fill?: (x: Float32Array, w: Float32Array) => void;
  /** Why F16 makes zeros of the numbers. */
  belowF16?: string;
  /** Why the int8 kernel has to compute in float32. */
  staysFloat?: string;
}

function problem(layer: Layer): Problem {
  const random = new Random(1);
  const { x: xShape, filter, strides = [1, 1], dilations = [1, 1], pad = 'valid' } = layer;
  const [n, h, w, ci] = xShape;
  const [kh, kw, co] = filter;
  const xs = random.floats(n * h * w * ci);
  const ws = random.floats(kh * kw * ci * co);
  layer.fill?.(xs, ws);
  const bias = layer.bias && random.floats(tf.util.sizeFromShape(layer.bias));
  const alpha = layer.alpha && random.floats(tf.util.sizeFromShape(layer.alpha));

  const setUp = () => {
    const x = tf.tensor4d(xs, xShape);
    const filter = tf.tensor4d(ws, [kh, kw, ci, co]);
    if (!layer.activation && !bias) {
      return () => tf.conv2d(x, filter, strides, pad, 'NHWC', dilations);
    }
    const call = {
      ...{ x, filter, strides, pad, dilations },
      ...(bias && { bias: tf.tensor(bias, layer.bias) }),
      ...(layer.activation && { activation: layer.activation }),
      ...(alpha && { preluActivationWeights: tf.tensor(alpha, layer.alpha) }),
    };
    return () => tf.fused.conv2d(call);
  };

  const info = tf.backend_util.computeConv2DInfo(xShape, [kh, kw, ci, co], strides, dilations, pad);
  const sizes: Conv2D = {
    ...{ h, w, ci, kh, kw, co },
    ...{ strideH: strides[0], strideW: strides[1] },
    ...{ dilationH: dilations[0], dilationW: dilations[1] },
    ...{ top: info.padInfo.top, left: info.padInfo.left, oh: info.outHeight, ow: info.outWidth },
  };
  const at = (numbers: Float32Array, i: number) => numbers[i % numbers.length];
  const sums = (xs: ArrayLike<number>, ws: ArrayLike<number>): number[] => {
    const image = h * w * ci;
    const part = (i: number) => Array.from(xs).slice(i * image, (i + 1) * image);
    return Array.from({ length: n }, (_, i) => [
      ...reference(part(i), ws, sizes, null, LINEAR),
    ]).flat();
  };
  const finish = (v: number, i: number) => act(layer.activation, v, alpha ? at(alpha, i) : 0);
  const wanted = (sums: number[], error: (i: number) => number): Wanted => ({
    values: sums.map((v, i) => finish(v + (bias ? at(bias, i) : 0), i)),
    tolerance: error,
  });

  const exact = sums(xs, ws);
  const size = sums(xs.map(Math.abs), ws.map(Math.abs)).map(
    (v, i) => v + (bias ? Math.abs(at(bias, i)) : 0),
  );
  const K = kh * kw * ci;
  const float32 = (i: number) =>
    (K + 2) * EPSILON32 * size[i] + K * TINY32 + curve(layer.activation, EPSILON32);
  const f16 = (i: number) =>
    float32(i) + 4 * EPSILON16 * size[i] + K * TINY16 + curve(layer.activation, EPSILON16);

  const roundedXs = roundActivations(xs);
  const int8 = (largestWeight: number): Wanted => {
    if (layer.staysFloat) return wanted(exact, float32);
    const rounded = sums(roundedXs, roundWeights(ws, co, largestWeight));
    return wanted(
      rounded,
      i =>
        4 * EPSILON32 * (Math.abs(rounded[i]) + (bias ? Math.abs(at(bias, i)) : 0)) +
        K * EPSILON64 * size[i] +
        curve(layer.activation, EPSILON32),
    );
  };
  const isLarge = exact.length * K >= 1e5;
  return {
    setUp,
    float32: wanted(exact, float32),
    ...(layer.belowF16 ? {} : { f16: wanted(exact, f16) }),
    ...(isLarge ? { int8 } : {}),
  };
}

/** All of 8 output channels and 4 pixels is one tile of the CPU. Each has 100,000 products or more. */
const SIZES: Record<string, Layer> = {
  'one pixel, one channel': { x: [1, 1, 1, 1], filter: [1, 1, 1] },
  'one pixel, odd channels': { x: [1, 1, 1, 15001], filter: [1, 1, 7] },
  'one row, tile - 1': { x: [1, 1, 3, 5001], filter: [1, 1, 7] },
  'one tile': { x: [1, 1, 4, 3200], filter: [1, 1, 8] },
  'tile + 1': { x: [1, 1, 5, 2401], filter: [1, 1, 9] },
  'two tiles and a bit': { x: [1, 3, 3, 700], filter: [1, 1, 17] },
  '3x3 of 1 channel to 1': { x: [1, 113, 111, 1], filter: [3, 3, 1], pad: 'same' },
  '3x3 of 3 to 16': { x: [1, 17, 19, 3], filter: [3, 3, 16], pad: 'same' },
  '3x3 of 8 to 24': { x: [1, 9, 8, 8], filter: [3, 3, 24] },
  '3x3 of 9 to 33': { x: [1, 7, 7, 9], filter: [3, 3, 33], pad: 'same' },
  '5x3 of 6 to 10': { x: [1, 13, 11, 6], filter: [5, 3, 10], pad: 'same' },
  '1x7 of 5 to 12': { x: [1, 13, 29, 5], filter: [1, 7, 12], pad: 'same' },
  'filter as large as the image': { x: [1, 7, 6, 40], filter: [7, 6, 64] },
  'batch of 3': { x: [3, 9, 10, 5], filter: [3, 3, 11], pad: 'same' },
};

/** Each has less than 100,000 products unless int8 matters for it. */
const GEOMETRY: Record<string, Layer> = {
  'stride 2, same, even': { x: [1, 16, 16, 12], filter: [3, 3, 20], strides: [2, 2], pad: 'same' },
  'stride 2, same, odd': { x: [1, 17, 15, 12], filter: [3, 3, 20], strides: [2, 2], pad: 'same' },
  'stride 3 over 2': { x: [2, 14, 13, 8], filter: [2, 2, 16], strides: [3, 3] },
  'strides 1 and 2': { x: [1, 11, 18, 10], filter: [3, 3, 16], strides: [1, 2], pad: 'same' },
  'padding of 2': { x: [1, 9, 9, 6], filter: [3, 3, 16], pad: 2 },
  'explicit padding': {
    x: [1, 9, 11, 8],
    filter: [3, 4, 18],
    pad: [
      [0, 0],
      [1, 2],
      [0, 3],
      [0, 0],
    ],
  },
  'explicit padding, stride 2, batch': {
    x: [2, 10, 9, 8],
    filter: [3, 3, 16],
    strides: [2, 2],
    pad: [
      [0, 0],
      [2, 0],
      [3, 1],
      [0, 0],
    ],
  },
  'dilation 2': { x: [1, 13, 12, 8], filter: [3, 3, 16], dilations: [2, 2], pad: 'same' },
  'dilations 1 and 3': { x: [1, 9, 15, 8], filter: [3, 3, 16], dilations: [1, 3], pad: 'valid' },
  'dilations 3 and 1': { x: [1, 15, 9, 8], filter: [3, 3, 16], dilations: [3, 1], pad: 'same' },
};

const BASE = { x: [2, 9, 9, 8], filter: [3, 3, 18], pad: 'same' } satisfies Layer;

const EPILOGUES: Record<string, Layer> = {
  bias: { ...BASE, bias: [18] },
  'bias of one number': { ...BASE, bias: [1] },
  'scalar bias': { ...BASE, bias: [] },
  relu: { ...BASE, activation: 'relu' },
  'bias and relu': { ...BASE, bias: [18], activation: 'relu' },
  'bias and relu6': { ...BASE, bias: [18], activation: 'relu6' },
  'bias and elu': { ...BASE, bias: [18], activation: 'elu' },
  'bias and sigmoid': { ...BASE, bias: [18], activation: 'sigmoid' },
  'bias and leaky relu': { ...BASE, bias: [18], activation: 'leakyrelu' },
  'prelu, a slope a channel': { ...BASE, activation: 'prelu', alpha: [18] },
  'bias and prelu, one slope': { ...BASE, bias: [18], activation: 'prelu', alpha: [1] },
  'bias and prelu [1,1,co]': { ...BASE, bias: [18], activation: 'prelu', alpha: [1, 1, 18] },
  'bias and prelu, a slope an element': {
    ...BASE,
    bias: [18],
    activation: 'prelu',
    alpha: [9, 9, 18],
  },
};

const fillWith = (value: number) => (x: Float32Array) => void x.fill(value);

/** Numbers at the edges of what each arithmetic holds. */
const NUMBERS: Record<string, Layer> = {
  'zeros in x': { ...BASE, fill: fillWith(0) },
  'zeros in the filter': { ...BASE, fill: (_, w) => void w.fill(0) },
  'a channel of zeros in the filter': {
    ...BASE,
    fill: (_, w) => w.forEach((_, i) => i % 18 === 5 && (w[i] = 0)),
  },
  'x of one positive number': { ...BASE, fill: fillWith(0.7) },
  'x of one negative number': { ...BASE, fill: fillWith(-3) },
  'positive x only': { ...BASE, fill: x => x.forEach((v, i) => (x[i] = Math.abs(v) + 1)) },
  'greatest bytes everywhere': {
    x: [1, 4, 4, 64],
    filter: [3, 3, 16],
    fill: (x, w) => {
      x.fill(1);
      w.fill(1);
    },
  },
  'one outlier in x': { ...BASE, fill: x => (x[7] = 1000) },
  'huge x': {
    ...BASE,
    fill: x => x.forEach((v, i) => (x[i] = v * 1e30)),
  },
  'tiny x': {
    ...BASE,
    fill: x => x.forEach((v, i) => (x[i] = v * 1e-30)),
    belowF16: 'F16 begins at 6e-8',
  },
};

const SUBNORMAL: Layer = {
  ...BASE,
  fill: x => x.forEach((v, i) => (x[i] = v * 1e-41)),
  staysFloat: 'one over their scale is no float32',
};

describe('Conv2D', () => {
  useMulayer();
  for (const [name, layer] of Object.entries({ ...SIZES, ...GEOMETRY })) {
    itInWays(name, SOME_WAYS, () => problem(layer));
  }
  itInWays('in every way', WAYS, () => problem(BASE));
});

describe('FusedConv2D', () => {
  useMulayer();
  for (const [name, layer] of Object.entries(EPILOGUES)) {
    itInWays(name, SOME_WAYS, () => problem(layer));
  }

  it('leaves a bias that is not one number a channel to tfjs', async () => {
    const x = tf.ones<tf.Rank.R4>([1, 2, 2, 1]);
    const filter = tf.ones<tf.Rank.R4>([1, 1, 1, 2]);
    for (const [bias, wanted] of [
      [tf.tensor([10, 20], [2, 1]), [11, 11, 21, 21, 11, 11, 21, 21]],
      [tf.tensor([10, 20, 30, 40], [2, 2]), [11, 21, 31, 41, 11, 21, 31, 41]],
    ] as const) {
      const y = tf.fused.conv2d({ x, filter, strides: 1, pad: 'valid', bias });
      expectNear(await y.data(), wanted);
    }
  });
});

describe('Conv2D on special numbers', () => {
  useMulayer();
  for (const [name, layer] of Object.entries(NUMBERS)) {
    itInWays(name, SOME_WAYS, () => problem(layer));
  }
  // GPUs take these for zero.
  itInWays('x of subnormal numbers', CPU_WAYS, () => problem(SUBNORMAL));
});
