/** kernels/slice.ts: numbers are moved, so they are equal in 16 bits too. */
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
  SOME_FLOAT_WAYS,
  useMulayer,
} from '../support.js';

/** @param computed x is a result of the same graph, which `relu` leaves as it is. */
function sliceProblem(
  shape: number[],
  begin: number[],
  size: number[],
  computed: boolean,
): Problem {
  const xs = grid(tf.util.sizeFromShape(shape), 1);
  return {
    op: 'Slice',
    calls: computed ? 2 : 1,
    ...(size.at(-1) === shape.at(-1) ? {} : { grain: 0 }),
    setUp() {
      const x = tf.tensor(xs, shape);
      return () => tf.slice(computed ? tf.relu(x) : x, begin, size);
    },
    ...moved(
      build(size, index =>
        at(
          xs,
          shape,
          index.map((at, i) => begin[i] + at),
        ),
      ),
    ),
  };
}

const SLICES: Record<string, [shape: number[], begin: number[], size: number[]]> = {
  'one of one': [[1], [0], [1]],
  all: [
    [3, 17],
    [0, 0],
    [3, 17],
  ],
  rows: [
    [5, 17],
    [2, 0],
    [2, 17],
  ],
  channels: [
    [2, 3, 17],
    [0, 0, 5],
    [2, 3, 9],
  ],
  'the middle of an image': [
    [2, 5, 6, 9],
    [1, 1, 2, 0],
    [1, 3, 2, 9],
  ],
  'five axes': [
    [2, 2, 3, 2, 9],
    [0, 1, 1, 0, 0],
    [2, 1, 2, 1, 9],
  ],
};

describe('Slice', () => {
  useMulayer();
  for (const [name, [shape, begin, size]] of Object.entries(SLICES)) {
    itInWays(name, CPU_FLOAT_WAY, () => sliceProblem(shape, begin, size, false));
    itInWays(`${name}, computed`, SOME_FLOAT_WAYS, () => sliceProblem(shape, begin, size, true));
  }
  itInWays('in every way', FLOAT_WAYS, () =>
    sliceProblem([2, 5, 6, 17], [0, 1, 2, 0], [2, 3, 2, 17], false),
  );

  it('to the end, where the size is -1', async () => {
    expectNear(await tf.slice1d(tf.relu(tf.tensor1d([1, 2, 3, 4])), 1, -1).data(), [2, 3, 4]);
  });

  for (const dtype of ['int32', 'bool'] as const) {
    it(dtype, async () => {
      const x = tf.tensor2d(
        new Array(400).fill(0).map((_, i) => Number(i % 3 === 0)),
        [20, 20],
        dtype,
      );
      const y = tf.slice(x, [1, 2], [2, 3]);
      expect(y.dtype).toBe(dtype);
      expectNear(await y.data(), [0, 0, 1, 1, 0, 0]);
    });
  }
});

describe('StridedSlice', () => {
  useMulayer();
  const shape = [4, 5, 17];
  const xs = grid(4 * 5 * 17, 1);
  const cases: Record<string, [wanted: number[], call: (x: tf.Tensor) => tf.Tensor]> = {
    'every second': [
      build([2, 2, 9], ([i, j, k]) => at(xs, shape, [2 * i, 1 + 2 * j, 2 * k])),
      x => tf.stridedSlice(x, [0, 1, 0], [4, 5, 17], [2, 2, 2]),
    ],
    backwards: [
      build([4, 2, 17], ([i, j, k]) => at(xs, shape, [i, 3 - 2 * j, 16 - k])),
      x => tf.stridedSlice(x, [0, 3, 16], [4, 0, -18], [1, -2, -1]),
    ],
    'masks instead of ends': [
      build([4, 3, 17], ([i, j, k]) => at(xs, shape, [i, 2 + j, k])),
      x => tf.stridedSlice(x, [9, 2, 9], [9, 9, 9], [1, 1, 1], 0b101, 0b111),
    ],
    'an ellipsis': [
      build([4, 5, 1], ([i, j]) => at(xs, shape, [i, j, 3])),
      x => tf.stridedSlice(x, [0, 3], [0, 4], [1, 1], 0, 0, 0b01),
    ],
    'an axis that is taken away': [
      build([4, 17], ([i, k]) => at(xs, shape, [i, 2, k])),
      x => tf.stridedSlice(x, [0, 2, 0], [4, 3, 17], [1, 1, 1], 0, 0, 0, 0, 0b010),
    ],
    'a new axis': [
      build([4, 1, 2, 17], ([i, , j, k]) => at(xs, shape, [i, j, k])),
      x => tf.stridedSlice(x, [0, 0, 0, 0], [4, 1, 2, 17], [1, 1, 1, 1], 0, 0, 0, 0b0010),
    ],
  };
  for (const [name, [wanted, call]] of Object.entries(cases)) {
    const problem = (computed: boolean) => ({
      op: 'StridedSlice',
      calls: computed ? 2 : 1,
      grain: 0,
      setUp() {
        const x = tf.tensor(xs, shape);
        return () => call(computed ? tf.relu(x) : x);
      },
      ...moved(wanted),
    });
    itInWays(name, CPU_FLOAT_WAY, () => problem(false));
    itInWays(`${name}, computed`, SOME_FLOAT_WAYS, () => problem(true));
  }
});

describe('SplitV and Unpack', () => {
  useMulayer();
  const shape = [2, 6, 17];
  const xs = grid(2 * 6 * 17, 1);
  const part = (length: number[], offset: number[]) =>
    build(length, index =>
      at(
        xs,
        shape,
        index.map((at, i) => at + offset[i]),
      ),
    );

  for (const split of ['cpu', 'gpu', 0.5]) {
    it(`every part in its place: split ${split}`, async () => {
      setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: 'float32' });
      const x = tf.tensor(xs, shape);
      for (const source of [() => x, () => tf.relu(x)]) {
        const rows = tf.split(source(), 3, 1);
        const channels = tf.split(source(), [5, 0, 12], 2);
        const images = tf.unstack(source(), 0);
        expect(channels.map(y => y.shape)).toEqual([
          [2, 6, 5],
          [2, 6, 0],
          [2, 6, 12],
        ]);
        expect(images.map(y => y.shape)).toEqual([
          [6, 17],
          [6, 17],
        ]);
        for (const [i, y] of rows.entries()) {
          expectNear(await y.data(), part([2, 2, 17], [0, 2 * i, 0]));
        }
        expectNear(await channels[0].data(), part([2, 6, 5], [0, 0, 0]));
        expectNear(await channels[1].data(), []);
        expectNear(await channels[2].data(), part([2, 6, 12], [0, 0, 5]));
        for (const [i, y] of images.entries()) {
          expectNear(await y.data(), part([1, 6, 17], [i, 0, 0]));
        }
      }
    });
  }

  it('one part that nobody reads', async () => {
    const [a, b] = tf.split(tf.relu(tf.tensor1d([1, 2, 3, 4])), 2);
    a.dispose();
    expectNear(await b.data(), [3, 4]);
  });

  it('integers', async () => {
    const x = tf.tensor2d(
      new Array(300).fill(0).map((_, i) => i),
      [2, 150],
      'int32',
    );
    const [, last] = tf.unstack(x);
    expect(last.dtype).toBe('int32');
    expect((await last.data())[149]).toBe(299);
  });
});
