/**
 * Concat: `x_i [..., a_i, ...] -> y [..., sum a_i, ...]`. Along any axis but the last it keeps
 * slices. Along the last one, output channels [from,to) need those channels of the inputs that
 * fall into them:
 *
 *     x_0 │x_1   │x_2            a cut in the middle of x_1 sends x_0 and half of x_1 to the CPU,
 *     ────┴───┊──┴─────          the rest to the GPU
 *             cut
 */
import { backend_util, util } from '@tensorflow/tfjs-core';

import type { Attributes, Named, Need, Spec } from '../src/graph/kernel.js';
import { copyStrided, stridesOf } from '../src/processors/cpu/elementwise.js';
import type { Kernel } from '../src/processors/kernel.js';
import { tfjsOnGpu } from '../src/processors/kernel.js';
import { allNumeric, sizeOf } from './guards.js';

function axisOf(inputs: Named<Spec>, attributes: Attributes): number {
  const [first] = Object.values(inputs);
  return util.parseAxisParam(attributes.axis as number, first.shape as number[])[0];
}

export const concat: Kernel = {
  name: 'Concat',
  kind: 'mover',

  accepts: inputs =>
    allNumeric(inputs) && new Set(Object.values(inputs).map(({ dtype }) => dtype)).size === 1,

  infer(inputs, attributes) {
    const axis = axisOf(inputs, attributes);
    const shapes = Object.values(inputs).map(({ shape }) => shape as number[]);
    backend_util.assertParamsConsistent(shapes, axis);
    const shape = backend_util.computeOutShape(shapes, axis);
    return [{ shape, dtype: Object.values(inputs)[0].dtype }];
  },

  slice({ inputs, attributes, outputs }, from, to) {
    const last = outputs[0].shape.length - 1;
    const needs: Named<Need> = {};
    let start = 0;
    for (const [name, { shape }] of Object.entries(inputs)) {
      const length = shape[last];
      if (axisOf(inputs, attributes) !== last) {
        needs[name] = { axis: last, from, to };
        continue;
      }
      const own = { from: Math.max(from - start, 0), to: Math.min(to - start, length) };
      start += length;
      if (own.from >= own.to) needs[name] = 'nothing';
      else if (own.to - own.from === length) needs[name] = 'whole';
      else needs[name] = { axis: last, ...own };
    }
    return { inputs: needs };
  },

  cpu(cpu, call) {
    const { inputs, attributes, outputs } = call;
    const [y] = outputs;
    if (y.dtype === 'bool') return cpu.tfjs(call);
    const axis = axisOf(inputs, attributes);
    const yStrides = stridesOf(y.shape);
    const result = cpu.fill(y, whole => {
      let at = 0;
      for (const x of Object.values(inputs)) {
        if (sizeOf(x) > 0) {
          cpu.withDense(x.buffer, pointer =>
            copyStrided(
              cpu,
              pointer,
              stridesOf(x.shape),
              whole.address() + 4 * at * yStrides[axis],
              yStrides,
              x.shape,
            ),
          );
        }
        at += x.shape[axis];
      }
    });
    return [result];
  },

  gpu: tfjsOnGpu,
};
