/**
 * Gradients and optimizers on this backend, against tfjs-cpu: the same numbers but for the order of
 * additions, some 100 of them a step.
 */
import * as tf from '@tensorflow/tfjs-core';

import { explain } from '../src/index.js';
import { expectNear, setFlags, useMulayer } from './support.js';
import { Random } from './wasm/random';

const TOLERANCE = 1e-4;

async function onCpu<T>(compute: () => Promise<T>): Promise<T> {
  await tf.setBackend('cpu');
  const result = await compute();
  await tf.setBackend('mulayer');
  return result;
}

const random = (seed: number, ...shape: number[]) =>
  tf.tensor(new Random(seed).floats(tf.util.sizeFromShape(shape)), shape);

/** A scalar of some layers, and the tensors to derive it by. */
const LOSSES: Record<string, [f: (...xs: tf.Tensor[]) => tf.Tensor, shapes: number[][]]> = {
  conv2d: [
    (x, w) => tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, 'same'),
    [
      [2, 5, 5, 3],
      [3, 3, 3, 9],
    ],
  ],
  'conv2d with stride 2': [
    (x, w) => tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, 2, 'valid'),
    [
      [1, 7, 7, 3],
      [3, 3, 3, 9],
    ],
  ],
  'fused.conv2d with bias and relu': [
    (x, w, b) =>
      tf.fused.conv2d({
        ...{ x: x as tf.Tensor4D, filter: w as tf.Tensor4D, bias: b },
        ...{ strides: 1, pad: 'same', activation: 'relu' },
      }),
    [[1, 5, 5, 3], [3, 3, 3, 9], [9]],
  ],
  depthwiseConv2d: [
    (x, w) => tf.depthwiseConv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, 'same'),
    [
      [1, 5, 5, 9],
      [3, 3, 9, 1],
    ],
  ],
  matMul: [
    (a, b) => tf.matMul(a, b),
    [
      [5, 7],
      [7, 9],
    ],
  ],
  'fused.matMul with bias and sigmoid': [
    (a, b, bias) => tf.sigmoid(tf.fused.matMul({ a, b, bias, activation: 'relu' })),
    [[5, 7], [7, 9], [9]],
  ],
  'maxPool and avgPool': [
    x => tf.avgPool(tf.maxPool(x as tf.Tensor4D, 2, 2, 'valid'), 2, 1, 'same'),
    [[1, 6, 6, 9]],
  ],
  batchNorm: [
    (x, mean, scale, offset) => tf.batchNorm(x, mean, tf.ones([9]), offset, scale),
    [[1, 3, 3, 9], [9], [9], [9]],
  ],
  'softmax and log': [x => tf.log(tf.softmax(x)), [[4, 9]]],
  'concat, slice, pad, transpose': [
    (a, b) =>
      tf.transpose(
        tf.pad(tf.slice(tf.concat([a, b], 1), [0, 1], [3, 7]), [
          [1, 1],
          [0, 2],
        ]),
      ),
    [
      [3, 4],
      [3, 5],
    ],
  ],
  'broadcast arithmetic': [
    (a, b) => tf.div(tf.mul(tf.add(a, b), a), tf.add(tf.square(b), 1)),
    [[2, 3, 9], [9]],
  ],
  reductions: [x => tf.add(tf.mean(x, [0, 2]), tf.max(tf.sum(x, 2), 0)), [[2, 3, 9]]],
  resizeBilinear: [x => tf.image.resizeBilinear(x as tf.Tensor4D, [7, 5]), [[1, 4, 4, 9]]],
};

/** Two convolutions and a dense layer, telling left from right, on 8 pictures of 8 x 8. */
function train(makeOptimizer: () => tf.Optimizer, steps: number): () => Promise<number[]> {
  return async () => {
    const variable = (seed: number, ...shape: number[]) =>
      tf.variable(tf.tidy(() => tf.mul(random(seed, ...shape), 0.3)));
    const variables = [
      ...[variable(1, 3, 3, 1, 8), variable(2, 8), variable(3, 3, 3, 8, 16), variable(4, 16)],
      ...[variable(5, 64, 2), variable(6, 2)],
    ];
    const [w1, b1, w2, b2, w3, b3] = variables;
    const { xs, ys } = tf.tidy(() => {
      const left = Array.from({ length: 8 * 64 }, (_, i) => Number(i % 8 < 4));
      const isLeft = Array.from({ length: 8 }, (_, i) => i % 2);
      const noise = random(7, 8, 8, 8, 1);
      const sign = tf.reshape(tf.sub(tf.mul(tf.tensor1d(isLeft), 2), 1), [8, 1, 1, 1]);
      const side = tf.sub(tf.tensor4d(left, [8, 8, 8, 1]), 0.5);
      return {
        xs: tf.add<tf.Tensor4D>(tf.mul(side, sign), tf.mul(noise, 0.5)),
        ys: tf.oneHot(tf.tensor1d(isLeft, 'int32'), 2),
      };
    });
    const loss = () => {
      const layer = (x: tf.Tensor4D, w: tf.Tensor, b: tf.Tensor) =>
        tf.relu<tf.Tensor4D>(tf.add(tf.conv2d(x, w as tf.Tensor4D, 1, 'same'), b));
      const first = layer(xs, w1, b1);
      const second = layer(tf.maxPool(first, 2, 2, 'same'), w2, b2);
      const flat = tf.reshape(tf.maxPool(second, 2, 2, 'same'), [8, 64]);
      const logits = tf.add(tf.matMul(flat, w3), b3);
      return tf.losses.softmaxCrossEntropy<tf.Tensor, tf.Scalar>(ys, logits);
    };
    const optimizer = makeOptimizer();
    const losses = [];
    for (let step = 0; step < steps; step++) {
      const value = optimizer.minimize(loss, true)!;
      losses.push((await value.data())[0]);
      value.dispose();
    }
    optimizer.dispose();
    // tfjs's momentum keeps the learning rate of sgd, which it extends.
    (optimizer as unknown as { c?: tf.Tensor }).c?.dispose();
    tf.dispose([xs, ys, variables]);
    return losses;
  };
}

describe('gradients', () => {
  useMulayer();
  for (const [name, [f, shapes]] of Object.entries(LOSSES)) {
    it(`of ${name} are tfjs-cpu's`, async () => {
      const compute = async () => {
        const xs = shapes.map((shape, i) => random(i + 1, ...shape));
        const dy = (y: tf.Tensor) => random(9, ...y.shape);
        const gradients = tf.grads((...inputs) => tf.sum(tf.mul(f(...inputs), dy(f(...xs)))))(xs);
        return Promise.all(gradients.map(gradient => gradient.data()));
      };
      const actual = await compute();
      const wanted = await onCpu(compute);
      expect(actual.length).toBe(shapes.length);
      actual.forEach((numbers, i) => expectNear(numbers, wanted[i], TOLERANCE));
    });
  }

  it('tf.customGrad and tf.variableGrads', async () => {
    const v = tf.variable(tf.tensor1d([1, 2, 3]));
    const cube = tf.customGrad(x => ({
      value: tf.mul(x as tf.Tensor, tf.square(x as tf.Tensor)),
      gradFunc: dy => tf.mul(dy, 100),
    }));
    const { value, grads } = tf.variableGrads(() => tf.sum(cube(v)), [v]);
    expectNear(await value.data(), [36]);
    expectNear(await grads[v.name].data(), [100, 100, 100]);
    v.dispose();
  });
});

describe('training', () => {
  useMulayer();
  // Adam and RMSProp divide a gradient by its own size, so where it is almost 0 its rounding decides
  // the step's direction: without fused multiply-add (WebKitGTK) losses are 0.05 apart after one.
  const optimizers: Record<string, [make: () => tf.Optimizer, tolerance: number]> = {
    sgd: [() => tf.train.sgd(0.1), TOLERANCE],
    momentum: [() => tf.train.momentum(0.05, 0.9), TOLERANCE],
    adam: [() => tf.train.adam(0.02), 0.1],
    rmsprop: [() => tf.train.rmsprop(0.005), 0.1],
  };
  for (const [name, [makeOptimizer, tolerance]] of Object.entries(optimizers)) {
    it(`a small convolutional net by ${name} goes as on tfjs-cpu`, async () => {
      const actual = await train(makeOptimizer, 8)();
      const wanted = await onCpu(train(makeOptimizer, 8));
      expect(actual.at(-1)).toBeLessThan(actual[0] / 2);
      // Differences grow with the steps.
      expectNear(actual, wanted, step => tolerance * 4 ** step);
    });
  }

  it('stays in float32, because the weights are new in each step', async () => {
    setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'int8' });
    await train(() => tf.train.sgd(0.1), 3)();
    expect(new Set(explain().layers.map(({ precision }) => precision))).toEqual(
      new Set(['float32']),
    );
  });

  for (const split of ['gpu', 0.5]) {
    it(`converges with split ${split} in float32`, async () => {
      setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: 'float32' });
      const losses = await train(() => tf.train.adam(0.02), 8)();
      expect(losses.at(-1)).toBeLessThan(losses[0] / 2);
    });
  }
});
