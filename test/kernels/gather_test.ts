/** kernels/gather.ts: numbers are moved. Recorded only where the indices are still pending. */
import * as tf from '@tensorflow/tfjs-core';

import { explain } from '../../src/index.js';
import { at, build } from '../reference/tensor';
import { expectNear, grid, setFlags, useMulayer } from '../support.js';

const SHAPE = [4, 5, 17];

/** Indices as a node of the graph: what a model computes, and nobody knows yet. */
function pending(indices: number[], shape: number[]): tf.Tensor {
  return tf.cast(tf.relu(tf.tensor(indices, shape, 'float32')), 'int32');
}

describe('GatherV2', () => {
  useMulayer();
  const xs = grid(4 * 5 * 17, 1);
  for (const split of ['cpu', 'gpu', 0.5]) {
    for (const [axis, indices] of [
      [0, [3, 0, 0]],
      [1, [4, 2]],
      [2, [16, 0, 8, 1]],
      [-1, [16]],
    ] as const) {
      it(`axis ${axis} at pending indices: split ${split}`, async () => {
        setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: 'float32' });
        const y = tf.gather(
          tf.relu(tf.tensor(xs, SHAPE)),
          pending([...indices], [indices.length]),
          axis,
        );
        const own = axis < 0 ? 2 : axis;
        const shape = SHAPE.map((n, i) => (i === own ? indices.length : n));
        const wanted = build(shape, index =>
          at(
            xs,
            SHAPE,
            index.map((at, i) => (i === own ? indices[at] : at)),
          ),
        );
        expect(y.shape).toEqual(shape);
        expectNear(await y.data(), wanted);
        expect(explain().layers.map(({ op }) => op)).toEqual(['Relu', 'Relu', 'Cast', 'GatherV2']);
      });
    }
  }

  it('indices of two axes', async () => {
    const y = tf.gather(tf.relu(tf.tensor1d([1, 2, 3])), pending([2, 1, 0, 2], [2, 2]));
    expect(y.shape).toEqual([2, 2]);
    expectNear(await y.data(), [3, 2, 1, 3]);
  });

  it('batches of indices', async () => {
    const x = tf.relu(tf.tensor2d([1, 2, 3, 4], [2, 2]));
    const y = tf.gather(x, pending([1, 1, 0, 1], [2, 2]), 1, 1);
    expectNear(await y.data(), [2, 2, 3, 4]);
  });

  it('is left to tfjs where the indices are known', async () => {
    const y = tf.gather(tf.tensor1d([1, 2, 3]), tf.tensor1d([2, 0], 'int32'));
    expectNear(await y.data(), [3, 1]);
    await tf.relu(y).data();
    expect(explain().delegated.GatherV2).toBe(1);
  });

  it('an index that is out of range, known at once, throws at the call', () => {
    const x = tf.tensor1d([1, 2, 3]);
    expect(() => tf.gather(x, tf.tensor1d([3], 'int32'))).toThrowError(/GatherV2.*3/);
  });

  it('an index that is out of range, found by the run, rejects and leaves the backend working', async () => {
    const y = tf.gather(tf.relu(tf.tensor1d([1, 2, 3])), pending([7], [1]));
    await expectAsync(y.data()).toBeRejectedWithError(/GatherV2.*7/);
    expectNear(await tf.relu(tf.tensor1d([1])).data(), [1]);
  });
});
