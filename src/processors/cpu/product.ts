/**
 * The heart of the CPU: patches x [pixels, k] * weights w [k, n] -> y [pixels, n], with bias and
 * activation, in float32 or in int8. Convolution and matrix product both end here.
 *
 * Int8: x becomes QUInt8 with one scale and zero point for the tensor, w int8 with one scale for
 * each output channel, packed once. Sums are exact integers:
 *
 *     y[m,n] = act( (sum_k qx[m,k]*qw[k,n] - zero * sum_k qw[k,n]) * (scaleX * scaleW[n]) + bias[n] )
 *
 * x may lie as bytes already; otherwise its range is measured and it is quantised here. y becomes
 * floats, or bytes where it is told their range.
 */
import { env } from '@tensorflow/tfjs-core';

import type { Spec } from '../../graph/kernel.js';
import type { Argument } from '../kernel.js';
import type { Quantised } from './buffer.js';
import type { Block, CpuBuffer, CpuProcessor } from './processor.js';
import type { Activation } from './activation.js';
import { finish } from './activation.js';
import type { DotKind } from './heap.js';
import type { Patches } from './patches.js';
import { imageSize, needsNoPadding, paddedSize } from './patches.js';
import type { Quantisation, Range } from './quantisation.js';
import { quantisationOf } from './quantisation.js';

export interface Product {
  x: Argument<CpuBuffer>;
  patches: Patches;
  /** [k, n], perhaps a view on columns of a wider matrix. */
  w: Argument<CpuBuffer>;
  n: number;
  activation: Activation;
  int8: boolean;
  /** Of y, where it shall be bytes. */
  range?: Range;
}

/** y [batch, pixels, n] */
export function product(cpu: CpuProcessor, p: Product): CpuBuffer {
  const { patches, n } = p;
  const spec: Spec = { shape: [patches.batch, patches.pixels, n], dtype: 'float32' };
  const input = p.int8 ? (p.x.buffer.quantised ?? quantisationOf(p.x.range())) : undefined;
  const packed = input && packWeights(cpu, dotFor(cpu, n), p.w, patches, n);
  const target = packed && bytesOf(cpu, p);
  if (target) {
    return cpu.fillBytes(spec, target, y => {
      y.spread = withSpread(cpu, spread => {
        int8Product(cpu, p, input, packed, y.pointer, { ...target, spread });
      });
    });
  }
  return cpu.fill(spec, y => {
    if (packed) int8Product(cpu, p, input, packed, y.address());
    else floatProduct(cpu, p, y);
    finish(cpu, p.activation, y);
  });
}

/** How y shall become bytes, where it can: with an activation and a bias of the epilogue. */
function bytesOf(cpu: CpuProcessor, { range, activation, n }: Product): Quantisation | undefined {
  if (!range || activation.after || activation.prelu) return undefined;
  const { bias, alpha } = activation;
  // The spread passes over NaNs, which nothing else can bring.
  const isFinite = [bias, alpha].every(
    pointer => pointer === 0 || cpu.heap.f32(pointer, n).every(Number.isFinite),
  );
  return isFinite ? quantisationOf(range) : undefined;
}

/** Lends room for [min x4 | max x4], and gives the smallest and the largest. */
function withSpread(cpu: CpuProcessor, use: (pointer: number) => void): Range {
  return cpu.withScratch(32, pointer => {
    cpu.heap.f32(pointer, 4).fill(Infinity);
    cpu.heap.f32(pointer + 16, 4).fill(-Infinity);
    use(pointer);
    return [
      Math.min(...cpu.heap.f32(pointer, 4)),
      Math.max(...cpu.heap.f32(pointer + 16, 4)),
    ] as const;
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

/** @param to pointer to floats; to bytes where `bytes` says which. */
function int8Product(
  cpu: CpuProcessor,
  { x, patches, n, activation }: Product,
  { scale, zero }: Quantisation,
  packed: PackedWeights,
  to: number,
  bytes?: Quantisation & { spread: number },
): void {
  const { heap } = cpu;
  const { kernels } = heap;
  const dot = dotFor(cpu, n);
  // Signed products read x - 128, which is x with its top bit flipped.
  const xor = dot === 'sdot' ? 0x80 : 0;
  const image = imageOf(cpu, x, patches, { scale, zero }, xor);
  const gemm = dot === 'i16' ? 'qu8GemmI16' : 'qu8Gemm';
  const pitch = patches.pixels * n * (bytes ? 1 : 4);
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
          image + i * paddedSize(patches),
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
          to + i * pitch,
          n,
          bytes ? 1 / bytes.scale : 0,
          bytes?.zero ?? 0,
          bytes?.spread ?? 0,
        );
      }
    });
  });
}

/** Pointer to the padded images as bytes: where they lie, or a copy kept with the value. */
function imageOf(
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
