/**
 * The heart of the CPU: patches x [pixels, k] * weights w [k, n] -> y [pixels, n], with bias and
 * activation, in float32 or in int8. Convolution and matrix product both end here.
 *
 * Int8 (`int8.ts`): sums are exact integers, of bytes by signed bytes packed once. x may lie as bytes
 * already; otherwise its range is measured and it is quantised here. y becomes floats, or bytes where
 * it is told their range.
 */
import { env } from '@tensorflow/tfjs-core';

import type { Argument } from '../kernel.js';
import type { CpuBuffer, CpuProcessor } from './processor.js';
import type { DotKind } from './heap.js';
import type { Bytes, Int8Layer, PackedWeights } from './int8.js';
import { computeLayer, dotKind, imageOf, packWeights } from './int8.js';
import type { Patches } from './patches.js';
import { imageSize, needsNoPadding, paddedSize } from './patches.js';
import type { Quantisation } from './quantisation.js';

export interface Product extends Int8Layer {
  patches: Patches;
  /** [k, n], perhaps a view on columns of a wider matrix. */
  w: Argument<CpuBuffer>;
}

/** y [batch, pixels, n] */
export function product(cpu: CpuProcessor, p: Product): CpuBuffer {
  const { batch, pixels, segmentOffsets, segmentLength } = p.patches;
  return computeLayer(
    cpu,
    { shape: [batch, pixels, p.n], dtype: 'float32' },
    p,
    () => packWeights(cpu, dotOf(cpu, p), p.w, segmentOffsets.length, segmentLength, p.n),
    (input, packed, to, bytes) => int8Product(cpu, p, input, packed, to, bytes),
    y => floatProduct(cpu, p, y),
  );
}

function floatProduct(
  cpu: CpuProcessor,
  { x, patches, w, n, activation }: Product,
  y: CpuBuffer,
): void {
  const { kernels } = cpu.heap;
  const { height, width, channels, top, left, paddedHeight, paddedWidth } = patches;
  const inPlace = needsNoPadding(patches);
  cpu.withDense(x.buffer, image => {
    const weights = w.buffer.address();
    const { bias, alpha, lo, hi } = activation;
    cpu.withScratch(inPlace ? 0 : 4 * paddedSize(patches), padded => {
      withOffsets(cpu, patches, offsets => {
        for (let i = 0; i < patches.batch; i++) {
          const from = image + 4 * i * imageSize(patches);
          if (!inPlace) {
            kernels.f32Pad(
              from,
              height,
              width,
              channels,
              top,
              left,
              paddedHeight,
              paddedWidth,
              0,
              padded,
            );
          }
          kernels.f32Gemm(
            inPlace ? from : padded,
            patches.pixels,
            patches.pixelsPerRow,
            patches.pixelStride,
            patches.rowStride,
            patches.segmentOffsets.length,
            patches.segmentLength,
            offsets,
            weights,
            n,
            w.buffer.pitch(n),
            bias,
            alpha,
            lo,
            hi,
            y.address() + 4 * i * patches.pixels * n,
            n,
          );
        }
      });
    });
  });
}

/**
 * Which integer product a layer with n columns runs.
 *
 * The dot's tile is 8 columns wide, the 16-bit product's 4, and with 7-bit weights the dot is only
 * 1.1 times as fast (42 and 38 GMAC/s on an EPYC without AVX-VNNI): few columns go to the latter.
 */
export function dotFor(cpu: CpuProcessor, n: number): DotKind {
  const dot = dotKind(cpu);
  const isForced = env().get('MULAYER_DOT') !== 'auto';
  const isNarrow = roundUp(n, 8) > 1.1 * roundUp(n, 4);
  return dot === 'usdot7' && isNarrow && !isForced ? 'i16' : dot;
}

/** A slice takes the product of the whole layer, on which its correction was measured. */
const dotOf = (cpu: CpuProcessor, { n, correction }: Product): DotKind =>
  dotFor(cpu, correction?.length ?? n);

/** @param to pointer to floats; to bytes where `bytes` says which. */
function int8Product(
  cpu: CpuProcessor,
  p: Product,
  { scale, zero }: Quantisation,
  packed: PackedWeights,
  to: number,
  bytes?: Bytes,
): void {
  const { x, patches, n, activation, correction } = p;
  const { kernels } = cpu.heap;
  const dot = dotOf(cpu, p);
  // Signed products read x - 128, which is x with its top bit flipped.
  const xor = dot === 'sdot' ? 0x80 : 0;
  const image = imageOf(cpu, x, patches, { scale, zero }, xor);
  const gemm = dot === 'i16' ? 'qu8GemmI16' : 'qu8Gemm';
  const ldy = (bytes && p.room?.joint.pitch) ?? n;
  const pitch = patches.pixels * ldy * (bytes ? 1 : 4);
  const of = { x: { scale, zero: zero - xor }, mean: correction, offsets: patches.segmentOffsets };
  const { corrections, scales, offsets } = packed.parameters(cpu, of);
  for (let i = 0; i < patches.batch; i++) {
    kernels[gemm](
      image + i * paddedSize(patches),
      patches.pixels,
      patches.pixelsPerRow,
      patches.pixelStride,
      patches.rowStride,
      patches.segmentOffsets.length,
      patches.segmentLength,
      offsets,
      packed.pointer,
      n,
      corrections,
      scales,
      activation.bias,
      activation.alpha,
      activation.lo,
      activation.hi,
      to + i * pitch,
      ldy,
      bytes ? 1 / bytes.scale : 0,
      bytes?.zero ?? 0,
      bytes?.spread ?? 0,
    );
  }
}

function withOffsets(
  cpu: CpuProcessor,
  { segmentOffsets }: Patches,
  use: (pointer: number) => void,
): void {
  cpu.withNumbers(Int32Array.from(segmentOffsets), use);
}

const roundUp = (n: number, unit: number): number => Math.ceil(n / unit) * unit;
