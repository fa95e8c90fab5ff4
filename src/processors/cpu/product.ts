/**
 * The heart of the CPU: patches x [pixels, k] * weights w [k, n] -> y [pixels, n], with bias and
 * activation, in float32 or in int8. Convolution and matrix product both end here.
 *
 * Int8: x becomes QUInt8 with one scale and zero point for the tensor, w int8 with one scale for
 * each output channel, packed once. Sums are exact integers:
 *
 *     y[m,n] = act( (sum_k qx[m,k]*qw[k,n] - zero * sum_k qw[k,n]) * (scaleX * scaleW[n]) + bias[n] )
 *
 * The range of x is measured for each inference, so nothing can saturate.
 */
import { env } from '@tensorflow/tfjs-core';

import type { Argument } from '../kernel.js';
import type { Block, CpuBuffer, CpuProcessor } from './processor.js';
import type { Activation } from './activation.js';
import { finish } from './activation.js';
import type { DotKind } from './heap.js';
import type { Patches } from './patches.js';
import { imageSize, needsNoPadding, paddedSize } from './patches.js';

/** Largest quantised activation. */
const QUINT8_MAX = 255;

export interface Product {
  x: Argument<CpuBuffer>;
  patches: Patches;
  /** [k, n], perhaps a view on columns of a wider matrix. */
  w: Argument<CpuBuffer>;
  n: number;
  activation: Activation;
  int8: boolean;
}

/** y [batch, pixels, n] */
export function product(cpu: CpuProcessor, p: Product): CpuBuffer {
  const { patches, n } = p;
  const shape = [patches.batch, patches.pixels, n];
  return cpu.fill({ shape, dtype: 'float32' }, y => {
    const quantisation = p.int8 ? quantisationOf(p.x.range()) : undefined;
    if (quantisation) int8Product(cpu, p, quantisation, y);
    else floatProduct(cpu, p, y);
    finish(cpu, p.activation, y);
  });
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

/** x = (q - zero) * scale */
interface Quantisation {
  scale: number;
  zero: number;
}

/** Undefined where the range is not finite: such a tensor cannot be quantised. */
function quantisationOf([min, max]: readonly [number, number]): Quantisation | undefined {
  const low = Math.min(min, 0);
  const high = Math.max(max, 0);
  const scale = (high - low) / QUINT8_MAX;
  if (!Number.isFinite(scale)) return undefined;
  if (scale === 0) return { scale: 1, zero: 0 };
  // A range below the smallest normal float would make 1/scale infinite.
  if (!Number.isFinite(Math.fround(1 / scale))) return undefined;
  return { scale, zero: Math.min(Math.max(Math.round(-low / scale), 0), QUINT8_MAX) };
}

/** Which integer product the machine has; tests force one with MULAYER_DOT. */
function dotKind(cpu: CpuProcessor): DotKind {
  const forced = env().get('MULAYER_DOT') as DotKind | 'auto';
  const { dot } = cpu.heap;
  if (forced === 'auto' || forced === dot) return dot;
  return forced === 'usdot7' && dot === 'usdot' ? forced : 'i16';
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

function int8Product(
  cpu: CpuProcessor,
  { x, patches, w, n, activation }: Product,
  { scale, zero }: Quantisation,
  y: CpuBuffer,
): void {
  const { heap } = cpu;
  const { kernels } = heap;
  const dot = dotFor(cpu, n);
  const packed = packWeights(cpu, dot, w, patches, n);
  if (!packed) {
    floatProduct(cpu, { x, patches, w, n, activation, int8: false }, y);
    return;
  }
  // Signed products read x - 128, which is x with its top bit flipped.
  const xor = dot === 'sdot' ? 0x80 : 0;
  const image = x.derived(`qu8:${patchKey(patches)}:${xor}`, () =>
    quantise(cpu, x, patches, { scale, zero }, xor),
  );
  const gemm = dot === 'i16' ? 'qu8GemmI16' : 'qu8Gemm';
  cpu.withScratch(8 * n, scales => {
    const corrections = scales + 4 * n;
    const out = heap.f32(scales, n);
    const correction = heap.i32(corrections, n);
    const scaleW = heap.f32(packed.scales, n);
    const sums = heap.i32(packed.sums, n);
    const offset = zero - xor;
    for (let i = 0; i < n; i++) {
      out[i] = scale * scaleW[i];
      correction[i] = -offset * sums[i];
    }
    withOffsets(cpu, patches, offsets => {
      for (let i = 0; i < patches.batch; i++) {
        kernels[gemm](
          image.pointer + i * paddedSize(patches),
          patches.pixels,
          patches.pixelsPerRow,
          patches.pixelStride,
          patches.rowStride,
          patches.segmentOffsets.length,
          patches.segmentLength,
          offsets,
          packed.weights,
          n,
          corrections,
          scales,
          activation.bias,
          activation.alpha,
          activation.lo,
          activation.hi,
          y.address() + 4 * i * patches.pixels * n,
          n,
        );
      }
    });
  });
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

interface PackedWeights {
  weights: number;
  scales: number;
  sums: number;
}

/**
 * One block:  weights, packed for the machine's product │ scales f32 [n] │ sums i32 [n].
 * Undefined where a weight is not finite.
 */
function packWeights(
  cpu: CpuProcessor,
  dot: DotKind,
  w: Argument<CpuBuffer>,
  { segmentOffsets, segmentLength }: Patches,
  n: number,
): PackedWeights | undefined {
  const { kernels } = cpu.heap;
  const segments = segmentOffsets.length;
  const i16 = dot === 'i16';
  const bytesOf = i16 ? 'qs8PackedBytesI16' : 'qs8PackedBytes';
  const bytes = roundUp(kernels[bytesOf](segments, segmentLength, n), 16);
  const block = w.derived(`qs8:${dot}:${segments}x${segmentLength}x${n}`, () => {
    const made = cpu.block(bytes + 8 * n);
    const pack = i16 ? 'qs8PackI16' : 'qs8Pack';
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
      dot === 'usdot7' ? 64 : 127,
    );
    return made;
  });
  const scales = block.pointer + bytes;
  if (!cpu.heap.f32(scales, n).every(Number.isFinite)) return undefined;
  w.buffer.evict();
  return { weights: block.pointer, scales, sums: scales + 4 * n };
}

function withOffsets(
  cpu: CpuProcessor,
  { segmentOffsets }: Patches,
  use: (pointer: number) => void,
): void {
  cpu.withScratch(4 * segmentOffsets.length, pointer => {
    cpu.heap.i32(pointer, segmentOffsets.length).set(segmentOffsets);
    use(pointer);
  });
}

/** What decides the bytes of a padded image. */
function patchKey({ top, left, paddedHeight, paddedWidth }: Patches): string {
  return `${top},${left},${paddedHeight}x${paddedWidth}`;
}

const roundUp = (n: number, unit: number): number => Math.ceil(n / unit) * unit;
