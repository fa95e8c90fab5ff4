/**
 * qu8-gemm/x8c4-relaxed with 4 rows, for engines that make the relaxed dot of three instructions
 * (x86 without AVX-VNNI) and need a register for it: 6 rows spill there (38 against 44 of 47
 * GMAC/s, EPYC of 2022).
 */
import { qu8GemmX8c4Relaxed } from './x8c4-relaxed';

const ROWS: i32 = 4;

export function qu8Gemm4x8c4Relaxed(
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
