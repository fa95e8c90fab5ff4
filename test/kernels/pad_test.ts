/** kernels/pad.ts: numbers are moved, so they are equal in 16 bits too. */
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
  SOME_FLOAT_WAYS,
  useMulayer,
} from '../support.js';

type Paddings = [number, number][];

/** @param computed x is a result of the same graph, which `relu` leaves as it is. */
function problem(shape: number[], paddings: Paddings, value: number, computed = false): Problem {
  const xs = grid(tf.util.sizeFromShape(shape), 1);
  const padded = shape.map((length, i) => paddings[i][0] + length + paddings[i][1]);
  const values = build(padded, index => {
    const inside = index.map((at, i) => at - paddings[i][0]);
    return inside.every((at, i) => at >= 0 && at < shape[i]) ? at(xs, shape, inside) : value;
  });
  return {
    op: 'PadV2',
    calls: computed ? 2 : 1,
    // tfjs-webgl refuses 5 axes, so the CPU has to take over.
    onGpu: shape.length <= 4,
    // Channels that are padded move from one slice to the other.
    ...(paddings.at(-1)?.some(n => n > 0) ? { grain: 0 } : {}),
    setUp() {
      const x = tf.tensor(xs, shape);
      return () => tf.pad(computed ? tf.relu(x) : x, paddings, value);
    },
    ...moved(values),
  };
}

const PROBLEMS: Record<string, [shape: number[], paddings: Paddings]> = {
  'one number': [[1], [[1, 2]]],
  'rows of 17': [
    [3, 17],
    [
      [1, 0],
      [0, 0],
    ],
  ],
  'an image': [
    [2, 3, 4, 9],
    [
      [0, 0],
      [1, 2],
      [3, 0],
      [0, 0],
    ],
  ],
  'an image and its channels': [
    [1, 3, 2, 8],
    [
      [0, 0],
      [1, 1],
      [1, 1],
      [2, 3],
    ],
  ],
  nothing: [
    [2, 9],
    [
      [0, 0],
      [0, 0],
    ],
  ],
  'five axes': [
    [1, 2, 1, 2, 9],
    [
      [1, 0],
      [0, 1],
      [1, 1],
      [0, 0],
      [0, 0],
    ],
  ],
};

describe('PadV2', () => {
  useMulayer();
  for (const [name, [shape, paddings]] of Object.entries(PROBLEMS)) {
    itInWays(name, CPU_FLOAT_WAY, () => problem(shape, paddings, 0));
    itInWays(`${name}, computed, of 1.5`, SOME_FLOAT_WAYS, () =>
      problem(shape, paddings, 1.5, true),
    );
  }
  itInWays('in every way', FLOAT_WAYS, () => problem(...PROBLEMS['an image'], 2.5));

  it('an empty tensor', async () => {
    expectNear(
      await tf
        .pad(
          tf.zeros([0, 2]),
          [
            [1, 1],
            [0, 0],
          ],
          3,
        )
        .data(),
      [3, 3, 3, 3],
    );
  });

  it('integers', async () => {
    const y = tf.pad(tf.tensor1d([1, 2], 'int32'), [[1, 1]], 7);
    expect(y.dtype).toBe('int32');
    expectNear(await y.data(), [7, 1, 2, 7]);
  });
});
