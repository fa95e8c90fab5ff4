/**
 * Numbers beyond 16 bits on the GPU: inputs, weights, results, and what only goes through them. The
 * run is repeated in 32 bits, where they are what they are on the CPU, and so are infinity and NaN; the
 * next run of the graph begins there. Needs WebGL.
 */
import * as tf from '@tensorflow/tfjs-core';

import { explain } from '../../src/index.js';
import { expectNear, hasGpu, setFlags, useMulayer } from '../support.js';
import { Random } from '../wasm/random';

const random = (seed: number, size: number, factor = 1) =>
  new Random(seed).floats(size).map(v => v * factor);

type Image = tf.Tensor4D;

const conv = (x: Image, factor: number, size = 3) =>
  tf.conv2d(
    x,
    tf.tensor4d(random(7, size * size * 16 * 16, factor), [size, size, 16, 16]),
    1,
    'same',
  );

/** Factor of the input, and what is made of it. */
const PROBLEMS: Record<string, [factor: number, make: (x: Image) => tf.Tensor]> = {
  'an input of 1e6': [1e6, x => tf.relu(x)],
  'an input of 1e6 that a small weight makes small': [1e6, x => conv(x, 1e-6)],
  'weights of 1e6': [1e-3, x => conv(x, 1e6)],
  'weights of 1e6, a matrix': [1e-3, x => conv(x, 1e6, 1)],
  'a result of 1e6': [1e3, x => conv(x, 1e3)],
  'a result in the middle, of which there is no more': [
    300,
    x => tf.rsqrt(tf.add(tf.square(x), 1e5)),
  ],
  'a reciprocal': [1, x => tf.reciprocal(tf.add(tf.square(conv(x, 1e3)), 1e6))],
  clipped: [1e5, x => tf.mul(tf.clipByValue(tf.sub(x, 1e5), -2e5, 5), 1e-5)],
  'sums that cancel': [1e3, x => tf.sub(tf.mul(tf.add(x, 500), 1e3), tf.mul(x, 1e3))],
  'a pool': [1e5, x => tf.maxPool(tf.neg(x), 3, 2, 'same')],
  'a mean': [6e4, x => tf.mean(tf.mul(x, 3), [1, 2])],
  infinity: [1e30, x => tf.div(1, tf.square(x))],
};

describe('beyond 16 bits', () => {
  useMulayer();
  beforeEach(() => {
    if (!hasGpu()) pending('there is no WebGL here');
  });

  async function numbersOf(make: () => tf.Tensor) {
    const y = tf.tidy(make);
    const numbers = await y.data();
    y.dispose();
    return numbers;
  }

  for (const split of ['gpu', 0.5]) {
    for (const [name, [factor, make]] of Object.entries(PROBLEMS)) {
      it(`${name}: as on the CPU, split ${split}`, async () => {
        const x = tf.tensor4d(random(2, 7 * 9 * 16, factor), [1, 7, 9, 16]);
        setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'float32' });
        const wanted = await numbersOf(() => make(x));
        setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: 'auto' });
        for (let run = 0; run < 3; run++) {
          const got = await numbersOf(() => make(x));
          const rows = explain().layers.filter(({ where }) => where === 'gpu');
          expect(rows.every(({ precision }) => precision === 'float32')).toBeTrue();
          const largest = Math.max(...wanted.map(Math.abs).filter(Number.isFinite));
          // Layers of a split run are in int8 on the CPU; elsewhere sums are rounded.
          const error = split === 'gpu' ? 1e-5 : 0.02;
          expectNear(got, wanted, i => 1e-4 * Math.abs(wanted[i]) + error * largest);
        }
      });
    }

    it(`infinity and NaN stay what they are, split ${split}`, async () => {
      const numbers = random(3, 7 * 9 * 16);
      numbers.set([Infinity, -Infinity, NaN, 1e6], 30);
      const x = tf.tensor4d(numbers, [1, 7, 9, 16]);
      setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: 'auto' });
      for (let run = 0; run < 2; run++) {
        expect([...(await numbersOf(() => tf.neg(x)))]).toEqual([...numbers.map(v => -v)]);
      }
    });

    it(`a result that is kept on the GPU is right for the graph that reads it later, split ${split}`, async () => {
      setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: 'auto' });
      const x = tf.tensor4d(random(4, 7 * 9 * 16, 1e3), [1, 7, 9, 16]);
      const squared = tf.square(x);
      const scaled = tf.mul(squared, 2);
      await scaled.data();
      const back = tf.sqrt(squared);
      expectNear(await back.data(), x.dataSync().map(Math.abs), 1e-1);
      expectNear(await squared.data(), x.dataSync().map(v => v * v), i => 1e-5 * x.dataSync()[i] ** 2); // prettier-ignore
    });

    it(`numbers that 16 bits hold stay in them, split ${split}`, async () => {
      setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: 'auto' });
      const x = tf.tensor4d(random(5, 7 * 9 * 16, 6e4), [1, 7, 9, 16]);
      await numbersOf(() => tf.relu(tf.neg(tf.abs(x))));
      const rows = explain().layers;
      if (split === 'gpu') expect(rows.every(({ precision }) => precision === 'f16')).toBeTrue();
      expect(rows.length).toBe(3);
    });
  }

  for (const [name, value] of [
    ['minus infinity', -Infinity],
    ['the smallest float', -3.4028234663852886e38],
  ] as const) {
    it(`an image padded with ${name} for a maximum stays in 16 bits`, async () => {
      setFlags({ MULAYER_SPLIT: 'gpu', MULAYER_PRECISION: 'auto' });
      const x = tf.tensor4d(random(8, 7 * 9 * 16), [1, 7, 9, 16]);
      const make = () => {
        const around: [number, number][] = [[0, 0], [1, 1], [1, 1], [0, 0]]; // prettier-ignore
        return tf.maxPool(tf.pad<Image>(x, around, value), 3, 2, 'valid');
      };
      for (let run = 0; run < 2; run++) {
        const got = await numbersOf(make);
        expect(explain().layers.map(({ precision }) => precision)).toEqual(['f16', 'f16']);
        const wanted = await numbersOf(() => tf.maxPool(x, 3, 2, 'same'));
        expectNear(got, wanted, 2 ** -10);
      }
      const padded = await numbersOf(() => tf.pad(x, [[0, 0], [1, 0], [0, 0], [0, 0]], value)); // prettier-ignore
      expect(padded[0]).toBe(Math.fround(value));
    });
  }

  it('an input of another scale than before is right too, and so is the one after it', async () => {
    setFlags({ MULAYER_SPLIT: 'gpu', MULAYER_PRECISION: 'auto' });
    const x = (factor: number) => tf.tensor4d(random(6, 7 * 9 * 16, factor), [1, 7, 9, 16]);
    const read = (image: Image) => numbersOf(() => tf.sqrt(tf.square(conv(image, 1))));
    for (let run = 0; run < 2; run++) await read(x(1));
    expect(explain().layers[0].precision).toBe('f16');
    const small = await read(x(1));
    const large = await read(x(1e4));
    expect(explain().layers[0].precision).toBe('float32');
    expectNear(
      large,
      small.map(v => v * 1e4),
      i => 5e-3 * large[i] + 100,
    );
    expectNear(await read(x(1)), small, i => 5e-3 * small[i] + 0.01);
  });
});
