/**
 * The byte paths of the kernels that move bytes or compute on them: the same call on bytes and on the
 * floats they stand for, to a rounding. The float paths have their own specs against the oracle.
 */
import * as tf from '@tensorflow/tfjs-core';

import { kernels } from '../../kernels/table.js';
import type { Attributes, Named } from '../../src/graph/kernel.js';
import { CpuBuffer } from '../../src/processors/cpu/processor.js';
import { quantisationOf } from '../../src/processors/cpu/quantisation.js';
import type { Argument } from '../../src/processors/kernel.js';
import { backend, expectNear, useMulayer } from '../support.js';
import { Random } from '../wasm/random';

interface Problem {
  op: string;
  shape: number[];
  attributes: Attributes;
  /** Name of the input; x if absent. */
  input?: string;
  /** A number that is an input too, named a or b. */
  number?: Record<string, number>;
  /** What it is wanted to be: of the scale of x, or of a range given. `same` if absent. */
  how?: 'same' | 'blend';
  /** Units of the result's scale by which it may be rounded; 0 if absent. */
  units?: number;
}

/** Half a unit, and the roundings of floats. */
const ROUNDED = 0.501;

const move = (op: string, shape: number[], attributes: Attributes): Problem => ({
  op,
  shape,
  attributes,
});

const paddings = (...numbers: number[]) =>
  [0, 2, 4, 6].slice(0, numbers.length / 2).map(i => numbers.slice(i, i + 2));

const blend = (op: string, shape: number[], attributes: Attributes): Problem => ({
  ...move(op, shape, attributes),
  how: 'blend',
  units: ROUNDED,
});

const SHAPES = [
  [1, 2],
  [3, 17],
  [2, 5, 5, 7],
];

/** Sizes about the blocks of 8 and 16 bytes. */
const PROBLEMS: readonly Problem[] = [
  move('PadV2', [1], { paddings: [[1, 2]], constantValue: 0 }),
  move('PadV2', [1, 3, 5, 17], { paddings: paddings(0, 0, 1, 2, 3, 0, 0, 0), constantValue: 0 }),
  move('PadV2', [2, 3, 4, 9], { paddings: paddings(1, 0, 0, 1, 2, 0, 3, 4), constantValue: 0 }),
  move('Slice', [1], { begin: [0], size: [1] }),
  move('Slice', [2, 5, 7, 19], { begin: [1, 1, 2, 1], size: [1, 3, 5, 17] }),
  move('Slice', [5, 40], { begin: [1, 0], size: [3, 40] }),
  ...[
    [1, 1, 1],
    [1, 2, 3],
    [-1, -2, 1],
  ].map(strides =>
    move('StridedSlice', [3, 9, 11], {
      begin: strides.map(stride => (stride < 0 ? 8 : 0)),
      end: strides.map(stride => (stride < 0 ? -12 : 11)),
      strides,
      ...{ beginMask: 0, endMask: 0, ellipsisMask: 0, newAxisMask: 0, shrinkAxisMask: 0 },
    }),
  ),
  move('SplitV', [3, 4, 33], { numOrSizeSplits: [1, 16, 15, 1], axis: 2 }),
  move('SplitV', [6, 5], { numOrSizeSplits: 3, axis: 0 }),
  { ...move('Unpack', [3, 4, 5], { axis: 1 }), input: 'value' },
  move('Transpose', [1, 1], { perm: [1, 0] }),
  ...[7, 8, 9, 15, 16, 17, 65].map(n => move('Transpose', [n, 17], { perm: [1, 0] })),
  move('Transpose', [2, 5, 9, 3], { perm: [0, 3, 1, 2] }),
  move('Transpose', [2, 9, 5, 8], { perm: [0, 2, 3, 1] }),
  move('Transpose', [3, 4, 5, 6], { perm: [3, 2, 1, 0] }),
  move('DepthToSpace', [1, 1, 1, 4], { blockSize: 2, dataFormat: 'NHWC' }),
  move('DepthToSpace', [2, 3, 5, 36], { blockSize: 3, dataFormat: 'NHWC' }),
  move('DepthToSpace', [1, 6, 4, 68], { blockSize: 2, dataFormat: 'NHWC' }),
  ...['ResizeNearestNeighbor', 'ResizeBilinear'].flatMap(op =>
    [
      [1, 1, 1, 1],
      [2, 5, 4, 9],
      [1, 7, 3, 17],
    ].flatMap(shape =>
      [true, false].map(alignCorners => ({
        ...move(op, shape, { size: [8, 6], alignCorners, halfPixelCenters: !alignCorners }),
        input: 'images',
        // See wasm/qu8-resize.
        units: op === 'ResizeBilinear' ? 0.54 : 0,
      })),
    ),
  ),
  ...[
    [2, 6, 5, 9],
    [1, 4, 7, 16],
  ].flatMap(shape => [
    blend('AvgPool', shape, { filterSize: [3, 2], strides: [2, 1], pad: 'same' }),
    blend('AvgPool', shape, { filterSize: [2, 2], strides: [2, 2], pad: 'valid' }),
    blend('Mean', shape, { axis: [1, 2], keepDims: true }),
    blend('Mean', shape, { axis: 0 }),
  ]),
  ...SHAPES.flatMap(shape => [
    { ...move('Relu', shape, {}), units: 0 },
    { ...move('Relu6', shape, {}), units: ROUNDED },
    { ...move('ClipByValue', shape, { clipValueMin: -0.3, clipValueMax: 1.7 }), units: ROUNDED },
    ...[
      ['LeakyRelu', { alpha: 0.1 }] as const,
      ...['Neg', 'Abs', 'Sigmoid', 'Tanh', 'Elu', 'Softplus'].map(op => [op, {}] as const),
    ].map(([op, attributes]) => blend(op, shape, attributes)),
    ...['Add', 'Sub', 'Multiply', 'Maximum', 'Minimum'].flatMap(op => [
      { ...blend(op, shape, {}), input: 'a', number: { b: 0.7 } },
      { ...blend(op, shape, {}), input: 'b', number: { a: -1.3 } },
    ]),
    { ...blend('RealDiv', shape, {}), input: 'a', number: { b: -3 } },
  ]),
];

/** Zero points at the ends too, where the numbers have one sign. */
const QUANTISATIONS = [
  { scale: Math.fround(0.037), zero: 117 },
  { scale: Math.fround(3.1e-5), zero: 0 },
  { scale: 1, zero: 255 },
];

describe('kernels on bytes', () => {
  useMulayer();

  for (const problem of PROBLEMS) {
    const { op, shape, attributes, input = 'x', number = {}, how = 'same', units = 0 } = problem;
    const what = JSON.stringify({ ...attributes, ...number });
    it(`${op} of [${shape.join()}] ${what} gives what floats give`, () => {
      const { cpu } = backend();
      const kernel = kernels.get(op)!;
      const random = new Random(1);
      const argument = (ownShape: number[], buffer: CpuBuffer): Argument<CpuBuffer> => ({
        ...{ shape: ownShape, dtype: 'float32', buffer },
        range: () => cpu.range(buffer),
        derived: (_, make) => make(),
      });
      for (const quantisation of QUANTISATIONS) {
        const { scale, zero } = quantisation;
        const size = tf.util.sizeFromShape(shape);
        const bytes = CpuBuffer.asBytes(cpu.heap, size, quantisation);
        const x = random.bytes(size, 0, 255);
        cpu.heap.u8(bytes.quantised!.pointer, size).set(x);
        const floats = cpu.upload(
          Float32Array.from(x, q => Math.fround((q - zero) * scale)),
          { shape, dtype: 'float32' },
        );
        const others = Object.entries(number).map(
          ([name, value]) =>
            [name, cpu.upload(Float32Array.of(value), { shape: [], dtype: 'float32' })] as const,
        );
        const call = (buffer: CpuBuffer, range?: readonly [number, number]) => {
          const entries = [
            [input, argument(shape, buffer)] as const,
            ...others.map(([name, other]) => [name, argument([], other)] as const),
          ].sort(([a], [b]) => (a < b ? -1 : 1));
          const inputs: Named<Argument<CpuBuffer>> = Object.fromEntries(entries);
          const outputs = kernel.infer(inputs, attributes);
          expect(kernel.writesBytes!({ inputs, attributes, outputs })).toBe(how);
          return cpu.run(kernel, {
            ...{ name: op, inputs, attributes, outputs, isList: false, int8: false },
            ...(range && { range }),
          });
        };
        const wanted = call(floats);
        const range = cpu.range(wanted[0]);
        const actual = call(bytes, how === 'blend' ? range : undefined);
        const scaleOfResult = how === 'blend' ? quantisationOf(range)!.scale : scale;
        actual.forEach((y, i) => {
          expect(y.quantised?.scale).toBe(scaleOfResult);
          const tolerance = units * scaleOfResult;
          expectNear(y.numbers(), wanted[i].numbers(), tolerance);
          if (how === 'same') return;
          // The range noted holds all that was there, to the roundings of floats.
          const { spread } = y.quantised!;
          const slack = 1e-6 * Math.max(-range[0], range[1]);
          expect(spread![0]).toBeLessThanOrEqual(range[0] + slack);
          expect(spread![1]).toBeGreaterThanOrEqual(range[1] - slack);
        });
        const all = [bytes, floats, ...wanted, ...actual, ...others.map(([, other]) => other)];
        for (const buffer of all) buffer.free();
      }
    });
  }
});
