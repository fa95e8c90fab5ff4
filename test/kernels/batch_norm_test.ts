/**
 * kernels/batch_norm.ts
 *
 * Folded into x * factor + term: both are rounded once, and so are the product and the sum.
 */
import * as tf from '@tensorflow/tfjs-core';

import type { Problem } from '../support.js';
import {
  EPSILON16,
  EPSILON32,
  expectNear,
  FLOAT_WAYS,
  floats,
  grid,
  itInWays,
  signedGrid,
  SOME_FLOAT_WAYS,
  TINY16,
  useMulayer,
} from '../support.js';

interface Layer {
  shape: number[];
  scale?: boolean;
  offset?: boolean;
  epsilon?: number;
}

function problem({ shape, scale, offset, epsilon = 0.001 }: Layer): Problem {
  const c = shape.at(-1)!;
  const xs = signedGrid(tf.util.sizeFromShape(shape), 1);
  const mean = signedGrid(c, 2);
  const variance = grid(c, 100).map(v => v + 1 / 16);
  const scales = signedGrid(c, 5);
  const offsets = signedGrid(c, 7);
  const factor = (i: number) => (scale ? scales[i % c] : 1) / Math.sqrt(variance[i % c] + epsilon);
  const values = [...xs].map(
    (x, i) => (x - mean[i % c]) * factor(i) + (offset ? offsets[i % c] : 0),
  );
  // Before anything cancels out: |x| and |mean| are up to 4, as is |offset|.
  const size = (i: number) => 8 * Math.abs(factor(i)) + 4;
  return {
    op: 'FusedBatchNorm',
    setUp() {
      const x = tf.tensor(xs, shape);
      const [m, v, o, s] = [mean, variance, offsets, scales].map(numbers => tf.tensor1d(numbers));
      return () => tf.batchNorm(x, m, v, offset ? o : undefined, scale ? s : undefined, epsilon);
    },
    ...floats(
      values,
      i => 6 * EPSILON32 * size(i),
      i => 6 * EPSILON16 * size(i) + TINY16,
    ),
    gpu32: { values, tolerance: i => 16 * EPSILON32 * size(i) },
  };
}

const PROBLEMS: Record<string, Layer> = {
  'one number': { shape: [1, 1, 1, 1] },
  'no scale, no offset': { shape: [2, 3, 4, 17] },
  scale: { shape: [2, 3, 4, 17], scale: true },
  offset: { shape: [2, 3, 4, 17], offset: true },
  both: { shape: [1, 3, 4, 7], scale: true, offset: true },
  'rank 2': { shape: [9, 8], scale: true, offset: true },
  'rank 3': { shape: [3, 3, 9], scale: true, offset: true },
  'a large epsilon': { shape: [5, 9], scale: true, offset: true, epsilon: 1 },
};

describe('FusedBatchNorm', () => {
  useMulayer();
  for (const [name, layer] of Object.entries(PROBLEMS)) {
    itInWays(name, SOME_FLOAT_WAYS, () => problem(layer));
  }
  itInWays('in every way', FLOAT_WAYS, () =>
    problem({ shape: [2, 5, 17], scale: true, offset: true }),
  );

  it('with parameters for each element', async () => {
    const x = tf.tensor2d([1, 2, 3, 4], [2, 2]);
    const mean = tf.tensor2d([1, 1, 1, 1], [2, 2]);
    const variance = tf.tensor2d([1, 4, 1, 4], [2, 2]);
    const y = tf.batchNorm(x, mean, variance, undefined, undefined, 0);
    expectNear(await y.data(), [0, 0.5, 2, 1.5], 4 * EPSILON16);
  });
});
