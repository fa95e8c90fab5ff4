/**
 * Element-wise wasm kernels by tfjs's names, and broadcasting for the binary ones.
 *
 * Broadcasting collapses neighbouring axes that behave alike, then walks the last two groups in
 * wasm and the others here. SE's [n,1,1,c] * [n,h,w,c] becomes n calls over [h*w, c]:
 *
 *     axis group      n      h·w     c
 *     a varies        yes    no      yes
 *     b varies        yes    yes     yes
 */
import type { CpuBuffer, CpuProcessor } from './processor.js';

/** Codes of `f32Binary`, see `wasm/README.md`. */
export const binaryOps = {
  Add: 0,
  Sub: 1,
  Multiply: 2,
  RealDiv: 3,
  Maximum: 4,
  Minimum: 5,
  SquaredDifference: 6,
  Prelu: 7,
} as const;

/** Codes of `f32Unary`. */
export const unaryOps = {
  Relu: 0,
  Relu6: 1,
  LeakyRelu: 2,
  ClipByValue: 3,
  Neg: 4,
  Abs: 5,
  Square: 6,
  Sqrt: 7,
  Rsqrt: 8,
  Reciprocal: 9,
  Exp: 10,
  Sigmoid: 12,
  Tanh: 13,
  Elu: 14,
  Softplus: 15,
  Step: 16,
  Floor: 17,
  Ceil: 18,
  Round: 19,
} as const;

interface Group {
  length: number;
  a: boolean;
  b: boolean;
}

/** y = op(a, b) with tfjs's broadcasting; all float32, y dense on the heap. */
export function broadcastBinary(
  cpu: CpuProcessor,
  op: number,
  a: CpuBuffer,
  aShape: readonly number[],
  b: CpuBuffer,
  bShape: readonly number[],
  y: CpuBuffer,
  yShape: readonly number[],
): void {
  const groups = collapse(aShape, bShape, yShape);
  while (groups.length < 2) groups.unshift({ length: 1, a: false, b: false });
  const [outer, inner] = groups.slice(-2) as [Group, Group];
  const walked = groups.slice(0, -2);
  const strides = (operand: 'a' | 'b') => {
    let stride = 1;
    return [...groups]
      .reverse()
      .map(group => {
        const own = group[operand] ? stride : 0;
        if (group[operand]) stride *= group.length;
        return own;
      })
      .reverse();
  };
  const aStrides = strides('a');
  const bStrides = strides('b');
  const block = outer.length * inner.length;
  const calls = walked.reduce((n, { length }) => n * length, 1);
  cpu.withDense(a, aPointer =>
    cpu.withDense(b, bPointer => {
      const yPointer = y.address();
      for (let call = 0; call < calls; call++) {
        let rest = call;
        let aAt = 0;
        let bAt = 0;
        for (let g = walked.length - 1; g >= 0; g--) {
          const { length } = walked[g];
          const index = rest % length;
          rest = (rest - index) / length;
          aAt += index * aStrides[g];
          bAt += index * bStrides[g];
        }
        const last = groups.length - 1;
        cpu.heap.kernels.f32Binary(
          op,
          outer.length,
          inner.length,
          aPointer + 4 * aAt,
          aStrides[last - 1],
          aStrides[last] as 0 | 1,
          bPointer + 4 * bAt,
          bStrides[last - 1],
          bStrides[last] as 0 | 1,
          yPointer + 4 * call * block,
        );
      }
    }),
  );
}

/** Axes of length 1 vanish; neighbours that vary for the same operands become one. */
function collapse(
  aShape: readonly number[],
  bShape: readonly number[],
  yShape: readonly number[],
): Group[] {
  const groups: Group[] = [];
  const rank = yShape.length;
  yShape.forEach((length, axis) => {
    if (length === 1) return;
    const varies = (shape: readonly number[]) => (shape[axis - rank + shape.length] ?? 1) !== 1;
    const group = { length, a: varies(aShape), b: varies(bShape) };
    const last = groups.at(-1);
    if (last?.a === group.a && last.b === group.b) last.length *= length;
    else groups.push(group);
  });
  return groups;
}
