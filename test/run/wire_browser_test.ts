/**
 * src/run/transfers.ts where results are QUInt8: what travels is bytes, a quarter of floats, and both
 * processors have the same bytes of it to one unit. Needs WebGL.
 */
import * as tf from '@tensorflow/tfjs-core';

import { explain } from '../../src/index.js';
import { backend, hasGpu, setFlags, useMulayer } from '../support.js';
import { Random } from '../wasm/random';

/** Channels of the results between convolutions; odd numbers of rows and columns. */
const [C, H, W] = [32, 23, 19];

function net() {
  const random = new Random(1);
  const filter = (ci: number, co: number) =>
    tf.tensor4d(
      random.floats(9 * ci * co).map(v => v / Math.sqrt(3 * ci)),
      [3, 3, ci, co],
    );
  const filters = [filter(C, C), filter(C, C), filter(C, C)];
  return async (x: tf.Tensor4D) => {
    const y = tf.tidy(() => filters.reduce((v, w) => tf.relu(tf.conv2d(v, w, 1, 'same')), x));
    const numbers = await y.data();
    y.dispose();
    return numbers;
  };
}

function error(actual: ArrayLike<number>, exact: ArrayLike<number>): number {
  const power = (numbers: ArrayLike<number>) =>
    Array.from(numbers).reduce((sum, v) => sum + v * v, 0);
  return Math.sqrt(power(Array.from(actual, (v, i) => v - exact[i])) / power(exact));
}

describe('the wire', () => {
  useMulayer();
  beforeEach(() => {
    if (!hasGpu()) pending('there is no WebGL here');
  });

  for (const split of [0.25, 0.5, 0.75]) {
    it(`carries bytes between int8 layers that are split, counted, split ${split}`, async () => {
      const x = tf.tensor4d(new Random(2).floats(H * W * C), [1, H, W, C]);
      const read = net();
      setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: 'float32' });
      const wanted = await read(x);
      await read(x);
      const floats = explain().layers;
      setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: 'int8' });
      for (let run = 0; run < 4; run++) {
        expect(error(await read(x), wanted)).toBeLessThan(run === 0 ? 2e-3 : 0.03);
      }
      const { layers } = explain();
      expect(layers.map(({ where, quantised }) => [where, quantised])).toEqual([
        ['split', true],
        ['split', true],
        ['split', false],
      ]);
      // The first layer has its input, and its weights, already.
      expect(layers[0].readbacks).toBe(0);
      const pixels = H * W;
      for (const row of [1, 2]) {
        const { bytesToGpu, bytesFromGpu, readbacks } = layers[row];
        expect(readbacks).toBe(1);
        // The CPU's slice.
        expect(bytesToGpu).toBe(pixels * C * split);
        expect(bytesToGpu * 4).toBe(floats[row].bytesToGpu);
        // The GPU's, its range, and what makes a rectangle of it.
        const most = pixels * C * (1 - split) + 12 * Math.ceil(Math.sqrt(pixels * C));
        expect(bytesFromGpu).toBeGreaterThan(pixels * C * (1 - split));
        expect(bytesFromGpu).toBeLessThan(most);
        expect(bytesFromGpu * 3).toBeLessThan(floats[row].bytesFromGpu);
      }
    });
  }

  it('all programs for bytes are being compiled before the first of them draws', async () => {
    const { context } = backend().gpu!;
    if (!context) return;
    setFlags({ MULAYER_SPLIT: 0.5, MULAYER_PRECISION: 'int8' });
    // A window of its own, so that its programs are not there yet.
    const w = tf.tensor4d(new Random(8).floats(8 * C * C), [4, 2, C, C]);
    const x = tf.tensor4d(new Random(2).floats(H * W * C), [1, H, W, C]);
    const read = async () => {
      const y = tf.tidy(() => tf.conv2d(tf.conv2d(x, w, 1, 'same'), w, 1, 'same'));
      await y.data();
      y.dispose();
    };
    await read();
    const late: string[] = [];
    let begun = 0;
    const prepare = context.prepare.bind(context);
    spyOn(context.gl, 'createProgram').and.callThrough();
    spyOn(context, 'prepare').and.callFake(source => {
      const before = (context.gl.createProgram as jasmine.Spy).calls.count();
      prepare(source);
      const isNew = (context.gl.createProgram as jasmine.Spy).calls.count() > before;
      if (isNew) begun++;
      if (isNew && !context.isRehearsing) late.push(source.name);
    });
    await read();
    expect(explain().layers[0].quantised).toBeTrue();
    expect(begun).toBeGreaterThan(0);
    expect(late).toEqual([]);
  });

  it('a slice of the GPU that leaves the range comes as floats, and the range is learned', async () => {
    setFlags({ MULAYER_SPLIT: 0.5, MULAYER_PRECISION: 'int8' });
    const random = new Random(3);
    // The GPU computes the second half of the channels, which see channel 0 of x alone.
    const w = random.floats(C * C).map((v, i) => (i % C < C / 2 === i < C ? 0 : v));
    const filter = tf.tensor4d(w, [1, 1, C, C]);
    const last = tf.tensor4d(random.floats(9 * C * C), [3, 3, C, C]);
    const read = async (x: tf.Tensor4D) => {
      const y = tf.tidy(() => tf.conv2d(tf.conv2d(x, filter, 1, 'same'), last, 1, 'same'));
      const numbers = await y.data();
      y.dispose();
      return numbers;
    };
    const picture = (factor: number) =>
      tf.tensor4d(
        new Random(4).floats(H * W * C).map((v, i) => (i % C === 0 ? factor * v : v)),
        [1, H, W, C],
      );
    for (let run = 0; run < 3; run++) await read(picture(1));
    const download = spyOn(backend().gpu!, 'download').and.callThrough();
    await read(picture(1));
    const usual = download.calls.count();
    const x = picture(15);
    const numbers = [await read(x), await read(x), await read(x)];
    // Of the first of them once more, and then of no other.
    expect(download.calls.count()).toBe(4 * usual + 1);
    setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'float32' });
    const wanted = await read(x);
    for (const got of numbers) expect(error(got, wanted)).toBeLessThan(0.03);
  });

  it('the processors have the same bytes of one tensor, to one unit', () => {
    const gpu = backend().gpu!;
    const { cpu } = backend();
    const shape = [1, 7, 9, 10];
    const spec = { shape, dtype: 'float32' as const };
    const numbers = new Random(5).floats(630).map(v => 3 * v);
    const { kernels } = cpu.heap;
    const quantisation = { scale: 6 / 255, zero: 128 };
    const { scale, zero } = quantisation;
    const mine = cpu.upload(numbers, spec);
    const wanted = cpu.withScratch(630, to => {
      kernels.f32ToQu8(mine.address(), 7, 9, 10, 0, 0, 7, 9, 1 / scale, zero, 0, to);
      return cpu.heap.u8(to, 630).slice();
    });
    mine.free();
    for (const half of [true, false]) {
      gpu.half = half;
      const theirs = gpu.upload(numbers, spec);
      const bytes = new Uint8Array(gpu.downloadLength(theirs)!);
      gpu.downloadBytes(theirs, quantisation, bytes);
      theirs.free();
      const differences = wanted.map((q, i) => Math.abs(q - bytes[i]));
      expect(Math.max(...differences)).toBeLessThanOrEqual(1);
      // Only ties and what halves round across them.
      expect(differences.filter(d => d > 0).length).toBeLessThan(half ? 30 : 3);
    }
    gpu.half = true;
  });
});
