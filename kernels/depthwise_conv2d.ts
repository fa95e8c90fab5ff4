/**
 * DepthwiseConv2dNative and FusedDepthwiseConv2D: `x [n,h,w,c] * filter [kh,kw,c,m] (+ bias [c*m],
 * activation) -> y [n,oh,ow,c*m]`, NHWC. Output channel c*m+i needs input channel c only, so a
 * slice stays a slice; cuts are multiples of m.
 */
import { backend_util } from '@tensorflow/tfjs-core';

import type { Attributes, Named, Problem, Spec } from '../src/graph/kernel.js';
import { endsInBytes, takesEpilogue, withActivation } from '../src/processors/cpu/activation.js';
import { depthwise } from '../src/processors/cpu/depthwise.js';
import { paysForTaps } from '../src/processors/cpu/int8.js';
import type { CpuBuffer } from '../src/processors/cpu/processor.js';
import { convolve } from '../src/processors/gpu/convolve.js';
import type { Argument, Kernel } from '../src/processors/kernel.js';
import { fusedOnGpu, hasGpuActivation } from '../src/processors/kernel.js';
import { bandOfWindows } from './bands.js';
import { channelRange, expectAxis, expectBroadcast, expectRank, sizeOf } from './guards.js';

/** Work below which int8 does not pay for its quantisation pass. */
const MIN_INT8_MACS = 1e3;

type Padding = Parameters<typeof backend_util.computeConv2DInfo>[4];

function convInfo({ x, filter }: Named<Spec>, attributes: Attributes): backend_util.Conv2DInfo {
  const strides = attributes.strides as [number, number];
  return backend_util.computeConv2DInfo(
    x.shape as [number, number, number, number],
    filter.shape as [number, number, number, number],
    strides,
    (attributes.dilations as [number, number] | null) ?? 1,
    attributes.pad as Padding,
    attributes.dimRoundingMode as 'floor' | undefined,
    true,
  );
}

function macs({ inputs, outputs }: Problem): number {
  const [kh, kw] = inputs.filter.shape as number[];
  return outputs[0].shape.reduce((a, b) => a * b, 1) * kh * kw;
}

const rules = {
  kind: 'channelwise',
  weights: 'filter',

  accepts(inputs, attributes) {
    const { x, filter } = inputs;
    const { dataFormat } = attributes;
    return (
      (dataFormat == null || dataFormat === 'NHWC') &&
      x.dtype === 'float32' &&
      filter.dtype === 'float32' &&
      takesEpilogue(inputs, attributes, filter.shape[2] * filter.shape[3])
    );
  },

  infer(inputs, attributes) {
    const { x, filter } = inputs as { x: Spec; filter: Spec };
    expectRank('x', x, 4, '[n,h,w,c]');
    expectRank('filter', filter, 4, '[kh,kw,c,m]');
    expectAxis('filter', filter, 2, x.shape[3], 'as many channels as x');
    const shape = convInfo(inputs, attributes).outShape;
    expectBroadcast('preluActivationWeights', inputs.preluActivationWeights, shape);
    return [{ shape, dtype: 'float32' }];
  },

  slice({ inputs, outputs }, from, to) {
    const { filter, bias, preluActivationWeights: prelu } = inputs;
    const m = filter.shape[3];
    if (from % m !== 0 || to % m !== 0) return undefined;
    const channels = outputs[0].shape[3];
    return {
      inputs: {
        x: { axis: 3, from: from / m, to: to / m },
        filter: { axis: 2, from: from / m, to: to / m },
        ...(bias ? { bias: channelRange(bias, channels, from, to) } : {}),
        ...(prelu ? { preluActivationWeights: channelRange(prelu, channels, from, to) } : {}),
      },
    };
  },

  band({ inputs, outputs, attributes }, range) {
    const { preluActivationWeights: prelu } = inputs as { preluActivationWeights?: Spec };
    if (prelu && sizeOf(prelu) > outputs[0].shape[3]) return undefined;
    return bandOfWindows(convInfo(inputs, attributes), attributes, range);
  },

  grain: ({ inputs }) => inputs.filter.shape[3],

  macs,

  quantises: (problem, cpu) =>
    problem.inputs.filter.shape[3] === 1 && macs(problem) >= MIN_INT8_MACS && paysForTaps(cpu),

  writesBytes: ({ attributes }) => (endsInBytes(attributes) ? 'range' : undefined),

  cpu(cpu, { inputs, attributes, outputs, int8, range, correction }) {
    const info = convInfo(inputs, attributes);
    const { x, filter } = inputs as { x: Argument<CpuBuffer>; filter: Argument<CpuBuffer> };
    const spec = outputs[0];
    return withActivation(cpu, inputs, attributes, spec.shape, activation => [
      depthwise(cpu, {
        ...{ x, filter, info, spec, n: spec.shape[3], activation, int8 },
        ...(range && { range }),
        ...(correction && { correction }),
      }),
    ]);
  },

  gpuTakes: hasGpuActivation,
  gpu: (gpu, call) =>
    convolve(gpu, call, convInfo(call.inputs, call.attributes), true) ?? fusedOnGpu(gpu, call),
} satisfies Omit<Kernel, 'name'>;

export const depthwiseConv2d: Kernel = { name: 'DepthwiseConv2dNative', ...rules };
export const fusedDepthwiseConv2d: Kernel = { name: 'FusedDepthwiseConv2D', ...rules };
