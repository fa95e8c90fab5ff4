/**
 * PadV2: `x [d_i] -> y [before_i + d_i + after_i]`, filled with a constant. Keeps slices while the
 * last axis is not padded.
 */
import type { Attributes } from '../src/graph/kernel.js';
import { copyStrided, moveElements, stridesOf } from '../src/processors/cpu/moves.js';
import { fillImage, padImage } from '../src/processors/gpu/programs/moves.js';
import type { Kernel } from '../src/processors/kernel.js';
import { allFloat, sizeOf } from './guards.js';

const paddingsOf = ({ paddings }: Attributes) => paddings as [number, number][];

const valueOf = ({ constantValue = 0 }: Attributes) => constantValue as number;

/** The 32 bits of a float as an integer. */
const bitsOf = (value: number): number => new Int32Array(Float32Array.of(value).buffer)[0];

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

  // No other number is sure to be one of the bytes.
  writesBytes: ({ attributes }) => (valueOf(attributes) === 0 ? 'same' : undefined),

  cpu(cpu, { inputs: { x }, attributes, outputs: [y] }) {
    const paddings = paddingsOf(attributes);
    const strides = stridesOf(y.shape);
    const start = paddings.reduce((at, [before], i) => at + before * strides[i], 0);
    const value = valueOf(attributes);
    const { kernels } = cpu.heap;
    const write = (from: number, to: number, bytes: 1 | 4) => {
      kernels.fill(bytes, to, sizeOf(y), bytes === 1 ? x.buffer.quantised!.zero : bitsOf(value));
      copyStrided(cpu, bytes, from, stridesOf(x.shape), to + bytes * start, strides, x.shape);
    };
    return [moveElements(cpu, x.buffer, y, write, value === 0)];
  },

  // Its program for 5 axes and more does not compile.
  gpuTakes: ({ inputs }) => inputs.x.shape.length <= 4,
  gpu(gpu, call) {
    const before = paddingsOf(call.attributes).map(([n]) => n);
    const value = valueOf(call.attributes);
    const { shape } = call.outputs[0];
    const own = gpu.own(call, (context, [x]) => {
      if (value === 0) return padImage(context, x, before, shape);
      return fillImage(context, x, before, shape, value);
    });
    return own ?? gpu.tfjs(call);
  },
};
