/** kernels/top_k.ts: largest first, ties to the lower index. */
import * as tf from '@tensorflow/tfjs-core';

import { explain } from '../../src/index.js';
import { expectNear, setFlags, useMulayer } from '../support.js';
import { Random } from '../wasm/random';

function reference(row: number[], k: number): number[] {
  return row
    .map((_, i) => i)
    .sort((a, b) => row[b] - row[a] || a - b)
    .slice(0, k);
}

async function check(numbers: number[], columns: number, k: number): Promise<void> {
  const x = tf.relu(tf.tensor2d(numbers, [numbers.length / columns, columns]));
  const { values, indices } = tf.topk(x, k);
  const rows = Array.from({ length: numbers.length / columns }, (_, i) =>
    numbers.slice(i * columns, (i + 1) * columns),
  );
  expect(indices.dtype).toBe('int32');
  expect(values.shape).toEqual([rows.length, k]);
  expectNear(
    await indices.data(),
    rows.flatMap(row => reference(row, k)),
  );
  expectNear(
    await values.data(),
    rows.flatMap(row => reference(row, k).map(i => row[i])),
  );
}

describe('TopK', () => {
  useMulayer();
  for (const [columns, k] of [
    [1, 1],
    [7, 1],
    [7, 7],
    [100, 10],
    [999, 100],
  ]) {
    it(`${k} of ${columns}`, async () => {
      const random = new Random(columns);
      await check(
        [...random.floats(3 * columns)].map(v => Math.abs(v)),
        columns,
        k,
      );
    });
  }

  it('of numbers that rise, fall, are all the same, are few', async () => {
    const rising = Array.from({ length: 50 }, (_, i) => i);
    await check([...rising, ...rising.map(v => 49 - v), ...rising.fill(1)], 50, 9);
    await check(
      rising.map((_, i) => (i * 7) % 3),
      50,
      20,
    );
  });

  it('0 of them', async () => {
    const { values, indices } = tf.topk(tf.ones([2, 3]), 0);
    expect(values.shape).toEqual([2, 0]);
    expectNear(await indices.data(), []);
    expectNear(await values.data(), []);
  });

  it('more than it selects itself', async () => {
    const numbers = [...new Random(2).floats(1500)].map(v => Math.abs(v));
    await check(numbers, 1500, 1200);
  });

  it('integers', async () => {
    const numbers = Array.from({ length: 200 }, (_, i) => (i * 37) % 200);
    const { values } = tf.topk(tf.tensor1d(numbers, 'int32'), 2);
    expect(values.dtype).toBe('int32');
    expectNear(await values.data(), [199, 198]);
  });

  it('NaN where tfjs-cpu puts it', async () => {
    const compute = async () => {
      const { values, indices } = tf.topk(tf.tensor1d([1, NaN, 3, -Infinity, Infinity]), 3);
      return [...(await values.data()), ...(await indices.data())];
    };
    const actual = await compute();
    await tf.setBackend('cpu');
    expectNear(actual, await compute());
  });

  it('stays on the CPU in every way', async () => {
    for (const split of ['gpu', 0.5]) {
      setFlags({ MULAYER_SPLIT: split });
      const { indices } = tf.topk(tf.relu(tf.tensor1d([1, 3, 2])), 2);
      expectNear(await indices.data(), [1, 2]);
      expect(explain().layers.at(-1)).toEqual(
        jasmine.objectContaining({ op: 'TopK', where: 'cpu' }),
      );
    }
  });
});
