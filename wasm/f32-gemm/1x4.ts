/**
 * The same as f32-gemm/4x8 for so few pixels that reading w is all the work: a matrix-vector
 * product. w is walked in the order in which it lies, 4 rows at a time, the sums wait in y:
 *
 *     y[j..j+3] += x[k] * w[k, j..j+3] + x[k+1] * w[k+1, j..j+3] + ... 4 rows
 *
 * with columns in blocks that stay in L1. May read 12 bytes beyond w, bias and alpha.
 */
import { clamp, gated, madd, prelu, storeLanes } from '../simd';

/** Columns at a time: 4 KiB of y. */
const BLOCK_COLUMNS: i32 = 1024;

/** y [columns] += x [4] * w [4, columns]. */
@inline
function addFourRows(x: usize, w: usize, wRow: usize, y: usize, columns: i32): void {
  const x0 = v128.load32_splat(x);
  const x1 = v128.load32_splat(x, 4);
  const x2 = v128.load32_splat(x, 8);
  const x3 = v128.load32_splat(x, 12);
  let w1 = w + wRow;
  let w2 = w1 + wRow;
  let w3 = w2 + wRow;
  for (const end = y + ((<usize>(columns & ~3)) << 2); y < end; y += 16) {
    let sum = madd(x0, v128.load(w), v128.load(y));
    sum = madd(x1, v128.load(w1), sum);
    sum = madd(x2, v128.load(w2), sum);
    v128.store(y, madd(x3, v128.load(w3), sum));
    w += 16;
    w1 += 16;
    w2 += 16;
    w3 += 16;
  }
  // Remainder: fewer than 4 columns.
  if (columns & 3) {
    let sum = madd(x0, v128.load(w), v128.load(y));
    sum = madd(x1, v128.load(w1), sum);
    sum = madd(x2, v128.load(w2), sum);
    storeLanes(y, madd(x3, v128.load(w3), sum), columns & 3);
  }
}

/** y [columns] += x [1] * w [1, columns]. */
@inline
function addRow(x: usize, w: usize, y: usize, columns: i32): void {
  const x0 = v128.load32_splat(x);
  for (const end = y + ((<usize>(columns & ~3)) << 2); y < end; y += 16, w += 16) {
    v128.store(y, madd(x0, v128.load(w), v128.load(y)));
  }
  if (columns & 3) storeLanes(y, madd(x0, v128.load(w), v128.load(y)), columns & 3);
}

export function f32Gemm1x4(
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
  const wRow = (<usize>ldw) << 2;
  const low = f32x4.splat(lo);
  const high = f32x4.splat(hi);
  const isGated = lo > -Infinity;
  for (let i = 0; i < m; ++i) {
    const pixel = x + ((<usize>((i / ow) * rowStride + (i % ow) * pixelStride)) << 2);
    for (let j = 0; j < n; j += BLOCK_COLUMNS) {
      const columns = min(BLOCK_COLUMNS, n - j);
      const column = (<usize>j) << 2;
      const out = y + ((<usize>(i * ldy + j)) << 2);
      for (let c = 0; c < columns; c += 4) {
        const at = (<usize>c) << 2;
        const start = bias ? v128.load(bias + column + at) : f32x4.splat(0);
        storeLanes(out + at, start, columns - c);
      }
      let row = w + column;
      for (let s = 0; s < segments; ++s) {
        let a = pixel + ((<usize>load<i32>(segmentOffsets + ((<usize>s) << 2))) << 2);
        let k = 0;
        for (; k + 4 <= segmentLength; k += 4, a += 16, row += wRow * 4) {
          addFourRows(a, row, wRow, out, columns);
        }
        // Remainder of the segment: one row at a time.
        for (; k < segmentLength; ++k, a += 4, row += wRow) addRow(a, row, out, columns);
      }
      for (let c = 0; c < columns; c += 4) {
        const at = (<usize>c) << 2;
        let v = v128.load(out + at);
        if (alpha) {
          const slope = v128.load(alpha + column + at);
          v = isGated ? gated(v, slope, low, high) : prelu(v, slope);
        } else {
          v = clamp(v, low, high);
        }
        storeLanes(out + at, v, columns - c);
      }
    }
  }
}
