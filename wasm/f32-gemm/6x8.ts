/**
 * f32-gemm/x8 with 6 rows: for the build with fused multiply-adds, which take 4 cycles and of which
 * two start in each, so that 8 accumulators are just too few (EPYC of 2022: 4 rows 26.3 of 29.4
 * GMAC/s, 6 rows 27.5; Xeon of 2023: 22.5 and 24.8 of 26).
 */
import { f32GemmX8 } from './x8';

const ROWS: i32 = 6;

export function f32Gemm6x8(
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
  f32GemmX8(
    ROWS,
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
