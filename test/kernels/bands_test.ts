/** kernels/bands.ts and the `band` rules: a part of the inputs gives just that part of the result. */
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';

import { kernels } from '../../kernels/table.js';
import type { Attributes, Named, Range } from '../../src/graph/kernel.js';
import { cutShape } from '../../src/run/transfers.js';
import { expectNear, signedGrid } from '../support.js';

interface Case {
  op: string;
  shapes: Named<number[]>;
  attributes?: Attributes;
}

const windows = (strides: number[], pad: unknown, dilations = [1, 1]): Attributes => ({
  ...{ strides, pad, dilations, dataFormat: 'NHWC', dimRoundingMode: undefined },
});

const conv = (k: number[], attributes: Attributes, op = 'Conv2D'): Case => ({
  op,
  shapes: { x: [3, 11, 6, 4], filter: [...k, 4, op === 'Conv2D' ? 5 : 1] },
  attributes,
});

const pool = (op: string, filterSize: number[], strides: number[], pad: unknown): Case => ({
  op,
  shapes: { x: [3, 11, 6, 4] },
  attributes: { ...windows(strides, pad), filterSize },
});

const CASES: readonly Case[] = [
  conv([3, 3], windows([1, 1], 'same')),
  conv([3, 3], windows([2, 2], 'same')),
  conv([1, 1], windows([2, 1], 'valid')),
  conv([2, 3], windows([3, 1], 'valid')),
  conv([3, 2], windows([1, 1], 'same', [2, 3])),
  conv([5, 5], windows([1, 1], [[0, 0], [3, 1], [0, 4], [0, 0]])), // prettier-ignore
  conv([3, 3], windows([1, 1], 'same'), 'DepthwiseConv2dNative'),
  conv([5, 3], windows([2, 2], 'same'), 'DepthwiseConv2dNative'),
  pool('MaxPool', [3, 3], [2, 2], 'same'),
  pool('MaxPool', [2, 2], [1, 1], 'valid'),
  pool('AvgPool', [3, 2], [1, 1], 'same'),
  { op: 'Relu', shapes: { x: [3, 5, 2, 4] } },
  { op: 'Add', shapes: { a: [3, 5, 2, 4], b: [3, 5, 2, 4] } },
  { op: 'Multiply', shapes: { a: [3, 5, 2, 4], b: [4] } },
  { op: 'Sub', shapes: { a: [2, 4], b: [3, 5, 2, 4] } },
  { op: 'Concat', shapes: { 0: [3, 5, 2, 4], 1: [3, 5, 2, 3] }, attributes: { axis: 3 } },
  {
    op: 'FusedBatchNorm',
    shapes: { x: [3, 5, 2, 4], mean: [4], variance: [4], offset: [4], scale: [4] },
    attributes: { varianceEpsilon: 2 },
  },
];

describe('bands', () => {
  beforeAll(() => tf.setBackend('cpu'));

  for (const { op, shapes, attributes = {} } of CASES) {
    const kernel = kernels.get(op)!;
    const specs = Object.fromEntries(
      Object.entries(shapes).map(([name, shape]) => [name, { shape, dtype: 'float32' as const }]),
    );
    const outputs = kernel.infer(specs, attributes);
    const [{ shape: whole }] = outputs;
    const ruleOf = (range: Range) => kernel.band!({ inputs: specs, attributes, outputs }, range);

    it(`of images and rows are parts of the whole: ${op} ${JSON.stringify(attributes)}`, () => {
      tf.tidy(() => {
        const tensors = Object.entries(shapes).map(([name, shape], i): [string, tf.Tensor] => {
          const numbers = signedGrid(tf.util.sizeFromShape(shape), i);
          return [name, tf.tensor(name === 'variance' ? numbers.map(Math.abs) : numbers, shape)];
        });
        const run = (inputs: [string, tf.Tensor][], some: Attributes) => {
          const named = Object.fromEntries(inputs);
          const given = op === 'Concat' ? Object.values(named) : named;
          return tf.engine().runKernel<tf.Tensor>(op, given as never, some as never);
        };
        const y = run(tensors, attributes);
        for (const axis of [0, 1]) {
          for (let from = 0; from < whole[axis]; from++) {
            for (let to = from + 1; to <= whole[axis]; to++) {
              const range = { axis, from, to };
              const rule = ruleOf(range);
              if (!rule) {
                fail(`no rule for ${JSON.stringify(range)}`);
                return;
              }
              const parts = tensors.map(([name, x]): [string, tf.Tensor] => {
                const need = rule.inputs[name];
                if (typeof need !== 'object') return [name, x];
                const begin = x.shape.map((_, i) => (i === need.axis ? need.from : 0));
                return [name, tf.slice(x, begin, cutShape(x.shape, need))];
              });
              const part = run(parts, rule.attributes ?? attributes);
              expect(part.shape).toEqual(cutShape(whole, range));
              const begin = whole.map((_, i) => (i === axis ? from : 0));
              const wanted = tf.slice(y, begin, cutShape(whole, range));
              expectNear(part.dataSync(), wanted.dataSync(), 1e-5);
            }
          }
        }
      });
    });

    it(`there are none of channels: ${op} ${JSON.stringify(attributes)}`, () => {
      expect(ruleOf({ axis: 3, from: 0, to: 1 })).toBeUndefined();
    });
  }

  it('what joins rows has none of them', () => {
    const x = { shape: [1, 2, 2, 1], dtype: 'float32' as const };
    const inputs = { 0: x, 1: x };
    const problem = { inputs, attributes: { axis: 1 }, outputs: [{ ...x, shape: [1, 4, 2, 1] }] };
    expect(kernels.get('Concat')!.band!(problem, { axis: 1, from: 0, to: 1 })).toBeUndefined();
  });

  it('an operand that is repeated along another axis is whole, one of other rows is not cut', () => {
    const y = { shape: [1, 4, 2, 3], dtype: 'float32' as const };
    const rule = (shape: number[]) =>
      kernels.get('Add')!.band!(
        { inputs: { a: y, b: { ...y, shape } }, attributes: {}, outputs: [y] },
        {
          ...{ axis: 1, from: 1, to: 3 },
        },
      );
    expect(rule([1, 1, 1, 3])?.inputs).toEqual({ a: { axis: 1, from: 1, to: 3 } });
    expect(rule([1, 4, 1, 3])).toBeUndefined();
    expect(rule([4, 2, 3])).toBeUndefined();
  });
});
