/** kernels/concat.ts: numbers are moved, so they are equal in 16 bits too. */
import * as tf from '@tensorflow/tfjs-core';

import { at, build } from '../reference/tensor';
import type { Problem } from '../support.js';
import {
  CPU_FLOAT_WAY,
  expectNear,
  FLOAT_WAYS,
  grid,
  itInWays,
  moved,
  setFlags,
  useMulayer,
} from '../support.js';

/**
 * @param computed the parts are results of the same graph, which `relu` leaves as they are: where
 *   layers are split, so are they.
 */
function problem(shapes: number[][], axis: number, computed: boolean): Problem {
  const parts = shapes.map((shape, i) => grid(tf.util.sizeFromShape(shape), i + 1));
  const own = axis < 0 ? axis + shapes[0].length : axis;
  const shape = shapes[0].map((length, i) =>
    i === own ? shapes.reduce((sum, part) => sum + part[own], 0) : length,
  );
  const values = build(shape, index => {
    const inside = [...index];
    let i = 0;
    while (inside[own] >= shapes[i][own]) inside[own] -= shapes[i++][own];
    return at(parts[i], shapes[i], inside);
  });
  return {
    op: 'Concat',
    calls: computed ? parts.length + 1 : 1,
    // Without slices there is nothing to keep: the CPU.
    ...(computed ? {} : { grain: 0 }),
    setUp() {
      const tensors = parts.map((part, i) => tf.tensor(part, shapes[i]));
      return () => tf.concat(computed ? tensors.map(tensor => tf.relu(tensor)) : tensors, axis);
    },
    ...moved(values),
  };
}

const channels = (...counts: number[]) => counts.map(count => [2, 3, count]);

const PROBLEMS: Record<string, [shapes: number[][], axis: number]> = {
  'two pairs': [[[2], [2]], 0],
  'channels, in whole tiles': [channels(8, 8), 2],
  'channels, odd': [channels(3, 5, 1, 9), 2],
  'channels, the last axis by its negative number': [channels(7, 9), -1],
  'a cut inside the first part': [channels(30, 3), 2],
  'a cut inside the last part': [channels(3, 30), 2],
  rows: [
    [
      [2, 1, 17],
      [2, 4, 17],
    ],
    1,
  ],
  images: [
    [
      [1, 3, 2, 9],
      [2, 3, 2, 9],
      [1, 3, 2, 9],
    ],
    0,
  ],
  'five axes': [
    [
      [2, 1, 2, 2, 9],
      [2, 1, 3, 2, 9],
    ],
    2,
  ],
};

describe('Concat', () => {
  useMulayer();
  for (const [name, [shapes, axis]] of Object.entries(PROBLEMS)) {
    itInWays(name, CPU_FLOAT_WAY, () => problem(shapes, axis, false));
    itInWays(`${name}, of computed parts`, FLOAT_WAYS, () => problem(shapes, axis, true));
  }
  itInWays('given parts, in every way', FLOAT_WAYS, () => problem(channels(7, 10), 2, false));

  for (const dtype of ['int32', 'bool'] as const) {
    it(`${dtype}, in every way`, async () => {
      const a = Array.from({ length: 200 }, (_, i) => i % 2);
      const b = Array.from({ length: 100 }, (_, i) => (i % 3 === 0 ? 1 : 0));
      for (const split of ['cpu', 'gpu', 0.5]) {
        setFlags({ MULAYER_SPLIT: split });
        const y = tf.concat([tf.tensor1d(a, dtype), tf.tensor1d(b, dtype)]);
        expect(y.dtype).toBe(dtype);
        expectNear(await y.data(), [...a, ...b]);
      }
    });
  }

  it('passes over a part without elements', async () => {
    const y = tf.concat([tf.ones([2, 3]), tf.zeros([2, 0]), tf.fill([2, 1], 2)], 1);
    expectNear(await y.data(), [1, 1, 1, 2, 1, 1, 1, 2]);
  });

  it('the same tensor twice', async () => {
    const x = tf.relu(tf.tensor1d([1, 2]));
    expectNear(await tf.concat([x, x]).data(), [1, 2, 1, 2]);
  });
});
