/**
 * Bytes from layer to layer, through the public API: a small net of convolutions, pooling, two
 * branches that are concatenated, a depthwise convolution and a residual. Ranges are learned by the first
 * inference; inputs of another scale must give answers as good as if it had seen them.
 */
import * as tf from '@tensorflow/tfjs-core';

import { explain } from '../../src/index.js';
import { paysForTaps } from '../../src/processors/cpu/int8.js';
import { backend, hasGpu, setFlags, useMulayer } from '../support.js';
import { Random } from '../wasm/random';

/** Relative RMS error of int8 in this net, 0.02 when its ranges fit. */
const TOLERANCE = 0.03;

/** Rows and columns of a picture. */
const SIZE = 48;

/** @param pad of the 1x1 convolution: no number depends on it, but the key of the plan does. */
function net(pad: 'same' | 'valid' = 'same') {
  const random = new Random(1);
  const filter = (...shape: [number, number, number, number]) => {
    const [kh, kw, ci] = shape;
    const limit = 2 / Math.sqrt(kh * kw * ci);
    return tf.tensor4d(
      random.floats(tf.util.sizeFromShape(shape)).map(v => v * limit),
      shape,
    );
  };
  const [w1, w2, w3, w5] = [
    filter(3, 3, 3, 16),
    filter(1, 1, 16, 24),
    filter(3, 3, 16, 40),
    filter(1, 1, 64, 32),
  ];
  const w4 = filter(3, 3, 64, 1);
  const w6 = filter(3, 3, 32, 10);
  const w7 = filter(1, 1, 32, 32);
  const bias = tf.tensor1d(random.floats(16));
  const predict = (image: tf.Tensor4D): tf.Tensor =>
    tf.tidy(() => {
      const conv = (x: tf.Tensor4D, w: tf.Tensor4D) =>
        tf.fused.conv2d({ x, filter: w, strides: 1, pad: 'same', activation: 'relu' });
      const stem = tf.fused.conv2d({
        ...{ x: image, filter: w1, strides: 1, pad: 'same', activation: 'relu', bias },
      });
      const pooled = tf.maxPool(stem, 3, 2, 'same');
      const joined = tf.concat(
        [
          tf.fused.conv2d({ x: pooled, filter: w2, strides: 1, pad, activation: 'relu' }),
          conv(pooled, w3),
        ],
        3,
      );
      const depthwise = tf.depthwiseConv2d(joined, w4, 1, 'same');
      const middle = conv(depthwise, w5);
      const residual = tf.add(middle, conv(middle, w7));
      return tf.conv2d(residual as tf.Tensor4D, w6, 1, 'same');
    });
  const read = async (image: tf.Tensor4D) => {
    const y = predict(image);
    const numbers = Array.from(await y.data());
    y.dispose();
    return numbers;
  };
  const exact = async (image: tf.Tensor4D) => {
    const { MULAYER_PRECISION: before } = tf.env().getFlags();
    tf.env().set('MULAYER_PRECISION', 'float32');
    const numbers = await read(image);
    tf.env().set('MULAYER_PRECISION', before);
    return numbers;
  };
  return { read, exact };
}

const picture = (seed: number, scale = 1) =>
  tf.tensor4d(
    new Random(seed).floats(3 * SIZE * SIZE).map(v => v * scale),
    [1, SIZE, SIZE, 3],
  );

function error(actual: number[], exact: number[]): number {
  const power = (numbers: number[]) => numbers.reduce((sum, v) => sum + v * v, 0);
  return Math.sqrt(power(actual.map((v, i) => v - exact[i])) / power(exact));
}

const bytes = () =>
  explain()
    .layers.filter(({ quantised }) => quantised)
    .map(({ op }) => op);

describe('bytes from layer to layer', () => {
  useMulayer();
  // A forced product makes depthwise layers int8 on every machine.
  beforeEach(() =>
    setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'int8', MULAYER_DOT: 'i16' }),
  );

  it('go to all but the last layer, from the second inference on', async () => {
    const { read, exact } = net();
    const x = picture(1);
    await read(x);
    expect(bytes()).toEqual([]);
    for (let run = 0; run < 3; run++) {
      const numbers = await read(x);
      expect(bytes()).toEqual([
        ...['FusedConv2D', 'MaxPool', 'FusedConv2D', 'FusedConv2D', 'Concat'],
        ...['DepthwiseConv2dNative', 'FusedConv2D', 'FusedConv2D', 'Add'],
      ]);
      expect(error(numbers, await exact(x))).toBeLessThan(TOLERANCE);
    }
  });

  it('are written where a Concat wants them: it moves none', async () => {
    const { read } = net();
    const x = picture(1);
    for (let run = 0; run < 2; run++) await read(x);
    const { heap } = backend().cpu;
    const moved = spyOn(heap.kernels, 'copyStrided').and.callThrough();
    const before = heap.bytesUsed;
    await read(x);
    expect(bytes()).toContain('Concat');
    expect(moved).not.toHaveBeenCalled();
    expect(heap.bytesUsed).toBe(before);
  });

  it('are right where one part of a Concat has left its range, and the other has not', async () => {
    const random = new Random(8);
    const filter = (ci: number, co: number) => tf.tensor4d(random.floats(ci * co), [1, 1, ci, co]);
    const [w1, w2, w3] = [filter(3, 24), filter(3, 40), filter(64, 8)];
    const read = async (scale: number) => {
      const y = tf.tidy(() => {
        const part = (x: tf.Tensor4D, w: tf.Tensor4D) => tf.conv2d(x, w, 1, 'same');
        const parts = [part(picture(1, scale), w1), part(picture(2, 50), w2)];
        return tf.conv2d(tf.concat(parts, 3), w3, 1, 'same');
      });
      const numbers = Array.from(await y.data());
      y.dispose();
      return numbers;
    };
    tf.env().set('MULAYER_PRECISION', 'float32');
    const wanted = await read(3);
    tf.env().set('MULAYER_PRECISION', 'int8');
    for (let run = 0; run < 3; run++) await read(1);
    const { kernels } = backend().cpu.heap;
    const requantised = spyOn(kernels, 'qu8Requantise').and.callThrough();
    expect(error(await read(3), wanted)).toBeLessThan(TOLERANCE);
    expect(requantised).toHaveBeenCalled();
    requantised.calls.reset();
    expect(error(await read(3), wanted)).toBeLessThan(TOLERANCE);
    expect(requantised).not.toHaveBeenCalled();
  });

  it("with the machine's own product too, depthwise layers where that pays", async () => {
    tf.env().set('MULAYER_DOT', 'auto');
    const { read, exact } = net();
    const x = picture(1);
    for (let run = 0; run < 3; run++) await read(x);
    const isByte = bytes().includes('DepthwiseConv2dNative');
    expect(isByte).toBe(paysForTaps(backend().cpu));
    expect(bytes().slice(0, 2)).toEqual(['FusedConv2D', 'MaxPool']);
    expect(error(await read(x), await exact(x))).toBeLessThan(TOLERANCE);
  });

  for (const split of ['cpu', 0.25, 0.75])
    for (const [name, make] of Object.entries({
      'another picture': () => picture(2),
      'a picture times 10': () => picture(2, 10),
      'a picture times 0.01': () => picture(2, 0.01),
      'a picture times 1e30': () => picture(2, 1e30),
      'one huge pixel': () =>
        tf.tidy(() => {
          const pixel = tf.scatterND([[700]], [500], [3 * SIZE * SIZE]);
          return tf.add<tf.Tensor4D>(picture(2), tf.reshape(pixel, [1, SIZE, SIZE, 3]));
        }),
      'all pixels alike': () => tf.fill<tf.Rank.R4>([1, SIZE, SIZE, 3], 0.7),
    })) {
      it(`${name} gives as good an answer as if it had been observed, split ${split}`, async () => {
        if (split !== 'cpu' && !hasGpu()) pending('there is no WebGL here');
        tf.env().set('MULAYER_SPLIT', split);
        const x = make();
        const fresh = net('valid');
        const wanted = await fresh.exact(x);
        await fresh.read(x);
        // A range may be twice as wide as needed: steps of twice the size.
        const allowed = 2 * error(await fresh.read(x), wanted);

        const { read, exact } = net();
        const seen = picture(1);
        for (let run = 0; run < 3; run++) await read(seen);
        for (let run = 0; run < 2; run++) {
          expect(error(await read(x), wanted)).toBeLessThan(allowed);
        }
        // And the first picture after it.
        expect(error(await read(seen), await exact(seen))).toBeLessThan(TOLERANCE);
      });
    }

  it('all zeros give what zeros give', async () => {
    const { read, exact } = net();
    for (let run = 0; run < 3; run++) await read(picture(1));
    const zeros = tf.zeros<tf.Rank.R4>([1, SIZE, SIZE, 3]);
    const wanted = await exact(zeros);
    expect(error(await read(zeros), wanted)).toBeLessThan(TOLERANCE);
    const x = picture(3);
    expect(error(await read(x), await exact(x))).toBeLessThan(TOLERANCE);
  });

  for (const split of ['cpu', 'gpu', 0.5])
    it(`NaN and infinity come out as in float32, and the next picture is right, split ${split}`, async () => {
      if (split !== 'cpu' && !hasGpu()) pending('there is no WebGL here');
      tf.env().set('MULAYER_SPLIT', split);
      const { read, exact } = net();
      for (let run = 0; run < 3; run++) await read(picture(1));
      for (const special of [NaN, Infinity]) {
        const numbers = new Random(4).floats(3 * SIZE * SIZE);
        numbers[0] = special;
        const x = tf.tensor4d(numbers, [1, SIZE, SIZE, 3]);
        const wanted = await exact(x);
        const actual = await read(x);
        expect(actual.map(Number.isFinite)).toEqual(wanted.map(Number.isFinite));
        expect(actual.map(Number.isNaN)).toEqual(wanted.map(Number.isNaN));
        const next = picture(5);
        expect(error(await read(next), await exact(next))).toBeLessThan(TOLERANCE);
      }
    });

  it('are floats again for a result that the user keeps', async () => {
    const w = tf.tensor4d(new Random(6).floats(9 * 16 * 16), [3, 3, 16, 16]);
    const x = tf.tensor4d(new Random(7).floats(16 * 16 * 16), [1, 16, 16, 16]);
    for (let run = 0; run < 3; run++) {
      const middle = tf.conv2d(x, w, 1, 'same');
      const end = tf.conv2d(middle, w, 1, 'same');
      await end.data();
      expect(bytes()).toEqual([]);
      tf.dispose([middle, end]);
    }
  });
});
