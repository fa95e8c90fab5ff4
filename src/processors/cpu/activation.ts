/**
 * Bias and activation of a fused kernel, in the form the CPU's products take them:
 *
 *     act(v) = clamp(v, lo, hi)                        where alpha is absent
 *     act(v) = max(v, 0) + alpha[n] * min(v, 0)        leaky ReLU, PReLU by channel; lo = -Infinity
 *     act(v) = v * ((clamp(v, lo, hi) - lo) * alpha[n])  hard swish
 *
 * and for all others a pass over the result afterwards.
 */
import { util } from '@tensorflow/tfjs-core';

import { ArgumentError } from '../../errors.js';
import type { Attributes, Named, Spec } from '../../graph/kernel.js';
import type { Argument } from '../kernel.js';
import { LEAKY_ALPHA } from '../kernel.js';
import type { CpuBuffer, CpuProcessor } from './processor.js';
import { binaryOps, broadcastBinary, unaryOps } from './elementwise.js';

export interface Activation {
  /** Pointers to f32 [n]; 0: absent. */
  bias: number;
  alpha: number;
  lo: number;
  hi: number;
  /** Whether all numbers of bias and alpha are. */
  isFinite(): boolean;
  /** Code of the unary op to run over the result. */
  after?: number;
  /** PReLU weights that are not one number a channel; `shape` is that of the result. */
  prelu?: { weights: Argument<CpuBuffer>; shape: readonly number[] };
}

const CLAMPS: Record<string, [number, number]> = {
  linear: [-Infinity, Infinity],
  relu: [0, Infinity],
  relu6: [0, 6],
};

const AFTER: Record<string, number> = {
  elu: unaryOps.Elu,
  sigmoid: unaryOps.Sigmoid,
  tanh: unaryOps.Tanh,
  softplus: unaryOps.Softplus,
};

/** Those of tfjs. */
const ACTIVATIONS = [
  ...Object.keys(CLAMPS),
  ...['elu', 'sigmoid', 'tanh', 'softplus', 'prelu', 'leakyrelu'],
];

/**
 * Whether a product with n output channels can end in this bias. tfjs's own kernel gets those that
 * are not one number a channel.
 *
 * @throws ArgumentError for an activation that nobody knows.
 */
export function takesEpilogue(
  { bias }: Named<Spec>,
  { activation }: Attributes,
  n: number,
): boolean {
  if (activation !== undefined && !ACTIVATIONS.includes(activation as string)) {
    throw new ArgumentError(
      `activation: expected ${ACTIVATIONS.join(', ')}, got ${JSON.stringify(activation)}`,
    );
  }
  return !bias || isByChannel(bias.shape, n);
}

/**
 * Whether a layer that ends in this may write bytes, but for PReLU of odd shapes. Hard swish could,
 * and stays floats, which get a scale for each input: in a learned one 73 instead of 75 of CenterNet's
 * 82 answers are those of float32, and 56 instead of 63 where depthwise filters are int8 too.
 */
export function endsInBytes({ activation }: Attributes): boolean {
  const name = (activation as string | undefined) ?? 'linear';
  return name !== 'hardswish' && AFTER[name] === undefined;
}

/**
 * Lends the activation of a fused call. `hardswish` is `hardSwishScale` times v * relu6(v + 3) / 6; it
 * and `clip` have no name in tfjs: the fuse pass alone asks for them.
 *
 * @param shape that of the result; its last axis are the n channels.
 */
export function withActivation<T>(
  cpu: CpuProcessor,
  inputs: Named<Argument<CpuBuffer>>,
  attributes: Attributes,
  shape: readonly number[],
  use: (activation: Activation) => T,
): T {
  const n = shape.at(-1)!;
  const name = (attributes.activation as string | undefined) ?? 'linear';
  const { bias, preluActivationWeights: prelu } = inputs;
  const byChannel = prelu && isByChannel(prelu.shape, n);
  return cpu.withScratch(8 * n, scratch => {
    const alphaScratch = scratch + 4 * n;
    const isFinite = () => [bias, prelu].every(argument => argument?.buffer.isFinite ?? true);
    const base = bias ? perChannel(cpu, bias, n, scratch) : 0;
    if (name === 'leakyrelu') {
      const alpha = (attributes.leakyreluAlpha as number | undefined) ?? LEAKY_ALPHA;
      cpu.heap.put(alphaScratch, new Float32Array(n).fill(alpha));
      return use({ bias: base, alpha: alphaScratch, lo: -Infinity, hi: Infinity, isFinite });
    }
    if (name === 'prelu' && byChannel) {
      return use({
        bias: base,
        alpha: perChannel(cpu, prelu, n, alphaScratch),
        lo: -Infinity,
        hi: Infinity,
        isFinite,
      });
    }
    if (name === 'hardswish') {
      const sixth = (attributes.hardSwishScale as number) / 6;
      cpu.heap.put(alphaScratch, new Float32Array(n).fill(sixth));
      return use({ bias: base, alpha: alphaScratch, lo: -3, hi: 3, isFinite });
    }
    const clip = [attributes.clipMin, attributes.clipMax] as [number, number];
    const [lo, hi] = name === 'clip' ? clip : (CLAMPS[name] ?? CLAMPS.linear);
    const after = AFTER[name];
    return use({
      bias: base,
      alpha: 0,
      lo,
      hi,
      isFinite,
      ...(after === undefined ? {} : { after }),
      ...(name === 'prelu' && prelu ? { prelu: { weights: prelu, shape } } : {}),
    });
  });
}

/** What could not be part of the product's own epilogue. */
export function finish(cpu: CpuProcessor, { after, prelu }: Activation, y: CpuBuffer): void {
  const { kernels } = cpu.heap;
  if (after !== undefined) kernels.f32Unary(after, y.address(), y.size, 0, 0, y.address());
  if (prelu) {
    const { weights, shape } = prelu;
    broadcastBinary(cpu, binaryOps.Prelu, y, shape, weights.buffer, weights.shape, y, shape);
  }
}

/** A pointer to n numbers, one a channel; a single number is repeated into the scratch. */
function perChannel(
  cpu: CpuProcessor,
  { buffer }: Argument<CpuBuffer>,
  n: number,
  scratch: number,
): number {
  if (buffer.size === n) return buffer.address();
  cpu.heap.put(scratch, new Float32Array(n).fill(buffer.numbers()[0]));
  return scratch;
}

/** [n], [1, 1, n] or a single number. */
function isByChannel(shape: readonly number[], n: number): boolean {
  const size = util.sizeFromShape(shape as number[]);
  return size === 1 || (size === n && shape.at(-1) === n);
}
