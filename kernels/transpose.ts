/**
 * Transpose: `x [d_0,...] -> y [d_perm[0],...]`. Keeps slices while the last axis stays the last.
 */
import type { Attributes } from '../src/graph/kernel.js';
import { copyStrided, stridesOf } from '../src/processors/cpu/elementwise.js';
import type { Kernel } from '../src/processors/kernel.js';
import { tfjsOnGpu } from '../src/processors/kernel.js';
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

  cpu(cpu, call) {
    const x = call.inputs.x;
    const y = call.outputs[0];
    if (x.dtype === 'bool') return cpu.tfjs(call);
    const strides = stridesOf(x.shape);
    const xStrides = permOf(call.attributes).map(axis => strides[axis]);
    const result = cpu.fill(y, buffer =>
      cpu.withDense(x.buffer, pointer =>
        copyStrided(cpu, pointer, xStrides, buffer.address(), stridesOf(y.shape), y.shape),
      ),
    );
    return [result];
  },

  gpu: tfjsOnGpu,
};
