/**
 * f32-gemm/x8 with 4 rows: for the build without fused multiply-adds, whose products need a register
 * on their way to the sums (EPYC of 2022: 21 GMAC/s, with 6 rows 14).
 */
import { f32GemmX8 } from './x8';

const ROWS: i32 = 4;

export function f32Gemm4x8(
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
