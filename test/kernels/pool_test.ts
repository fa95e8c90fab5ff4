/**
 * kernels/pool.ts: MaxPool and AvgPool.
 *
 * A maximum is one of the numbers; an average adds up to kh * kw of them and divides.
 */
import * as tf from '@tensorflow/tfjs-core';

import { pool as reference } from '../reference/pool';
import type { Problem } from '../support.js';
import {
  CPU_FLOAT_WAY,
  EPSILON32,
  expectNear,
  FLOAT_WAYS,
  itInWays,
  moved,
  rounded,
  setFlags,
  signedGrid,
  SOME_FLOAT_WAYS,
  useMulayer,
} from '../support.js';

interface Layer {
  /** [n, h, w, c] */
  x: [number, number, number, number];
  window: [number, number];
  strides?: [number, number];
  pad?: 'same' | 'valid' | number | [[0, 0], [number, number], [number, number], [0, 0]];
  rounding?: 'floor' | 'round' | 'ceil';
}

function problem(kind: 'max' | 'avg', layer: Layer): Problem {
  const { x: xShape, window, strides = [1, 1], pad = 'valid', rounding } = layer;
  const [n, h, w, c] = xShape;
  const xs = signedGrid(n * h * w * c, 1);
  const info = tf.backend_util.computePool2DInfo(xShape, window, strides, 1, pad, rounding);
  const sizes = {
    ...{ h, w, ci: c, kh: window[0], kw: window[1], co: c },
    ...{ strideH: strides[0], strideW: strides[1], dilationH: 1, dilationW: 1 },
    ...{ top: info.padInfo.top, left: info.padInfo.left, oh: info.outHeight, ow: info.outWidth },
  };
  const values = Array.from({ length: n }, (_, i) => {
    const image = xs.subarray(i * h * w * c, (i + 1) * h * w * c);
    return [...reference(kind, image, sizes)];
  }).flat();
  const pool = kind === 'max' ? tf.maxPool : tf.avgPool;
  return {
    op: kind === 'max' ? 'MaxPool' : 'AvgPool',
    setUp() {
      const x = tf.tensor4d(xs, xShape);
      return () => pool(x, window, strides, pad, rounding);
    },
    // No number is above 4.
    ...(kind === 'max'
      ? moved(values)
      : rounded(values, () => 4 * (window[0] * window[1] + 2) * EPSILON32)),
  };
}

const PROBLEMS: Record<string, Layer> = {
  'one number': { x: [1, 1, 1, 1], window: [1, 1] },
  '2x2, stride 2': { x: [1, 6, 8, 4], window: [2, 2], strides: [2, 2] },
  '2x2, stride 2, odd image, same': {
    x: [1, 7, 5, 9],
    window: [2, 2],
    strides: [2, 2],
    pad: 'same',
  },
  '3x3, stride 1, same': { x: [1, 6, 7, 17], window: [3, 3], pad: 'same' },
  '3x3, stride 2, valid, batch': { x: [3, 9, 8, 16], window: [3, 3], strides: [2, 2] },
  '3x2, strides 1 and 2': { x: [1, 6, 9, 5], window: [3, 2], strides: [1, 2], pad: 'same' },
  'the whole image': { x: [2, 7, 7, 33], window: [7, 7] },
  'padding of 1': { x: [1, 5, 6, 9], window: [3, 3], strides: [2, 2], pad: 1 },
  'explicit padding': {
    x: [1, 5, 6, 9],
    window: [3, 3],
    strides: [2, 2],
    pad: [
      [0, 0],
      [2, 1],
      [0, 2],
      [0, 0],
    ],
  },
  'padding of 1, rounded up': {
    x: [1, 6, 6, 9],
    window: [3, 3],
    strides: [2, 2],
    pad: 1,
    rounding: 'ceil',
  },
  '1x1, stride 2': { x: [1, 5, 6, 9], window: [1, 1], strides: [2, 2] },
};

for (const kind of ['max', 'avg'] as const) {
  describe(kind === 'max' ? 'MaxPool' : 'AvgPool', () => {
    useMulayer();
    for (const [name, layer] of Object.entries(PROBLEMS)) {
      const ways = layer.window[0] > 3 ? CPU_FLOAT_WAY : SOME_FLOAT_WAYS;
      itInWays(name, ways, () => problem(kind, layer));
    }
    itInWays('in every way', FLOAT_WAYS, () =>
      problem(kind, { x: [2, 5, 6, 17], window: [2, 3], pad: 'same' }),
    );
  });
}

describe('MaxPool of NaN', () => {
  useMulayer();
  it('passes it over, as tfjs-cpu does', async () => {
    setFlags({ MULAYER_SPLIT: 'cpu' });
    const x = tf.tensor4d([NaN, 1, 2, NaN], [1, 2, 2, 1]);
    expectNear(await tf.maxPool(x, 2, 1, 'valid').data(), [2]);
  });
});
