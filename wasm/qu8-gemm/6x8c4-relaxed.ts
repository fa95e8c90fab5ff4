/**
 * qu8-gemm/x8c4-relaxed with 6 rows, for machines that have the dot as one instruction: it takes 4
 * or 5 cycles and two start in each, so that 8 accumulators leave some of it idle (Xeon with
 * AVX-VNNI: 4 rows 72 of 98 GMAC/s, 6 rows 89).
 */
import { qu8GemmX8c4Relaxed } from './x8c4-relaxed';

const ROWS: i32 = 6;

export function qu8Gemm6x8c4Relaxed(
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
  qu8GemmX8c4Relaxed(
    ROWS,
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
