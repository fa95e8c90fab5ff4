/**
 * src/backend.ts: kernels record, reading runs; what is counted, and what is given back.
 */
import * as tf from '@tensorflow/tfjs-core';

import { DisposedError, explain } from '../src/index.js';
import { CpuProcessor } from '../src/processors/cpu/processor.js';
import {
  backend,
  expectNear,
  hasGpu,
  heapBytes,
  operations,
  registerAs,
  setFlags,
  useMulayer,
} from './support.js';
import { Random } from './wasm/random';

/** A product of 2 million multiply-accumulates: heavy enough for a warm-up. */
function heavy(seed = 1): tf.Tensor2D {
  return tf.tensor2d(new Random(seed).floats(128 * 128), [128, 128]);
}

/** Runs a graph that can be told from any other, so that a run since then shows in the report. */
async function mark(): Promise<string[]> {
  await tf.step(tf.tensor1d([1])).data();
  return ['Step'];
}

/** A chain of products that takes longer than one turn of a run: some 40 ms on a fast machine. */
function long(x: tf.Tensor2D, length = 60): tf.Tensor2D {
  return tf.tidy(() => {
    const w = tf.eye(256);
    let y: tf.Tensor2D = x;
    for (let i = 0; i < length; i++) y = tf.matMul(y, w);
    return y;
  });
}

const square = () => tf.tensor2d(new Random(1).floats(256 * 256), [256, 256]);

describe('capture', () => {
  useMulayer();

  it('runs nothing before anything is read', async () => {
    const marked = await mark();
    const x = tf.tensor1d([1, -2]);
    const y = tf.neg(tf.relu(x));
    expect(operations()).toEqual(marked);
    expectNear(await y.data(), [-1, -0]);
    expect(operations()).toEqual(['Relu', 'Neg']);
  });

  it('runs all outputs of a model as one graph', async () => {
    const x = tf.relu(tf.tensor1d([1, 2]));
    const [a, b] = [tf.neg(x), tf.exp(x)];
    expectNear(await a.data(), [-1, -2]);
    expect(operations()).toEqual(['Relu', 'Neg', 'Exp']);
    expectNear(await b.data(), [Math.E, Math.E ** 2], 1e-5);
    expect(operations()).toEqual(['Relu', 'Neg', 'Exp']);
  });

  it('never runs what nobody can reach', async () => {
    const x = tf.tensor1d([1, 2]);
    const kept = tf.neg(x);
    tf.tidy(() => void tf.exp(tf.sqrt(x)));
    await kept.data();
    expect(operations()).toEqual(['Neg']);
  });

  it('keeps what is reachable through a result alone', async () => {
    const y = tf.tidy(() => tf.neg(tf.relu(tf.exp(tf.zeros([2])))));
    expectNear(await y.data(), [-1, -1]);
    expect(operations()).toEqual(['Exp', 'Relu', 'Neg']);
  });

  it('takes what one tensor is used for twice once', async () => {
    const x = tf.relu(tf.tensor1d([3]));
    expectNear(await tf.mul(x, tf.add(x, x)).data(), [18]);
    expect(operations()).toEqual(['Relu', 'Add', 'Multiply']);
  });

  it('uses the numbers a variable had at the call', async () => {
    const v = tf.variable(tf.tensor1d([1]));
    const y = tf.neg(v);
    v.assign(tf.tensor1d([5]));
    expectNear(await y.data(), [-1]);
    expectNear(await tf.neg(v).data(), [-5]);
    v.dispose();
  });

  it('uses the numbers an array held when the tensor was made of it', async () => {
    const array = Float32Array.of(1, 2);
    const buffer = tf.buffer([2], 'float32', Float32Array.of(3, 4));
    const y = tf.concat([tf.neg(tf.tensor1d(array)), tf.neg(buffer.toTensor())]);
    array.fill(0);
    buffer.set(0, 0);
    expectNear(await y.data(), [-1, -2, -3, -4]);
  });

  it('is run by a kernel that is not ours, which is counted', async () => {
    const x = tf.relu(tf.tensor1d([3, 1, 2]));
    const y = tf.cumsum(x);
    expect(operations()).toEqual(['Relu']);
    expect(explain().delegated).toEqual({ Cumsum: 1 });
    expectNear(await tf.neg(y).data(), [-3, -4, -6]);
    expect(operations()).toEqual(['Neg']);
    expect(explain().delegated).toEqual({});
  });

  it('is not cut by shape arithmetic', async () => {
    const marked = await mark();
    const x = tf.relu(tf.ones([2, 3]));
    const size = tf.mul(tf.tensor1d([2, 3], 'int32'), tf.scalar(2, 'int32'));
    expect([...size.dataSync()]).toEqual([4, 6]);
    expect(operations()).toEqual(marked);
    await x.data();
  });

  it('runs by itself after 4,000 calls that nobody read', async () => {
    const marked = await mark();
    let x: tf.Tensor = tf.tensor1d([1]);
    for (let i = 0; i < 4001; i++) x = tf.tidy(() => tf.neg(x));
    expect(operations().length).toBe(4001);
    expect(operations()).not.toEqual(marked);
    expectNear(await x.data(), [-1]);
  });

  it('runs by itself when it holds a gigabyte', async () => {
    const marked = await mark();
    let x: tf.Tensor = tf.zeros([1 << 21]);
    let calls = 0;
    while (operations().join() === marked.join() && calls < 100) {
      const next = tf.neg(x);
      x.dispose();
      x = next;
      calls++;
    }
    // 8 MiB in and 8 MiB out each.
    expect(calls).toBe(65);
  });

  it('a call that throws records nothing', async () => {
    const x = tf.tensor1d([1, 2]);
    const { nodes } = (backend() as unknown as { graph: { nodes: Set<unknown> } }).graph;
    expect(() => tf.engine().runKernel('Add', { a: x, b: tf.tensor1d([1, 2, 3]) })).toThrow();
    expect(nodes.size).toBe(0);
    expectNear(await tf.neg(x).data(), [-1, -2]);
  });
});

describe('a result thrown away unread', () => {
  useMulayer();

  it('warms a heavy graph up that has not been seen', async () => {
    const marked = await mark();
    tf.dispose(tf.exp(tf.matMul(heavy(), heavy())));
    expect(operations()).toEqual(['BatchMatMul', 'Exp']);
    await mark();
    // The same graph again.
    tf.dispose(tf.exp(tf.matMul(heavy(), heavy())));
    expect(operations()).toEqual(marked);
  });

  it('is not computed if it is light', async () => {
    const marked = await mark();
    tf.dispose(tf.log(tf.sqrt(tf.ones([3]))));
    expect(operations()).toEqual(marked);
  });

  it('of two results warms the graph up when the second goes', async () => {
    const marked = await mark();
    const [a, b] = tf.tidy(() => tf.split(tf.matMul(heavy(), heavy()), 2));
    a.dispose();
    expect(operations()).toEqual(marked);
    b.dispose();
    expect(operations()).toEqual(['BatchMatMul', 'SplitV']);
  });

  it('warmed up counts for nothing that is observed: int8 begins after two real runs', async () => {
    setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'int8' });
    const [x, w] = [heavy(1), heavy(2)];
    const compute = () => tf.sigmoid(tf.matMul(x, w));
    compute().dispose();
    const precisions = [];
    for (let run = 0; run < 2; run++) {
      await compute().data();
      precisions.push(explain().layers[0].precision);
    }
    expect(precisions).toEqual(['float32', 'int8']);
  });
});

describe('reading', () => {
  useMulayer();
  // Exact, so that numbers can be compared.
  beforeEach(() => setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'float32' }));

  it('twice runs once', async () => {
    const y = tf.relu(tf.tensor1d([1]));
    await y.data();
    const marked = await mark();
    expectNear(await y.data(), [1]);
    expectNear(y.dataSync(), [1]);
    expect(operations()).toEqual(marked);
  });

  it('gives numbers that stay, whatever runs afterwards', async () => {
    const y = await tf.neg(tf.range(0, 1000)).data();
    const before = [...y];
    for (let i = 0; i < 20; i++) await tf.square(tf.ones([1000 * i])).data();
    expectNear(y, before);
  });

  it('lets the page live meanwhile', async () => {
    const y = long(square());
    let turns = 0;
    let done = false;
    const tick = () => {
      turns++;
      if (!done) setTimeout(tick);
    };
    setTimeout(tick);
    await y.data();
    done = true;
    expect(turns).toBeGreaterThan(0);
  });

  it('with dataSync while data() is under way gives both the same', async () => {
    const y = long(square());
    const { layers } = explain();
    const promise = y.data();
    expect(explain().layers).withContext('not over yet').toEqual(layers);
    const now = [...y.dataSync()];
    expectNear(await promise, now);
    expect(operations().filter(op => op === 'BatchMatMul').length).toBe(60);
  });

  it('of another tensor with dataSync while a run is under way', async () => {
    const x = square();
    const y = long(x);
    const promise = y.data();
    const z = tf.neg(tf.slice(x, [0, 0], [1, 2]));
    const [a, b] = x.dataSync();
    expectNear(z.dataSync(), [-a, -b]);
    expectNear((await promise).slice(0, 2), [a, b]);
  });

  it('many tensors at once, of one graph and of several', async () => {
    const x = square();
    const promises = [];
    for (let i = 0; i < 4; i++) {
      promises.push(tf.add(long(x, 10), i).data());
      promises.push(tf.sub(x, i).data());
    }
    const all = await Promise.all(promises);
    const [first] = x.dataSync();
    all.forEach((numbers, i) => {
      const n = Math.floor(i / 2);
      expect(numbers[0]).toBeCloseTo(i % 2 ? first - n : first + n, 5);
    });
  });

  it('what is recorded while a run is under way runs next', async () => {
    const y = long(square());
    const promise = y.data();
    const z = tf.neg(y);
    const sum = await tf.add(y, z).data();
    expect(sum.every(v => v === 0)).toBeTrue();
    expect(operations()).toEqual(['Neg', 'Add']);
    await promise;
  });

  // A software GPU needs longer for each.
  for (const [split, length] of [
    ['cpu', 60],
    ['gpu', 8],
    [0.5, 8],
  ] as const) {
    it(`goes on when its inputs are disposed meanwhile: split ${split}`, async () => {
      setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: 'float32' });
      const x = square();
      const first = x.dataSync()[0];
      const y = long(x, length);
      const promise = y.data();
      x.dispose();
      expect((await promise)[0]).toBe(first);
    });

    it(`goes on when its own tensor is disposed meanwhile: split ${split}`, async () => {
      setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: 'float32' });
      const x = square();
      const y = long(x, length);
      const promise = y.data();
      y.dispose();
      expectNear(await promise, x.dataSync());
    });

    it(`goes on when another output is disposed meanwhile: split ${split}`, async () => {
      setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: 'float32' });
      const x = square();
      const y = long(x, length);
      const other = tf.neg(y);
      const promise = y.data();
      other.dispose();
      expectNear(await promise, x.dataSync());
      // The GPU may have been given all of it by then.
      if (split === 'cpu') expect(operations()).not.toContain('Neg');
    });

    it(`goes on when its tensor moves to another backend meanwhile: split ${split}`, async () => {
      setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: 'float32' });
      const x = square();
      const y = long(x, length);
      const promise = y.data();
      await tf.setBackend('cpu');
      const z = tf.neg(y);
      const numbers = x.dataSync();
      expectNear(await promise, numbers);
      expectNear(
        z.dataSync(),
        numbers.map(v => -v),
      );
    });
  }

  it('after a run that could not even begin rejects, and the next graph works', async () => {
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    const y: tf.Tensor = tf.engine().runKernel('Relu', { x: tf.ones([2]) }, circular as never);
    await expectAsync(y.data()).toBeRejected();
    await expectAsync(y.data()).toBeRejected();
    expect(() => y.dataSync()).toThrow();
    expectNear(await tf.neg(tf.ones([1])).data(), [-1]);
  });
});

describe('memory', () => {
  useMulayer();

  it('is described by tf.memory()', async () => {
    await tf.relu(tf.ones([100])).data();
    const memory = tf.memory() as unknown as Record<string, number | boolean>;
    expect(memory.unreliable).toBeFalse();
    for (const name of [
      'mulayerHeapBytes',
      'mulayerPackedBytes',
      'mulayerResultBytes',
      'mulayerArenaBytes',
      'mulayerHeapSize',
      'numBytesInGPU',
      'mulayerTextures',
    ]) {
      expect(memory[name]).withContext(name).toBeGreaterThanOrEqual(0);
    }
    expect(memory.mulayerHeapSize).toBeGreaterThanOrEqual(memory.mulayerHeapBytes as number);
    expect(memory.mulayerHeapBytes).toBeGreaterThanOrEqual(
      (memory.mulayerPackedBytes as number) + (memory.mulayerResultBytes as number),
    );
  });

  it('of a result is given back with its tensor', async () => {
    const before = backend().memory();
    const y = tf.relu(tf.ones([1000]));
    await y.data();
    expect(heapBytes()).toBeGreaterThanOrEqual(before.mulayerHeapBytes + 4000);
    expect(backend().memory().mulayerResultBytes).toBe(before.mulayerResultBytes + 4000);
    tf.engine().endScope();
    tf.engine().startScope();
    expect(backend().memory()).toEqual(before);
  });

  it('of intermediate results is given back during the run', async () => {
    const before = heapBytes();
    const y = tf.tidy(() => tf.neg(tf.relu(tf.neg(tf.ones([1000])))));
    await y.data();
    expect(heapBytes()).toBe(before + 4000);
  });

  it('of packed weights is given back with the filter', async () => {
    setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'int8' });
    const before = backend().memory();
    const w = heavy(2);
    for (let run = 0; run < 2; run++) {
      const y = tf.tidy(() => tf.matMul(heavy(), w));
      await y.data();
      y.dispose();
    }
    expect(explain().layers[0].precision).toBe('int8');
    const { mulayerPackedBytes, mulayerResultBytes } = backend().memory();
    expect(mulayerPackedBytes).toBeGreaterThanOrEqual(before.mulayerPackedBytes + 128 * 128);
    expect(mulayerResultBytes).withContext('disposed').toBe(before.mulayerResultBytes);
    w.dispose();
    const after = backend().memory();
    expect(after.mulayerPackedBytes).toBe(before.mulayerPackedBytes);
    expect(after.mulayerHeapBytes).toBe(before.mulayerHeapBytes);
  });

  for (const split of ['cpu', 'gpu', 0.5] as const) {
    for (const precision of ['float32', 'int8'] as const) {
      it(`is flat over 20 inferences after the third: split ${split}, ${precision}`, async () => {
        setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: precision });
        const random = new Random(1);
        const filter = tf.tensor4d(random.floats(3 * 3 * 16 * 32), [3, 3, 16, 32]);
        const weights = tf.tensor2d(random.floats(32 * 40), [32, 40]);
        const counts = [];
        for (let run = 0; run < 20; run++) {
          const x = tf.tensor4d(random.floats(8 * 8 * 16), [1, 8, 8, 16]);
          const y = tf.tidy(() => {
            const features = tf.relu(tf.conv2d(x, filter, 1, 'same'));
            const pooled = tf.maxPool(features, 8, 8, 'valid');
            return tf.softmax(tf.matMul(tf.reshape(pooled, [1, 32]), weights));
          });
          await y.data();
          tf.dispose([x, y]);
          const { mulayerTextures, mulayerHeapBytes, mulayerHeapSize } = backend().memory();
          counts.push([
            ...[mulayerTextures, tf.memory().numTensors, backend().numDataIds()],
            ...[mulayerHeapBytes, mulayerHeapSize],
          ]);
        }
        const [textures, ...others] = counts[3];
        for (const [ownTextures, ...own] of counts.slice(3)) {
          expect(own).toEqual(others);
          // The pool forgets what other specs have left there.
          expect(ownTextures).toBeLessThanOrEqual(textures);
        }
      });
    }
  }

  it('of variables is given back by disposeVariables', async () => {
    const before = tf.memory().numTensors;
    const v = tf.variable(tf.zeros([3]), true, 'to be disposed');
    v.assign(tf.relu(tf.ones([3])));
    expectNear(await v.data(), [1, 1, 1]);
    v.dispose();
    tf.engine().endScope();
    tf.engine().startScope();
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('what tfjs asks of a backend', () => {
  useMulayer();

  it('tf.time runs what the function records', async () => {
    const marked = await mark();
    const { kernelMs, wallMs } = await tf.time(() => tf.neg(tf.relu(tf.ones([3]))));
    expect(operations()).not.toEqual(marked);
    expect(kernelMs).toBeGreaterThan(0);
    expect(wallMs).toBeGreaterThan(0);
  });

  it('tf.profile names the kernels', async () => {
    const x = tf.ones([3]);
    const { kernelNames, newTensors, newBytes, kernels } = await tf.profile(() =>
      tf.tidy(() => tf.neg(tf.relu(x))),
    );
    expect([...kernelNames].sort()).toEqual(['Neg', 'Relu']);
    expect([newTensors, newBytes]).toEqual([1, 12]);
    expect(kernels.map(({ outputShapes }) => outputShapes)).toEqual([[[3]], [[3]]]);
  });

  it('the precision of its floats', () => {
    setFlags({ MULAYER_SPLIT: 'cpu' });
    expect(backend().floatPrecision()).toBe(32);
    setFlags({ MULAYER_SPLIT: 0.5, MULAYER_PRECISION: 'float32' });
    expect(backend().floatPrecision()).toBe(32);
    setFlags({ MULAYER_SPLIT: 0.5, MULAYER_PRECISION: 'int8' });
    expect(backend().floatPrecision()).toBe(hasGpu() ? 16 : 32);
  });

  it('counting references: a clone keeps the data', async () => {
    const x = tf.relu(tf.tensor1d([4]));
    const y = tf.clone(x);
    expect(backend().refCount(x.dataId)).toBe(2);
    x.dispose();
    expect(backend().refCount(y.dataId)).toBe(1);
    expectNear(await y.data(), [4]);
  });

  it('tf.keep, tf.tidy and tensors that are returned', async () => {
    const [kept, returned] = [[] as tf.Tensor[], [] as tf.Tensor[]];
    tf.tidy(() => {
      const x = tf.relu(tf.ones([2]));
      kept.push(tf.keep(tf.neg(x)));
      returned.push(tf.tidy(() => tf.exp(tf.sub(x, 1))));
      expectNear(returned[0].dataSync(), [1, 1]);
    });
    expect(returned[0].isDisposed).toBeTrue();
    expectNear(await kept[0].data(), [-1, -1]);
    kept[0].dispose();
  });

  it('tf.nextFrame and reading in between', async () => {
    const y = tf.neg(tf.ones([2]));
    await tf.nextFrame();
    expectNear((await y.array()) as number[], [-1, -1]);
  });
});

describe('a backend that is disposed', () => {
  useMulayer();

  it('rejects those who wait for a run that will not go on', async () => {
    registerAs('mulayer-disposed', async () => [await CpuProcessor.create(), undefined]);
    await tf.setBackend('mulayer-disposed');
    const old = tf.backend();
    const y = long(square());
    const promise = old.read(y.dataId);
    tf.removeBackend('mulayer-disposed');
    await expectAsync(promise).toBeRejectedWithError(DisposedError);
    expect(() => old.readSync(y.dataId)).toThrowError(DisposedError);
  });
});
