/** kernels/alias.ts: new shapes of the same numbers. */
import * as tf from '@tensorflow/tfjs-core';

import { ArgumentError, explain } from '../../src/index.js';
import { backend, expectNear, grid, setFlags, useMulayer } from '../support.js';

describe('Reshape, ExpandDims, Identity, Cast to the same type', () => {
  useMulayer();

  it('give back the same data, and record nothing', async () => {
    const x = tf.relu(tf.tensor2d([1, 2, 3, 4, 5, 6], [2, 3]));
    const before = backend().numDataIds();
    const all = [
      tf.reshape(x, [3, -1]),
      tf.expandDims(x, 1),
      tf.clone(x),
      tf.cast(x, 'float32'),
      tf.squeeze(tf.expandDims(x, 0)),
    ];
    expect(backend().numDataIds()).toBe(before);
    expect(all.map(y => y.shape)).toEqual([
      [3, 2],
      [2, 1, 3],
      [2, 3],
      [2, 3],
      [2, 3],
    ]);
    for (const y of all) expectNear(await y.data(), [1, 2, 3, 4, 5, 6]);
    expect(explain().layers.length).toBe(1);
  });

  it('outlive what they were made of', async () => {
    const x = tf.relu(tf.tensor1d([1, 2]));
    const y = tf.reshape(x, [2, 1]);
    x.dispose();
    expectNear(await y.data(), [1, 2]);
  });

  for (const split of ['cpu', 'gpu', 0.5]) {
    it(`of a split value, used under both shapes: split ${split}`, async () => {
      setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: 'float32' });
      const numbers = grid(4 * 18);
      const x = tf.relu(tf.tensor2d(numbers, [4, 18]));
      const negated = numbers.map(v => -v);
      expectNear(await tf.neg(tf.reshape(x, [2, 2, 18])).data(), negated);
      expectNear(await tf.neg(tf.reshape(x, [18, 4])).data(), negated);
      expectNear(await tf.neg(tf.reshape(x, [72])).data(), negated);
      expectNear(await tf.neg(x).data(), negated);
      const sum = tf.add(tf.reshape(x, [8, 9]), tf.reshape(tf.relu(x), [8, 9]));
      expectNear(
        await sum.data(),
        numbers.map(v => 2 * v),
      );
    });
  }

  it('refuse another number of elements', () => {
    expect(() => tf.reshape(tf.ones([2, 3]), [4])).toThrowError(ArgumentError);
    const run = (kernel: string, attributes: object) => () =>
      tf
        .engine()
        .runKernel(kernel, { x: tf.ones([2, 3]), input: tf.ones([2, 3]) }, attributes as never);
    expect(run('Reshape', { shape: [4] })).toThrowError(
      ArgumentError,
      /shape: expected one with the elements of \[2,3\], got \[4\]/,
    );
    expect(run('ExpandDims', { dim: 3 })).toThrowError(
      ArgumentError,
      /dim: expected -3 to 2, got 3/,
    );
  });
});
