/**
 * Element-wise operations of one float32 operand: `x [...] -> y [...]`. Channelwise.
 *
 * What models are made of runs in wasm, the rest of the family by tfjs-cpu.
 */
import type { Attributes } from '../src/graph/kernel.js';
import { unaryOps } from '../src/processors/cpu/elementwise.js';
import { clampBytes, lookUp } from '../src/processors/cpu/lookup.js';
import { unaryImage } from '../src/processors/gpu/programs/unary.js';
import type { Kernel } from '../src/processors/kernel.js';
import { bandOfNumbers } from './bands.js';
import { allFloat, sizeOf } from './guards.js';

/** The parameters p0 and p1 of `f32Unary`, from the attributes. */
const PARAMETERS: Record<string, (attributes: Attributes) => [number, number]> = {
  LeakyRelu: ({ alpha }) => [alpha as number, 0],
  ClipByValue: ({ clipValueMin, clipValueMax }) => [clipValueMin as number, clipValueMax as number],
  Step: ({ alpha }) => [(alpha as number | undefined) ?? 0, 0],
};

/** Bounds of those that are a clamp, which keeps the scale of bytes where 0 lies within. */
const CLAMPS: Record<string, (attributes: Attributes) => [number, number]> = {
  Relu: () => [0, Infinity],
  Relu6: () => [0, 6],
  ClipByValue: PARAMETERS.ClipByValue,
};

/**
 * Looked up in a table where the input is bytes: functions that are finite everywhere and nowhere
 * steeper than their input, so that a unit of error stays one.
 */
const LOOKED_UP = ['LeakyRelu', 'Neg', 'Abs', 'Sigmoid', 'Tanh', 'Elu', 'Softplus'];

function clampOf(name: string, attributes: Attributes): [number, number] | undefined {
  const clamp = CLAMPS[name]?.(attributes);
  return clamp && clamp[0] <= 0 && clamp[1] >= 0 ? clamp : undefined;
}

/** Recorded, and computed by tfjs-cpu on the CPU. */
const RARE = [
  ...['Acos', 'Acosh', 'Asin', 'Asinh', 'Atan', 'Atanh', 'Cos', 'Cosh', 'Erf', 'Expm1', 'Log'],
  ...['Log1p', 'Selu', 'Sign', 'Sin', 'Sinh', 'Tan'],
];

function unary(name: string): Kernel {
  const op = (unaryOps as Record<string, number>)[name];
  return {
    name,
    kind: 'channelwise',
    accepts: allFloat,
    infer: inputs => [{ shape: Object.values(inputs)[0].shape, dtype: 'float32' }],

    slice({ inputs, outputs }, from, to) {
      const axis = outputs[0].shape.length - 1;
      return { inputs: { [Object.keys(inputs)[0]]: { axis, from, to } } };
    },

    band: bandOfNumbers,

    writesBytes({ attributes }) {
      if (LOOKED_UP.includes(name)) return 'blend';
      return clampOf(name, attributes) ? 'same' : undefined;
    },

    cpu(cpu, call) {
      if (op === undefined) return cpu.tfjs(call);
      const [x] = Object.values(call.inputs);
      const [p0, p1] = PARAMETERS[name]?.(call.attributes) ?? [0, 0];
      const clamp = clampOf(name, call.attributes);
      const { range } = call;
      const bytes = clamp
        ? clampBytes(cpu, x.buffer, call.outputs[0], ...clamp)
        : range &&
          lookUp(cpu, x.buffer, call.outputs[0], range, (from, n, to) =>
            cpu.heap.kernels.f32Unary(op, from, n, p0, p1, to),
          );
      if (bytes) return [bytes];
      const y = cpu.fill(call.outputs[0], buffer =>
        cpu.withDense(x.buffer, pointer =>
          cpu.heap.kernels.f32Unary(op, pointer, sizeOf(x), p0, p1, buffer.address()),
        ),
      );
      return [y];
    },

    ...(op !== undefined && {
      gpu: (gpu, call) =>
        gpu.own(call, (context, [x]) =>
          unaryImage(context, x, name, PARAMETERS[name]?.(call.attributes) ?? [0, 0]),
        ) ?? gpu.tfjs(call),
    }),
  };
}

export const unaries: readonly Kernel[] = [...Object.keys(unaryOps), ...RARE].map(unary);
