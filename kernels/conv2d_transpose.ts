/**
 * Conv2DBackpropInput, the transposed convolution: `dy [n,oh,ow,co] * filter [kh,kw,ci,co]
 * (+ bias [ci], activation) -> y [n,h,w,ci]`, NHWC. It is also the gradient of a convolution by its
 * input, whence the names of the axes: co is what comes in.
 *
 * With strides s it is s·s convolutions of stride 1, one for each place of a pixel in a block of
 * [s,s], each with its own taps of the filter (`stripesOf`); their results lie between each other:
 *
 *     ┌───┬───┬───┬───┐
 *     │ a │ b │ a │ b │    a, b, c, d: dense convolutions of dy with ceil(kh/s) * ceil(kw/s) taps
 *     ├───┼───┼───┼───┤    or fewer
 *     │ c │ d │ c │ d │
 *     └───┴───┴───┴───┘
 *
 * so no zero is multiplied, and nothing is added up in memory. Split by output channels: a slice
 * [from,to) of ci needs all of dy and those of the filter's third axis.
 *
 * FusedConv2DBackpropInput is no kernel of tfjs: the fuse pass makes it, for the CPU alone.
 */
import { backend_util, util } from '@tensorflow/tfjs-core';

import type { Attributes, Named, Problem, Spec } from '../src/graph/kernel.js';
import type { Activation } from '../src/processors/cpu/activation.js';
import { endsInBytes, takesEpilogue, withActivation } from '../src/processors/cpu/activation.js';
import { copyStrided, stridesOf } from '../src/processors/cpu/moves.js';
import type { Stripe } from '../src/processors/cpu/patches.js';
import { patchesOfStripes, stripesOf } from '../src/processors/cpu/patches.js';
import { CpuBuffer } from '../src/processors/cpu/processor.js';
import type { CpuProcessor } from '../src/processors/cpu/processor.js';
import { product } from '../src/processors/cpu/product.js';
import { unionOf } from '../src/processors/cpu/quantisation.js';
import { deconvolve } from '../src/processors/gpu/convolve.js';
import type { Argument, Call, Kernel } from '../src/processors/kernel.js';
import { channelRange, expectAxis, expectFloat, expectRank, sizeOf } from './guards.js';

/** Work below which int8 does not pay for its quantisation pass. */
const MIN_INT8_MACS = 1e5;

type Shape4D = [number, number, number, number];
type Padding = Parameters<typeof backend_util.computeConv2DInfo>[4];

/** Of the convolution that this one transposes: in and out are the other way round. */
function convInfo({ filter }: Named<Spec>, attributes: Attributes): backend_util.Conv2DInfo {
  return backend_util.computeConv2DInfo(
    attributes.inputShape as Shape4D,
    filter.shape as Shape4D,
    attributes.strides as [number, number],
    1,
    attributes.pad as Padding,
    attributes.dimRoundingMode as 'floor' | undefined,
  );
}

function accepts(inputs: Named<Spec>, attributes: Attributes): boolean {
  const { dy, filter } = inputs;
  const { dataFormat } = attributes;
  return (
    (dataFormat === undefined || dataFormat === 'NHWC') &&
    dy.dtype === 'float32' &&
    filter.dtype === 'float32' &&
    takesEpilogue(inputs, attributes, filter.shape[2]) &&
    // tfjs does not ask whether dy is as large as the convolution's result, and takes what it needs.
    util.arraysEqual(convInfo(inputs, attributes).outShape, dy.shape as number[])
  );
}

function infer(inputs: Named<Spec>, attributes: Attributes): Spec[] {
  const { dy, filter, bias } = inputs;
  expectRank('dy', dy, 4, '[n,oh,ow,co]');
  expectRank('filter', filter, 4, '[kh,kw,ci,co]');
  expectAxis('filter', filter, 3, dy.shape[3], 'as many output channels as dy');
  if (bias) expectFloat('bias', bias);
  return [{ shape: [...(attributes.inputShape as Shape4D)], dtype: 'float32' }];
}

function slice({ inputs, attributes }: Problem, from: number, to: number) {
  const { bias, filter, preluActivationWeights: prelu } = inputs;
  const [n, h, w] = attributes.inputShape as Shape4D;
  return {
    inputs: {
      dy: 'whole' as const,
      filter: { axis: 2, from, to },
      ...(bias ? { bias: channelRange(bias, filter.shape[2], from, to) } : {}),
      ...(prelu ? { preluActivationWeights: channelRange(prelu, filter.shape[2], from, to) } : {}),
    },
    attributes: { ...attributes, inputShape: [n, h, w, to - from] },
  };
}

function macs({ inputs }: Problem): number {
  const [kh, kw, ci] = inputs.filter.shape as Shape4D;
  return sizeOf(inputs.dy) * kh * kw * ci;
}

/** Rows and columns of the result that are one convolution. */
interface Phase {
  row: Stripe;
  column: Stripe;
}

/** The taps of a phase as the rows of a product: [taps down, taps across, co, ci]. */
function filterOf(
  cpu: CpuProcessor,
  filter: Argument<CpuBuffer>,
  { row, column }: Phase,
  [strideH, strideW]: readonly [number, number],
): Argument<CpuBuffer> {
  const [kh, kw, ci, co] = filter.shape as Shape4D;
  const shape = [row.taps, column.taps, co, ci];
  const spec: Spec = { shape, dtype: 'float32' };
  const size = sizeOf(spec);
  const isZero = row.tap >= kh || column.tap >= kw;
  const make = () => {
    if (isZero) return new Float32Array(size);
    const [down, across] = stridesOf(filter.shape);
    const numbers = cpu.withScratch(4 * size, to =>
      cpu.withDense(filter.buffer, from => {
        const last = from + 4 * (row.tap * down + column.tap * across);
        const strides = [-strideH * down, -strideW * across, 1, co];
        copyStrided(cpu, 4, last, strides, to, stridesOf(shape), shape);
        return cpu.heap.f32(to, size).slice();
      }),
    );
    filter.buffer.evict();
    return numbers;
  };
  const name = `phase ${strideH}x${strideW} ${row.tap},${column.tap}`;
  const buffer = filter.derived(name, () => CpuBuffer.ofRecipe(cpu.heap, 'float32', size, make));
  return {
    ...spec,
    buffer,
    range: () => filter.range(),
    derived: (own, makeOwn) => filter.derived(`${name}:${own}`, makeOwn),
  };
}

function onCpu(
  cpu: CpuProcessor,
  { inputs, attributes, outputs: [y], int8, range, correction }: Call<CpuBuffer>,
  activation: Activation,
): CpuBuffer {
  const { dy, filter } = inputs as Record<'dy' | 'filter', Argument<CpuBuffer>>;
  const info = convInfo(inputs, attributes);
  const { inHeight: h, inWidth: w, inChannels: ci, outHeight, outWidth, padInfo } = info;
  const { filterHeight, filterWidth, strideHeight, strideWidth } = info;
  const rows = stripesOf(h, outHeight, filterHeight, strideHeight, padInfo.top);
  const columns = stripesOf(w, outWidth, filterWidth, strideWidth, padInfo.left);
  const phases = rows.stripes.flatMap(row => columns.stripes.map(column => ({ row, column })));
  const parts: CpuBuffer[] = [];
  try {
    for (const phase of phases) {
      const part = product(cpu, {
        x: dy,
        patches: patchesOfStripes(info, rows, columns, phase.row, phase.column),
        w: filterOf(cpu, filter, phase, [strideHeight, strideWidth]),
        n: ci,
        activation,
        int8,
        ...(range && { range }),
        ...(correction && { correction }),
      });
      parts.push(part);
    }
    if (parts.length === 1) return parts.pop()!;
    const place = (elementBytes: 1 | 4, from: number, { row, column }: Phase, to: number) => {
      const shape = [info.batchSize, row.count, column.count, ci];
      const strides = [h * w * ci, strideHeight * w * ci, strideWidth * ci, 1];
      const at = to + elementBytes * (row.first * w + column.first) * ci;
      copyStrided(cpu, elementBytes, from, stridesOf(shape), at, strides, shape);
    };
    const bytes = parts.flatMap(({ quantised }) => quantised ?? []);
    if (bytes.length < parts.length) {
      return cpu.fill(y, to =>
        parts.forEach((part, i) => place(4, part.address(), phases[i], to.address())),
      );
    }
    return cpu.fillBytes(y, bytes[0], to => {
      bytes.forEach(({ pointer }, i) => place(1, pointer, phases[i], to.pointer));
      cpu.heap.queue.afterwards(() => {
        to.spread = unionOf(bytes.map(({ spread }) => spread!));
      });
    });
  } finally {
    for (const part of parts) part.free();
  }
}

const rules = {
  kind: 'layer',
  weights: 'filter',
  accepts,
  infer,
  slice,
  macs,
  quantises: problem => macs(problem) >= MIN_INT8_MACS,

  writesBytes: ({ attributes }) => (endsInBytes(attributes) ? 'range' : undefined),

  cpu(cpu, call) {
    const { inputs, attributes, outputs } = call;
    return withActivation(cpu, inputs, attributes, outputs[0].shape, activation => [
      onCpu(cpu, call, activation),
    ]);
  },
} satisfies Omit<Kernel, 'name'>;

export const conv2dTranspose: Kernel = {
  name: 'Conv2DBackpropInput',
  ...rules,
  gpu: (gpu, call) =>
    deconvolve(gpu, call, convInfo(call.inputs, call.attributes)) ?? gpu.tfjs(call),
};
export const fusedConv2dTranspose: Kernel = { name: 'FusedConv2DBackpropInput', ...rules };
