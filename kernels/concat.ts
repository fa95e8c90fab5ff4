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
import { bytesPerNumber } from '../src/processors/cpu/buffer.js';
import { copyStrided } from '../src/processors/cpu/moves.js';
import type { CpuBuffer } from '../src/processors/cpu/processor.js';
import type { Quantisation } from '../src/processors/cpu/quantisation.js';
import { quantisationOf, rangeOf, unionOf } from '../src/processors/cpu/quantisation.js';
import { joinImages } from '../src/processors/gpu/programs/moves.js';
import type { Kernel } from '../src/processors/kernel.js';
import { allNumeric } from './guards.js';

function axisOf(inputs: Named<Spec>, attributes: Attributes): number {
  const [first] = Object.values(inputs);
  return util.parseAxisParam(attributes.axis as number, first.shape as number[])[0];
}

/**
 * How the result becomes bytes where all of its parts are: as they, where they are alike (the plan
 * sees to that), else in the range of all of them.
 */
function commonQuantisation(buffers: readonly CpuBuffer[]): Quantisation | undefined {
  const parts = buffers.flatMap(({ quantised }) => quantised ?? []);
  if (parts.length < buffers.length) return undefined;
  const [first] = parts;
  if (parts.every(({ scale, zero }) => scale === first.scale && zero === first.zero)) return first;
  return quantisationOf(unionOf(parts.map(rangeOf)));
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

  writesBytes: () => 'same',

  cpu(cpu, { inputs, attributes, outputs: [y] }) {
    const axis = axisOf(inputs, attributes);
    const all = Object.values(inputs);
    // Each input is a matrix [rows, its part of the axis and all that follows], and so is the result.
    const rows = util.sizeFromShape(y.shape.slice(0, axis));
    const rowOf = ({ shape }: Spec) => util.sizeFromShape(shape.slice(axis));
    const pitch = rowOf(y);
    const place = (elementBytes: 1 | 4, from: number, width: number, to: number) =>
      copyStrided(cpu, elementBytes, from, [width, 1], to, [pitch, 1], [rows, width]);
    const bytes = commonQuantisation(all.map(({ buffer }) => buffer));
    if (bytes) {
      const joined = cpu.fillBytes(y, bytes, ({ pointer, scale, zero }) => {
        for (const x of all) {
          const from = x.buffer.quantised!;
          const width = rowOf(x);
          if (from.scale === scale && from.zero === zero) {
            place(1, from.pointer, width, pointer);
          } else {
            cpu.heap.kernels.qu8Requantise(
              from.pointer,
              rows,
              width,
              from.scale / scale,
              from.zero,
              zero,
              pointer,
              pitch,
            );
          }
          pointer += width;
        }
      });
      return [joined];
    }
    const elementBytes = bytesPerNumber(y.dtype);
    const result = cpu.fill(y, whole => {
      let to = whole.address();
      for (const x of all) {
        const width = rowOf(x);
        cpu.withDense(x.buffer, from => place(elementBytes, from, width, to));
        to += elementBytes * width;
      }
    });
    return [result];
  },

  gpu: (gpu, call) =>
    gpu.own(call, (context, images) =>
      joinImages(context, images, call.outputs[0].shape, axisOf(call.inputs, call.attributes)),
    ) ?? gpu.tfjs(call),
};
