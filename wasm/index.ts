/**
 * The module's exports: the one list of kernels. `exports.d.ts` is the same list with types for
 * whoever calls them; README.md says what the arguments mean.
 *
 * Built twice (asconfig.json): with relaxed SIMD and without. Both builds export the same names.
 */
import { f32Gemm4x8 } from './f32-gemm/4x8';
import { f32Gemm6x8 } from './f32-gemm/6x8';
import { qs8PackX4c8, qs8PackedBytesX4c8 } from './qs8-pack/x4c8';
import { qs8PackX8c4, qs8PackedBytesX8c4 } from './qs8-pack/x8c4';
import {
  columnsPerPixel,
  qu8Depthwise3x3x8Step1,
  qu8Depthwise3x3x8Step2,
} from './qu8-depthwise/3x3x8-relaxed';
import { CHANNELS, qu8DepthwiseX8c4I16, qu8DepthwiseX8c4Relaxed } from './qu8-depthwise/x8c4';
import { qu8Gemm1x32c4Relaxed } from './qu8-gemm/1x32c4-relaxed';
import { qu8Gemm2x4c8I16 } from './qu8-gemm/2x4c8-i16';
import { qu8Gemm4x8c4Relaxed, qu8Gemm4x8c4RelaxedPlain } from './qu8-gemm/4x8c4-relaxed';
import { qu8Gemm6x8c4Relaxed, qu8Gemm6x8c4RelaxedPlain } from './qu8-gemm/6x8c4-relaxed';
import { isOneInstruction } from './relaxed-dot-kind/probe';

export { heapBase, setScratch } from './memory/scratch';
export { relaxedDotKind } from './relaxed-dot-kind/probe';
export {
  qs8PackX4c8 as qs8PackI16,
  qs8PackedBytesX4c8 as qs8PackedBytesI16,
} from './qs8-pack/x4c8';
export { qu8Gemm2x4c8I16 as qu8GemmI16 } from './qu8-gemm/2x4c8-i16';
export { f32ToQu8 } from './f32-qu8-convert/x16';
export { qu8ToF32 } from './qu8-f32-convert/x16';
export { f32Pad } from './f32-pad/rows';
export { x8Pad } from './x8-pad/rows';
export { x8Clamp } from './x8-clamp/x16';
export { x8Lookup } from './x8-lookup/bytes';
export { qu8Requantise } from './qu8-requantise/x8';
export { f32MinMax } from './f32-minmax/x4';
export { f32Depthwise4x4 as f32Depthwise } from './f32-depthwise/4x4';
export {
  qs8PackX8c4 as qs8PackTaps,
  qs8PackedBytesX8c4 as qs8PackedBytesTaps,
} from './qs8-pack/x8c4';
export { f32Pool } from './f32-pool/x4';
export { qu8AvgPool } from './qu8-avgpool/x8';
export { qu8MaxPool } from './qu8-maxpool/x16';
export { f32Binary } from './f32-binary/x4';
export { qu8Binary } from './qu8-binary/x8';
export { f32Unary } from './f32-unary/x4';
export { f32Affine } from './f32-affine/x4';
export { copyStrided } from './x8-copy/strided';
export { fill } from './x8-fill/run';
export { f32Resize } from './f32-resize/x4';
export { qu8Resize } from './qu8-resize/x8';
export { x8ResizeNearest } from './x8-resize/nearest';
export { f32Reduce } from './f32-reduce/x4';
export { f32Softmax } from './f32-softmax/x4';
export { gatherRows } from './x8-gather/rows';

// Those that differ between builds or machines.

export function qs8PackedBytes(segments: i32, segmentLength: i32, n: i32): i32 {
  if (ASC_FEATURE_RELAXED_SIMD) return qs8PackedBytesX8c4(segments, segmentLength, n);
  return qs8PackedBytesX4c8(segments, segmentLength, n);
}

export function qs8Pack(
  w: usize,
  segments: i32,
  segmentLength: i32,
  n: i32,
  ldw: i32,
  packed: usize,
  scale: usize,
  sum: usize,
  largest: i32,
): void {
  if (ASC_FEATURE_RELAXED_SIMD) {
    qs8PackX8c4(w, segments, segmentLength, n, ldw, packed, scale, sum, largest);
  } else {
    qs8PackX4c8(w, segments, segmentLength, n, ldw, packed, scale, sum, largest);
  }
}

/** Rows of qu8Gemm's tile on the relaxed dot; 0: by what the dot is made of. */
let tileRows: i32 = 0;

/** For specs: makes qu8Gemm use the tile of 4 or of 6 rows; 0 gives it back the choice. */
export function setTileRows(rows: i32): void {
  tileRows = rows;
}

export function qu8Gemm(
  x: usize,
  m: i32,
  ow: i32,
  pixelStride: i32,
  rowStride: i32,
  segments: i32,
  segmentLength: i32,
  segmentOffsets: usize,
  packed: usize,
  n: i32,
  correction: usize,
  scale: usize,
  bias: usize,
  alpha: usize,
  lo: f32,
  hi: f32,
  y: usize,
  ldy: i32,
  inverse: f32,
  zero: i32,
  spread: usize,
): void {
  if (ASC_FEATURE_RELAXED_SIMD) {
    const isPlain = spread != 0 && alpha == 0 && n % 8 == 0;
    if (tileRows == 0 && m == 1) {
      qu8Gemm1x32c4Relaxed(
        x,
        segments,
        segmentLength,
        segmentOffsets,
        packed,
        n,
        correction,
        scale,
        bias,
        alpha,
        lo,
        hi,
        y,
        inverse,
        zero,
        spread,
      );
    } else if (tileRows == 6 || (tileRows == 0 && isOneInstruction())) {
      if (isPlain) {
        qu8Gemm6x8c4RelaxedPlain(
          x,
          m,
          ow,
          pixelStride,
          rowStride,
          segments,
          segmentLength,
          segmentOffsets,
          packed,
          n,
          correction,
          scale,
          bias,
          alpha,
          lo,
          hi,
          y,
          ldy,
          inverse,
          zero,
          spread,
        );
      } else {
        qu8Gemm6x8c4Relaxed(
          x,
          m,
          ow,
          pixelStride,
          rowStride,
          segments,
          segmentLength,
          segmentOffsets,
          packed,
          n,
          correction,
          scale,
          bias,
          alpha,
          lo,
          hi,
          y,
          ldy,
          inverse,
          zero,
          spread,
        );
      }
    } else {
      if (isPlain) {
        qu8Gemm4x8c4RelaxedPlain(
          x,
          m,
          ow,
          pixelStride,
          rowStride,
          segments,
          segmentLength,
          segmentOffsets,
          packed,
          n,
          correction,
          scale,
          bias,
          alpha,
          lo,
          hi,
          y,
          ldy,
          inverse,
          zero,
          spread,
        );
      } else {
        qu8Gemm4x8c4Relaxed(
          x,
          m,
          ow,
          pixelStride,
          rowStride,
          segments,
          segmentLength,
          segmentOffsets,
          packed,
          n,
          correction,
          scale,
          bias,
          alpha,
          lo,
          hi,
          y,
          ldy,
          inverse,
          zero,
          spread,
        );
      }
    }
  } else {
    qu8Gemm2x4c8I16(
      x,
      m,
      ow,
      pixelStride,
      rowStride,
      segments,
      segmentLength,
      segmentOffsets,
      packed,
      n,
      correction,
      scale,
      bias,
      alpha,
      lo,
      hi,
      y,
      ldy,
      inverse,
      zero,
      spread,
    );
  }
}

export function f32Gemm(
  x: usize,
  m: i32,
  ow: i32,
  pixelStride: i32,
  rowStride: i32,
  segments: i32,
  segmentLength: i32,
  segmentOffsets: usize,
  w: usize,
  n: i32,
  ldw: i32,
  bias: usize,
  alpha: usize,
  lo: f32,
  hi: f32,
  y: usize,
  ldy: i32,
): void {
  if (ASC_FEATURE_RELAXED_SIMD)
    f32Gemm6x8(
      x,
      m,
      ow,
      pixelStride,
      rowStride,
      segments,
      segmentLength,
      segmentOffsets,
      w,
      n,
      ldw,
      bias,
      alpha,
      lo,
      hi,
      y,
      ldy,
    );
  else
    f32Gemm4x8(
      x,
      m,
      ow,
      pixelStride,
      rowStride,
      segments,
      segmentLength,
      segmentOffsets,
      w,
      n,
      ldw,
      bias,
      alpha,
      lo,
      hi,
      y,
      ldy,
    );
}

/** @param exact whether to use 16-bit products although the build has the relaxed dot. */
export function qu8Depthwise(
  exact: bool,
  x: usize,
  oh: i32,
  ow: i32,
  pixelStride: i32,
  rowStride: i32,
  taps: i32,
  tap: usize,
  packed: usize,
  c: i32,
  correction: usize,
  scale: usize,
  bias: usize,
  alpha: usize,
  lo: f32,
  hi: f32,
  y: usize,
  inverse: f32,
  zero: i32,
  spread: usize,
): void {
  if (exact || !ASC_FEATURE_RELAXED_SIMD) {
    qu8DepthwiseX8c4I16(
      x,
      oh,
      ow,
      pixelStride,
      rowStride,
      taps,
      tap,
      packed,
      c,
      correction,
      scale,
      bias,
      alpha,
      lo,
      hi,
      y,
      inverse,
      zero,
      spread,
    );
    return;
  }
  const isPlain = spread != 0 && alpha == 0 && c % CHANNELS == 0;
  const perPixel = isPlain ? columnsPerPixel(taps, tap, pixelStride) : 0;
  if (perPixel == 1) {
    qu8Depthwise3x3x8Step1(
      x,
      oh,
      ow,
      pixelStride,
      rowStride,
      tap,
      packed,
      c,
      correction,
      scale,
      bias,
      lo,
      hi,
      y,
      inverse,
      zero,
      spread,
    );
  } else if (perPixel == 2) {
    qu8Depthwise3x3x8Step2(
      x,
      oh,
      ow,
      pixelStride,
      rowStride,
      tap,
      packed,
      c,
      correction,
      scale,
      bias,
      lo,
      hi,
      y,
      inverse,
      zero,
      spread,
    );
  } else {
    qu8DepthwiseX8c4Relaxed(
      x,
      oh,
      ow,
      pixelStride,
      rowStride,
      taps,
      tap,
      packed,
      c,
      correction,
      scale,
      bias,
      alpha,
      lo,
      hi,
      y,
      inverse,
      zero,
      spread,
    );
  }
}
