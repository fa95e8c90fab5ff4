/**
 * Random graphs of our kernels, some 25 calls each, read and disposed in random order, under every
 * split, against the same calls on tfjs-cpu. What single kernels' specs cannot show: values that are
 * used whole, in slices and reshaped, by layers on either processor.
 *
 * Each call keeps its numbers within about 4, so that float32 errors of 25 calls stay below 1e-3.
 */
import * as tf from '@tensorflow/tfjs-core';

import { isNear, setFlags, useMulayer } from './support.js';
import { Random } from './wasm/random';

const TOLERANCE = 1e-3;

type Step = (x: tf.Tensor, random: Random, pool: tf.Tensor[]) => tf.Tensor;

const tensor = (random: Random, shape: number[]) =>
  tf.tensor(random.floats(tf.util.sizeFromShape(shape)), shape);

/** The same shape with other axes: channels merged with columns, or split in two. */
function otherShape([n, h, w, c]: number[], random: Random): number[] {
  if (random.next() < 0.5) return [n, h, w * c];
  return c % 2 === 0 ? [n, h, w * 2, c / 2] : [n * h, w, 1, c];
}

/** Any tensor as an image, so that every step can take every tensor. */
function image(x: tf.Tensor): tf.Tensor4D {
  const shape = [...x.shape];
  while (shape.length < 4) shape.unshift(1);
  while (shape.length > 4) shape.splice(0, 2, shape[0] * shape[1]);
  return tf.reshape<tf.Rank.R4>(x, shape as [number, number, number, number]);
}

const STEPS: Record<string, Step> = {
  relu: x => tf.relu(x),
  tanh: x => tf.tanh(x),
  neg: x => tf.neg(x),
  clip: x => tf.clipByValue(x, -1, 0.75),
  add: (x, random) => tf.mul(tf.add(x, tensor(random, [x.shape.at(-1)!])), 0.5),
  'add a scalar for each pixel': (x, random) =>
    tf.mul(tf.add(x, tensor(random, [...x.shape.slice(0, -1), 1])), 0.5),
  'add another': (x, random, pool) => {
    const other = pool[random.integer(0, pool.length - 1)];
    const size = Math.min(x.size, other.size);
    const flat = (y: tf.Tensor) => tf.slice(tf.reshape(y, [y.size]), 0, size);
    return tf.mul(tf.add(flat(x), flat(other)), 0.5);
  },
  prelu: (x, random) => tf.prelu(x, tensor(random, [x.shape.at(-1)!])),
  conv2d: (x, random) => {
    const y = image(x);
    const [, , , c] = y.shape;
    const co = random.integer(1, 20);
    const size = random.integer(1, 3);
    const w = tf.div(tensor(random, [size, size, c, co]), Math.sqrt(size * size * c));
    return tf.conv2d(y, w as tf.Tensor4D, random.integer(1, 2), 'same');
  },
  'fused conv2d': (x, random) => {
    const y = image(x);
    const co = random.integer(2, 24);
    const w = tf.div(tensor(random, [1, 1, y.shape[3], co]), Math.sqrt(y.shape[3]));
    return tf.fused.conv2d({
      ...{ x: y, filter: w as tf.Tensor4D, strides: 1, pad: 'valid', activation: 'relu6' },
      bias: tensor(random, [co]),
    });
  },
  depthwiseConv2d: (x, random) => {
    const y = image(x);
    const m = y.shape[3] < 12 ? random.integer(1, 2) : 1;
    const w = tf.div(tensor(random, [3, 3, y.shape[3], m]), 3);
    return tf.depthwiseConv2d(y, w as tf.Tensor4D, 1, 'same');
  },
  matMul: (x, random) => {
    const k = x.shape.at(-1)!;
    const n = random.integer(1, 20);
    const b = tf.div(tensor(random, [n, k]), Math.sqrt(k));
    return tf.matMul(tf.reshape(x, [x.size / k, k]), b, false, true);
  },
  maxPool: x => tf.maxPool(image(x), 2, 1, 'same'),
  avgPool: x => tf.avgPool(image(x), 2, 2, 'same'),
  'mean of the image': x => tf.mean(image(x), [1, 2], true),
  'max of the channels': x => tf.max(x, -1, true),
  'sum of the rows': x => tf.div(tf.sum(image(x), 1), image(x).shape[1]),
  softmax: x => tf.softmax(x),
  batchNorm: (x, random) => {
    const c = x.shape.at(-1)!;
    return tf.mul(tf.batchNorm(x, tensor(random, [c]), tf.ones([c]), tensor(random, [c])), 0.5);
  },
  'concat with itself': (x, random) => tf.concat([x, tf.neg(x)], random.next() < 0.7 ? -1 : 0),
  'slice of the channels': (x, random) => {
    const c = x.shape.at(-1)!;
    const begin = random.integer(0, Math.floor((c - 1) / 2));
    const from = x.shape.map((_, i) => (i === x.shape.length - 1 ? begin : 0));
    return tf.slice(x, from, [...x.shape.slice(0, -1), c - begin]);
  },
  'half of a split': (x, random) => {
    const c = x.shape.at(-1)!;
    if (c < 2) return tf.neg(x);
    const cut = random.integer(1, c - 1);
    return tf.split(x, [cut, c - cut], -1)[random.integer(0, 1)];
  },
  pad: x => {
    const y = image(x);
    return tf.pad(
      y,
      [
        [0, 0],
        [1, 0],
        [0, 1],
        [0, 0],
      ],
      0.5,
    );
  },
  transpose: (x, random) => {
    const perms = [
      [0, 2, 1, 3],
      [0, 3, 1, 2],
      [0, 1, 3, 2],
    ];
    return tf.transpose(image(x), perms[random.integer(0, 2)]);
  },
  'every second channel': x =>
    tf.stridedSlice(x, [...x.shape.map(() => 0)], x.shape, [...x.shape.slice(1).map(() => 1), 2]),
  resize: x => {
    const y = image(x);
    const [, h, w] = y.shape;
    return h * w > 200 ? tf.neg(y) : tf.image.resizeBilinear(y, [h + 1, w + 2]);
  },
  reshape: (x, random) => tf.reshape(x, otherShape(image(x).shape, random)),
  'cumulative sum, which is not ours': x =>
    tf.mul(tf.cumsum(x, x.shape.length - 1), 1 / x.shape.at(-1)!),
  'to integers and back': x => tf.cast(tf.cast(tf.mul(x, 3), 'int32'), 'float32'),
};

/** Steps whose result jumps where their input differs by a rounding. */
const JUMPS = ['to integers and back'];

interface Read {
  numbers: ArrayLike<number>;
  shape: number[];
  steps: string;
}

/** Builds a graph from a seed, reading and disposing on the way; gives all that was read. */
async function play(seed: number): Promise<Read[]> {
  const random = new Random(seed);
  const names = Object.keys(STEPS).filter(name => !JUMPS.includes(name));
  const reads: Read[] = [];
  const pool = [tf.keep(tensor(random, [random.integer(1, 2), 5, 6, random.integer(3, 20)]))];
  const stories = ['x'];
  for (let call = 0; call < 25; call++) {
    // The latest ones are the likeliest.
    const i = Math.max(pool.length - 1 - Math.floor(random.next() ** 2 * 4), 0);
    const name = names[random.integer(0, names.length - 1)];
    const y = tf.tidy(() => {
      const result = STEPS[name](pool[i], random, pool);
      return result.size > 6000 ? tf.slice(tf.reshape(result, [result.size]), 0, 500) : result;
    });
    pool.push(tf.keep(y));
    stories.push(`${stories[i]} > ${name}`);
    const chance = random.next();
    if (chance < 0.08) {
      reads.push({ numbers: y.dataSync(), shape: y.shape, steps: stories.at(-1)! });
    } else if (chance < 0.16) {
      reads.push({ numbers: await y.data(), shape: y.shape, steps: stories.at(-1)! });
    } else if (chance < 0.3 && pool.length > 2) {
      const gone = random.integer(0, pool.length - 2);
      pool.splice(gone, 1)[0].dispose();
      stories.splice(gone, 1);
    }
  }
  const rest = await Promise.all(pool.map(x => x.data()));
  rest.forEach((numbers, i) => reads.push({ numbers, shape: pool[i].shape, steps: stories[i] }));
  tf.dispose(pool);
  return reads;
}

/** How many graphs for each split; those on the GPU take long, because of its many programs. */
const GRAPHS = { cpu: 12, gpu: 4, '0.5': 6, '0.25': 4, layer: 3, bands: 6, auto: 3 };

describe('random graphs', () => {
  useMulayer();
  const wanted = new Map<number, Read[]>();

  for (const [name, count] of Object.entries(GRAPHS)) {
    const split = Number(name) || name;
    for (let seed = 1; seed <= count; seed++) {
      it(`number ${seed} gives what tfjs-cpu gives: split ${split}`, async () => {
        if (!wanted.has(seed)) {
          await tf.setBackend('cpu');
          wanted.set(seed, await play(seed));
          await tf.setBackend('mulayer');
        }
        setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: 'float32' });
        const actual = await play(seed);
        const exact = wanted.get(seed)!;
        expect(actual.length).toBe(exact.length);
        for (const [i, { numbers, shape, steps }] of exact.entries()) {
          expect(actual[i].shape).toEqual(shape);
          for (let j = 0; j < numbers.length; j++) {
            if (isNear(actual[i].numbers[j], numbers[j], TOLERANCE)) continue;
            fail(
              `${steps}: [${shape.join()}] ${j}: wanted ${numbers[j]}, got ${actual[i].numbers[j]}`,
            );
            return;
          }
        }
      });
    }
  }
});
