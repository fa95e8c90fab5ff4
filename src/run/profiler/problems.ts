/**
 * What is measured to learn a device: small calls of kernels, chosen so that within a family the terms
 * of its cost (`plan/cost.ts`) can be told apart: many rows and few channels, few rows and many, deep and
 * flat, in a cache and beyond it. None is above 15 million multiply-accumulates, 0.7 ms of one core.
 *
 * In order of worth: the first of every family come first, in case time runs out.
 */
import type { Attributes, Named, Rules, Spec } from '../../graph/kernel.js';
import type { Called, Work } from '../../plan/cost.js';
import { workOf } from '../../plan/cost.js';
import type { Family } from '../../plan/profile.js';
import type { Kernel } from '../../processors/kernel.js';

export interface Problem {
  readonly name: string;
  readonly kernel: Kernel;
  readonly called: Called;
  readonly isList: boolean;
  readonly work: Work;
}

interface Asked {
  readonly family: Family;
  readonly op: string;
  readonly inputs: Named<readonly number[]>;
  readonly attributes: Attributes;
}

const window = (stride: number, pad = 'same') => ({
  ...{ strides: [stride, stride], pad, dataFormat: 'NHWC', dilations: [1, 1] },
});

/** x [1,h,h,ci] * [k,k,ci,co] */
const conv = (h: number, ci: number, co: number, k: number, stride = 1): Asked => ({
  family: k > 1 ? 'product' : 'pointwise',
  op: 'FusedConv2D',
  inputs: { x: [1, h, h, ci], filter: [k, k, ci, co], bias: [co] },
  attributes: { ...window(stride), activation: 'relu' },
});

/** a [1,k] * b [k,n] */
const dense = (k: number, n: number): Asked => ({
  family: 'vector',
  op: '_FusedMatMul',
  inputs: { a: [1, 1, k], b: [1, k, n], bias: [n] },
  attributes: { transposeA: false, transposeB: false, activation: 'relu' },
});

const depthwise = (h: number, c: number, k: number, stride = 1): Asked => ({
  family: 'depthwise',
  op: 'FusedDepthwiseConv2D',
  inputs: { x: [1, h, h, c], filter: [k, k, c, 1], bias: [c] },
  attributes: { ...window(stride), activation: 'relu' },
});

const maxPool = (h: number, c: number, k: number, stride: number): Asked => ({
  family: 'pool',
  op: 'MaxPool',
  inputs: { x: [1, h, h, c] },
  attributes: { filterSize: [k, k], ...window(stride) },
});

const unary = (family: Family, op: string, h: number, c: number): Asked => ({
  ...{ family, op, inputs: { x: [1, h, h, c] }, attributes: {} },
});

const add = (h: number, c: number): Asked => ({
  ...{ family: 'elementwise', op: 'Add', attributes: {} },
  inputs: { a: [1, h, h, c], b: [1, h, h, c] },
});

const concat = (h: number, ...channels: number[]): Asked => ({
  ...{ family: 'move', op: 'Concat', attributes: { axis: 3 } },
  inputs: Object.fromEntries(channels.map((c, i) => [String(i), [1, h, h, c]])),
});

const ASKED: readonly (readonly Asked[])[] = [
  [
    ...[conv(14, 64, 64, 3), conv(14, 256, 256, 1), dense(1024, 512), depthwise(28, 64, 3)],
    ...[maxPool(28, 64, 3, 2), add(28, 64), unary('polynomial', 'Sigmoid', 28, 32)],
    concat(28, 64, 64),
  ],
  [
    ...[conv(56, 16, 16, 3), conv(56, 16, 64, 1), dense(256, 128), depthwise(7, 512, 3)],
    ...[maxPool(56, 64, 2, 2), add(7, 64), unary('polynomial', 'Sigmoid', 7, 64)],
    concat(7, 64, 64, 32, 32),
  ],
  [
    ...[conv(7, 192, 160, 3), conv(7, 512, 512, 1), dense(2048, 512), depthwise(14, 256, 5)],
    ...[maxPool(14, 256, 3, 1), add(112, 48), unary('polynomial', 'Sigmoid', 56, 16)],
    concat(56, 96, 96),
  ],
  [
    ...[conv(112, 3, 16, 3, 2), conv(56, 64, 16, 1), depthwise(56, 32, 3, 2)],
    ...[maxPool(112, 32, 2, 2), unary('elementwise', 'Relu', 28, 128), concat(14, 96, 208, 48, 64)],
  ],
  [conv(28, 32, 64, 3), conv(14, 480, 16, 1), conv(14, 64, 256, 1), depthwise(112, 64, 3, 2)],
  [conv(7, 512, 16, 3), conv(28, 128, 64, 1), depthwise(14, 128, 3), maxPool(28, 192, 3, 1)],
];

/** @param kernels by name. */
export function problems(kernels: ReadonlyMap<string, Kernel>): Problem[] {
  return ASKED.flat().map(({ op, inputs, attributes }) => {
    const kernel = kernels.get(op)!;
    const specs = Object.fromEntries(
      Object.entries(inputs).map(([name, shape]): [string, Spec] => [
        name,
        { shape, dtype: 'float32' },
      ]),
    );
    const called = {
      kernel: kernel as Rules,
      inputs: specs,
      attributes,
      outputs: kernel.infer(specs, attributes),
    };
    const name = `${op} ${Object.values(inputs)
      .map(shape => shape.join('x'))
      .join(' ')}`;
    return { name, kernel, called, isList: op === 'Concat', work: workOf(called) };
  });
}
