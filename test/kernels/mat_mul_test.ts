/**
 * kernels/mat_mul.ts: BatchMatMul and _FusedMatMul.
 *
 * Sums of k products, with the bounds of conv2d_test.ts.
 */
import * as tf from '@tensorflow/tfjs-core';

import { matMul as reference } from '../reference/gemm';
import { roundActivations, roundWeights } from '../reference/int8';
import { EPSILON16, EPSILON32, EPSILON64, TINY16, TINY32 } from '../support.js';
import type { Problem, Wanted } from '../support.js';
import { expectNear, itInWays, setFlags, SOME_WAYS, useMulayer, WAYS } from '../support.js';
import { Random } from '../wasm/random';
import { act, type Activation, curve } from './epilogue.js';

interface Layer {
  /** Batch axes of each operand. */
  aBatch?: number[];
  bBatch?: number[];
  m: number;
  k: number;
  n: number;
  transposeA?: boolean;
  transposeB?: boolean;
  activation?: Activation;
  bias?: number[];
  alpha?: number[];
  fill?: (a: Float32Array, b: Float32Array) => void;
  onGpu?: boolean;
}

function problem(layer: Layer): Problem {
  const random = new Random(1);
  const { m, k, n, aBatch = [], bBatch = [], transposeA = false, transposeB = false } = layer;
  const aCount = tf.util.sizeFromShape(aBatch);
  const bCount = tf.util.sizeFromShape(bBatch);
  // As the oracle reads them: upright.
  const as = random.floats(aCount * m * k);
  const bs = random.floats(bCount * k * n);
  layer.fill?.(as, bs);
  const bias = layer.bias && random.floats(tf.util.sizeFromShape(layer.bias));
  const alpha = layer.alpha && random.floats(tf.util.sizeFromShape(layer.alpha));

  const setUp = () => {
    const a = transposeA
      ? tf.tensor(transposed(as, m, k), [...aBatch, k, m])
      : tf.tensor(as, [...aBatch, m, k]);
    const b = transposeB
      ? tf.tensor(transposed(bs, k, n), [...bBatch, n, k])
      : tf.tensor(bs, [...bBatch, k, n]);
    if (!layer.activation && !bias) return () => tf.matMul(a, b, transposeA, transposeB);
    const call = {
      ...{ a, b, transposeA, transposeB },
      ...(bias && { bias: tf.tensor(bias, layer.bias) }),
      ...(layer.activation && { activation: layer.activation }),
      ...(alpha && { preluActivationWeights: tf.tensor(alpha, layer.alpha) }),
    };
    return () => tf.fused.matMul(call);
  };

  const batch = tf.broadcast_util.assertAndGetBroadcastShape(aBatch, bBatch);
  const sums = (as: ArrayLike<number>, bs: ArrayLike<number>): number[] =>
    Array.from({ length: tf.util.sizeFromShape(batch) }, (_, i) => {
      const part = (all: ArrayLike<number>, own: number[], size: number) => {
        const at = broadcastIndex(i, batch, own) * size;
        return Array.prototype.slice.call(all, at, at + size) as number[];
      };
      return [...reference(part(as, aBatch, m * k), part(bs, bBatch, k * n), m, k, n)];
    }).flat();

  const at = (numbers: Float32Array, i: number) => numbers[i % numbers.length];
  const wanted = (sums: number[], tolerance: (i: number) => number): Wanted => ({
    values: sums.map((v, i) =>
      act(layer.activation, v + (bias ? at(bias, i) : 0), alpha ? at(alpha, i) : 0),
    ),
    tolerance,
  });
  const exact = sums(as, bs);
  const size = sums(as.map(Math.abs), bs.map(Math.abs)).map(
    (v, i) => v + (bias ? Math.abs(at(bias, i)) : 0),
  );
  const float32 = (i: number) =>
    (k + 2) * EPSILON32 * size[i] + k * TINY32 + curve(layer.activation, EPSILON32);
  const f16 = (i: number) =>
    float32(i) + 4 * EPSILON16 * size[i] + k * TINY16 + curve(layer.activation, EPSILON16);
  const roundedAs = roundActivations(as);
  const int8 = (largestWeight: number): Wanted => {
    const rounded = sums(roundedAs, roundWeights(bs, n, largestWeight));
    return wanted(
      rounded,
      i =>
        4 * EPSILON32 * (Math.abs(rounded[i]) + (bias ? Math.abs(at(bias, i)) : 0)) +
        k * EPSILON64 * size[i] +
        curve(layer.activation, EPSILON32),
    );
  };
  return {
    setUp,
    onGpu: layer.onGpu ?? true,
    float32: wanted(exact, float32),
    f16: wanted(exact, f16),
    ...(bCount === 1 && exact.length * k >= 1e5 ? { int8 } : {}),
  };
}

/** [count, rows, columns] -> [count, columns, rows] */
function transposed(x: Float32Array, rows: number, columns: number): Float32Array {
  const y = new Float32Array(x.length);
  for (let i = 0; i < x.length; i++) {
    const matrix = Math.floor(i / (rows * columns));
    const [row, column] = [Math.floor(i / columns) % rows, i % columns];
    y[(matrix * columns + column) * rows + row] = x[i];
  }
  return y;
}

/** Index in an operand with these batch axes of matrix i of the whole batch. */
function broadcastIndex(i: number, batch: number[], own: number[]): number {
  let index = 0;
  let stride = 1;
  for (let axis = batch.length - 1; axis >= 0; axis--) {
    const length = own[axis - batch.length + own.length] ?? 1;
    if (length > 1) index += (i % batch[axis]) * stride;
    stride *= length;
    i = Math.floor(i / batch[axis]);
  }
  return index;
}

const SIZES: Record<string, Layer> = {
  'one number': { m: 1, k: 1, n: 1 },
  'one row, tile - 1': { m: 1, k: 15001, n: 7 },
  'one row, fully connected': { m: 1, k: 300, n: 350 },
  'tile - 1': { m: 3, k: 4801, n: 7 },
  'one tile': { m: 4, k: 3200, n: 8 },
  'tile + 1': { m: 5, k: 2400, n: 9 },
  'one column': { m: 313, k: 333, n: 1 },
  'odd all over': { m: 37, k: 91, n: 43 },
  'k of 1': { m: 401, k: 1, n: 257 },
};

const BATCHES: Record<string, Layer> = {
  'batches of both': { aBatch: [3], bBatch: [3], m: 5, k: 33, n: 18 },
  'one matrix for the batch': { aBatch: [4], bBatch: [1], m: 9, k: 99, n: 33 },
  'one matrix without batch axis': { aBatch: [2, 3], m: 7, k: 77, n: 34 },
  'one a for many b': { aBatch: [1], bBatch: [4], m: 6, k: 17, n: 19 },
  'two batch axes, broadcast, which tfjs-webgl refuses': {
    aBatch: [2, 1],
    bBatch: [1, 3],
    m: 5,
    k: 9,
    n: 16,
    onGpu: false,
  },
};

const TRANSPOSED: Record<string, Layer> = {
  'a transposed': { m: 37, k: 91, n: 43, transposeA: true },
  'b transposed': { m: 37, k: 91, n: 43, transposeB: true },
  'both transposed': { m: 37, k: 91, n: 43, transposeA: true, transposeB: true },
  'both transposed, batches': {
    ...{ aBatch: [3], bBatch: [3], m: 5, k: 33, n: 18 },
    ...{ transposeA: true, transposeB: true },
  },
};

const BASE = { m: 40, k: 150, n: 18 } satisfies Layer;

const EPILOGUES: Record<string, Layer> = {
  bias: { ...BASE, bias: [18] },
  'scalar bias': { ...BASE, bias: [] },
  'bias [1,n]': { ...BASE, bias: [1, 18] },
  relu: { ...BASE, activation: 'relu' },
  'bias and relu6': { ...BASE, bias: [18], activation: 'relu6' },
  'bias and elu': { ...BASE, bias: [18], activation: 'elu' },
  'bias and sigmoid': { ...BASE, bias: [18], activation: 'sigmoid' },
  'bias and leaky relu': { ...BASE, bias: [18], activation: 'leakyrelu' },
  'bias and prelu, a slope a column': { ...BASE, bias: [18], activation: 'prelu', alpha: [18] },
  'prelu, a slope an element': { ...BASE, activation: 'prelu', alpha: [40, 18] },
  'b transposed, bias and relu': { ...BASE, transposeB: true, bias: [18], activation: 'relu' },
};

const NUMBERS: Record<string, Layer> = {
  'zeros in a': { ...BASE, fill: a => void a.fill(0) },
  'zeros in b': { ...BASE, fill: (_, b) => void b.fill(0) },
  'greatest bytes everywhere': {
    ...{ m: 4, k: 4096, n: 8 },
    fill: (a, b) => {
      a.fill(1);
      b.fill(-1);
    },
  },
  'one outlier in a': { ...BASE, fill: a => (a[7] = -500) },
};

describe('BatchMatMul', () => {
  useMulayer();
  for (const [name, layer] of Object.entries({ ...SIZES, ...BATCHES, ...TRANSPOSED, ...NUMBERS })) {
    itInWays(name, SOME_WAYS, () => problem(layer));
  }
  itInWays('in every way', WAYS, () => problem(BASE));
  const huge = (a: Float32Array) => a.forEach((v, i) => (a[i] = v * 1e30));
  itInWays('huge numbers in a', SOME_WAYS, () => problem({ ...BASE, fill: huge }));

  it('transposes one matrix of two shapes', async () => {
    const a = tf.tensor2d([1, 2], [1, 2]);
    const b = tf.tensor2d([1, 2, 3, 4, 5, 6], [3, 2]);
    const wide = tf.reshape<tf.Rank.R2>(b, [2, 3]);
    const c = tf.tensor2d([1, 2, 3], [1, 3]);
    expectNear(await tf.matMul(a, b, false, true).data(), [5, 11, 17]);
    expectNear(await tf.matMul(c, wide, false, true).data(), [14, 32]);
  });

  it('packs one matrix of two shapes twice', async () => {
    setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'int8' });
    const ones = (shape: [number, number]) => tf.ones<tf.Rank.R2>(shape);
    const b = tf.tensor2d(new Random(1).floats(120 * 100), [120, 100]);
    const wide = tf.reshape<tf.Rank.R2>(b, [100, 120]);
    const compute = async () => [
      await tf.matMul(ones([20, 120]), b).data(),
      await tf.matMul(ones([20, 100]), wide).data(),
    ];
    const exact = await compute();
    const rounded = await compute();
    // 120 weights, each within half of 1/64.
    rounded.forEach((numbers, i) => expectNear(numbers, exact[i], 120 / 128));
  });
});

describe('_FusedMatMul', () => {
  useMulayer();
  for (const [name, layer] of Object.entries(EPILOGUES)) {
    itInWays(name, SOME_WAYS, () => problem(layer));
  }

  it('leaves a bias that is no row to tfjs', async () => {
    const a = tf.ones<tf.Rank.R2>([2, 1]);
    const b = tf.ones<tf.Rank.R2>([1, 2]);
    const bias = tf.tensor([10, 20], [2, 1]);
    expectNear(await tf.fused.matMul({ a, b, bias }).data(), [11, 11, 21, 21]);
  });
});
