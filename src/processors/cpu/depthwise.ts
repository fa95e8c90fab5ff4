/**
 * Depthwise convolution on the CPU: x [n,h,w,c] * filter [kh,kw,c,m] -> y [n,oh,ow,c*m], with bias
 * and activation, in float32 or, for m = 1, in int8 (`int8.ts`; a filter [kh*kw, c] is packed as
 * the weights of a product with c columns).
 */
import type { backend_util } from '@tensorflow/tfjs-core';

import type { Spec } from '../../graph/kernel.js';
import type { Argument } from '../kernel.js';
import type { Bytes, Int8Layer, PackedWeights } from './int8.js';
import { computeLayer, dotKind, imageOf, isOneInstruction, packWeights } from './int8.js';
import { imageSize, paddedSize, patchesOfConv } from './patches.js';
import type { CpuProcessor } from './processor.js';
import { CpuBuffer } from './processor.js';
import type { Quantisation } from './quantisation.js';

/** Taps of one step of the kernel. */
const STEP = 4;

export interface Depthwise extends Int8Layer {
  filter: Argument<CpuBuffer>;
  info: backend_util.Conv2DInfo;
  /** Of y. */
  spec: Spec;
}

export function depthwise(cpu: CpuProcessor, d: Depthwise): CpuBuffer {
  const { filterHeight: kh, filterWidth: kw } = d.info;
  return computeLayer(
    cpu,
    d.spec,
    d,
    // 8 bits on every machine: filters this small feel 7.
    () =>
      goByColumns(d.info)
        ? packWeights(cpu, 'taps', byColumns(cpu, d), kw, kh, d.n)
        : packWeights(cpu, 'taps', d.filter, 1, kh * kw, d.n),
    (input, packed, to, bytes) => int8Depthwise(cpu, d, input, packed, to, bytes),
    y => floatDepthwise(cpu, d, y),
  );
}

/** @param to pointer to floats; to bytes where `bytes` says which. */
function int8Depthwise(
  cpu: CpuProcessor,
  { x, info, activation, correction }: Depthwise,
  { scale, zero }: Quantisation,
  packed: PackedWeights,
  to: number,
  bytes?: Bytes,
): void {
  const { outHeight: oh, outWidth: ow, inChannels: c, batchSize } = info;
  const patches = patchesOfConv(info);
  const dot = dotKind(cpu);
  const xor = dot === 'sdot' ? 0x80 : 0;
  const image = imageOf(cpu, x, patches, { scale, zero }, xor);
  const taps = tapOffsets(info, patches.paddedWidth);
  const of = { x: { scale, zero: zero - xor }, mean: correction, offsets: taps };
  const { corrections, scales, offsets } = packed.parameters(cpu, of);
  for (let i = 0; i < batchSize; i++) {
    cpu.heap.kernels.qu8Depthwise(
      isOneInstruction(dot) ? 0 : 1,
      image + i * paddedSize(patches),
      oh,
      ow,
      patches.pixelStride,
      patches.rowStride,
      taps.length,
      offsets,
      packed.pointer,
      c,
      corrections,
      scales,
      activation.bias,
      activation.alpha,
      activation.lo,
      activation.hi,
      to + i * oh * ow * c * (bytes ? 1 : 4),
      bytes ? 1 / bytes.scale : 0,
      bytes?.zero ?? 0,
      bytes?.spread ?? 0,
    );
  }
}

/** Whether the kernel gets the taps column by column, which it is quicker with. */
const goByColumns = ({ filterHeight, filterWidth }: backend_util.Conv2DInfo): boolean =>
  filterHeight === 3 && filterWidth === 3;

/** filter [kh,kw,c,1] -> [kw,kh,c] */
function byColumns(
  cpu: CpuProcessor,
  { filter, info: { filterHeight: kh, filterWidth: kw }, n: c }: Depthwise,
): Argument<CpuBuffer> {
  const make = () => {
    const from = filter.buffer.numbers();
    const to = new Float32Array(from.length);
    for (let y = 0; y < kh; y++) {
      for (let x = 0; x < kw; x++) {
        const tap = (y * kw + x) * c;
        to.set(from.subarray(tap, tap + c), (x * kh + y) * c);
      }
    }
    return to;
  };
  const recipe = () => CpuBuffer.ofRecipe(cpu.heap, 'float32', kh * kw * c, make);
  return {
    ...filter,
    buffer: filter.derived('by columns', recipe),
    derived: (name, own) => filter.derived(`by columns:${name}`, own),
  };
}

/** Elements from a patch's first pixel to each tap, in whole steps of the kernel. */
function tapOffsets(info: backend_util.Conv2DInfo, paddedWidth: number): number[] {
  const { filterHeight: kh, filterWidth: kw, dilationHeight, dilationWidth } = info;
  const at = (y: number, x: number) =>
    (y * dilationHeight * paddedWidth + x * dilationWidth) * info.inChannels;
  const offsets: number[] = [];
  if (goByColumns(info)) {
    for (let x = 0; x < kw; x++) {
      // What fills a column up has zero weights.
      for (let y = 0; y < STEP; y++) offsets.push(at(Math.min(y, kh - 1), x));
    }
  } else {
    for (let y = 0; y < kh; y++) for (let x = 0; x < kw; x++) offsets.push(at(y, x));
    while (offsets.length % STEP !== 0) offsets.push(0);
  }
  return offsets;
}

function floatDepthwise(
  cpu: CpuProcessor,
  { x, filter, info, activation }: Depthwise,
  y: CpuBuffer,
): void {
  const { inHeight, inWidth, inChannels, outHeight, outWidth, outChannels, padInfo } = info;
  const image = imageSize(patchesOfConv(info));
  cpu.withDense(x.buffer, from =>
    cpu.withDense(filter.buffer, weights => {
      for (let i = 0; i < info.batchSize; i++) {
        cpu.heap.kernels.f32Depthwise(
          from + 4 * i * image,
          inHeight,
          inWidth,
          inChannels,
          weights,
          outChannels,
          info.filterHeight,
          info.filterWidth,
          outChannels / inChannels,
          info.strideHeight,
          info.strideWidth,
          info.dilationHeight,
          info.dilationWidth,
          padInfo.top,
          padInfo.left,
          outHeight,
          outWidth,
          activation.bias,
          activation.alpha,
          activation.lo,
          activation.hi,
          y.address() + 4 * i * outHeight * outWidth * outChannels,
        );
      }
    }),
  );
}
