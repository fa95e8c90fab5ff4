/** kernels/transpose.ts: numbers are moved, so they are equal in 16 bits too. */
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

/** @param computed x is a result of the same graph, which `relu` leaves as it is. */
function problem(shape: number[], perm: number[], computed: boolean): Problem {
  const xs = grid(tf.util.sizeFromShape(shape), 1);
  const values = build(
    perm.map(axis => shape[axis]),
    index => {
      const from = new Array<number>(shape.length);
      perm.forEach((axis, i) => (from[axis] = index[i]));
      return at(xs, shape, from);
    },
  );
  return {
    op: 'Transpose',
    calls: computed ? 2 : 1,
    ...(perm.at(-1) === shape.length - 1 ? {} : { grain: 0 }),
    setUp() {
      const x = tf.tensor(xs, shape);
      return () => tf.transpose(computed ? tf.relu(x) : x, perm);
    },
    ...moved(values),
  };
}

const PROBLEMS: [shape: number[], perm: number[]][] = [
  [
    [17, 5],
    [1, 0],
  ],
  [
    [1, 9],
    [1, 0],
  ],
  [
    [3, 4, 17],
    [1, 0, 2],
  ],
  [
    [3, 4, 17],
    [2, 1, 0],
  ],
  [
    [2, 3, 4, 9],
    [0, 3, 1, 2],
  ],
  [
    [2, 9, 3, 4],
    [0, 2, 3, 1],
  ],
  [
    [2, 3, 4, 9],
    [2, 1, 0, 3],
  ],
  [
    [2, 1, 3, 2, 9],
    [3, 0, 2, 1, 4],
  ],
];

describe('Transpose', () => {
  useMulayer();
  for (const [shape, perm] of PROBLEMS) {
    const name = `[${shape.join()}] by ${perm.join()}`;
    itInWays(name, CPU_FLOAT_WAY, () => problem(shape, perm, false));
    itInWays(`${name}, computed`, SOME_FLOAT_WAYS, () => problem(shape, perm, true));
  }
  itInWays('in every way', FLOAT_WAYS, () => problem([2, 3, 4, 17], [0, 2, 1, 3], false));

  for (const dtype of ['int32', 'bool'] as const) {
    it(dtype, async () => {
      const numbers = Array.from({ length: 200 }, (_, i) => Number(i % 7 === 0));
      const y = tf.transpose(tf.tensor2d(numbers, [2, 100], dtype));
      expect(y.dtype).toBe(dtype);
      const wanted = build([100, 2], ([i, j]) => at(numbers, [2, 100], [j, i]));
      expectNear(await y.data(), wanted);
    });
  }
});
