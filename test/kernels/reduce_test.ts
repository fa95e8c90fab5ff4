/**
 * kernels/reduce.ts: Sum, Mean, Max, Min, Prod.
 *
 * A sum of n numbers rounds n times, each by the size of what has been added up. The largest and
 * smallest are one of them. The GPU keeps what it has added up so far in its textures.
 */
import * as tf from '@tensorflow/tfjs-core';

import { REDUCE } from '../reference/reduce';
import { at, build } from '../reference/tensor';
import type { Problem } from '../support.js';
import {
  CPU_FLOAT_WAY,
  EPSILON16,
  EPSILON32,
  expectNear,
  FLOAT_WAYS,
  floats,
  itInWays,
  moved,
  signedGrid,
  SOME_FLOAT_WAYS,
  TINY16,
  useMulayer,
} from '../support.js';

const CALLS = {
  Sum: tf.sum,
  Mean: tf.mean,
  Max: tf.max,
  Min: tf.min,
  Prod: tf.prod,
};

type Name = keyof typeof CALLS;

function problem(name: Name, shape: number[], axes: number[], keepDims: boolean): Problem {
  const { start, step, end } = REDUCE.find(op => op.name === name.toLowerCase())!;
  const xs = signedGrid(tf.util.sizeFromShape(shape), 1);
  // Products of about 1.
  if (name === 'Prod') xs.forEach((v, i) => (xs[i] = 1 + Math.round(v * 4) / 64));
  const reduced = shape.map((length, axis) => (axes.includes(axis) ? length : 1));
  const kept = shape.map((length, axis) => (axes.includes(axis) ? 1 : length));
  const count = tf.util.sizeFromShape(reduced);
  const over = (xs: ArrayLike<number>) =>
    build(kept, outer => {
      const inside = build(reduced, inner =>
        at(
          xs,
          shape,
          outer.map((o, i) => o + inner[i]),
        ),
      );
      return end(inside.reduce(step, start), count);
    });
  const values = over(xs);
  const size = name === 'Prod' ? values : over(xs.map(Math.abs));
  const setUp = () => {
    const x = tf.tensor(xs, shape);
    return () => CALLS[name](x, axes, keepDims);
  };
  const isChoice = name === 'Max' || name === 'Min';
  return {
    op: name,
    setUp,
    ...(axes.includes(shape.length - 1) ? { grain: 0 } : {}),
    ...(isChoice
      ? moved(values)
      : floats(
          values,
          i => (count + 2) * EPSILON32 * size[i],
          i => (count + 2) * EPSILON16 * size[i] + TINY16,
        )),
  };
}

const PROBLEMS: Record<string, [shape: number[], axes: number[]]> = {
  'one number': [[1], [0]],
  'a row': [[17], [0]],
  'the last axis': [[5, 17], [1]],
  'the first axis': [[5, 17], [0]],
  'an axis in the middle': [[3, 7, 17], [1]],
  'an image': [
    [2, 4, 5, 17],
    [1, 2],
  ],
  all: [
    [3, 4, 9],
    [0, 1, 2],
  ],
  'axes that are apart': [
    [3, 4, 9],
    [0, 2],
  ],
  'axes that are apart, not the last': [
    [2, 3, 2, 9],
    [0, 2],
  ],
  'five axes': [
    [2, 2, 2, 2, 9],
    [1, 2],
  ],
};

for (const name of Object.keys(CALLS) as Name[]) {
  describe(name, () => {
    useMulayer();
    for (const [what, [shape, axes]] of Object.entries(PROBLEMS)) {
      // One of them on the GPU goes for all: they share its programs.
      const ways = ['Sum', 'Max'].includes(name) ? SOME_FLOAT_WAYS : CPU_FLOAT_WAY;
      itInWays(what, ways, () => problem(name, shape, axes, false));
    }
    itInWays('in every way, axes kept', FLOAT_WAYS, () =>
      problem(name, [2, 3, 4, 17], [1, 2], true),
    );

    it('of nothing is what tfjs-cpu says', async () => {
      const compute = () => CALLS[name](tf.zeros([2, 0]), 1).data();
      const actual = await compute();
      await tf.setBackend('cpu');
      expectNear(actual, await compute());
    });

    it('integers', async () => {
      const x = tf.tensor2d(
        Array.from({ length: 200 }, (_, i) => (i % 3) + 1),
        [100, 2],
        'int32',
      );
      const y = CALLS[name](tf.slice(x, [0, 0], [3, 2]), 0);
      const wanted = { Sum: [6, 6], Mean: [2, 2], Max: [3, 3], Min: [1, 1], Prod: [6, 6] }[name];
      expectNear(await y.data(), wanted);
    });

    it('NaN gives NaN', async () => {
      expectNear(await CALLS[name](tf.tensor1d([1, NaN, 2])).data(), [NaN]);
    });
  });
}
