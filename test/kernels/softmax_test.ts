/**
 * kernels/softmax.ts
 *
 * Results are up to 1; exp is good to a few units and the sum of c of them rounds c times.
 */
import * as tf from '@tensorflow/tfjs-core';

import { softmax as reference } from '../reference/reduce';
import type { Problem } from '../support.js';
import {
  CPU_FLOAT_WAY,
  EPSILON16,
  EPSILON32,
  expectNear,
  FLOAT_WAYS,
  floats,
  itInWays,
  setFlags,
  signedGrid,
  TINY16,
  useMulayer,
} from '../support.js';

function problem(shape: number[], scale = 1, offset = 0): Problem {
  const xs = signedGrid(tf.util.sizeFromShape(shape), 1).map(v => v * scale + offset);
  const c = shape.at(-1)!;
  const values = reference(xs, xs.length / c, c);
  return {
    op: 'Softmax',
    grain: 0,
    setUp() {
      const x = tf.tensor(xs, shape);
      return () => tf.softmax(x);
    },
    ...floats(
      values,
      i => (c + 16) * EPSILON32 * values[i] + EPSILON32,
      // The GPU keeps x - max, its exp, and their sum in its textures.
      i => (c + 16 + 2 * 8 * scale) * EPSILON16 * values[i] + TINY16,
    ),
    // exp of a GPU, and of a difference of up to 8 * scale.
    gpu32: { values, tolerance: () => 2 ** -17 },
  };
}

describe('Softmax', () => {
  useMulayer();
  for (const shape of [[1], [3], [4], [5], [2, 17], [2, 3, 8]]) {
    itInWays(`of [${shape.join()}]`, FLOAT_WAYS, () => problem(shape));
  }
  itInWays('of many', CPU_FLOAT_WAY, () => problem([3, 1001]));
  itInWays('of large numbers', CPU_FLOAT_WAY, () => problem([4, 9], 1e4, 1e6));
  itInWays('of small numbers', CPU_FLOAT_WAY, () => problem([4, 9], 1e-3, -1e6));

  it('of special numbers', async () => {
    setFlags({ MULAYER_SPLIT: 'cpu' });
    const x = tf.tensor2d([
      [0, -Infinity, 0],
      [5, NaN, 1],
      [7, 7, 7],
    ]);
    const third = Math.fround(1 / 3);
    const wanted = [0.5, 0, 0.5, NaN, NaN, NaN, third, third, third];
    expectNear(await tf.softmax(x).data(), wanted, EPSILON32);
  });
});
