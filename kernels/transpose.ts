/**
 * Transpose: `x [d_0,...] -> y [d_perm[0],...]`. Keeps slices while the last axis stays the last.
 */
import type { Attributes } from '../src/graph/kernel.js';
import { copyStrided, moveElements, stridesOf } from '../src/processors/cpu/moves.js';
import { transposeImage } from '../src/processors/gpu/programs/permute.js';
import type { Kernel } from '../src/processors/kernel.js';
import { allNumeric } from './guards.js';

const permOf = ({ perm }: Attributes) => perm as number[];

export const transpose: Kernel = {
  name: 'Transpose',
  kind: 'channelwise',
  accepts: allNumeric,
  infer: ({ x }, attributes) => [
    { shape: permOf(attributes).map(axis => x.shape[axis]), dtype: x.dtype },
  ],

  slice({ inputs, attributes }, from, to) {
    const axis = inputs.x.shape.length - 1;
    if (permOf(attributes).at(-1) !== axis) return undefined;
    return { inputs: { x: { axis, from, to } } };
  },

  writesBytes: () => 'same',

  cpu(cpu, { inputs: { x }, attributes, outputs: [y] }) {
    const strides = stridesOf(x.shape);
    const xStrides = permOf(attributes).map(axis => strides[axis]);
    return [
      moveElements(cpu, x.buffer, y, (from, to, bytes) =>
        copyStrided(cpu, bytes, from, xStrides, to, stridesOf(y.shape), y.shape),
      ),
    ];
  },

  gpu: (gpu, call) =>
    gpu.own(call, (context, [x]) =>
      transposeImage(context, x, permOf(call.attributes), call.outputs[0].shape),
    ) ?? gpu.tfjs(call),
};
