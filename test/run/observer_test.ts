/**
 * src/run/observer.ts, and what `src/run/executor.ts` does with it: each model, each cut and each kind
 * of input has the corrections that were measured on it.
 */
import * as tf from '@tensorflow/tfjs-core';

import { explain } from '../../src/index.js';
import { meanDifference } from '../../src/passes/precision.js';
import { expectNear, hasGpu, setFlags, useMulayer } from '../support.js';
import { Random } from '../wasm/random';

const ROWS = 256;
const DEPTH = 64;

/** All positive, as pictures and what is behind a ReLU: rounded weights then add up in the mean. */
const picture = (seed = 1): Float32Array =>
  new Random(seed).floats(ROWS * DEPTH).map(v => Math.abs(v) + 0.25);

const weights = (seed: number, channels = DEPTH): tf.Tensor2D =>
  tf.tensor2d(new Random(seed).floats(DEPTH * channels), [DEPTH, channels]);

/** relu(x [256,64] * a [64,64]) * b [64,channels] */
interface Net {
  a: tf.Tensor2D;
  b: tf.Tensor2D;
}
const net = (seed = 10, channels = DEPTH): Net => ({
  a: weights(seed),
  b: weights(seed + 1, channels),
});

async function infer({ a, b }: Net, x: Float32Array) {
  const y = tf.tidy(() =>
    tf.matMul(tf.relu<tf.Tensor2D>(tf.matMul(tf.tensor2d(x, [ROWS, DEPTH]), a)), b),
  );
  const numbers = await y.data<'float32'>();
  y.dispose();
  const rows = explain().layers.filter(({ macs }) => macs > 0);
  return { numbers, precisions: rows.map(({ precision }) => precision), rows };
}

async function exactly(model: Net, x: Float32Array): Promise<Float32Array> {
  tf.env().set('MULAYER_PRECISION', 'float32');
  const { numbers } = await infer(model, x);
  tf.env().set('MULAYER_PRECISION', 'auto');
  return numbers;
}

const rms = (of: ArrayLike<number>) =>
  Math.sqrt(Array.from(of).reduce((sum, v) => sum + v * v, 0) / of.length);

/** RMS of the difference, over that of what is exact; 0 of zeros. */
function errorOf(exact: Float32Array, numbers: Float32Array): number {
  // In units of the largest, whose square may be infinite.
  const unit = exact.reduce((most, v) => Math.max(most, Math.abs(v)), 0) || 1;
  const signal = rms(exact.map(v => v / unit)) || 1;
  return rms(numbers.map((v, i) => (v - exact[i]) / unit)) / signal;
}

const BOTH_INT8 = ['int8', 'int8'] as const;
const setUp = (flags: Record<string, string | number> = {}) =>
  setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_ERROR_BUDGET: 1, ...flags });

describe('corrections', () => {
  useMulayer();

  it('are those of the model, where two of one structure take turns', async () => {
    setUp();
    const models = [net(10), net(20)];
    const errors: Record<string, number[]> = {};
    for (const precision of ['int8', 'auto']) {
      errors[precision] = [];
      for (let turn = 0; turn < 4; turn++) {
        for (const [i, model] of models.entries()) {
          const exact = await exactly(model, picture());
          tf.env().set('MULAYER_PRECISION', precision);
          const { numbers, precisions } = await infer(model, picture());
          if (turn < 3) continue;
          expect(precisions).toEqual([...BOTH_INT8]);
          errors[precision][i] = rms(meanDifference(exact, numbers, DEPTH));
        }
      }
    }
    for (const i of [0, 1]) expect(errors.auto[i]).toBeLessThan(0.25 * errors.int8[i]);
  });

  // 12 columns: where 7-bit weights are the rule, the whole takes 8 bits and a slice of 6 would not.
  for (const channels of [12, DEPTH]) {
    it(`are cut with the ${channels} channels of a layer`, async () => {
      const single = async (w: tf.Tensor2D) => {
        const y = tf.matMul(tf.tensor2d(picture(), [ROWS, DEPTH]), w);
        const numbers = await y.data<'float32'>();
        return { numbers, row: explain().layers[0] };
      };
      const run = async (split: 'cpu' | number) => {
        setUp({ MULAYER_SPLIT: split });
        const w = weights(3, channels);
        await single(w);
        return single(w);
      };
      const { numbers: whole, row } = await run('cpu');
      expect(row.precision).toBe('int8');
      for (const split of [0.25, 0.5, 0.75]) {
        const { numbers, row } = await run(split);
        expect(row.where).toBe(hasGpu() ? 'split' : 'cpu');
        const cut = Math.round(row.p * channels);
        // The GPU's part is in 16-bit floats.
        numbers.forEach((v, i) => {
          if (i % channels < cut && v !== whole[i]) fail(`element ${i}: ${v}, was ${whole[i]}`);
        });
      }
    });
  }
});

const times = (factor: number) => picture(2).map(v => v * factor);
const KINDS: Record<string, () => Float32Array> = {
  'another picture': () => picture(2),
  'ten times as large': () => times(10),
  'a hundredth': () => times(0.01),
  'times 1e30': () => times(1e30),
  'all zeros': () => new Float32Array(ROWS * DEPTH),
  'one huge pixel': () => picture(2).map((v, i) => (i < DEPTH ? v * 1e6 : v)),
  'one hopeless pixel': () => picture(2).map((v, i) => (i === 777 ? 1e30 : v)),
  grey: () => new Float32Array(ROWS * DEPTH).fill(0.5),
};

describe('an input of another kind', () => {
  useMulayer();

  for (const dot of ['auto', 'usdot7', 'i16']) {
    for (const [name, make] of Object.entries(KINDS)) {
      for (const order of ['after a picture', 'before one'] as const) {
        it(`${name}, ${order}: both come as near to float32 as observed afresh: ${dot}`, async () => {
          setUp({ MULAYER_DOT: dot });
          const [first, second] =
            order === 'after a picture' ? [picture(), make()] : [make(), picture()];
          const model = net();
          for (let run = 0; run < 3; run++) await infer(model, first);
          for (const x of [second, second, second, first, second]) {
            const exact = await exactly(model, x);
            const fresh = net();
            let best = 0;
            for (let run = 0; run < 3; run++) {
              best = Math.max(best, errorOf(exact, (await infer(fresh, x)).numbers));
            }
            const { numbers } = await infer(model, x);
            expect(errorOf(exact, numbers)).toBeLessThanOrEqual(1.25 * best + 1e-6);
          }
        });
      }
    }
  }

  it('is int8 again from the second time on, and so is the first kind', async () => {
    setUp();
    const model = net();
    for (let run = 0; run < 2; run++) await infer(model, picture());
    expect((await infer(model, times(10))).precisions).toEqual(['float32', 'float32']);
    for (const factor of [10, 1, 10, 1]) {
      expect((await infer(model, times(factor))).precisions).toEqual([...BOTH_INT8]);
    }
  });

  it('gives the same with dataSync', async () => {
    setUp();
    const model = net();
    for (let run = 0; run < 2; run++) await infer(model, picture());
    const exact = await exactly(model, times(10));
    const y = tf.tidy(() =>
      tf.matMul(
        tf.relu<tf.Tensor2D>(tf.matMul(tf.tensor2d(times(10), [ROWS, DEPTH]), model.a)),
        model.b,
      ),
    );
    expectNear(y.dataSync(), exact, 1e-3);
  });
});

describe('a layer in float32 before one in int8', () => {
  useMulayer();

  /** Large weights of what is always 0: in 8 bits nothing is left of the others. */
  const noisy = (): Net => {
    const model = net();
    const a = model.a.dataSync<'float32'>().map((v, i) => (i < DEPTH ? 1000 : v));
    return { ...model, a: tf.tensor2d(a, [DEPTH, DEPTH]) };
  };
  const blank = (x: Float32Array) => x.map((v, i) => (i % DEPTH === 0 ? 0 * v : v));

  it('writes bytes, in a range that is guarded', async () => {
    setUp({ MULAYER_ERROR_BUDGET: 0.5, MULAYER_PRECISION: 'auto' });
    const model = noisy();
    const usual = blank(picture());
    for (let run = 0; run < 4; run++) await infer(model, usual);
    const { rows, precisions } = await infer(model, usual);
    expect(precisions).toEqual(['float32', 'int8']);
    expect(rows[0].quantised).toBeTrue();
    for (const times of [1, 10, 0.01, 1e30, 0, 1]) {
      const x = usual.map(v => v * times);
      const { numbers } = await infer(model, x);
      const error = errorOf(await exactly(model, x), numbers);
      expect(error).withContext(`x ${times}`).toBeLessThan(0.02);
    }
  });

  it('tells NaNs from bytes', async () => {
    setUp({ MULAYER_ERROR_BUDGET: 0.5, MULAYER_PRECISION: 'auto' });
    const model = noisy();
    const usual = blank(picture());
    for (let run = 0; run < 5; run++) await infer(model, usual);
    const x = usual.slice();
    x[5 * DEPTH + 7] = NaN;
    const [{ numbers }, wanted] = [await infer(model, x), await exactly(model, x)];
    wanted.forEach((v, i) => {
      if (Number.isNaN(v) !== Number.isNaN(numbers[i])) fail(`element ${i}: ${numbers[i]}`);
    });
    expect(errorOf(await exactly(model, usual), (await infer(model, usual)).numbers)).toBeLessThan(
      0.02,
    );
  });
});
