/**
 * Element-wise operations of one float32 operand: `x [...] -> y [...]`. Channelwise.
 *
 * What models are made of runs in wasm, the rest of the family by tfjs-cpu.
 */
import type { Attributes } from '../src/graph/kernel.js';
import { unaryOps } from '../src/processors/cpu/elementwise.js';
import type { Kernel } from '../src/processors/kernel.js';
import { tfjsOnGpu } from '../src/processors/kernel.js';
import { allFloat, sizeOf } from './guards.js';

/** The parameters p0 and p1 of `f32Unary`, from the attributes. */
const PARAMETERS: Record<string, (attributes: Attributes) => [number, number]> = {
  LeakyRelu: ({ alpha }) => [alpha as number, 0],
  ClipByValue: ({ clipValueMin, clipValueMax }) => [clipValueMin as number, clipValueMax as number],
  Step: ({ alpha }) => [(alpha as number | undefined) ?? 0, 0],
};

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

    cpu(cpu, call) {
      if (op === undefined) return cpu.tfjs(call);
      const [x] = Object.values(call.inputs);
      const [p0, p1] = PARAMETERS[name]?.(call.attributes) ?? [0, 0];
      const y = cpu.fill(call.outputs[0], buffer =>
        cpu.withDense(x.buffer, pointer =>
          cpu.heap.kernels.f32Unary(op, pointer, sizeOf(x), p0, p1, buffer.address()),
        ),
      );
      return [y];
    },

    ...(op === undefined ? {} : { gpu: tfjsOnGpu }),
  };
}

export const unaries: readonly Kernel[] = [...Object.keys(unaryOps), ...RARE].map(unary);
