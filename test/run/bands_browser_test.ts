/**
 * src/plan/bands.ts and src/passes/bands.ts in a run: chains of layers of which each processor computes
 * its images or rows. Needs WebGL.
 */
import * as tf from '@tensorflow/tfjs-core';

import type { Node } from '../../src/graph/graph.js';
import { explain } from '../../src/index.js';
import type { CpuProcessor } from '../../src/processors/cpu/processor.js';
import { Repeat } from '../../src/processors/gpu/tape.js';
import { backend, expectNear, grid, hasGpu, setFlags, signedGrid, useMulayer } from '../support.js';

type Image = tf.Tensor4D;

const weights = new Map<string, tf.Tensor>();

/** A constant, the same one in each call. */
function constant(name: string, shape: number[]): tf.Tensor {
  const known = weights.get(name);
  if (known) return known;
  const size = shape.reduce((a, b) => a * b, 1);
  const numbers = signedGrid(size, name.length).map(v => v / 4);
  const made = tf.tensor(numbers, shape);
  weights.set(name, tf.keep(made));
  return made;
}

const conv = (
  x: Image,
  name: string,
  k: number,
  co: number,
  strides = 1,
  pad: 'same' | 'valid' | number = 'same',
  dilations = 1,
): Image =>
  tf.fused.conv2d({
    ...{ x, strides, pad, dilations, activation: 'relu' as const },
    ...(typeof pad === 'number' && { dimRoundingMode: 'floor' as const }),
    filter: constant(`${name} filter ${k}`, [k, k, x.shape[3], co]) as tf.Tensor4D,
    bias: constant(`${name} bias`, [co]),
  });

const depthwise = (x: Image, name: string, k: number, strides = 1): Image =>
  tf.fused.depthwiseConv2d({
    ...{ x, strides, pad: 'same' as const, activation: 'relu6' as const },
    filter: constant(`${name} depthwise ${k}`, [k, k, x.shape[3], 1]) as tf.Tensor4D,
    bias: constant(`${name} bias`, [x.shape[3]]),
  });

/** Nets whose layers all go row by row. */
const NETS: Record<string, (x: Image) => tf.Tensor> = {
  'windows of all sizes': x => {
    const a = conv(x, 'a', 3, 8);
    const b = conv(a, 'b', 5, 12, 1, 'valid');
    return conv(conv(b, 'c', 1, 8), 'd', 2, 8);
  },
  'strides, also larger than the window': x =>
    conv(conv(conv(x, 'a', 3, 8, 2), 'b', 1, 8, 2), 'c', 3, 4),
  'numbers of padding, dilation': x => conv(conv(x, 'a', 3, 8, 1, 2), 'b', 3, 8, 1, 'same', 2),
  pools: x => {
    const a = tf.maxPool(conv(x, 'a', 3, 8), 3, 2, 'same');
    return tf.avgPool(conv(a, 'b', 3, 8), 2, 1, 'same');
  },
  'depthwise and pointwise': x =>
    conv(depthwise(conv(depthwise(x, 'a', 3), 'b', 1, 8), 'c', 5, 2), 'd', 1, 12),
  'branches of other halos, joined': x => {
    const a = conv(x, 'a', 1, 8);
    const b = conv(conv(a, 'b', 1, 4), 'c', 5, 8);
    const c = tf.maxPool(a, 3, 1, 'same');
    return tf.concat([a, b, conv(c, 'd', 1, 4)], 3);
  },
  'a residual': x => {
    const a = conv(x, 'a', 3, 8);
    return tf.relu(tf.add(a, conv(conv(a, 'b', 3, 8), 'c', 3, 8)));
  },
  'numbers by channel, unary functions': x => {
    const a = conv(x, 'a', 3, 8);
    return tf.sigmoid(tf.mul(tf.sub(a, constant('mean', [8])), constant('scale', [1, 1, 8])));
  },
  'a result that is also read by what has no rows': x => {
    const a = conv(x, 'a', 3, 8);
    const mean = tf.mean(a, [1, 2], true);
    return tf.mul(conv(a, 'b', 3, 8), tf.sigmoid(mean));
  },
};

/** [n, h, w] of the input, which has 4 channels. */
const SIZES = [
  [1, 16, 16],
  [1, 17, 9],
  [1, 31, 5],
  [3, 11, 8],
];

async function run(net: (x: Image) => tf.Tensor, x: Image): Promise<Float32Array> {
  const y = tf.tidy(() => net(x));
  const numbers = await y.data<'float32'>();
  y.dispose();
  return numbers;
}

const largestOf = (numbers: Float32Array): number =>
  numbers.reduce((a, v) => Math.max(a, Math.abs(v)), 0);

describe('bands', () => {
  useMulayer();
  beforeEach(() => {
    if (!hasGpu()) pending('there is no WebGL here');
  });
  afterEach(() => {
    for (const weight of weights.values()) weight.dispose();
    weights.clear();
  });

  for (const [name, net] of Object.entries(NETS)) {
    for (const size of SIZES) {
      it(`give what the CPU gives alone: ${name}, ${size.join()}`, async () => {
        const shape = [...size, 4] as [number, number, number, number];
        const x = tf.tensor4d(grid(shape.reduce((a, b) => a * b, 1)), shape);
        const onCpu = async (precision: string) => {
          setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: precision });
          await run(net, x);
          return run(net, x);
        };
        const wanted = await onCpu('float32');
        const largest = largestOf(wanted);
        const error = largestOf((await onCpu('int8')).map((v, i) => v - wanted[i]));
        for (const [precision, bound] of [
          ['float32', 1e-4 * largest],
          // Halves: rounded at each of up to seven results.
          ['int8', 2 * error + 6e-3 * largest],
        ] as const) {
          setFlags({ MULAYER_SPLIT: 'bands', MULAYER_PRECISION: precision });
          for (let i = 0; i < 3; i++) expectNear(await run(net, x), wanted, bound);
          const axes = explain().layers.filter(({ where }) => where === 'split');
          expect(axes.length).withContext('layers in bands').toBeGreaterThan(0);
        }
        x.dispose();
      });
    }
  }

  /** x [n,12,10,4], the net of one name in float32 on the CPU, and then in bands. */
  async function prepared(name: string, n: number) {
    const x = tf.tensor4d(grid(n * 12 * 10 * 4), [n, 12, 10, 4]);
    const net = NETS[name];
    setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'float32' });
    const wanted = await run(net, x);
    setFlags({ MULAYER_SPLIT: 'bands', MULAYER_PRECISION: 'float32', MULAYER_THREADS: 1 });
    await run(net, x);
    return { wanted, again: () => run(net, x) };
  }

  it('of images exchange nothing between layers', async () => {
    const { wanted, again } = await prepared('windows of all sizes', 2);
    expectNear(await again(), wanted, 1e-3);
    const { layers } = explain();
    expect(layers.map(({ where, p }) => [where, p])).toEqual(layers.map(() => ['split', 0.5]));
    expect(layers.map(({ readbacks }) => readbacks)).toEqual(layers.map(() => 0));
    // The input came to the GPU in the run before.
    expect(layers.map(({ bytesToGpu }) => bytesToGpu)).toEqual(layers.map(() => 0));
  });

  it('the GPU has all of a chain before the CPU begins, where there is one thread', async () => {
    const { again } = await prepared('windows of all sizes', 2);
    const calls: string[] = [];
    const note = <A extends unknown[], R>(name: string, own: (...args: A) => R) =>
      function (this: unknown, ...args: A): R {
        calls.push(name);
        return own.apply(this, args);
      };
    const { cpu } = backend() as unknown as { cpu: CpuProcessor };
    const onCpu = note('cpu', cpu.run.bind(cpu));
    spyOn(cpu, 'run').and.callFake(onCpu);
    // A step from its tape is no call of the processor.
    const { run } = Repeat.prototype;
    spyOn(Repeat.prototype, 'run').and.callFake(note('gpu', run));
    await again();
    const layers = calls.length / 2;
    expect(calls).toEqual(calls.map((_, i) => (i < layers ? 'gpu' : 'cpu')));
  });

  it("what the GPU refuses in the middle of a chain is the CPU's", async () => {
    const { wanted, again } = await prepared('depthwise and pointwise', 1);
    const warn = spyOn(console, 'warn');
    const { run } = Repeat.prototype;
    spyOn(Repeat.prototype, 'run').and.callFake(function (this: Repeat, gpu, step, ...rest) {
      const { kernel } = step as unknown as Node;
      if (kernel.name === 'FusedDepthwiseConv2D') throw new Error('no memory');
      return run.call(this, gpu, step, ...rest);
    });
    expectNear(await again(), wanted, 1e-3);
    expect(warn).toHaveBeenCalled();
    const where = () => explain().layers.map(row => [row.op, row.where]);
    expect(
      where()
        .filter(([op]) => op === 'FusedDepthwiseConv2D')
        .flat(),
    ).not.toContain('split');
    warn.calls.reset();
    expectNear(await again(), wanted, 1e-3);
    expect(warn).not.toHaveBeenCalled();
  });
});
