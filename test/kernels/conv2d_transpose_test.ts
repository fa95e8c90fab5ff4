/**
 * kernels/conv2d_transpose.ts: Conv2DBackpropInput.
 *
 * Errors as in conv2d_test.ts, of a sum of at most kh * kw * co products. In int8 each phase of the
 * strides has weights with scales of its own.
 */
import * as tf from '@tensorflow/tfjs-core';

import type { Conv2D } from '../reference/conv2d';
import { conv2dTranspose as reference } from '../reference/conv2d_transpose';
import { roundActivations } from '../reference/int8';
import { quantiseWeights } from '../reference/quantise';
import { EPSILON16, EPSILON32, EPSILON64, TINY16, TINY32 } from '../support.js';
import type { Problem, Wanted } from '../support.js';
import { itInWays, SOME_WAYS, useMulayer, WAYS } from '../support.js';
import { Random } from '../wasm/random';

interface Layer {
  /** [n, h, w, ci] of the result. */
  y: [number, number, number, number];
  /** [kh, kw, co] */
  filter: [number, number, number];
  strides?: [number, number];
  pad?: 'same' | 'valid' | number | [[0, 0], [number, number], [number, number], [0, 0]];
  /** Makes the numbers; uniform in [-1, 1) when absent. */
  fill?: (x: Float32Array, w: Float32Array) => void;
}

function problem(layer: Layer): Problem {
  const random = new Random(1);
  const { y: yShape, filter, strides = [1, 1], pad = 'same' } = layer;
  const [n, h, w, ci] = yShape;
  const [kh, kw, co] = filter;
  const filterShape = [kh, kw, ci, co] as [number, number, number, number];
  const info = tf.backend_util.computeConv2DInfo(yShape, filterShape, strides, 1, pad);
  const xs = random.floats(n * info.outHeight * info.outWidth * co);
  const ws = random.floats(kh * kw * ci * co);
  layer.fill?.(xs, ws);
  const sizes: Conv2D = {
    ...{ h, w, ci, kh, kw, co, dilationH: 1, dilationW: 1 },
    ...{ strideH: strides[0], strideW: strides[1] },
    ...{ top: info.padInfo.top, left: info.padInfo.left, oh: info.outHeight, ow: info.outWidth },
  };
  const sums = (xs: ArrayLike<number>, ws: ArrayLike<number>): number[] => {
    const image = xs.length / n;
    const part = (i: number) => Array.from(xs).slice(i * image, (i + 1) * image);
    return Array.from({ length: n }, (_, i) => [...reference(part(i), ws, sizes)]).flat();
  };
  const exact = sums(xs, ws);
  const size = sums(xs.map(Math.abs), ws.map(Math.abs));
  const K = kh * kw * co;
  const float32 = (i: number) => (K + 2) * EPSILON32 * size[i] + K * TINY32;
  const f16 = (i: number) => float32(i) + 4 * EPSILON16 * size[i] + K * TINY16;
  const int8 = (largestWeight: number): Wanted => {
    const rounded = sums(roundActivations(xs), roundByPhase(ws, sizes, largestWeight));
    return {
      values: rounded,
      tolerance: i => 4 * EPSILON32 * Math.abs(rounded[i]) + K * EPSILON64 * size[i],
    };
  };
  return {
    op: 'Conv2DBackpropInput',
    setUp() {
      const x = tf.tensor4d(xs, [n, info.outHeight, info.outWidth, co]);
      const filter = tf.tensor4d(ws, filterShape);
      return () => tf.conv2dTranspose(x, filter, yShape, strides, pad);
    },
    float32: { values: exact, tolerance: float32 },
    f16: { values: exact, tolerance: f16 },
    ...(xs.length * kh * kw * ci >= 1e5 ? { int8 } : {}),
  };
}

/** Taps that are a stride apart share a scale for each channel. */
function roundByPhase(ws: Float32Array, p: Conv2D, largest: number): Float64Array {
  const { kh, kw, ci, co, strideH, strideW } = p;
  const rounded = new Float64Array(ws.length);
  for (let phase = 0; phase < strideH * strideW; phase++) {
    const [row, column] = [Math.floor(phase / strideW), phase % strideW];
    for (let k = 0; k < ci; k++) {
      const members: number[] = [];
      for (let ky = row; ky < kh; ky += strideH) {
        for (let kx = column; kx < kw; kx += strideW) {
          for (let j = 0; j < co; j++) members.push(((ky * kw + kx) * ci + k) * co + j);
        }
      }
      const own = Float32Array.from(members, i => ws[i]);
      const { q, scale } = quantiseWeights(own, own.length, 1, 1, largest);
      members.forEach((i, at) => (rounded[i] = q[at] * scale[0]));
    }
  }
  return rounded;
}

/** Those above 100,000 products run in int8 too. */
const PROBLEMS: Record<string, Layer> = {
  'one number': { y: [1, 1, 1, 1], filter: [1, 1, 1] },
  '3x3, stride 1': { y: [1, 9, 8, 12], filter: [3, 3, 17] },
  '2x2, stride 2': { y: [1, 12, 14, 24], filter: [2, 2, 33], strides: [2, 2], pad: 'valid' },
  '3x3, stride 2, same, even': { y: [1, 16, 14, 9], filter: [3, 3, 20], strides: [2, 2] },
  '3x3, stride 2, same, odd': { y: [2, 15, 13, 9], filter: [3, 3, 20], strides: [2, 2] },
  '4x4, stride 2': { y: [1, 16, 12, 8], filter: [4, 4, 16], strides: [2, 2] },
  '5x5, stride 3, valid': { y: [1, 17, 14, 8], filter: [5, 5, 16], strides: [3, 3], pad: 'valid' },
  '5x3, strides 1 and 2': { y: [1, 9, 14, 8], filter: [5, 3, 16], strides: [1, 2] },
  'rows that nothing reaches': {
    y: [1, 11, 10, 5],
    filter: [2, 2, 3],
    strides: [3, 3],
    pad: 'valid',
  },
  '1x1, stride 2': { y: [1, 13, 12, 24], filter: [1, 1, 150], strides: [2, 2] },
  'padding of 2': { y: [1, 12, 12, 8], filter: [3, 3, 16], strides: [2, 2], pad: 2 },
  'explicit padding': {
    y: [1, 11, 12, 8],
    filter: [4, 3, 16],
    strides: [2, 2],
    pad: [
      [0, 0],
      [3, 1],
      [0, 2],
      [0, 0],
    ],
  },
};

describe('Conv2DBackpropInput', () => {
  useMulayer();
  for (const [name, layer] of Object.entries(PROBLEMS)) {
    itInWays(name, SOME_WAYS, () => problem(layer));
  }
  const base = PROBLEMS['4x4, stride 2'];
  itInWays('in every way', WAYS, () => problem(base));
  itInWays('zeros', SOME_WAYS, () => problem({ ...base, fill: x => void x.fill(0) }));
  itInWays('greatest bytes everywhere', SOME_WAYS, () =>
    problem({
      ...base,
      fill: (x, w) => {
        x.fill(1);
        w.fill(1);
      },
    }),
  );
});
