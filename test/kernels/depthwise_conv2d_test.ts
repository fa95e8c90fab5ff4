/**
 * kernels/depthwise_conv2d.ts: DepthwiseConv2dNative and FusedDepthwiseConv2D.
 *
 * A sum of K = kh * kw products, see conv2d_test.ts; int8 where a channel has one filter, with
 * weights of 8 bits, where that pays or is
 * forced.
 */
import * as tf from '@tensorflow/tfjs-core';

import { paysForTaps } from '../../src/processors/cpu/int8.js';
import { LINEAR } from '../reference/activation';
import { depthwiseConv2d as reference } from '../reference/conv2d';
import { roundActivations, roundWeights } from '../reference/int8';
import { EPSILON16, EPSILON32, EPSILON64, TINY16, TINY32 } from '../support.js';
import type { Problem, Wanted } from '../support.js';
import {
  backend,
  CPU_WAYS,
  expectNear,
  floats,
  itInWays,
  SOME_WAYS,
  useMulayer,
  WAYS,
} from '../support.js';
import { Random } from '../wasm/random';
import { act, type Activation, curve } from './epilogue.js';

interface Layer {
  /** [n, h, w, c] */
  x: [number, number, number, number];
  /** [kh, kw, m] */
  filter: [number, number, number];
  strides?: [number, number];
  dilations?: [number, number];
  pad?: 'same' | 'valid' | number | [[0, 0], [number, number], [number, number], [0, 0]];
  activation?: Activation;
  /** Shape of the bias; absent: none. */
  bias?: number[];
  /** Shape of the PReLU slopes. */
  alpha?: number[];
}

function problem(layer: Layer): Problem {
  const random = new Random(1);
  const { x: xShape, filter, strides = [1, 1], dilations = [1, 1], pad = 'valid' } = layer;
  const [n, h, w, c] = xShape;
  const [kh, kw, m] = filter;
  const xs = random.floats(n * h * w * c);
  const ws = random.floats(kh * kw * c * m);
  const bias = layer.bias && random.floats(tf.util.sizeFromShape(layer.bias));
  const alpha = layer.alpha && random.floats(tf.util.sizeFromShape(layer.alpha));

  const setUp = () => {
    const x = tf.tensor4d(xs, xShape);
    const filter = tf.tensor4d(ws, [kh, kw, c, m]);
    if (!layer.activation && !bias) {
      return () => tf.depthwiseConv2d(x, filter, strides, pad, 'NHWC', dilations);
    }
    const call = {
      ...{ x, filter, strides, pad: pad as 'same', dilations },
      ...(bias && { bias: tf.tensor(bias, layer.bias) }),
      ...(layer.activation && { activation: layer.activation }),
      ...(alpha && { preluActivationWeights: tf.tensor(alpha, layer.alpha) }),
    };
    return () => tf.fused.depthwiseConv2d(call);
  };

  const info = tf.backend_util.computeConv2DInfo(
    xShape,
    [kh, kw, c, m],
    strides,
    dilations,
    pad,
    undefined,
    true,
  );
  const sizes = {
    ...{ h, w, ci: c, kh, kw, co: c * m },
    ...{ strideH: strides[0], strideW: strides[1] },
    ...{ dilationH: dilations[0], dilationW: dilations[1] },
    ...{ top: info.padInfo.top, left: info.padInfo.left, oh: info.outHeight, ow: info.outWidth },
  };
  const sums = (xs: Float32Array | Float64Array, ws: Float32Array | Float64Array): number[] =>
    Array.from({ length: n }, (_, i) => {
      const image = xs.subarray(i * h * w * c, (i + 1) * h * w * c);
      return [...reference(image, ws, c * m, sizes, null, LINEAR)];
    }).flat();

  const at = (numbers: Float32Array, i: number) => numbers[i % numbers.length];
  const finish = (sums: number[]) =>
    sums.map((v, i) =>
      act(layer.activation, v + (bias ? at(bias, i) : 0), alpha ? at(alpha, i) : 0),
    );
  const values = finish(sums(xs, ws));
  const size = sums(xs.map(Math.abs), ws.map(Math.abs)).map(
    (v, i) => v + (bias ? Math.abs(at(bias, i)) : 0),
  );
  const K = kh * kw;
  const float32 = (i: number) =>
    (K + 2) * EPSILON32 * size[i] + K * TINY32 + curve(layer.activation, EPSILON32);
  const f16 = (i: number) =>
    float32(i) + 4 * EPSILON16 * size[i] + K * TINY16 + curve(layer.activation, EPSILON16);
  const int8 = (): Wanted => {
    const rounded = sums(roundActivations(xs), roundWeights(ws, c, 127));
    return {
      values: finish(rounded),
      tolerance: i =>
        4 * EPSILON32 * (Math.abs(rounded[i]) + (bias ? Math.abs(at(bias, i)) : 0)) +
        K * EPSILON64 * size[i] +
        curve(layer.activation, EPSILON32),
    };
  };
  const int8When = () => paysForTaps(backend().cpu);
  const hasInt8 = m === 1 && values.length * K >= 1e3;
  return {
    setUp,
    grain: m,
    ...floats(values, float32, f16),
    ...(hasInt8 ? { int8 } : {}),
    int8When,
  };
}

/** 4 channels and 4 pixels of a row are one tile of the CPU. */
const SIZES: Record<string, Layer> = {
  'one element': { x: [1, 1, 1, 1], filter: [1, 1, 1] },
  'tile - 1': { x: [1, 5, 3, 3], filter: [3, 3, 1], pad: 'same' },
  'one tile': { x: [1, 6, 6, 4], filter: [3, 3, 1] },
  'tile + 1': { x: [1, 7, 7, 5], filter: [3, 3, 1] },
  'two tiles': { x: [1, 8, 8, 8], filter: [3, 3, 1], pad: 'same' },
  'many channels, 5x5': { x: [1, 9, 10, 37], filter: [5, 5, 1], pad: 'same' },
  'batch of 3': { x: [3, 9, 8, 17], filter: [3, 3, 1], pad: 'same' },
  'filter as large as the image': { x: [1, 7, 7, 24], filter: [7, 7, 1] },
  'two filters a channel': { x: [1, 7, 6, 5], filter: [3, 3, 2], pad: 'same' },
  'three filters a channel, batch': { x: [2, 6, 6, 11], filter: [3, 3, 3], pad: 'same' },
  'eight filters a channel': { x: [1, 6, 6, 3], filter: [3, 3, 8], pad: 'same' },
};

const GEOMETRY: Record<string, Layer> = {
  'stride 2, same, even': { x: [1, 12, 12, 9], filter: [3, 3, 1], strides: [2, 2], pad: 'same' },
  'stride 2, same, odd': { x: [1, 13, 11, 9], filter: [3, 3, 1], strides: [2, 2], pad: 'same' },
  'stride 2, valid, 5x5': { x: [1, 13, 12, 16], filter: [5, 5, 1], strides: [2, 2] },
  'padding of 2': { x: [1, 6, 7, 10], filter: [3, 3, 1], pad: 2 },
  'explicit padding': {
    x: [1, 7, 9, 10],
    filter: [3, 4, 1],
    pad: [
      [0, 0],
      [2, 0],
      [1, 3],
      [0, 0],
    ],
  },
  'dilation 2': { x: [1, 9, 11, 10], filter: [3, 3, 1], dilations: [2, 2], pad: 'same' },
  'dilation 3, two filters': { x: [1, 10, 9, 6], filter: [3, 3, 2], dilations: [3, 3] },
};

const BASE = { x: [2, 6, 7, 18], filter: [3, 3, 1], pad: 'same' } satisfies Layer;

const EPILOGUES: Record<string, Layer> = {
  bias: { ...BASE, bias: [18] },
  'scalar bias': { ...BASE, bias: [] },
  'bias and relu': { ...BASE, bias: [18], activation: 'relu' },
  'bias and relu6': { ...BASE, bias: [18], activation: 'relu6' },
  'bias and elu': { ...BASE, bias: [18], activation: 'elu' },
  'bias and sigmoid': { ...BASE, bias: [18], activation: 'sigmoid' },
  'bias and leaky relu': { ...BASE, bias: [18], activation: 'leakyrelu' },
  'bias and prelu, a slope a channel': { ...BASE, bias: [18], activation: 'prelu', alpha: [18] },
  'prelu, a slope an element': { ...BASE, activation: 'prelu', alpha: [6, 7, 18] },
};

describe('DepthwiseConv2dNative', () => {
  useMulayer();
  for (const [name, layer] of Object.entries({ ...SIZES, ...GEOMETRY })) {
    // tfjs-webgl unrolls the filter: Mesa takes seconds for 7x7.
    const isLarge = layer.filter[0] > 3;
    itInWays(name, isLarge ? CPU_WAYS : SOME_WAYS, () => problem(layer));
  }
  itInWays('in every way', WAYS, () => problem(BASE));
});

describe('FusedDepthwiseConv2D', () => {
  useMulayer();
  for (const [name, layer] of Object.entries(EPILOGUES)) {
    itInWays(name, SOME_WAYS, () => problem(layer));
  }

  it('leaves a bias that is not one number a channel to tfjs', async () => {
    const x = tf.ones<tf.Rank.R4>([1, 2, 2, 1]);
    const filter = tf.ones<tf.Rank.R4>([1, 1, 1, 2]);
    const bias = tf.tensor([10, 20, 30, 40], [2, 2]);
    const y = tf.fused.depthwiseConv2d({ x, filter, strides: 1, pad: 'valid', bias });
    expectNear(await y.data(), [11, 21, 31, 41, 11, 21, 31, 41]);
  });
});
