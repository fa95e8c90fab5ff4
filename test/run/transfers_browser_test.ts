/**
 * src/run/transfers.ts: what travels between the processors, and that it arrives. Needs WebGL.
 */
import * as tf from '@tensorflow/tfjs-core';

import { explain } from '../../src/index.js';
import { backend, expectNear, grid, hasGpu, setFlags, useMulayer } from '../support.js';

/** 4 bytes a number. */
const FLOAT = 4;

/** [op, where, bytesToGpu, bytesFromGpu, readbacks] of each row. */
const traffic = () =>
  explain().layers.map(row => [
    ...[row.op, row.where],
    ...[row.bytesToGpu, row.bytesFromGpu, row.readbacks],
  ]);

describe('transfers', () => {
  useMulayer();
  beforeEach(() => {
    if (!hasGpu()) pending('there is no WebGL here');
  });

  it('nothing travels on the CPU', async () => {
    setFlags({ MULAYER_SPLIT: 'cpu' });
    await tf.neg(tf.relu(tf.ones([4, 32]))).data();
    expect(traffic()).toEqual([
      ['Relu', 'cpu', 0, 0, 0],
      ['Neg', 'cpu', 0, 0, 0],
    ]);
  });

  it('a chain on the GPU uploads once and reads nothing back', async () => {
    setFlags({ MULAYER_SPLIT: 'gpu', MULAYER_PRECISION: 'float32' });
    const y = tf.neg(tf.relu(tf.ones([4, 32])));
    expectNear(await y.data(), new Array(128).fill(-1));
    expect(traffic()).toEqual([
      ['Relu', 'gpu', 4 * 32 * FLOAT, 0, 0],
      ['Neg', 'gpu', 0, 0, 0],
    ]);
  });

  it('a tensor that comes again is on the GPU already', async () => {
    setFlags({ MULAYER_SPLIT: 'gpu', MULAYER_PRECISION: 'float32' });
    const x = tf.ones([4, 32]);
    await tf.relu(x).data();
    await tf.relu(x).data();
    expect(traffic()).toEqual([['Relu', 'gpu', 0, 0, 0]]);
  });

  it('slices stay where they are from layer to layer', async () => {
    setFlags({ MULAYER_SPLIT: 0.5, MULAYER_PRECISION: 'float32' });
    const x = tf.tensor(grid(4 * 32), [4, 32]);
    expectNear(
      await tf.neg(tf.square(tf.relu(x))).data(),
      grid(4 * 32).map(v => -v * v),
      1e-5,
    );
    expect(traffic()).toEqual([
      // The GPU's half of the channels.
      ['Relu', 'split', 4 * 16 * FLOAT, 0, 0],
      ['Square', 'split', 0, 0, 0],
      ['Neg', 'split', 0, 0, 0],
    ]);
  });

  it('the next layer needs all of it: one read-back, one upload', async () => {
    setFlags({ MULAYER_SPLIT: 0.5, MULAYER_PRECISION: 'float32' });
    const [a, b] = [tf.ones([4, 16]), tf.ones([16, 32])];
    const y = tf.matMul(tf.relu(a), b);
    expectNear(await y.data(), new Array(128).fill(16));
    const [, product] = explain().layers;
    expect(product.where).toBe('split');
    expect([product.bytesFromGpu, product.readbacks]).toEqual([4 * 8 * FLOAT, 1]);
    // The CPU's half of a, and the GPU's half of the columns of b.
    expect(product.bytesToGpu).toBe((4 * 8 + 16 * 16) * FLOAT);
  });

  it('a layer that cannot be split reads its input back once', async () => {
    setFlags({ MULAYER_SPLIT: 0.5, MULAYER_PRECISION: 'float32' });
    const y = tf.softmax(tf.relu(tf.ones([4, 32])));
    expectNear(await y.data(), new Array(128).fill(1 / 32), 1e-6);
    expect(traffic()[1]).toEqual(['Softmax', 'cpu', 0, 4 * 16 * FLOAT, 1]);
  });

  it('what was made in 16 bits is not mixed with 32', async () => {
    const x = tf.tensor(grid(64), [2, 32]);
    const odd = tf.add(x, 1 / 4096);
    for (const [precision, split] of [
      ['int8', 'gpu'],
      ['float32', 'gpu'],
      ['int8', 0.5],
      ['float32', 0.5],
      ['int8', 0.25],
      ['float32', 'gpu'],
    ] as const) {
      setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: precision });
      const y = tf.neg(tf.relu(x));
      expectNear(
        await y.data(),
        grid(64).map(v => -v),
      );
      const z = tf.neg(odd);
      const wanted = odd.dataSync().map(v => -v);
      expectNear(await z.data(), wanted, precision === 'int8' ? 2 ** -7 : 0);
    }
  });

  it('a split result that is pending is used whole, in slices, and reshaped', async () => {
    setFlags({ MULAYER_SPLIT: 0.5, MULAYER_PRECISION: 'float32' });
    const numbers = grid(4 * 32);
    const y = tf.relu(tf.tensor(numbers, [4, 32]));
    const whole = tf.sum(y, 1);
    const sliced = tf.slice(y, [0, 10], [4, 12]);
    const reshaped = tf.max(tf.reshape(y, [8, 16]), 0);
    expectNear(
      await whole.data(),
      [0, 1, 2, 3].map(row => numbers.slice(32 * row, 32 * row + 32).reduce((a, b) => a + b)),
      1e-4,
    );
    expectNear(
      await sliced.data(),
      [0, 1, 2, 3].flatMap(row => [...numbers.slice(32 * row + 10, 32 * row + 22)]),
    );
    expectNear(
      await reshaped.data(),
      Array.from({ length: 16 }, (_, i) =>
        Math.max(...Array.from({ length: 8 }, (_, row) => numbers[16 * row + i])),
      ),
    );
  });

  for (const split of ['gpu', 0.5]) {
    it(`what the GPU refuses goes to the CPU and is not tried again: split ${split}`, async () => {
      setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: 'float32' });
      const warn = spyOn(console, 'warn');
      const run = spyOn(backend().gpu!, 'run').and.throwError('out of textures');
      for (let i = 0; i < 3; i++) {
        // A graph of its own for each split.
        const y = tf.pad(tf.sqrt(tf.ones([4, 32])), [
          [0, split === 'gpu' ? 1 : 2],
          [0, 0],
        ]);
        expect((await y.data())[0]).toBe(1);
        for (const row of explain().layers) {
          expect([row.where, row.p, row.precision]).toEqual(['cpu', 1, 'float32']);
        }
      }
      // Once for each of the two nodes.
      expect(run).toHaveBeenCalledTimes(2);
      expect(warn).toHaveBeenCalledTimes(2);
    });
  }

  it('layer: a large layer goes whole to the GPU, a small one stays on the CPU', async () => {
    setFlags({ MULAYER_SPLIT: 'layer', MULAYER_PRECISION: 'float32' });
    const large = tf.ones<tf.Rank.R2>([300, 300]);
    const y = tf.matMul(tf.relu(tf.matMul(large, large)), tf.ones([300, 2]));
    expectNear(await y.data(), new Array(600).fill(90_000));
    expect(traffic().map(([op, where]) => [op, where])).toEqual([
      ['BatchMatMul', 'gpu'],
      ['Relu', 'gpu'],
      ['BatchMatMul', 'cpu'],
    ]);
  });

  describe('auto', () => {
    let isCompiling: jasmine.Spy<() => boolean>;
    beforeEach(() => {
      if (!hasGpu()) return;
      // As if it were a real one.
      spyOnProperty(backend().gpu!, 'isSoftware').and.returnValue(false);
      isCompiling = spyOnProperty(backend().gpu!, 'isCompiling').and.returnValue(false);
      setFlags({ MULAYER_SPLIT: 'auto', MULAYER_PRECISION: 'float32', MULAYER_THREADS: 1 });
    });

    /** Where so many runs of a graph were; another width, another graph. */
    async function whereIn(runs: number, width: number): Promise<string[]> {
      const [a, b] = [tf.ones<tf.Rank.R2>([280, 290]), tf.ones<tf.Rank.R2>([290, width])];
      const seen: string[] = [];
      for (let run = 0; run < runs; run++) {
        const y = tf.tidy(() => tf.relu(tf.matMul(a, b)));
        expect((await y.data()).every(v => v === 290)).toBeTrue();
        y.dispose();
        seen.push(explain().layers[0].where);
      }
      tf.dispose([a, b]);
      return seen;
    }

    it('tries the CPU, the GPU and both, and stays with one way; the answers are the same', async () => {
      const seen = await whereIn(28, 288);
      expect(seen.slice(0, 7)).toEqual(['cpu', 'cpu', 'cpu', 'cpu', 'gpu', 'gpu', 'gpu']);
      expect(new Set(seen.slice(22)).size).toBe(1);
      const splits = explain().tried.map(({ split }) => split);
      expect(splits.slice(0, 2)).toEqual(['cpu', 'gpu']);
    });

    it('goes on with what it knows while programs are being compiled', async () => {
      isCompiling.and.returnValue(true);
      expect(await whereIn(9, 304)).toEqual(new Array(9).fill('cpu'));
      isCompiling.and.returnValue(false);
      expect((await whereIn(8, 304)).slice(0, 3)).toContain('gpu');
    });
  });

  it('a user of tfjs-webgl keeps the format of the textures', async () => {
    const flag = () => tf.env().getBool('WEBGL_RENDER_FLOAT32_ENABLED');
    const before = flag();
    setFlags({ MULAYER_SPLIT: 'gpu', MULAYER_PRECISION: 'int8' });
    await tf.neg(tf.ones([4])).data();
    expect(flag()).toBe(before);
    await tf.setBackend('webgl');
    const exact = 1 + 2 ** -20;
    expectNear(
      await tf.neg(tf.neg(tf.fill([4], exact))).data(),
      new Array(4).fill(exact),
      before ? 0 : 1e-3,
    );
  });
});
