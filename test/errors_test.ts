/**
 * Bad input: an error of a class of ours (src/errors.ts) or tfjs's own, at the call that caused it,
 * and afterwards the backend works and has kept nothing (which every spec's end checks).
 */
import * as tf from '@tensorflow/tfjs-core';

import {
  ArgumentError,
  DisposedError,
  explain,
  FlagError,
  MemoryError,
  MulayerError,
  UnsupportedError,
} from '../src/index.js';
import { backend, expectNear, hasGpu, setFlags, useMulayer } from './support.js';
import { Random } from './wasm/random';

const run =
  (kernel: string, inputs: Record<string, tf.Tensor>, attributes: object = {}) =>
  () =>
    tf.engine().runKernel(kernel, inputs, attributes as never);

const CONV = { strides: [1, 1], pad: 'valid', dataFormat: 'NHWC', dilations: [1, 1] };

async function works(): Promise<void> {
  expectNear(await tf.neg(tf.relu(tf.tensor1d([1, -1]))).data(), [-1, -0]);
}

describe('errors', () => {
  it('are all of one class', () => {
    for (const error of [ArgumentError, DisposedError, FlagError, MemoryError, UnsupportedError]) {
      const one = new error('x: expected 1, got 2');
      expect(one).toBeInstanceOf(MulayerError);
      expect(one).toBeInstanceOf(Error);
      expect(one.name).toBe(error.name);
    }
  });
});

describe('bad input', () => {
  useMulayer();
  afterEach(works);

  it('a filter of another rank', () => {
    const x = tf.ones([1, 4, 4, 2]);
    for (const kernel of ['Conv2D', 'DepthwiseConv2dNative']) {
      expect(run(kernel, { x, filter: tf.ones([3, 3, 2]) }, CONV)).toThrowError(
        ArgumentError,
        /^filter: expected rank 4 .*, got \[3,3,2\]$/,
      );
      expect(
        run(kernel, { x: tf.ones([4, 4, 2]), filter: tf.ones([3, 3, 2, 2]) }, CONV),
      ).toThrowError(ArgumentError, /^x: expected rank 4 .*, got \[4,4,2\]$/);
    }
    expect(() => tf.conv2d(x as tf.Tensor4D, tf.ones([3, 3, 2]) as never, 1, 'valid')).toThrow();
  });

  it('a filter with other channels than the image', () => {
    const x = tf.ones<tf.Rank.R4>([1, 4, 4, 2]);
    const filter = tf.ones<tf.Rank.R4>([3, 3, 4, 8]);
    expect(run('Conv2D', { x, filter }, CONV)).toThrowError(
      ArgumentError,
      /^filter: expected \[3,3,2,8\] .*, got \[3,3,4,8\]$/,
    );
    expect(run('DepthwiseConv2dNative', { x, filter }, CONV)).toThrowError(
      ArgumentError,
      /^filter/,
    );
    expect(() => tf.conv2d(x, filter, 1, 'valid')).toThrow();
  });

  it('a filter larger than the image', async () => {
    const x = tf.ones<tf.Rank.R4>([1, 2, 2, 1]);
    const filter = tf.ones<tf.Rank.R4>([3, 3, 1, 1]);
    const y = () => tf.conv2d(x, filter, 1, 'valid');
    let actual: unknown;
    try {
      actual = [...(await y().data())];
    } catch (error) {
      actual = error;
    }
    await tf.setBackend('cpu');
    if (actual instanceof Error) expect(y).toThrow();
    else expect(actual).toEqual([...(await y().data())]);
    await tf.setBackend('mulayer');
  });

  it('an integer filter or image', () => {
    const ints = (shape: number[]) => tf.ones(shape, 'int32');
    expect(() =>
      tf.conv2d(ints([1, 4, 4, 1]) as tf.Tensor4D, ints([1, 1, 1, 1]) as tf.Tensor4D, 1, 'same'),
    ).toThrow();
  });

  it('a bias or slopes that do not fit', () => {
    const x = tf.ones<tf.Rank.R4>([1, 4, 4, 2]);
    const filter = tf.ones<tf.Rank.R4>([1, 1, 2, 8]);
    const call = { x, filter, strides: 1, pad: 'valid' } as const;
    expect(() => tf.fused.conv2d({ ...call, bias: tf.ones([7]) })).toThrow();
    expect(() =>
      tf.fused.conv2d({ ...call, activation: 'prelu', preluActivationWeights: tf.ones([7]) }),
    ).toThrow();
    const [a, b] = [tf.ones<tf.Rank.R2>([4, 5]), tf.ones<tf.Rank.R2>([5, 8])];
    expect(() =>
      tf.fused.matMul({ a, b, activation: 'prelu', preluActivationWeights: tf.ones([7]) }),
    ).toThrowError(ArgumentError, /^preluActivationWeights: .* got \[7\]$/);
  });

  it('an activation nobody knows', () => {
    const x = tf.ones<tf.Rank.R4>([1, 4, 4, 2]);
    const filter = tf.ones<tf.Rank.R4>([1, 1, 2, 8]);
    const activation = 'gelu' as 'relu';
    expect(() => tf.fused.conv2d({ x, filter, strides: 1, pad: 'valid', activation })).toThrowError(
      ArgumentError,
      /^activation: expected .*, got "gelu"$/,
    );
  });

  it('matrices that do not fit', () => {
    const [a, b] = [tf.ones([2, 3]), tf.ones([4, 5])];
    expect(run('BatchMatMul', { a, b }, { transposeA: false, transposeB: false })).toThrowError(
      ArgumentError,
      /^b: expected 3 rows.*got 4$/,
    );
    expect(run('BatchMatMul', { a: tf.ones([3]), b }, {})).toThrowError(ArgumentError, /^a: /);
    expect(() => tf.matMul(a, b)).toThrow();
  });

  it('shapes that cannot be broadcast', () => {
    expect(() => tf.add(tf.ones([2, 3]), tf.ones([4]))).toThrow();
    expect(run('Multiply', { a: tf.ones([2, 3]), b: tf.ones([4]) })).toThrow();
  });

  it('parts that cannot be joined', () => {
    expect(() => tf.concat([tf.ones([2, 3]), tf.ones([3, 4])], 0)).toThrow();
  });

  it('a slice beyond the end', () => {
    expect(() => tf.slice(tf.relu(tf.ones([2, 3])), [1, 1], [2, 2])).toThrow();
  });

  it('an axis that is not there', () => {
    expect(() => tf.sum(tf.ones([2]), 3)).toThrow();
    expect(() => tf.concat([tf.ones([2]), tf.ones([2])], 2)).toThrow();
    expect(() => tf.transpose(tf.ones([2, 2]), [0, 2])).toThrow();
    expect(() => tf.split(tf.ones([4]), 3)).toThrow();
  });

  it('too many of the largest', () => {
    expect(() => tf.topk(tf.ones([3]), 4)).toThrow();
    expect(run('TopK', { x: tf.ones([3]) }, { k: 4, sorted: true })).toThrowError(
      ArgumentError,
      /^k: expected 0 to 3, got 4$/,
    );
    expect(run('TopK', { x: tf.scalar(1) }, { k: 1, sorted: true })).toThrowError(ArgumentError);
  });

  it('an image of another rank', () => {
    for (const [kernel, name, attributes] of [
      ['MaxPool', 'x', { filterSize: [2, 2], strides: [1, 1], pad: 'valid' }],
      ['AvgPool', 'x', { filterSize: [2, 2], strides: [1, 1], pad: 'valid' }],
      ['ResizeBilinear', 'images', { size: [2, 2] }],
      ['ResizeNearestNeighbor', 'images', { size: [2, 2] }],
    ] as const) {
      expect(run(kernel, { [name]: tf.ones([4, 4, 2]) }, attributes)).toThrowError(
        ArgumentError,
        new RegExp(`^${name}: expected rank 4`),
      );
    }
  });

  it('a dtype nobody knows', () => {
    expect(() => backend().write(new Float32Array(1), [1], 'float64' as 'float32')).toThrowError(
      ArgumentError,
      /^dtype: expected .*, got float64$/,
    );
    expect(() => tf.tensor([1], [1], 'float16' as 'float32')).toThrow();
  });

  it('fewer numbers than the shape holds', () => {
    expect(() => tf.tensor([1, 2, 3], [2, 2])).toThrow();
  });

  it('a disposed tensor', async () => {
    const x = tf.relu(tf.ones([2]));
    const { dataId } = x;
    x.dispose();
    expect(() => tf.neg(x)).toThrow();
    expect(() => x.dataSync()).toThrow();
    await expectAsync(Promise.resolve().then(() => x.data())).toBeRejected();
    expect(() => backend().readSync(dataId)).toThrowError(DisposedError);
    await expectAsync(backend().read(dataId)).toBeRejectedWithError(DisposedError);
    expect(() => backend().incRef(dataId)).toThrowError(DisposedError);
    expect(backend().disposeData(dataId)).toBeTrue();
    expect(backend().refCount(dataId)).toBe(0);
  });

  it('a disposed variable', () => {
    const initial = tf.ones([2]);
    const v = tf.variable(initial);
    tf.dispose([initial, v]);
    expect(() => tf.neg(v)).toThrowError(DisposedError);
  });

  it('a flag with a wrong value', async () => {
    setFlags({ MULAYER_SPLIT: 'cpu' });
    expect(() => tf.env().set('MULAYER_SPLIT', 'everything')).toThrowError(FlagError);
    await works();
    expect(explain().layers.every(({ where }) => where === 'cpu')).toBeTrue();
  });

  it('a tensor larger than any memory', async () => {
    const x = tf.ones([1 << 15, 1]);
    const y = tf.matMul(x, tf.ones([1, 1 << 16]));
    await expectAsync(y.data()).toBeRejectedWithError(MemoryError, /^wasm heap: 8589934592 bytes/);
    expect(() => tf.neg(y).dataSync()).toThrowError(MemoryError);
  });

  it('an error of one result does not reach the others', async () => {
    const x = tf.ones([1 << 15, 1]);
    const bad = tf.neg(tf.matMul(x, tf.ones([1, 1 << 16])));
    const good = tf.sum(x);
    expectNear(await good.data(), [1 << 15]);
    await expectAsync(bad.data()).toBeRejectedWithError(MemoryError);
  });

  it('dataToGPU and GPU tensors without WebGL', () => {
    if (hasGpu()) {
      pending('there is WebGL here');
      return;
    }
    expect(() => tf.ones([2]).dataToGPU()).toThrowError(UnsupportedError);
  });
});

describe('memory that cannot grow', () => {
  useMulayer();
  afterEach(works);

  const random = new Random(5);
  const [image, other] = [random.floats(12 * 12 * 8), random.floats(12 * 12 * 8)];
  const filters = [9 * 8 * 16, 9 * 16, 16 * 16, 16 * 8, 16].map(size => random.floats(size));

  /** Weights of a small net with most of what layers are made of. */
  const makeNet = () => {
    const shapes = [[3, 3, 8, 16], [3, 3, 16, 1], [1, 1, 16, 16], [16, 8], [16]];
    return filters.map((numbers, i) => tf.tensor(numbers, shapes[i]));
  };

  /** Both results are read; what went wrong is in their place. */
  async function infer(net: readonly tf.Tensor[], numbers = image) {
    const [w1, w2, w3, w4, factors] = net as [
      ...[tf.Tensor4D, tf.Tensor4D, tf.Tensor4D, tf.Tensor2D],
      tf.Tensor1D,
    ];
    const outputs = tf.tidy(() => {
      const x = tf.tensor4d(numbers, [1, 12, 12, 8]);
      const scaled = tf.mul(tf.conv2d(x, w1, 1, 'same'), factors);
      const first = tf.relu6<tf.Tensor4D>(tf.add(scaled, factors));
      const deep = tf.elu<tf.Tensor4D>(tf.depthwiseConv2d(first, w2, 1, 'same'));
      const wide = tf.relu<tf.Tensor4D>(tf.conv2d(first, w3, 2, 'valid'));
      const pooled = tf.maxPool(
        tf.concat([first, tf.add<tf.Tensor4D>(first, deep)], 3),
        3,
        2,
        'same',
      );
      const flat = tf.matMul(tf.reshape(wide, [-1, 16]), w4);
      return [tf.softmax(flat), tf.mean(pooled, [1, 2])];
    });
    const results = await Promise.allSettled(outputs.map(y => y.data()));
    tf.dispose(outputs);
    return results;
  }

  for (const [precision, run] of [
    ['float32', 1],
    ['auto', 1],
    ['auto', 2],
    ['auto', 3],
    ['int8', 2],
    ['int8', 3],
  ] as const) {
    it(`costs an inference wherever it fails, and nothing else: ${precision}, run ${run}`, async () => {
      setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: precision });
      const { cpu } = backend();
      const { heap } = cpu;
      // As if there were workers, so that steps are issued ahead.
      spyOnProperty(cpu, 'threads').and.returnValue(2);
      const allocate = heap.allocate.bind(heap);
      const before = heap.bytesUsed;
      const failing = spyOn(heap, 'allocate').and.callFake(allocate);
      // A third run has an input of another scale.
      const last = run === 3 ? other.map(v => 100 * v) : other;
      let wanted: PromiseSettledResult<unknown>[] = [];
      let failures = 0;
      for (let at = 0, hasFailed = true; hasFailed; at++) {
        const net = makeNet();
        for (let earlier = 1; earlier < run; earlier++) await infer(net);
        let calls = 0;
        hasFailed = at === 0;
        failing.and.callFake((bytes, purpose) => {
          if (++calls !== at) return allocate(bytes, purpose);
          hasFailed = true;
          throw new MemoryError('no more');
        });
        const results = await infer(net, last);
        failing.and.callFake(allocate);
        if (at === 0) wanted = results;
        results.forEach((result, i) => {
          if (result.status === 'fulfilled') {
            expect(result)
              .withContext(`result ${i}, allocation ${at}`)
              .toEqual(wanted[i] as typeof result);
            return;
          }
          failures++;
          expect(result.reason).withContext(`allocation ${at}`).toBeInstanceOf(MemoryError);
        });
        for (const { status } of await infer(net)) expect(status).toBe('fulfilled');
        tf.dispose(net);
        expect(heap.bytesUsed).withContext(`after allocation ${at}`).toBe(before);
      }
      expect(failures).toBeGreaterThan(10);
    });
  }
});

describe('an error outside of all steps', () => {
  useMulayer();
  afterEach(works);

  it('comes to every reader, and nothing is kept', async () => {
    setFlags({ MULAYER_SPLIT: 'cpu' });
    const x = tf.ones([3, 4]);
    const middle = tf.relu(x);
    const results = [tf.neg(middle), tf.exp(middle)];
    const useThreads = spyOn(backend().cpu, 'useThreads').and.throwError('no threads today');
    const reads = results.map(y => y.data());
    for (const read of reads) await expectAsync(read).toBeRejectedWithError('no threads today');
    useThreads.and.callThrough();
    expect(() => middle.dataSync()).toThrowError('no threads today');
    expectNear(await tf.neg(x).data(), new Float32Array(12).fill(-1));
  });

  it('in the middle of a run leaves what was computed before', async () => {
    setFlags({ MULAYER_SPLIT: 'cpu' });
    const x = tf.ones([3, 4]);
    const [first, second] = [tf.neg(x), tf.exp(x)];
    const third = tf.square(second);
    const { cpu } = backend();
    const mark = spyOnProperty(cpu, 'mark').and.callFake(() => {
      if (backend().isHost(first.dataId)) throw new Error('no marks today');
      return cpu.heap.queue.mark;
    });
    const reads = [first, second, third].map(y => y.data());
    expectNear(await reads[0], new Float32Array(12).fill(-1));
    for (const read of reads.slice(1)) {
      await expectAsync(read).toBeRejectedWithError('no marks today');
    }
    mark.and.callFake(() => cpu.heap.queue.mark);
  });
});

describe('tensors without elements', () => {
  useMulayer();
  const zeros = (...shape: number[]) => tf.zeros(shape);
  const images = (...shape: [number, number, number, number]) => tf.zeros<tf.Rank.R4>(shape);

  const CALLS: Record<string, () => tf.Tensor> = {
    conv2d: () => tf.conv2d(images(0, 4, 4, 2), images(3, 3, 2, 8), 1, 'same'),
    'conv2d to no channels': () => tf.conv2d(images(1, 4, 4, 2), images(3, 3, 2, 0), 1, 'same'),
    'fused.conv2d': () =>
      tf.fused.conv2d({
        ...{ x: images(0, 4, 4, 2), filter: images(1, 1, 2, 8), strides: 1, pad: 'same' },
        ...{ bias: zeros(8), activation: 'relu' },
      }),
    depthwiseConv2d: () => tf.depthwiseConv2d(images(0, 4, 4, 2), images(3, 3, 2, 1), 1, 'same'),
    'matMul of no rows': () => tf.matMul(zeros(0, 3), zeros(3, 16)),
    'matMul of no columns': () => tf.matMul(zeros(2, 3), zeros(3, 0)),
    'matMul over nothing': () => tf.matMul(zeros(2, 0), zeros(0, 16)),
    'matMul of no batch': () => tf.matMul(zeros(0, 2, 3), zeros(0, 3, 16)),
    maxPool: () => tf.maxPool(images(0, 4, 4, 2), 2, 2, 'same'),
    avgPool: () => tf.avgPool(images(0, 4, 4, 2), 2, 2, 'same'),
    resizeBilinear: () => tf.image.resizeBilinear(images(0, 4, 4, 2), [2, 2]),
    resizeNearestNeighbor: () => tf.image.resizeNearestNeighbor(images(0, 4, 4, 2), [2, 2]),
    add: () => tf.add(zeros(0, 16), zeros(16)),
    relu: () => tf.relu(zeros(0, 16)),
    softmax: () => tf.softmax(zeros(0, 16)),
    batchNorm: () => tf.batchNorm(zeros(0, 16), zeros(16), tf.ones([16])),
    'sum over the nothing': () => tf.sum(zeros(0, 16), 0),
    'sum over the others': () => tf.sum(zeros(0, 16), 1),
    concat: () => tf.concat([zeros(0, 16), zeros(0, 16)], 1),
    slice: () => tf.slice(tf.ones([4, 16]), [1, 0], [0, 16]),
    stridedSlice: () => tf.stridedSlice(tf.ones([4, 16]), [2, 0], [2, 16], [1, 1]),
    split: () => tf.split(tf.ones([4, 16]), [0, 4], 0)[0],
    unstack: () => tf.unstack(zeros(2, 0, 16))[1],
    pad: () =>
      tf.pad(zeros(0, 16), [
        [1, 1],
        [0, 0],
      ]),
    transpose: () => tf.transpose(zeros(0, 4, 16), [2, 1, 0]),
    cast: () => tf.cast(zeros(0, 16), 'int32'),
    gather: () => tf.gather(tf.ones([4, 16]), tf.tensor1d([], 'int32')),
    topk: () => tf.topk(zeros(0, 16), 2).values,
    reshape: () => tf.neg(tf.reshape(zeros(0, 16), [4, 0, 4])),
  };

  for (const split of ['cpu', 'gpu', 0.5]) {
    it(`give what they give on tfjs-cpu: split ${split}`, async () => {
      for (const [name, call] of Object.entries(CALLS)) {
        setFlags({ MULAYER_SPLIT: split });
        const result = async () => {
          try {
            const y = call();
            return { shape: y.shape, dtype: y.dtype, numbers: [...(await y.data())] };
          } catch (error) {
            return error;
          }
        };
        const actual = await result();
        await tf.setBackend('cpu');
        const wanted = await result();
        await tf.setBackend('mulayer');
        if (wanted instanceof Error) expect(actual).withContext(name).toBeInstanceOf(Error);
        else expect(actual).withContext(name).toEqual(wanted);
      }
    });
  }
});

describe('numbers that are not finite', () => {
  useMulayer();
  const random = new Random(1);
  const image = random.floats(8 * 8 * 16);
  const weights = random.floats(3 * 3 * 16 * 16);

  /** The same convolution again and again, of which the later ones could run in int8. */
  async function convolve(x: Float32Array, w: Float32Array, precision: string, runs: number) {
    setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: precision });
    const filter = tf.tensor4d(w, [3, 3, 16, 16]);
    let numbers: ArrayLike<number> = [];
    for (let run = 0; run < runs; run++) {
      numbers = await tf.conv2d(tf.tensor4d(x, [1, 8, 8, 16]), filter, 1, 'same').data();
    }
    return numbers;
  }

  for (const special of [NaN, Infinity, -Infinity]) {
    const withSpecial = (numbers: Float32Array) => numbers.map((v, i) => (i === 77 ? special : v));

    for (const precision of ['int8', 'auto']) {
      it(`${special} in the input gives what float32 gives, under ${precision}`, async () => {
        const x = withSpecial(image);
        const exact = await convolve(x, weights, 'float32', 1);
        expectNear(await convolve(x, weights, precision, 3), exact);
      });

      it(`${special} in the weights gives what float32 gives, under ${precision}`, async () => {
        const w = withSpecial(weights);
        const exact = await convolve(image, w, 'float32', 1);
        expectNear(await convolve(image, w, precision, 3), exact);
      });
    }

    it(`${special} in one input does not touch the next`, async () => {
      setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'int8' });
      const filter = tf.tensor4d(weights, [3, 3, 16, 16]);
      const compute = async (numbers: Float32Array) =>
        tf.conv2d(tf.tensor4d(numbers, [1, 8, 8, 16]), filter, 1, 'same').data();
      await compute(image);
      const before = await compute(image);
      await compute(withSpecial(image));
      expectNear(await compute(image), before);
    });
  }

  it('a range twice as wide as the largest float is that of any other numbers', async () => {
    const x = image.map((_, i) => (i % 2 ? 3.4e38 : -3.4e38));
    const w = weights.map(() => 0.001);
    const exact = await convolve(x, w, 'float32', 1);
    // Half a step of the scale for each of 144 products.
    const step = (2 * 3.4e38) / 255;
    expectNear(await convolve(x, w, 'int8', 2), exact, 0.001 * 144 * (step / 2) * 1.01);
  });
});
