/**
 * Conv2D and FusedConv2D: `x [n,h,w,ci] * filter [kh,kw,ci,co] (+ bias [co], activation)
 * -> y [n,oh,ow,co]`, NHWC.
 *
 * Split by output channels (muLayer, EuroSys 2019, section 4.1): a slice [from,to) of co needs all
 * of x and its own columns of the filter, bias and PReLU weights.
 */
import { backend_util } from '@tensorflow/tfjs-core';

import type { Attributes, Named, Problem, Range, SliceRule, Spec } from '../src/graph/kernel.js';
import { endsInBytes, takesEpilogue, withActivation } from '../src/processors/cpu/activation.js';
import { patchesOfConv } from '../src/processors/cpu/patches.js';
import { product } from '../src/processors/cpu/product.js';
import { convolve } from '../src/processors/gpu/convolve.js';
import type { Kernel } from '../src/processors/kernel.js';
import { fusedOnGpu, hasGpuActivation } from '../src/processors/kernel.js';
import { bandOfWindows } from './bands.js';
import {
  channelRange,
  expectAxis,
  expectBroadcast,
  expectFloat,
  expectRank,
  sizeOf,
} from './guards.js';

/** Work below which int8 does not pay for its quantisation pass. */
const MIN_INT8_MACS = 1e5;

type Padding = Parameters<typeof backend_util.computeConv2DInfo>[4];

function convInfo({ x, filter }: Named<Spec>, attributes: Attributes): backend_util.Conv2DInfo {
  return backend_util.computeConv2DInfo(
    x.shape as [number, number, number, number],
    filter.shape as [number, number, number, number],
    attributes.strides as [number, number],
    attributes.dilations as [number, number],
    attributes.pad as Padding,
    attributes.dimRoundingMode as 'floor' | undefined,
  );
}

function accepts(inputs: Named<Spec>, attributes: Attributes): boolean {
  const { x, filter } = inputs;
  const { dataFormat } = attributes;
  return (
    (dataFormat === undefined || dataFormat === 'NHWC') &&
    x.dtype === 'float32' &&
    filter.dtype === 'float32' &&
    takesEpilogue(inputs, attributes, filter.shape[3])
  );
}

function infer(inputs: Named<Spec>, attributes: Attributes): Spec[] {
  const { x, filter, bias, preluActivationWeights: prelu } = inputs;
  expectRank('x', x, 4, '[n,h,w,ci]');
  expectRank('filter', filter, 4, '[kh,kw,ci,co]');
  expectAxis('filter', filter, 2, x.shape[3], 'as many input channels as x');
  if (bias) expectFloat('bias', bias);
  const shape = convInfo(inputs, attributes).outShape;
  expectBroadcast('preluActivationWeights', prelu, shape);
  return [{ shape, dtype: 'float32' }];
}

function slice({ inputs }: Problem, from: number, to: number) {
  const { bias, preluActivationWeights: prelu } = inputs;
  return {
    inputs: {
      x: 'whole' as const,
      filter: { axis: 3, from, to },
      ...(bias ? { bias: channelRange(bias, inputs.filter.shape[3], from, to) } : {}),
      ...(prelu
        ? { preluActivationWeights: channelRange(prelu, inputs.filter.shape[3], from, to) }
        : {}),
    },
  };
}

function band(inputs: Named<Spec>, attributes: Attributes, range: Range): SliceRule | undefined {
  const { preluActivationWeights: prelu } = inputs as { preluActivationWeights?: Spec };
  if (prelu && sizeOf(prelu) > inputs.filter.shape[3]) return undefined;
  return bandOfWindows(convInfo(inputs, attributes), attributes, range);
}

function macs({ inputs, outputs }: Problem): number {
  const [kh, kw, ci] = inputs.filter.shape as number[];
  return outputs[0].shape.reduce((a, b) => a * b, 1) * kh * kw * ci;
}

const rules = {
  kind: 'layer',
  weights: 'filter',
  accepts,
  infer,
  slice,
  band: ({ inputs, attributes }, range) => band(inputs, attributes, range),
  macs,
  quantises: problem => macs(problem) >= MIN_INT8_MACS,

  writesBytes: ({ attributes }) => (endsInBytes(attributes) ? 'range' : undefined),

  cpu(cpu, { inputs, attributes, outputs, int8, range, room, correction }) {
    const { shape } = outputs[0];
    const patches = patchesOfConv(convInfo(inputs, attributes));
    const { x, filter } = inputs as { x: (typeof inputs)[string]; filter: (typeof inputs)[string] };
    return withActivation(cpu, inputs, attributes, shape, activation => [
      product(cpu, {
        x,
        patches,
        w: filter,
        n: shape[3],
        activation,
        int8,
        ...(range && { range }),
        ...(room && { room }),
        ...(correction && { correction }),
      }),
    ]);
  },

  gpuTakes: hasGpuActivation,
  gpu: (gpu, call) =>
    convolve(gpu, call, convInfo(call.inputs, call.attributes)) ?? fusedOnGpu(gpu, call),
} satisfies Omit<Kernel, 'name'>;

export const conv2d: Kernel = { name: 'Conv2D', ...rules };
export const fusedConv2d: Kernel = { name: 'FusedConv2D', ...rules };
