/**
 * PadV2: `x [d_i] -> y [before_i + d_i + after_i]`, filled with a constant. Keeps slices while the
 * last axis is not padded.
 */
import type { Attributes } from '../src/graph/kernel.js';
import { copyStrided, stridesOf } from '../src/processors/cpu/elementwise.js';
import type { Kernel } from '../src/processors/kernel.js';
import { tfjsOnGpu } from '../src/processors/kernel.js';
import { allFloat, sizeOf } from './guards.js';

const paddingsOf = ({ paddings }: Attributes) => paddings as [number, number][];

export const pad: Kernel = {
  name: 'PadV2',
  kind: 'channelwise',
  accepts: allFloat,

  infer({ x }, attributes) {
    const paddings = paddingsOf(attributes);
    const shape = x.shape.map((length, i) => paddings[i][0] + length + paddings[i][1]);
    return [{ shape, dtype: x.dtype }];
  },

  slice({ inputs, attributes }, from, to) {
    const axis = inputs.x.shape.length - 1;
    if (
      paddingsOf(attributes)
        .at(-1)
        ?.some(n => n !== 0)
    )
      return undefined;
    return { inputs: { x: { axis, from, to } } };
  },

  cpu(cpu, { inputs, attributes, outputs }) {
    const x = inputs.x;
    const paddings = paddingsOf(attributes);
    const yStrides = stridesOf(outputs[0].shape);
    const start = paddings.reduce((at, [before], i) => at + before * yStrides[i], 0);
    const y = cpu.fill(outputs[0], result => {
      const all = cpu.heap.f32(result.address(), result.size);
      all.fill((attributes.constantValue as number | undefined) ?? 0);
      if (sizeOf(x) === 0) return;
      cpu.withDense(x.buffer, pointer =>
        copyStrided(
          cpu,
          pointer,
          stridesOf(x.shape),
          result.address() + 4 * start,
          yStrides,
          x.shape,
        ),
      );
    });
    return [y];
  },

  // Its program for 5 axes and more does not compile.
  gpuTakes: ({ inputs }) => inputs.x.shape.length <= 4,
  gpu: tfjsOnGpu,
};
