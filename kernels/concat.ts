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
import type { Quantised } from '../src/processors/cpu/buffer.js';
import { bytesPerNumber } from '../src/processors/cpu/buffer.js';
import type { Joint } from '../src/processors/cpu/joint.js';
import { copyStrided } from '../src/processors/cpu/moves.js';
import type { CpuBuffer, CpuProcessor } from '../src/processors/cpu/processor.js';
import type { Quantisation } from '../src/processors/cpu/quantisation.js';
import { quantisationOf, rangeOf, unionOf } from '../src/processors/cpu/quantisation.js';
import { joinImages } from '../src/processors/gpu/programs/moves.js';
import type { Argument, Kernel } from '../src/processors/kernel.js';
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
  const parts = buffers.flatMap(({ written }) => written ?? []);
  if (parts.length < buffers.length) return undefined;
  const [first] = parts;
  if (parts.every(part => isSame(part, first))) return { scale: first.scale, zero: first.zero };
  return quantisationOf(unionOf(parts.map(rangeOf)));
}

const isSame = (a: Quantisation, b: Quantisation): boolean =>
  a.scale === b.scale && a.zero === b.zero;

/** Where parts lie already as the result is to lie, if all that have been given room there do. */
function commonJoint(
  inputs: readonly Argument<CpuBuffer>[],
  starts: readonly number[],
  quantisation: Quantisation,
  pitch: number,
): Joint | undefined {
  const joint = inputs.find(({ buffer }) => buffer.room)?.buffer.room!.joint;
  const lies = ({ buffer: { room, written } }: Argument<CpuBuffer>, i: number) =>
    !room || (room.joint === joint && room.at === starts[i] && isSame(written!, quantisation));
  return joint?.pitch === pitch && inputs.every(lies) ? joint : undefined;
}

/** Bytes x [rows,width], in a room or not, to y, rows `pitch` apart. */
function placeBytes(
  cpu: CpuProcessor,
  x: CpuBuffer,
  rows: number,
  width: number,
  quantisation: Quantisation,
  y: number,
  pitch: number,
): void {
  const from = x.written!;
  const copy = (to: number, toPitch: number) => {
    const fromPitch = x.room?.joint.pitch ?? width;
    copyStrided(cpu, 1, from.pointer, [fromPitch, 1], to, [toPitch, 1], [rows, width]);
  };
  if (isSame(from, quantisation)) {
    copy(y, pitch);
    return;
  }
  const requantise = (dense: number) => {
    const factor = from.scale / quantisation.scale;
    const { kernels } = cpu.heap;
    kernels.qu8Requantise(dense, rows, width, factor, from.zero, quantisation.zero, y, pitch);
  };
  if (!x.room) requantise(from.pointer);
  else {
    cpu.withScratch(rows * width, dense => {
      copy(dense, width);
      requantise(dense);
    });
  }
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

  band({ inputs, attributes, outputs }, range) {
    if (axisOf(inputs, attributes) === range.axis || range.axis > 1) return undefined;
    if (range.axis >= outputs[0].shape.length - 1) return undefined;
    return { inputs: Object.fromEntries(Object.keys(inputs).map(name => [name, range])) };
  },

  putsSideBySide: ({ inputs, attributes, outputs: [y] }) =>
    axisOf(inputs, attributes) === y.shape.length - 1,

  writesBytes: () => 'same',

  cpu(cpu, { inputs, attributes, outputs: [y] }) {
    const axis = axisOf(inputs, attributes);
    const all = Object.values(inputs);
    // Each input is a matrix [rows, its part of the axis and all that follows], and so is the result.
    const rows = util.sizeFromShape(y.shape.slice(0, axis));
    const rowOf = ({ shape }: Spec) => util.sizeFromShape(shape.slice(axis));
    const pitch = rowOf(y);
    const starts = all.map((_, i) => all.slice(0, i).reduce((sum, x) => sum + rowOf(x), 0));
    const bytes = commonQuantisation(all.map(({ buffer }) => buffer));
    if (bytes) {
      const write = ({ pointer }: Quantised) =>
        all.forEach((x, i) => {
          if (!joint || !x.buffer.room) {
            placeBytes(cpu, x.buffer, rows, rowOf(x), bytes, pointer + starts[i], pitch);
          }
        });
      const joint = commonJoint(all, starts, bytes, pitch);
      return [cpu.fillBytes(y, bytes, write, joint && { joint, at: 0 })];
    }
    const elementBytes = bytesPerNumber(y.dtype);
    const result = cpu.fill(y, whole => {
      all.forEach((x, i) => {
        const width = rowOf(x);
        const to = whole.address() + elementBytes * starts[i];
        cpu.withDense(x.buffer, from =>
          copyStrided(cpu, elementBytes, from, [width, 1], to, [pitch, 1], [rows, width]),
        );
      });
    });
    return [result];
  },

  gpu: (gpu, call) =>
    gpu.own(call, (context, images) =>
      joinImages(context, images, call.outputs[0].shape, axisOf(call.inputs, call.attributes)),
    ) ?? gpu.tfjs(call),
};
