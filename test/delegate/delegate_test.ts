/**
 * src/delegate/: kernels that run on tfjs's own backends, types we do not compute on, and tensors
 * that come from another backend or go to one.
 */
import * as tf from '@tensorflow/tfjs-core';

import { kernels } from '../../kernels/table.js';
import { explain } from '../../src/index.js';
import { backend, expectNear, setFlags, useMulayer } from '../support.js';

describe('a kernel that is not ours', () => {
  useMulayer();

  it('is registered if either tfjs-cpu or tfjs-webgl has it', () => {
    const names = (name: string) => tf.getKernelsForBackend(name).map(kernel => kernel.kernelName);
    const ours = new Set(names('mulayer'));
    const theirs = [...names('cpu'), ...names('webgl')].filter(name => name !== 'FromPixels');
    expect(theirs.filter(name => !ours.has(name))).toEqual([]);
    expect([...kernels.keys()].filter(name => !ours.has(name))).toEqual([]);
  });

  it('takes pending inputs and gives what others can be computed of', async () => {
    const x = tf.relu(tf.tensor2d([3, -1, 2, 4], [2, 2]));
    const y = tf.neg(tf.cumsum(x, 1));
    expectNear(await y.data(), [-3, -3, -2, -6]);
  });

  it('with several results', async () => {
    const { values, indices } = tf.unique(tf.tensor1d([5, 7, 5], 'int32'));
    expectNear(await values.data(), [5, 7]);
    expectNear(await indices.data(), [0, 1, 0]);
  });

  it('with a list of inputs', async () => {
    const y = tf.addN([tf.relu(tf.ones([2])), tf.ones([2]), tf.neg(tf.ones([2]))]);
    expectNear(await tf.square(y).data(), [1, 1]);
  });

  it('that gives back one of its inputs', async () => {
    const x = tf.relu(tf.tensor1d([1, 2]));
    const before = backend().numDataIds();
    const y: tf.Tensor = tf.engine().runKernel('Reverse', { x: tf.scalar(3) }, { dims: [] });
    expectNear(await y.data(), [3]);
    y.dispose();
    expectNear(await tf.tile(x, [1]).data(), [1, 2]);
    expect(backend().numDataIds()).toBeGreaterThanOrEqual(before);
  });

  it('whose result has a size that depends on numbers', async () => {
    const mask = tf.greater(tf.tensor1d([1, -1, 2]), 0);
    const y = await tf.booleanMaskAsync(tf.relu(tf.tensor1d([7, 8, 9])), mask);
    expectNear(await y.data(), [7, 9]);
    const kept = await tf.image.nonMaxSuppressionAsync(
      tf.tensor2d([0, 0, 1, 1, 0, 0, 1, 0.9, 5, 5, 6, 6], [3, 4]),
      tf.relu(tf.tensor1d([0.9, 0.8, 0.7])),
      3,
    );
    expectNear(await kept.data(), [0, 2]);
  });

  it('that throws leaves nothing behind, and the backend working', async () => {
    const x = tf.relu(tf.tensor2d([0, 0, 1, 1], [2, 2]));
    const indices = tf.cast<tf.Tensor2D>(x, 'int32');
    const shape = (...numbers: number[]) => tf.tensor1d(numbers, 'int32');
    expect(() => tf.sparse.sparseReshape(indices, shape(2, 2), shape(3, 3))).toThrow();
    expectNear(await tf.neg(x).data(), [-0, -0, -1, -1]);
  });

  it('that nobody has is named', () => {
    expect(() => tf.engine().runKernel('NoSuchKernel', { x: tf.ones([1]) })).toThrowError(
      /NoSuchKernel/,
    );
  });

  it('NCHW convolutions go to tfjs, whatever it says of them', async () => {
    const x = tf.relu(tf.ones<tf.Rank.R4>([1, 2, 3, 3]));
    const w = tf.ones<tf.Rank.R4>([1, 1, 2, 1]);
    const compute = async () => {
      try {
        return await tf.conv2d(x, w, 1, 'valid', 'NCHW').data();
      } catch {
        return 'refused';
      }
    };
    const actual = await compute();
    expect(explain().delegated.Conv2D).toBe(1);
    await tf.setBackend('cpu');
    expect(actual).toEqual(await compute());
  });
});

describe('strings', () => {
  useMulayer();

  it('are kept, shaped, sliced, joined, compared', async () => {
    const x = tf.tensor2d(['a', 'bc', 'd', 'ä'], [2, 2]);
    expect(await x.array()).toEqual([
      ['a', 'bc'],
      ['d', 'ä'],
    ] as never);
    expect(await tf.reshape(x, [4]).data<'string'>()).toEqual(['a', 'bc', 'd', 'ä']);
    expect(tf.slice(x, [1, 0], [1, 2]).dataSync<'string'>() as unknown).toEqual(['d', 'ä']);
    expect(await tf.concat([x, x], 0).data<'string'>()).toEqual([
      'a',
      'bc',
      'd',
      'ä',
      'a',
      'bc',
      'd',
      'ä',
    ]);
    expectNear(await tf.equal(tf.tensor1d(['a', 'b']), tf.tensor1d(['a', 'c'])).data(), [1, 0]);
    expect(tf.tile(tf.tensor1d(['x']), [3]).dataSync<'string'>() as unknown).toEqual([
      'x',
      'x',
      'x',
    ]);
  });

  it('are split, hashed and replaced', async () => {
    const { values } = tf.string.stringSplit(tf.tensor1d(['a b', 'c']), ' ');
    expect(await values.data<'string'>()).toEqual(['a', 'b', 'c']);
    const hashes = tf.string.stringToHashBucketFast(tf.tensor1d(['x', 'y']), 10);
    expect((await hashes.data()).every(v => v >= 0 && v < 10)).toBeTrue();
    const replaced = tf.string.staticRegexReplace(tf.tensor1d(['aab']), 'a', 'c');
    expect(await replaced.data<'string'>()).toEqual(['ccb']);
  });
});

describe('complex numbers', () => {
  useMulayer();

  it('are made, taken apart, multiplied, added', async () => {
    const x = tf.complex(tf.relu(tf.tensor1d([1, 2])), tf.tensor1d([3, 4]));
    expect(x.dtype).toBe('complex64');
    expectNear(await tf.real(x).data(), [1, 2]);
    expectNear(await tf.imag(x).data(), [3, 4]);
    expectNear(await x.data(), [1, 3, 2, 4]);
    expectNear(await tf.mul(x, x).data(), [-8, 6, -12, 16]);
    expectNear(await tf.add(x, tf.tensor1d([1, 1])).data(), [2, 3, 3, 4]);
    expectNear(await tf.neg(tf.real(tf.reshape(x, [2, 1]))).data(), [-1, -2]);
  });

  it('go through Fourier transforms and back', async () => {
    const x = tf.relu(tf.tensor1d([1, 5, 2, 0, 3, 4, 2, 1]));
    expectNear(await tf.reshape(tf.irfft(tf.rfft(x)), [8]).data(), await x.data(), 1e-5);
    const spectrum = tf.fft(tf.complex(x, tf.zerosLike(x)));
    expect((await tf.real(spectrum).data())[0]).toBeCloseTo(18, 5);
  });

  it('are concatenated', async () => {
    const x = tf.complex([1, 2], [3, 4]);
    expectNear(await tf.concat([x, x]).data(), [1, 3, 2, 4, 1, 3, 2, 4]);
  });

  it('come from tfjs-cpu', async () => {
    await tf.setBackend('cpu');
    const x = tf.complex([1, 2], [3, 4]);
    await tf.setBackend('mulayer');
    expectNear(await tf.mul(x, x).data(), [-8, 6, -12, 16]);
  });
});

describe('other types', () => {
  useMulayer();

  it('integers and booleans keep their type and their numbers', async () => {
    const i = tf.tensor1d([1, -2, 2 ** 30], 'int32');
    const b = tf.tensor1d([true, false, true]);
    expectNear(await tf.add(i, i).data(), [2, -4, -(2 ** 31)]);
    expect(tf.add(i, i).dtype).toBe('int32');
    expectNear(await tf.logicalNot(b).data(), [0, 1, 0]);
    expectNear(await tf.where(b, i, tf.zerosLike(i)).data(), [1, 0, 2 ** 30]);
    expectNear(await tf.sum(b).data(), [2]);
    expectNear(await tf.mul(i, tf.scalar(0.5)).data(), [0.5, -1, 2 ** 29]);
    expect(i.dataSync()).toBeInstanceOf(Int32Array);
    expect(b.dataSync()).toBeInstanceOf(Uint8Array);
  });

  it('tensors without elements', async () => {
    const x = tf.zeros([0, 3]);
    expectNear(await tf.neg(tf.relu(x)).data(), []);
    expect(tf.matMul(tf.zeros([2, 0]), tf.zeros([0, 3])).shape).toEqual([2, 3]);
    expectNear(await tf.matMul(tf.zeros([2, 0]), tf.zeros([0, 3])).data(), [0, 0, 0, 0, 0, 0]);
    expectNear(await tf.sum(x).data(), [0]);
    expectNear(await tf.concat([x, tf.ones([1, 3])]).data(), [1, 1, 1]);
  });
});

describe('another backend', () => {
  useMulayer();

  for (const split of ['cpu', 'gpu', 0.5]) {
    it(`gives tensors and takes them back: split ${split}`, async () => {
      setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: 'float32' });
      await tf.setBackend('cpu');
      const x = tf.tensor2d(
        Array.from({ length: 60 }, (_, i) => i),
        [3, 20],
      );
      const onCpu = tf.neg(x);
      await tf.setBackend('mulayer');
      const pending = tf.relu(tf.neg(onCpu));
      const read = tf.add(pending, 1);
      const numbers = Array.from({ length: 60 }, (_, i) => i);
      expectNear(
        await read.data(),
        numbers.map(v => v + 1),
      );
      const neverRead = tf.mul(pending, 2);
      await tf.setBackend('cpu');
      expectNear(
        await tf.add(read, neverRead).data(),
        numbers.map(v => 3 * v + 1),
      );
      await tf.setBackend('mulayer');
      expectNear(await tf.sub(neverRead, pending).data(), numbers);
    });
  }

  it('takes strings, integers, booleans', async () => {
    const all = [tf.tensor1d(['a', 'b']), tf.tensor1d([1, 2], 'int32'), tf.tensor1d([true, false])];
    await tf.setBackend('cpu');
    const copies = all.map(x => tf.concat([x, x]));
    await tf.setBackend('mulayer');
    const slices = copies.map(x => tf.slice(x, 0, 2));
    for (const [i, slice] of slices.entries()) {
      expect(slice.dtype).toBe(all[i].dtype);
      expect([...(await slice.data())] as unknown).toEqual([...(await all[i].data())] as never);
    }
  });

  it('while a run is under way: it is finished first', async () => {
    const x = tf.relu(tf.ones<tf.Rank.R2>([200, 200]));
    const promise = tf.matMul(x, x).data();
    await tf.setBackend('cpu');
    expectNear(await tf.slice(tf.neg(x), [0, 0], [1, 2]).data(), [-1, -1]);
    expect((await promise)[0]).toBe(200);
  });
});
