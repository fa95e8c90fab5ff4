/**
 * Slice, StridedSlice, SplitV, Unpack and Pack: `x -> y`, elements of a regular grid in x, copied.
 * Slice keeps channel slices while the last axis is taken whole.
 */
import { backend_util, slice_util, util } from '@tensorflow/tfjs-core';

import type { Attributes, Spec } from '../src/graph/kernel.js';
import { copyStrided, moveElements, stridesOf } from '../src/processors/cpu/moves.js';
import type { CpuBuffer, CpuProcessor } from '../src/processors/cpu/processor.js';
import type { GpuBuffer, GpuProcessor } from '../src/processors/gpu/processor.js';
import { relay } from '../src/processors/gpu/programs/transfer.js';
import { sliceImage } from '../src/processors/gpu/programs/moves.js';
import type { Argument, Call, Kernel } from '../src/processors/kernel.js';
import { allNumeric, sizeOf } from './guards.js';

/** Element i of axis a of the result is element `begin[a] + i * stride[a]` of x. */
interface Grid {
  begin: readonly number[];
  strides: readonly number[];
  /** Length of each axis of x's rank. */
  size: readonly number[];
}

function copyGrid(
  cpu: CpuProcessor,
  x: Argument<CpuBuffer>,
  y: Spec,
  { begin, strides, size }: Grid,
): CpuBuffer {
  const strideOf = stridesOf(x.shape);
  const start = begin.reduce((at, first, axis) => at + first * strideOf[axis], 0);
  const xStrides = strideOf.map((stride, axis) => stride * strides[axis]);
  return moveElements(cpu, x.buffer, y, (from, to, bytes) =>
    copyStrided(cpu, bytes, from + bytes * start, xStrides, to, stridesOf(size), size),
  );
}

const ones = (n: number): number[] => new Array<number>(n).fill(1);

function sliceParameters({ shape }: Spec, { begin, size }: Attributes): [number[], number[]] {
  return slice_util.parseSliceParams(
    { shape } as Parameters<typeof slice_util.parseSliceParams>[0],
    begin as number[],
    size as number[],
  ) as [number[], number[]];
}

export const slice: Kernel = {
  name: 'Slice',
  kind: 'channelwise',
  accepts: allNumeric,

  infer({ x }, attributes) {
    const [begin, size] = sliceParameters(x, attributes);
    const { shape } = x;
    slice_util.assertParamsValid({ ...x, shape: shape as number[], dataId: {} }, begin, size);
    return [{ shape: size, dtype: x.dtype }];
  },

  slice({ inputs, attributes }, from, to) {
    const { shape } = inputs.x;
    const [begin, size] = sliceParameters(inputs.x, attributes);
    const axis = shape.length - 1;
    if (size[axis] !== shape[axis]) return undefined;
    return {
      inputs: { x: { axis, from, to } },
      attributes: { begin, size: size.map((n, i) => (i === axis ? to - from : n)) },
    };
  },

  writesBytes: () => 'same',

  cpu(cpu, { inputs: { x }, attributes, outputs }) {
    const [begin, size] = sliceParameters(x, attributes);
    return [copyGrid(cpu, x, outputs[0], { begin, strides: ones(size.length), size })];
  },

  gpu: (gpu, call) =>
    gpu.own(call, (context, [x]) =>
      sliceImage(context, x, ...sliceParameters(call.inputs.x, call.attributes)),
    ) ?? gpu.tfjs(call),
};

function stridedInfo({ shape }: Spec, a: Attributes) {
  return slice_util.sliceInfo(
    shape as number[],
    a.begin as number[],
    a.end as number[],
    a.strides as number[],
    a.beginMask as number,
    a.endMask as number,
    a.ellipsisMask as number,
    a.newAxisMask as number,
    a.shrinkAxisMask as number,
  );
}

export const stridedSlice: Kernel = {
  name: 'StridedSlice',
  kind: 'mover',
  accepts: allNumeric,
  infer: ({ x }, attributes) => [{ shape: stridedInfo(x, attributes).finalShape, dtype: x.dtype }],

  writesBytes: () => 'same',

  cpu(cpu, { inputs: { x }, attributes, outputs }) {
    const { begin, end, strides } = stridedInfo(x, attributes);
    const size = slice_util.computeOutShape(begin, end, strides);
    return [copyGrid(cpu, x, outputs[0], { begin, strides, size })];
  },

  gpu(gpu, call) {
    const { begin, end, strides } = stridedInfo(call.inputs.x, call.attributes);
    const size = slice_util.computeOutShape(begin, end, strides);
    const own = () =>
      gpu.own(call, (context, [x]) => {
        const image = sliceImage(context, x, begin, size);
        const y = call.outputs[0].shape;
        if (util.arraysEqual(y as number[], size)) return image;
        const reshaped = relay(context, image, y);
        context.give(image.texture);
        return reshaped;
      });
    return (strides.every(n => n === 1) ? own() : undefined) ?? gpu.tfjs(call);
  },
};

/** The parts of a split: where each begins on the axis, and its length there. */
function parts({ x, value }: { x?: Spec; value?: Spec }, attributes: Attributes) {
  const { shape } = (x ?? value)!;
  const axis = util.parseAxisParam(
    (attributes.axis as number | undefined) ?? 0,
    shape as number[],
  )[0];
  const lengths = value
    ? ones(shape[axis])
    : backend_util.prepareSplitSize(
        { shape } as Parameters<typeof backend_util.prepareSplitSize>[0],
        attributes.numOrSizeSplits as number[] | number,
        axis,
      );
  let at = 0;
  return { axis, parts: lengths.map(length => ({ at: (at += length) - length, length })) };
}

function splitOnCpu(cpu: CpuProcessor, call: Call<CpuBuffer>): CpuBuffer[] {
  const x = Object.values(call.inputs)[0];
  const { axis, parts: all } = parts(call.inputs, call.attributes);
  return all.map(({ at, length }, i) => {
    const y = call.outputs[i];
    if (sizeOf(y) === 0) return cpu.make(y);
    return copyGrid(cpu, x, y, {
      begin: x.shape.map((_, a) => (a === axis ? at : 0)),
      strides: ones(x.shape.length),
      size: x.shape.map((n, a) => (a === axis ? length : n)),
    });
  });
}

/** Each part a slice of its own; without its axis for Unpack, which is another shape. */
function splitOnGpu(gpu: GpuProcessor, call: Call<GpuBuffer>): GpuBuffer[] {
  const [x] = Object.values(call.inputs);
  if (!gpu.hasImage(x) || !call.outputs.every(y => gpu.hasImage(y))) return gpu.tfjs(call);
  const { axis, parts: all } = parts(call.inputs, call.attributes);
  return all.map(({ at, length }, i) => {
    const part = gpu.slice(x.buffer, x, axis, at, at + length);
    const y = call.outputs[i];
    if (y.shape.length === x.shape.length) return part;
    const reshaped = gpu.reshape(part, y);
    part.free();
    return reshaped;
  });
}

export const splitV: Kernel = {
  name: 'SplitV',
  returnsList: true,
  kind: 'mover',
  accepts: allNumeric,

  infer(inputs, attributes) {
    const x = inputs.x;
    const { axis, parts: all } = parts(inputs, attributes);
    return all.map(({ length }) => ({
      shape: x.shape.map((n, a) => (a === axis ? length : n)),
      dtype: x.dtype,
    }));
  },

  writesBytes: () => 'same',
  cpu: splitOnCpu,
  gpu: splitOnGpu,
};

export const unpack: Kernel = {
  name: 'Unpack',
  returnsList: true,
  kind: 'mover',
  accepts: allNumeric,

  infer(inputs, attributes) {
    const { shape, dtype } = inputs.value;
    const { axis, parts: all } = parts(inputs, attributes);
    return all.map(() => ({ shape: shape.filter((_, a) => a !== axis), dtype }));
  },

  writesBytes: () => 'same',
  cpu: splitOnCpu,
  gpu: splitOnGpu,
};
