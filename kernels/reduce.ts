/**
 * Sum, Mean, Max, Min and Prod over some axes: `x [outer,reduced,inner] -> y [outer,inner]`.
 * Channelwise while the last axis stays.
 */
import { backend_util, util } from '@tensorflow/tfjs-core';

import type { Attributes, Spec } from '../src/graph/kernel.js';
import { averageBytes } from '../src/processors/cpu/means.js';
import type { GpuBuffer, GpuProcessor } from '../src/processors/gpu/processor.js';
import { poolWhole } from '../src/processors/gpu/programs/pool.js';
import { relay } from '../src/processors/gpu/programs/transfer.js';
import type { Call, Kernel } from '../src/processors/kernel.js';
import { allFloat, sizeOf } from './guards.js';

/** Codes of `f32Reduce`. */
const OPS = { Sum: 0, Mean: 1, Max: 2, Min: 3, Prod: 4 } as const;

/** tfjs calls the attribute `reductionIndices` in Max. */
function axesOf({ shape }: Spec, { axis, reductionIndices }: Attributes): number[] {
  const given = (axis ?? reductionIndices) as number | number[] | undefined;
  return util.parseAxisParam(given as number[], shape as number[]).sort((a, b) => a - b);
}

/** [outer, reduced, inner] where the axes are consecutive. */
function dimensions(x: Spec, attributes: Attributes): [number, number, number] | undefined {
  const axes = axesOf(x, attributes);
  const consecutive = axes.every((axis, i) => axis === axes[0] + i);
  if (!consecutive || axes.length === 0) return undefined;
  const length = (from: number, to?: number) => util.sizeFromShape(x.shape.slice(from, to));
  const [first, end] = [axes[0], axes.at(-1)! + 1];
  return [length(0, first), length(first, end), length(end)];
}

/** What our programs have: over the pixels of [n,h,w,c]. */
const POOLS = { Sum: 'sum', Mean: 'mean', Max: 'max', Min: 'min' } as const;

function overImages(
  gpu: GpuProcessor,
  name: keyof typeof OPS,
  call: Call<GpuBuffer>,
): GpuBuffer[] | undefined {
  const { x } = call.inputs;
  const isOverPixels = x.shape.length === 4 && axesOf(x, call.attributes).join() === '1,2';
  if (name === 'Prod' || !isOverPixels) return undefined;
  return gpu.own(call, (context, [image]) => {
    const whole = poolWhole(context, image, POOLS[name]);
    const y = call.outputs[0].shape;
    // [n,c] of several images is another layout than [n,1,1,c].
    if (y.length === 4 || x.shape[0] === 1) return whole;
    const flat = relay(context, whole, y);
    context.give(whole.texture);
    return flat;
  });
}

function reduction(name: keyof typeof OPS): Kernel {
  return {
    name,
    kind: 'channelwise',
    // Over nothing the result is the neutral element: tfjs's own kernel knows which.
    accepts: inputs => allFloat(inputs) && sizeOf(inputs.x) > 0,

    infer({ x }, attributes) {
      const axes = axesOf(x, attributes);
      const [reduced] = backend_util.computeOutAndReduceShapes(x.shape as number[], axes);
      const shape = attributes.keepDims
        ? backend_util.expandShapeToKeepDim(reduced, axes)
        : reduced;
      return [{ shape, dtype: 'float32' }];
    },

    slice({ inputs, attributes }, from, to) {
      const axis = inputs.x.shape.length - 1;
      if (axesOf(inputs.x, attributes).includes(axis)) return undefined;
      return { inputs: { x: { axis, from, to } } };
    },

    writesBytes({ inputs, attributes }) {
      const [, , inner] = dimensions(inputs.x, attributes) ?? [];
      return name === 'Mean' && inner !== undefined && inner > 1 ? 'blend' : undefined;
    },

    cpu(cpu, call) {
      const { x } = call.inputs;
      const [y] = call.outputs;
      const sizes = dimensions(x, call.attributes);
      if (!sizes) return cpu.tfjs(call);
      const [outer, reduced, inner] = sizes;
      if (name === 'Mean') {
        // A window over an image of one row.
        const image = [1, reduced, inner, 1, reduced] as const;
        const window = [...image, 1, 1, 1, 1, 0, 0, 1, 1] as const;
        const bytes = averageBytes(cpu, x.buffer, y, call.range, outer, window);
        if (bytes) return [bytes];
      }
      const result = cpu.fill(y, to =>
        cpu.withDense(x.buffer, from =>
          cpu.heap.kernels.f32Reduce(OPS[name], from, outer, reduced, inner, to.address()),
        ),
      );
      return [result];
    },

    gpu: (gpu, call) => overImages(gpu, name, call) ?? gpu.tfjs(call),
  };
}

export const reductions: readonly Kernel[] = (Object.keys(OPS) as (keyof typeof OPS)[]).map(
  reduction,
);
