/**
 * What int8 layers share: the machine's integer product, images and weights as it wants them, and
 * how a result becomes bytes.
 *
 *     y[m,n] = act( (sum_k qx[m,k]*qw[k,n] - zero * sum_k qw[k,n]) * (scaleX * scaleW[n]) + bias[n] )
 *
 * Weights are signed bytes with one scale for each output channel, packed once.
 */
import { env } from '@tensorflow/tfjs-core';

import type { Argument } from '../kernel.js';
import type { Activation } from './activation.js';
import type { Quantised } from './buffer.js';
import type { DotKind } from './heap.js';
import type { Patches } from './patches.js';
import { imageSize, needsNoPadding, paddedSize } from './patches.js';
import type { Block, CpuBuffer, CpuProcessor } from './processor.js';
import type { Quantisation, Range } from './quantisation.js';
import { quantisationOf } from './quantisation.js';

/** Which integer product the machine has; tests force one with MULAYER_DOT. */
export function dotKind(cpu: CpuProcessor): DotKind {
  const forced = env().get('MULAYER_DOT') as DotKind | 'auto';
  const { dot } = cpu.heap;
  if (forced === 'auto' || forced === dot) return dot;
  return forced === 'usdot7' && dot === 'usdot' ? forced : 'i16';
}

/**
 * Whether int8 pays for a depthwise filter: where the dot is one instruction. Elsewhere the 16-bit
 * products take 2.3 times as long as float32 (MobileNet v1, EPYC without AVX-VNNI: 5.6 and 2.4 ms).
 * Forcing a product forces int8 too.
 */
export function paysForTaps(cpu: CpuProcessor): boolean {
  return env().get('MULAYER_DOT') !== 'auto' || ['usdot', 'sdot'].includes(dotKind(cpu));
}

/** How weights are packed: for a product, or for the taps of a depthwise filter. */
export type Layout = DotKind | 'taps' | 'taps7';

const PACKED = { pack: 'qs8Pack', packedBytes: 'qs8PackedBytes', largest: 127 } as const;
const TAPS = { pack: 'qs8PackTaps', packedBytes: 'qs8PackedBytesTaps', largest: 127 } as const;
const LAYOUTS = {
  usdot: PACKED,
  sdot: PACKED,
  usdot7: { ...PACKED, largest: 64 },
  i16: { pack: 'qs8PackI16', packedBytes: 'qs8PackedBytesI16', largest: 127 },
  taps: TAPS,
  taps7: { ...TAPS, largest: 64 },
} as const;

export interface PackedWeights {
  weights: number;
  scales: number;
  sums: number;
}

/**
 * One block:  weights, packed for the machine's product │ scales f32 [n] │ sums i32 [n].
 * Undefined where a weight is not finite.
 */
export function packWeights(
  cpu: CpuProcessor,
  product: Layout,
  w: Argument<CpuBuffer>,
  segments: number,
  segmentLength: number,
  n: number,
): PackedWeights | undefined {
  const { kernels } = cpu.heap;
  const { pack, packedBytes, largest } = LAYOUTS[product];
  const bytes = roundUp(kernels[packedBytes](segments, segmentLength, n), 16);
  const block = w.derived(`qs8:${product}:${segments}x${segmentLength}x${n}`, () => {
    const made = cpu.block(bytes + 8 * n);
    const { pointer } = made;
    kernels[pack](
      w.buffer.address(),
      segments,
      segmentLength,
      n,
      w.buffer.pitch(n),
      pointer,
      pointer + bytes,
      pointer + bytes + 4 * n,
      largest,
    );
    return made;
  });
  const scales = block.pointer + bytes;
  if (!cpu.heap.f32(scales, n).every(Number.isFinite)) return undefined;
  w.buffer.evict();
  return { weights: block.pointer, scales, sums: scales + 4 * n };
}

/** Lends correction i32 [n] and scale f32 [n] of a product; x as the product reads it. */
export function withScales(
  cpu: CpuProcessor,
  x: Quantisation,
  packed: PackedWeights,
  n: number,
  use: (corrections: number, scales: number) => void,
): void {
  cpu.withScratch(8 * n, scales => {
    const corrections = scales + 4 * n;
    const out = cpu.heap.f32(scales, n);
    const correction = cpu.heap.i32(corrections, n);
    const scaleW = cpu.heap.f32(packed.scales, n);
    const sums = cpu.heap.i32(packed.sums, n);
    for (let i = 0; i < n; i++) {
      out[i] = x.scale * scaleW[i];
      correction[i] = -x.zero * sums[i];
    }
    use(corrections, scales);
  });
}

/** Pointer to the padded images as bytes: where they lie, or a copy kept with the value. */
export function imageOf(
  cpu: CpuProcessor,
  x: Argument<CpuBuffer>,
  patches: Patches,
  quantisation: Quantisation,
  xor: number,
): number {
  const from = x.buffer.quantised;
  if (from && xor === 0 && needsNoPadding(patches)) return from.pointer;
  return x.derived(`qu8:${patchKey(patches)}:${xor}`, () =>
    from ? pad(cpu, from, patches, xor) : quantise(cpu, x, patches, quantisation, xor),
  ).pointer;
}

/** Images of bytes, padded with zeros. */
function pad(
  cpu: CpuProcessor,
  { pointer, zero }: Quantised,
  patches: Patches,
  xor: number,
): Block {
  const { height, width, channels, top, left, paddedHeight, paddedWidth } = patches;
  const size = paddedSize(patches);
  const block = cpu.block(patches.batch * size);
  for (let i = 0; i < patches.batch; i++) {
    cpu.heap.kernels.x8Pad(
      pointer + i * imageSize(patches),
      height,
      width,
      channels,
      top,
      left,
      paddedHeight,
      paddedWidth,
      zero,
      xor,
      block.pointer + i * size,
    );
  }
  return block;
}

/** The padded images as QUInt8; consumers with the same padding share them. */
function quantise(
  cpu: CpuProcessor,
  x: Argument<CpuBuffer>,
  patches: Patches,
  { scale, zero }: Quantisation,
  xor: number,
): Block {
  const { height, width, channels, top, left, paddedHeight, paddedWidth } = patches;
  const size = paddedSize(patches);
  const block = cpu.block(patches.batch * size);
  cpu.withDense(x.buffer, image => {
    for (let i = 0; i < patches.batch; i++) {
      cpu.heap.kernels.f32ToQu8(
        image + 4 * i * imageSize(patches),
        height,
        width,
        channels,
        top,
        left,
        paddedHeight,
        paddedWidth,
        1 / scale,
        zero,
        xor,
        block.pointer + i * size,
      );
    }
  });
  return block;
}

/** How y shall become bytes, where it can: with an activation and a bias of the epilogue. */
export function bytesOf(
  cpu: CpuProcessor,
  range: Range | undefined,
  activation: Activation,
  n: number,
): Quantisation | undefined {
  if (!range || activation.after || activation.prelu) return undefined;
  const { bias, alpha } = activation;
  // The spread passes over NaNs, which nothing else can bring.
  const isFinite = [bias, alpha].every(
    pointer => pointer === 0 || cpu.heap.f32(pointer, n).every(Number.isFinite),
  );
  return isFinite ? quantisationOf(range) : undefined;
}

/** Lends room for [min x4 | max x4], and notes the smallest and the largest when all is done. */
export function withSpread(cpu: CpuProcessor, y: Quantised, use: (pointer: number) => void): void {
  cpu.withScratch(32, pointer => {
    cpu.heap.f32(pointer, 4).fill(Infinity);
    cpu.heap.f32(pointer + 16, 4).fill(-Infinity);
    use(pointer);
    cpu.heap.queue.afterwards(() => {
      const [low, high] = [cpu.heap.f32(pointer, 4), cpu.heap.f32(pointer + 16, 4)];
      y.spread = [Math.min(...low), Math.max(...high)];
    });
  });
}

/** What decides the bytes of a padded image. */
function patchKey({ top, left, paddedHeight, paddedWidth }: Patches): string {
  return `${top},${left},${paddedHeight}x${paddedWidth}`;
}

const roundUp = (n: number, unit: number): number => Math.ceil(n / unit) * unit;
