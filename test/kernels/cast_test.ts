/** kernels/cast.ts */
import type { DataType } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

import type { Problem } from '../support.js';
import { CPU_FLOAT_WAY, FLOAT_WAYS, itInWays, moved, signedGrid, useMulayer } from '../support.js';

const REFERENCE: Record<string, (v: number) => number> = {
  float32: v => v,
  int32: Math.trunc,
  bool: v => Number(v !== 0),
};

/** More than the 128 integers that are computed at once. */
const SHAPE = [20, 17];

function problem(from: DataType, to: DataType, xs: ArrayLike<number>): Problem {
  const stored = Array.from(xs, REFERENCE[from]);
  return {
    op: 'Cast',
    onGpu: false,
    setUp() {
      const x = tf.tensor(stored, SHAPE, from);
      return () => {
        const y = tf.cast(x, to);
        expect(y.dtype).toBe(to);
        return y;
      };
    },
    ...moved(stored.map(REFERENCE[to])),
  };
}

describe('Cast', () => {
  useMulayer();
  const types = ['float32', 'int32', 'bool'] as const;
  const numbers = signedGrid(20 * 17);
  for (const from of types) {
    for (const to of types.filter(type => type !== from)) {
      itInWays(`${from} to ${to}`, CPU_FLOAT_WAY, () => problem(from, to, numbers));
    }
  }
  itInWays('to int32 in every way', FLOAT_WAYS, () => problem('float32', 'int32', numbers));

  it('keeps integers above 2^24', async () => {
    const x = tf.tensor1d(new Int32Array(200).fill(2 ** 24 + 1), 'int32');
    expect((await tf.cast(tf.cast(x, 'int32'), 'int32').data())[0]).toBe(2 ** 24 + 1);
  });
});
