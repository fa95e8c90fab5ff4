/** src/calibrate.ts: what is learned before the first prediction, and what is thrown. */
import * as tf from '@tensorflow/tfjs-core';

import { ArgumentError, UnsupportedError, calibrate, explain } from '../src/index.js';
import type { Tensors } from '../src/index.js';
import { setFlags, useMulayer } from './support.js';
import { Random } from './wasm/random';

/** At hand, so that all inferences are the same graph. */
const matrix = (seed: number, rows = 64, scale = 1): tf.Tensor2D =>
  tf.tensor2d(
    new Random(seed).floats(rows * 64).map(v => v * scale),
    [rows, 64],
  );

/** A model of two layers, large enough for int8. */
function twoLayers(): (x: tf.Tensor2D) => tf.Tensor2D {
  const [a, b] = [matrix(100, 64), matrix(101, 64)];
  return x => tf.tidy(() => tf.matMul(tf.relu<tf.Tensor2D>(tf.matMul(x, a)), b));
}

async function rowsOf(y: tf.Tensor) {
  const numbers = await y.data<'float32'>();
  y.dispose();
  return { numbers, rows: explain().layers.filter(({ macs }) => macs > 0) };
}

const BIG_BUDGET = { MULAYER_SPLIT: 'cpu', MULAYER_ERROR_BUDGET: 1 };

describe('calibrate', () => {
  useMulayer();
  beforeEach(() => setFlags(BIG_BUDGET));

  it('makes the first prediction int8', async () => {
    const model = twoLayers();
    await calibrate(model, [matrix(1)]);
    const { rows } = await rowsOf(model(matrix(2)));
    expect(rows.map(({ precision }) => precision)).toEqual(['int8', 'int8']);
    expect(rows.map(({ quantised }) => quantised)).toEqual([true, false]);
  });

  it('makes it int8 where weights are folded, too', async () => {
    const filter = tf.reshape<tf.Rank.R4>(matrix(3, 64), [1, 1, 64, 64]);
    const [mean, variance] = [
      tf.tensor1d(new Array(64).fill(0)),
      tf.tensor1d(new Array(64).fill(2)),
    ];
    const model = (x: tf.Tensor4D) =>
      tf.tidy(() => tf.relu(tf.batchNorm(tf.conv2d(x, filter, 1, 'same'), mean, variance)));
    await calibrate(model, [tf.reshape(matrix(1, 64), [1, 8, 8, 64])]);
    const { rows } = await rowsOf(model(tf.reshape(matrix(2, 64), [1, 8, 8, 64])));
    expect(rows.map(({ precision, fused }) => [precision, ...fused])).toEqual([
      ['int8', 'FusedBatchNorm', 'Relu'],
    ]);
  });

  it('learns noise from all inputs', async () => {
    // 10 rows each: too few, three times over, for a mean to be taken off.
    const noise = async (...seeds: number[]) => {
      const w = tf.tensor2d(new Random(7).floats(64 * 256), [64, 256]);
      const model = (x: tf.Tensor2D) => tf.matMul(x, w);
      await calibrate(
        model,
        seeds.map(seed => matrix(seed, 10)),
      );
      const { rows } = await rowsOf(model(matrix(1, 10)));
      return rows[0].int8Error!;
    };
    const [a, b] = [await noise(1), await noise(2)].sort((x, y) => x - y);
    const both = await noise(1, 2);
    expect(both).toBeGreaterThan(a);
    expect(both).toBeLessThan(b);
  });

  it('learns ranges from all inputs, in whatever order', async () => {
    // Of inputs as different as these a range is learned anew each time, unless it held both before.
    const seen: (readonly number[])[] = [];
    for (const scales of [
      [1, 1.7],
      [1.7, 1],
      [1.7, 1.7],
    ]) {
      const model = twoLayers();
      await calibrate(
        model,
        scales.map(scale => matrix(1, 64, scale)),
      );
      seen.push([...(await rowsOf(model(matrix(1, 64, 1.7)))).numbers]);
    }
    const [exact] = [await rowsOf(twoLayers()(matrix(1, 64, 1.7)))];
    for (const numbers of seen) {
      const difference = Math.max(...numbers.map((v, i) => Math.abs(v - exact.numbers[i])));
      expect(difference).toBeLessThan(0.05 * Math.max(...exact.numbers.map(Math.abs)));
    }
  });

  it('takes a model, a function, a promise of tensors, lists and maps of them, and streams', async () => {
    const f = twoLayers();
    const x = matrix(1);
    await calibrate({ predict: (x: tf.Tensor2D) => f(x) }, [x]);
    await calibrate(async (x: tf.Tensor2D) => Promise.resolve([f(x), tf.relu(x)]), [x]);
    await calibrate(([a, b]: tf.Tensor2D[]) => ({ y: tf.add(a, b) }), [[x, x]]);
    await calibrate(({ a }: Record<string, tf.Tensor2D>) => f(a), [{ a: x }]);
    // What is handed through is still the caller's.
    await calibrate((x: tf.Tensor2D) => x, [x]);
    async function* stream() {
      yield await Promise.resolve(x);
    }
    await calibrate(f, stream());
    expect(x.isDisposed).toBeFalse();
    const { rows } = await rowsOf(f(x));
    expect(rows.map(({ precision }) => precision)).toEqual(['int8', 'int8']);
  });

  it('names the argument that is wrong', async () => {
    const wrong = async (model: unknown, inputs: unknown, message: RegExp) =>
      expectAsync(calibrate(model as () => Tensors, inputs as Tensors[])).toBeRejectedWithError(
        ArgumentError,
        message,
      );
    const f = twoLayers();
    const x = matrix(1);
    for (const model of [undefined, null, 3, {}, { predict: 1 }]) {
      await wrong(model, [x], /^model: expected a function or a predict method, got /);
    }
    for (const inputs of [undefined, null, 3, {}, f]) {
      await wrong(f, inputs, /^inputs: expected an array or another iterable, got /);
    }
    await wrong(f, [], /^inputs: expected one at least, got none$/);
    for (const input of [undefined, 3, [], {}, [x, 3], new Float32Array(64)]) {
      await wrong(f, [x, input], /^inputs\[1\]: expected a tensor, .*, got /);
    }
    for (const result of [undefined, 3, [], {}]) {
      await wrong(() => result, [x], /^model: expected it to give tensors, got /);
    }
  });

  it('throws what the model throws, and predictions go on', async () => {
    const model = twoLayers();
    const fails = () => {
      throw new RangeError('of the model');
    };
    await expectAsync(calibrate(fails, [matrix(1)])).toBeRejectedWithError(RangeError);
    await rowsOf(model(matrix(1)));
    const { rows } = await rowsOf(model(matrix(1)));
    expect(rows.map(({ precision }) => precision)).toEqual(['int8', 'int8']);
  });

  it('wants the backend to be set', async () => {
    await tf.setBackend('cpu');
    const run = calibrate((x: tf.Tensor) => x, [tf.zeros([1])]);
    await expectAsync(run).toBeRejectedWithError(UnsupportedError, /^calibrate: expected backend/);
  });
});
