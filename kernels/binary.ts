/**
 * Element-wise operations of two operands with tfjs's broadcasting: `a [...], b [...] -> y [...]`.
 * Channelwise: an operand with all the channels is cut, one that is broadcast along them is not.
 *
 * The float32 arithmetic models are made of runs in wasm; the rest of the family, and other types,
 * are recorded too but computed by tfjs-cpu.
 */
import type { DataType } from '@tensorflow/tfjs-core';
import { broadcast_util, util } from '@tensorflow/tfjs-core';

import type { Named, Need, Problem, Spec } from '../src/graph/kernel.js';
import { binaryOps, broadcastBinary } from '../src/processors/cpu/elementwise.js';
import { lookUp } from '../src/processors/cpu/lookup.js';
import { withSpread } from '../src/processors/cpu/int8.js';
import type { CpuBuffer, CpuProcessor } from '../src/processors/cpu/processor.js';
import type { Range } from '../src/processors/cpu/quantisation.js';
import { quantisationOf } from '../src/processors/cpu/quantisation.js';
import { binaryImage } from '../src/processors/gpu/programs/binary.js';
import type { Call, Kernel } from '../src/processors/kernel.js';
import type { Numbers } from '../src/processors/processor.js';
import { bandOfNumbers } from './bands.js';
import { allFloat, allNumeric, channelRange, sizeOf } from './guards.js';

const ARITHMETIC = [
  ...['Add', 'Sub', 'Multiply', 'RealDiv', 'FloorDiv', 'Mod', 'Pow', 'SquaredDifference'],
  ...['Maximum', 'Minimum', 'Prelu', 'Atan2'],
];
/** Operands of one shape are compared here: 1.3 M peaks of CenterNet took tfjs 60 ms. */
const COMPARISON: Record<string, (a: number, b: number) => boolean> = {
  Equal: (a, b) => a === b,
  NotEqual: (a, b) => a !== b,
  Greater: (a, b) => a > b,
  GreaterEqual: (a, b) => a >= b,
  Less: (a, b) => a < b,
  LessEqual: (a, b) => a <= b,
};
/**
 * Codes of `qu8Binary`. Products, which it has too, stay floats: squeeze-excite and hard-swish in
 * bytes cost CenterNet a detection.
 */
const BYTES: Record<string, number> = { Add: 0, Sub: 1 };
/** With one number as an operand they are functions of the other, which lies in bytes. */
const OF_A_NUMBER = ['Add', 'Sub', 'Multiply', 'RealDiv', 'Maximum', 'Minimum'];
const LOGIC = ['LogicalAnd', 'LogicalOr'];

function operands(inputs: Named<Spec>): [Spec, Spec] {
  const [a, b] = Object.values(inputs);
  return [a, b];
}

function slice({ inputs, outputs }: Problem, from: number, to: number) {
  const channels = outputs[0].shape.at(-1)!;
  const needs: Named<Need> = {};
  for (const [name, x] of Object.entries(inputs)) needs[name] = channelRange(x, channels, from, to);
  return { inputs: needs };
}

function binary(name: string, result?: DataType): Kernel {
  const op = (binaryOps as Record<string, number>)[name];
  return {
    name,
    kind: 'channelwise',

    accepts: inputs =>
      allNumeric(inputs) && new Set(Object.values(inputs).map(({ dtype }) => dtype)).size === 1,

    infer(inputs) {
      const [a, b] = operands(inputs);
      const shape = broadcast_util.assertAndGetBroadcastShape(
        a.shape as number[],
        b.shape as number[],
      );
      return [{ shape, dtype: result ?? a.dtype }];
    },

    slice,
    band: bandOfNumbers,

    writesBytes: ({ inputs, outputs }) =>
      (name in BYTES && rowsOf(inputs, outputs[0])) || isOfANumber(name, inputs, outputs[0])
        ? 'blend'
        : undefined,

    cpu(cpu, call) {
      const [a, b] = Object.values(call.inputs);
      const bytes =
        call.range &&
        (isOfANumber(name, call.inputs, call.outputs[0])
          ? ofANumber(cpu, op, call, call.range)
          : onBytes(cpu, name, call, call.range));
      if (bytes) return [bytes];
      const compare = COMPARISON[name];
      if (compare && util.arraysEqual(a.shape as number[], b.shape as number[])) {
        const [left, right] = cpu.downloadAll([a.buffer, b.buffer]);
        return [cpu.upload(comparison(compare, left, right), call.outputs[0])];
      }
      if (op === undefined || !allFloat(call.inputs)) return cpu.tfjs(call);
      const { shape } = call.outputs[0];
      const y = cpu.fill(call.outputs[0], buffer =>
        broadcastBinary(cpu, op, a.buffer, a.shape, b.buffer, b.shape, buffer, shape),
      );
      return [y];
    },

    ...(op !== undefined && {
      gpu: (gpu, call) =>
        gpu.own(call, (context, images) =>
          binaryImage(context, name, images, call.outputs[0].shape),
        ) ?? gpu.tfjs(call),
    }),
  };
}

/**
 * How often the second operand is repeated: 1 for two of one shape, n·h·w for a number a channel;
 * undefined for what bytes are not blended in.
 */
function rowsOf(inputs: Named<Spec>, y: Spec): number | undefined {
  const [a, b] = operands(inputs);
  const size = util.sizeFromShape(b.shape as number[]);
  if (!allFloat(inputs) || !util.arraysEqual(a.shape as number[], y.shape as number[]) || !size) {
    return undefined;
  }
  if (util.arraysEqual(b.shape as number[], y.shape as number[])) return 1;
  const isByChannel = size === y.shape.at(-1) && b.shape.at(-1) === size;
  return isByChannel ? util.sizeFromShape(y.shape as number[]) / size : undefined;
}

/** The result as bytes, where both operands are bytes. */
function onBytes(
  cpu: CpuProcessor,
  name: string,
  { inputs, outputs }: Call<CpuBuffer>,
  range: Range,
): CpuBuffer | undefined {
  const [a, b] = Object.values(inputs).map(({ buffer }) => buffer.quantised);
  const rows = rowsOf(inputs, outputs[0]);
  const target = quantisationOf(range);
  if (!(name in BYTES) || !a || !b || !rows || !target) return undefined;
  const n = util.sizeFromShape(outputs[0].shape as number[]) / rows;
  return cpu.fillBytes(outputs[0], target, y => {
    withSpread(cpu, y, spread =>
      cpu.heap.kernels.qu8Binary(
        BYTES[name],
        ...([rows, n, a.pointer, a.zero, a.scale] as const),
        ...([b.pointer, rows === 1 ? n : 0, b.zero, b.scale] as const),
        ...([y.pointer, 1 / target.scale, target.zero, spread] as const),
      ),
    );
  });
}

/** Whether one operand is a number, and the other, which has the result's shape, is not. */
function isOfANumber(name: string, inputs: Named<Spec>, y: Spec): boolean {
  const [a, b] = operands(inputs);
  if (!OF_A_NUMBER.includes(name) || !allFloat(inputs) || sizeOf(y) === 1) return false;
  const isSame = (x: Spec) => util.arraysEqual(x.shape as number[], y.shape as number[]);
  return (sizeOf(b) === 1 && isSame(a)) || (sizeOf(a) === 1 && isSame(b) && name !== 'RealDiv');
}

/** The result as bytes, where the operand that is a tensor is. */
function ofANumber(
  cpu: CpuProcessor,
  op: number,
  { inputs, outputs: [y] }: Call<CpuBuffer>,
  range: Range,
): CpuBuffer | undefined {
  const [a, b] = Object.values(inputs);
  const isFirst = sizeOf(b) === 1;
  const [x, number] = isFirst ? [a, b] : [b, a];
  return cpu.withDense(number.buffer, scalar =>
    lookUp(cpu, x.buffer, y, range, (from, n, to) => {
      const [left, right] = isFirst ? [from, scalar] : [scalar, from];
      const [leftStep, rightStep] = isFirst ? ([1, 0] as const) : ([0, 1] as const);
      cpu.heap.kernels.f32Binary(op, 1, n, left, 0, leftStep, right, 0, rightStep, to);
    }),
  );
}

function comparison(
  compare: (a: number, b: number) => boolean,
  a: Numbers,
  b: Numbers,
): Uint8Array {
  const y = new Uint8Array(a.length);
  for (let i = 0; i < y.length; i++) y[i] = compare(a[i], b[i]) ? 1 : 0;
  return y;
}

export const binaries: readonly Kernel[] = [
  ...ARITHMETIC.map(name => binary(name)),
  ...[...Object.keys(COMPARISON), ...LOGIC].map(name => binary(name, 'bool')),
];
