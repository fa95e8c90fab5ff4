/**
 * src/run/executor.ts: what the first inference observes, what the later ones do with it, and what
 * `explain()` tells of it.
 */
import * as tf from '@tensorflow/tfjs-core';

import { explain } from '../../src/index.js';
import { meanDifference, powersOf, ratioOf } from '../../src/passes/precision.js';
import { expectNear, hasGpu, heapBytes, setFlags, useMulayer } from '../support.js';
import { Random } from '../wasm/random';

const random = (seed: number, ...shape: [number, number]) =>
  tf.tensor2d(new Random(seed).floats(tf.util.sizeFromShape(shape)), shape);

/** Large enough for int8. */
const filter = (seed = 2) => random(seed, 64, 64);

async function layer(x: tf.Tensor2D, w: tf.Tensor2D, activation: 'relu' | 'elu' = 'relu') {
  const y = tf.tidy(() => tf.fused.matMul({ a: x, b: w, activation }));
  const numbers = await y.data();
  y.dispose();
  return { numbers, row: explain().layers[0] };
}

describe('precision', () => {
  useMulayer();
  beforeEach(() => setFlags({ MULAYER_SPLIT: 'cpu' }));

  it('is float32 in the first inference and int8 from the second on', async () => {
    const w = filter();
    const seen = [];
    for (let run = 0; run < 4; run++) {
      seen.push((await layer(random(run, 64, 64), w)).row.precision);
    }
    expect(seen).toEqual(['float32', 'int8', 'int8', 'int8']);
  });

  it('stays float32 while the weights are new', async () => {
    for (let run = 0; run < 3; run++) {
      const { row } = await layer(random(1, 64, 64), filter(run));
      expect(row.precision).toBe('float32');
    }
  });

  it('is int8 for each of two models of one structure that take turns', async () => {
    const [a, b] = [filter(1), filter(2)];
    const x = random(3, 64, 64);
    const seen = [];
    for (const w of [a, b, a, b, a]) seen.push((await layer(x, w, 'elu')).row.precision);
    expect(seen.slice(2)).toEqual(['int8', 'int8', 'int8']);
  });

  it('auto measures the noise of int8 and tells it', async () => {
    const w = filter();
    const { row, numbers: exact } = await layer(random(1, 65, 64), w);
    expect(row.int8Error).toBeGreaterThan(0);
    expect(row.int8Error).toBeLessThan(0.02);
    const { numbers } = await layer(random(1, 65, 64), w);
    expect(ratioOf(powersOf(exact, numbers, 64))).toBeCloseTo(row.int8Error!, 6);
  });

  it('auto takes off what int8 adds to each channel in the mean, of that input and of others', async () => {
    const errors: Record<string, number[]> = {};
    for (const precision of ['int8', 'auto']) {
      const w = filter();
      const run = async (seed: number) => {
        // All positive, as after a ReLU: what rounding does to weights does not cancel out.
        const x = tf.abs(random(seed, 256, 64));
        const y = tf.tidy(() => tf.matMul(x, w));
        const numbers = await y.data();
        const { precision } = explain().layers.at(-1)!;
        tf.dispose([x, y]);
        return { numbers, precision };
      };
      const rms = (of: Float64Array) => Math.sqrt(of.reduce((sum, v) => sum + v * v, 0));
      setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'float32' });
      const exact = [await run(1), await run(2)];
      setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: precision as 'auto' });
      await run(1);
      if (precision === 'int8') await run(1);
      const rounded = [await run(1), await run(2)];
      expect(rounded.map(one => one.precision)).toEqual(['int8', 'int8']);
      errors[precision] = exact.map(({ numbers }, i) =>
        rms(meanDifference(numbers as Float32Array, rounded[i].numbers as Float32Array, 64)),
      );
    }
    expect(errors.auto[0]).toBeLessThan(0.05 * errors.int8[0]);
    expect(errors.auto[1]).toBeLessThan(0.3 * errors.int8[1]);
  });

  it('auto takes off nothing of zeros', async () => {
    const w = filter();
    for (const seed of [1, 2]) await layer(random(seed, 64, 64), w);
    await layer(tf.zeros([64, 64]), w);
    const { row, numbers } = await layer(tf.zeros([64, 64]), w);
    expect(row.precision).toBe('int8');
    expectNear(numbers, new Array<number>(64 * 64).fill(0), 1e-20);
  });

  it('auto keeps in float32 what is above the budget together, the worst for its work first', async () => {
    const [wide, narrow] = [random(2, 64, 256), random(3, 256, 64)];
    const net = async (budget: number) => {
      setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_ERROR_BUDGET: budget });
      const y = tf.tidy(() => tf.matMul(tf.relu(tf.matMul(random(1, 64, 64), wide)), narrow));
      await y.data();
      y.dispose();
      return explain().layers.filter(({ macs }) => macs > 0);
    };
    await net(1);
    const rows = await net(1);
    expect(rows.map(({ precision }) => precision)).toEqual(['int8', 'int8']);
    const [a, b] = rows.map(({ int8Error }) => int8Error!);
    const both = Math.hypot(a, b);
    const precisions = async (budget: number) =>
      (await net(budget)).map(({ precision }) => precision);
    expect(await precisions(1.01 * both)).toEqual(['int8', 'int8']);
    expect(await precisions(0.99 * both)).toEqual(
      a < b ? ['int8', 'float32'] : ['float32', 'int8'],
    );
    expect(await precisions(0.99 * Math.min(a, b))).toEqual(['float32', 'float32']);
  });

  it('auto keeps a layer in float32 whose error is above the budget', async () => {
    const w = filter();
    setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_ERROR_BUDGET: 1e-6 });
    const exact = (await layer(random(1, 64, 64), w)).numbers;
    const { row, numbers } = await layer(random(1, 64, 64), w);
    expect(row.precision).toBe('float32');
    expectNear(numbers, exact);
  });

  it('int8 does not ask for the error', async () => {
    const w = filter(9);
    setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'int8', MULAYER_ERROR_BUDGET: 0 });
    await layer(random(1, 64, 64), w);
    expect((await layer(random(1, 64, 64), w)).row.precision).toBe('int8');
  });

  it('float32 never leaves it, and gives the same numbers each time', async () => {
    const w = filter();
    setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'float32' });
    const { numbers } = await layer(random(1, 64, 64), w);
    for (let run = 0; run < 3; run++) {
      const again = await layer(random(1, 64, 64), w);
      expect(again.row.precision).toBe('float32');
      expectNear(again.numbers, numbers);
    }
  });

  it('small products stay in float32', async () => {
    setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'int8' });
    const w = random(1, 8, 8);
    for (let run = 0; run < 3; run++) {
      expect((await layer(random(1, 8, 8), w)).row.precision).toBe('float32');
    }
  });

  it('follows each input: a wider range than that of the first is not cut off', async () => {
    setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'int8' });
    const w = filter();
    const x = random(1, 64, 64);
    await layer(x, w);
    const { numbers: small } = await layer(x, w);
    const wide = tf.tensor2d(
      x.dataSync().map(v => v * 1024),
      [64, 64],
    );
    const { numbers: large, row } = await layer(wide, w);
    expect(row.precision).toBe('int8');
    expectNear(
      large,
      small.map(v => v * 1024),
    );
  });

  it('packs the weights of a constant layer once', async () => {
    setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'int8' });
    const [x, w] = [random(1, 64, 64), filter()];
    await layer(x, w);
    await layer(x, w);
    const bytes = heapBytes();
    for (let run = 0; run < 3; run++) await layer(x, w);
    expect(heapBytes()).toBe(bytes);
  });
});

describe('int8 layers that share an input', () => {
  useMulayer();

  it('give together what each gives alone, whatever their padding and shape', async () => {
    setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'int8' });
    const numbers = new Random(1);
    const tensor = (...shape: [number, number, number, number]) =>
      tf.tensor4d(numbers.floats(tf.util.sizeFromShape(shape)), shape);
    const x = tensor(1, 12, 12, 16);
    const [w1, w3, w5] = [1, 3, 5].map(size => tensor(size, size, 16, 64));
    const wide = tensor(1, 1, 64, 64);
    const b = random(3, 16, 64);
    const layers = [
      () => tf.conv2d(x, w1, 1, 'valid'),
      () => tf.conv2d(x, w3, 1, 'same'),
      () => tf.conv2d(x, w3, 1, 'valid'),
      () => tf.conv2d(x, w5, 1, 'same'),
      () => tf.conv2d(x, w3, 2, 'same'),
      () => tf.conv2d(x, w3, 1, 'same', 'NHWC', 2),
      () => tf.matMul(tf.reshape(x, [144, 16]), b),
      () => tf.conv2d(tf.reshape<tf.Rank.R4>(x, [1, 6, 6, 64]), wide, 1, 'valid'),
      () => tf.conv2d(tf.reshape<tf.Rank.R4>(x, [1, 9, 16, 16]), w3, 1, 'same'),
      () =>
        tf.conv2d(tf.reshape<tf.Rank.R4>(x, [1, 12, 12, 16]), w3, 1, [
          [0, 0],
          [1, 1],
          [1, 1],
          [0, 0],
        ]),
    ];
    const read = async (ys: tf.Tensor[]) => {
      const all = await Promise.all(ys.map(y => y.data()));
      const { layers } = explain();
      tf.dispose(ys);
      return { all, precisions: layers.map(({ precision }) => precision) };
    };
    const alone: ArrayLike<number>[] = [];
    for (const layer of layers) {
      await read([layer()]);
      const { all, precisions } = await read([layer()]);
      expect(precisions).toEqual(['int8']);
      alone.push(all[0]);
    }
    const together = () => layers.map(layer => layer());
    await read(together());
    const { all, precisions } = await read(together());
    expect(precisions).toEqual(layers.map(() => 'int8'));
    all.forEach((numbers, i) => expectNear(numbers, alone[i]));
  });
});

describe('explain', () => {
  useMulayer();

  it('has one row for each recorded call that is not fused, in their order', async () => {
    setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'float32' });
    const y = tf.tidy(() => tf.softmax(tf.add(tf.matMul(random(1, 4, 6), random(2, 6, 3)), 1)));
    await y.data();
    const { layers, ms } = explain();
    expect(layers.map(({ op, shape }) => [op, shape])).toEqual([
      ['BatchMatMul', [4, 3]],
      ['Add', [4, 3]],
      ['Softmax', [4, 3]],
    ]);
    let sum = 0;
    for (const row of layers) {
      expect(row).toEqual(jasmine.objectContaining({ where: 'cpu', p: 1, precision: 'float32' }));
      expect([row.bytesToGpu, row.bytesFromGpu, row.readbacks]).toEqual([0, 0, 0]);
      expect(row.ms).toBeGreaterThanOrEqual(0);
      sum += row.ms;
    }
    expect(ms).toBeGreaterThanOrEqual(sum);
  });

  it('gives copies: changing a report changes no other', async () => {
    await tf.neg(tf.ones([2])).data();
    const first = explain();
    first.layers[0].op = 'changed';
    first.layers.push(first.layers[0]);
    first.delegated.Changed = 1;
    expect(explain().layers.map(({ op }) => op)).toEqual(['Neg']);
    expect(explain().delegated).toEqual({});
  });
});

describe('a plan', () => {
  useMulayer();

  it('follows the flags from run to run', async () => {
    const [x, w] = [random(1, 64, 64), filter()];
    setFlags({ MULAYER_PRECISION: 'float32', MULAYER_SPLIT: 'cpu' });
    const { numbers } = await layer(x, w);
    for (const split of ['gpu', 0.5, 'cpu', 0.25, 0, 1, 'layer', 'auto'] as const) {
      setFlags({ MULAYER_PRECISION: 'float32', MULAYER_SPLIT: split });
      const again = await layer(x, w);
      expectNear(again.numbers, numbers, 1e-4);
      const where = { gpu: 'gpu', 0.5: 'split', 0.25: 'split', 0: 'gpu' }[split as string] ?? 'cpu';
      if (split !== 'auto') expect(again.row.where).toBe((hasGpu() ? where : 'cpu') as 'cpu');
    }
  });

  it('of a node that fails fails again, and works with another input', async () => {
    const gather = (index: number) =>
      tf
        .gather(tf.relu(tf.tensor1d([1, 2, 3])), tf.cast(tf.relu(tf.tensor1d([index])), 'int32'))
        .data();
    await expectAsync(gather(9)).toBeRejected();
    await expectAsync(gather(9)).toBeRejected();
    expectNear(await gather(2), [3]);
  });

  it('of another graph uses what has been packed', async () => {
    setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'int8' });
    const [x, w] = [random(1, 64, 64), filter()];
    await layer(x, w);
    await layer(x, w);
    const bytes = heapBytes();
    for (let run = 0; run < 2; run++) {
      const y = tf.tidy(() => tf.neg(tf.fused.matMul({ a: x, b: w, activation: 'relu' })));
      await y.data();
      y.dispose();
    }
    expect(explain().layers[0].precision).toBe('int8');
    expect(heapBytes()).toBe(bytes);
  });
});
