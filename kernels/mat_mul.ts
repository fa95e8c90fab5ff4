/**
 * BatchMatMul and _FusedMatMul: `a [...,m,k] * b [...,k,n] (+ bias [n], activation) -> y [...,m,n]`,
 * each operand perhaps given transposed, batch axes broadcast. Split by the columns of b.
 *
 * Where b is one matrix for the whole batch (a fully connected layer), the batch is rows of a, and
 * b is packed for int8 once it has come twice.
 */
import { broadcast_util, util } from '@tensorflow/tfjs-core';

import { ArgumentError } from '../src/errors.js';
import type { Attributes, Named, Problem, Spec } from '../src/graph/kernel.js';
import type { Activation } from '../src/processors/cpu/activation.js';
import { endsInBytes, takesEpilogue, withActivation } from '../src/processors/cpu/activation.js';
import { copyStrided } from '../src/processors/cpu/moves.js';
import { patchesOfMatMul } from '../src/processors/cpu/patches.js';
import type { CpuProcessor } from '../src/processors/cpu/processor.js';
import { CpuBuffer } from '../src/processors/cpu/processor.js';
import { product } from '../src/processors/cpu/product.js';
import { multiply } from '../src/processors/gpu/convolve.js';
import type { GpuBuffer, GpuProcessor } from '../src/processors/gpu/processor.js';
import { matMulImage } from '../src/processors/gpu/programs/mat_mul.js';
import type { Argument, Call, Kernel } from '../src/processors/kernel.js';
import { fusedOnGpu, hasGpuActivation } from '../src/processors/kernel.js';
import { allFloat, channelRange, expectBroadcast, sizeOf } from './guards.js';

/** Work below which int8 does not pay for its quantisation pass. */
const MIN_INT8_MACS = 1e5;

interface Dimensions {
  /** Batch axes of a, b and y. */
  aBatch: number[];
  bBatch: number[];
  batch: number[];
  m: number;
  k: number;
  n: number;
}

function dimensions({ a, b }: Named<Spec>, { transposeA, transposeB }: Attributes): Dimensions {
  for (const [name, { shape }] of Object.entries({ a: a, b: b })) {
    if (shape.length >= 2) continue;
    throw new ArgumentError(`${name}: expected a matrix [...,rows,columns], got [${shape.join()}]`);
  }
  const [m, k] = lastTwo(a, transposeA);
  const [kb, n] = lastTwo(b, transposeB);
  if (k !== kb) {
    throw new ArgumentError(`b: expected ${k} rows, as many as a has columns, got ${kb}`);
  }
  const aBatch = a.shape.slice(0, -2);
  const bBatch = b.shape.slice(0, -2);
  const batch = broadcast_util.assertAndGetBroadcastShape(aBatch, bBatch);
  return { aBatch, bBatch, batch, m, k, n };
}

function lastTwo({ shape }: Spec, transposed: unknown): [number, number] {
  const [rows, columns] = shape.slice(-2) as [number, number];
  return transposed ? [columns, rows] : [rows, columns];
}

/** What the product's epilogue cannot take is left to tfjs: a bias that is no row of columns. */
function accepts(inputs: Named<Spec>, attributes: Attributes): boolean {
  const { b } = inputs;
  const n = b.shape.length < 2 ? NaN : lastTwo(b, attributes.transposeB)[1];
  return allFloat(inputs) && takesEpilogue(inputs, attributes, n);
}

function slice({ inputs, attributes, outputs }: Problem, from: number, to: number) {
  const { b, bias, preluActivationWeights: prelu } = inputs;
  const n = outputs[0].shape.at(-1)!;
  const axis = b.shape.length - (attributes.transposeB ? 2 : 1);
  return {
    inputs: {
      a: 'whole' as const,
      b: { axis, from, to },
      ...(bias ? { bias: channelRange(bias, n, from, to) } : {}),
      ...(prelu ? { preluActivationWeights: channelRange(prelu, n, from, to) } : {}),
    },
  };
}

function macs({ inputs, attributes, outputs }: Problem): number {
  const [, k] = lastTwo(inputs.a, attributes.transposeA);
  return sizeOf(outputs[0]) * k;
}

/** [batch, rows, columns] -> [batch, columns, rows] */
function transposed(cpu: CpuProcessor, { buffer, shape }: Argument<CpuBuffer>): CpuBuffer {
  const [rows, columns] = shape.slice(-2) as [number, number];
  const batch = util.sizeFromShape(shape.slice(0, -2));
  return cpu.fill({ shape: [batch, columns, rows], dtype: 'float32' }, y =>
    cpu.withDense(buffer, x =>
      copyStrided(
        cpu,
        4,
        x,
        [rows * columns, 1, columns],
        y.address(),
        [rows * columns, rows, 1],
        [batch, columns, rows],
      ),
    ),
  );
}

/** The argument with its last two axes in the order the product wants. */
function upright(
  cpu: CpuProcessor,
  x: Argument<CpuBuffer>,
  isTransposed: unknown,
): Argument<CpuBuffer> {
  if (!isTransposed) return x;
  const buffer = x.derived('transposed', () => transposed(cpu, x));
  const shape = [...x.shape.slice(0, -2), x.shape.at(-1)!, x.shape.at(-2)!];
  return { ...x, buffer, shape, derived: (name, make) => x.derived(`transposed:${name}`, make) };
}

/** Matrix i of a batch, in place. */
function matrixOf({ buffer }: Argument<CpuBuffer>, i: number, size: number): CpuBuffer {
  return CpuBuffer.view(buffer, buffer.size, i * size, (i + 1) * size);
}

const rules = {
  kind: 'layer',
  weights: 'b',
  accepts,

  infer(inputs, attributes) {
    const { batch, m, n } = dimensions(inputs, attributes);
    const shape = [...batch, m, n];
    expectBroadcast('preluActivationWeights', inputs.preluActivationWeights, shape);
    return [{ shape, dtype: 'float32' }];
  },

  slice,
  macs,

  quantises: problem =>
    macs(problem) >= MIN_INT8_MACS && problem.inputs.b.shape.slice(0, -2).every(n => n === 1),

  writesBytes: ({ attributes }) => (endsInBytes(attributes) ? 'range' : undefined),

  cpu(cpu, { inputs, attributes, outputs, int8, range, correction }) {
    const { aBatch, bBatch, batch, m, k, n } = dimensions(inputs, attributes);
    const a = upright(cpu, inputs.a, attributes.transposeA);
    const b = upright(cpu, inputs.b, attributes.transposeB);
    const spec = outputs[0];
    const run = (activation: Activation) => {
      if (util.sizeFromShape(bBatch) === 1) {
        const patches = patchesOfMatMul(1, util.sizeFromShape(aBatch) * m, k);
        return [
          product(cpu, {
            ...{ x: a, patches, w: b, n, activation, int8 },
            ...(range && { range }),
            ...(correction && { correction }),
          }),
        ];
      }
      const whole = cpu.fill(spec, y => {
        const aIndex = broadcastIndex(aBatch, batch);
        const bIndex = broadcastIndex(bBatch, batch);
        const patches = patchesOfMatMul(1, m, k);
        for (let i = 0; i < util.sizeFromShape(batch); i++) {
          const x = { ...a, buffer: matrixOf(dense(a), aIndex(i), m * k) };
          const w = { ...b, buffer: matrixOf(dense(b), bIndex(i), k * n) };
          const part = product(cpu, { x, patches, w, n, activation, int8: false });
          cpu.heap.f32(y.address(), y.size).set(part.numbers(), i * m * n);
          part.free();
        }
      });
      return [whole];
    };
    return withActivation(cpu, inputs, attributes, spec.shape, run);
  },

  /** It can repeat one matrix for the batch of the other operand, and no more. */
  gpuTakes(problem, gpu) {
    const { aBatch, bBatch } = dimensions(problem.inputs, problem.attributes);
    const [a, b] = [aBatch, bBatch].map(axes => util.sizeFromShape(axes));
    return (
      hasGpuActivation(problem, gpu) && (a === 1 || b === 1 || util.arraysEqual(aBatch, bBatch))
    );
  },

  gpu: (gpu, call) => multiply(gpu, call) ?? plainProduct(gpu, call) ?? fusedOnGpu(gpu, call),
} satisfies Omit<Kernel, 'name'>;

/** Of two results, where nothing follows. */
function plainProduct(gpu: GpuProcessor, call: Call<GpuBuffer>): GpuBuffer[] | undefined {
  const { inputs, attributes, outputs } = call;
  const { bias, preluActivationWeights: prelu, ...both } = inputs;
  const { transposeA, transposeB, activation = 'linear' } = attributes;
  if (bias || prelu || transposeA || transposeB || activation !== 'linear') return undefined;
  return gpu.own({ ...call, inputs: both }, (context, [a, b]) =>
    matMulImage(context, a, b, outputs[0].shape),
  );
}

/** The argument without gaps between its rows, as batches of matrices need it. */
function dense(x: Argument<CpuBuffer>): Argument<CpuBuffer> {
  return { ...x, buffer: x.derived('dense', () => x.buffer.dense()) };
}

/** From the index of a matrix in the whole batch to its index in an operand's smaller one. */
function broadcastIndex(own: readonly number[], batch: readonly number[]): (i: number) => number {
  const padded = [...new Array<number>(batch.length - own.length).fill(1), ...own];
  return i => {
    let index = 0;
    let stride = 1;
    for (let axis = batch.length - 1; axis >= 0; axis--) {
      const at = i % batch[axis];
      i = (i - at) / batch[axis];
      if (padded[axis] !== 1) index += at * stride;
      stride *= padded[axis];
    }
    return index;
  };
}

export const batchMatMul: Kernel = { name: 'BatchMatMul', ...rules };
export const fusedMatMul: Kernel = { name: '_FusedMatMul', ...rules };
