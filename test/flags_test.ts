/** src/flags.ts: the MULAYER_* flags. */
import * as tf from '@tensorflow/tfjs-core';

import { settings } from '../src/flags.js';
import { FlagError } from '../src/index.js';
import { setFlags, useMulayer } from './support.js';

const set = (name: string, value: unknown) => () => tf.env().set(name, value as string);

const FLAGS: Record<string, { right: unknown[]; wrong: unknown[] }> = {
  MULAYER_SPLIT: {
    right: ['auto', 'cpu', 'gpu', 'layer', 0, 0.3, 1],
    wrong: ['both', '', -0.1, 1.1, NaN, Infinity, null, undefined, true, '0.5', []],
  },
  MULAYER_PRECISION: {
    right: ['auto', 'int8', 'float32'],
    wrong: ['float16', 'INT8', 8, false, null],
  },
  MULAYER_ERROR_BUDGET: { right: [0, 0.5, 2], wrong: [-1, NaN, '0.1', true] },
  MULAYER_DOT: { right: ['auto', 'i16', 'usdot', 'sdot', 'usdot7'], wrong: ['avx', 16] },
  MULAYER_THREADS: { right: [0, 1, 64], wrong: [-1, 1.5, 65, '2', NaN] },
};

describe('flags', () => {
  useMulayer();

  for (const [name, { right, wrong }] of Object.entries(FLAGS)) {
    it(`${name} takes what it should`, () => {
      for (const value of right) {
        tf.env().set(name, value as string);
        expect(tf.env().get(name)).toBe(value as string);
      }
    });

    it(`${name} throws at a wrong value, says what it wants, and keeps the old one`, () => {
      const old = right.at(-1) as string;
      tf.env().set(name, old);
      for (const value of wrong) {
        expect(set(name, value))
          .withContext(String(value))
          .toThrowError(FlagError, new RegExp(`^${name}: expected .*, got `));
        expect(tf.env().get(name)).toBe(old);
      }
    });
  }

  it('are read when a graph runs', async () => {
    setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'int8' });
    expect(settings()).toEqual({ split: 'cpu', precision: 'int8', budget: 0.1, threads: 0 });
    await tf.relu(tf.ones([1])).data();
  });

  it('start with their defaults', () => {
    expect(settings()).toEqual({ split: 'auto', precision: 'auto', budget: 0.1, threads: 0 });
  });
});
