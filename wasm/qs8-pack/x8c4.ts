/**
 * Weights w [segments * segmentLength, ldw] float, columns 0..n-1, to signed bytes with one scale a
 * column, packed for qu8-gemm/4x8c4-relaxed:
 *
 *     scale[j] = max |w[., j]| / largest          1 where the column is all zero
 *     q[k, j]  = clamp(round(w[k, j] / scale[j]), -127, 127)     halves to even
 *     sum[j]   = sum of q[., j]
 *
 *     packed [ceil(n / 8)][segments][ceil(segmentLength / 4)][8][4]
 *
 *     one group of 32 bytes, for 8 columns j and 4 rows k of one segment:
 *     ┌───────────────────┬───────────────────┬─ ─ ─┬───────────────────┐
 *     │ j0k0 j0k1 j0k2 j0k3 j1k0 j1k1 j1k2 j1k3       j7k0 j7k1 j7k2 j7k3 │
 *     └───────────────────┴───────────────────┴─ ─ ─┴───────────────────┘
 *
 * Each segment is padded to a multiple of 4 rows and n to a multiple of 8 columns with zeros, so
 * whatever activations lie behind a segment count for nothing.
 *
 * `largest` is 127, or 64 where the sum of two products must fit 16 bits: 2 * 255 * 64 = 32,640.
 *
 * A column with a NaN or an infinity gets a scale that is not finite; the caller should keep such a
 * layer in float. May read 28 bytes beyond w.
 */
import { storeLanes } from '../simd';

const COLUMNS: i32 = 8;
const DEPTH: i32 = 4;
const GROUP_BYTES: usize = 32;

/** max |w| of each column, divided by `largest`; 1 for zero. Rows outside, so that w is read in order. */
export function columnScales(
  w: usize,
  rows: i32,
  n: i32,
  ldw: i32,
  scale: usize,
  largest: i32,
): void {
  const rowBytes = (<usize>ldw) << 2;
  for (let j = 0; j < n; j += 4) storeLanes(scale + ((<usize>j) << 2), f32x4.splat(0), n - j);
  for (let k = 0; k < rows; ++k) {
    let j: usize = 0;
    const whole = (<usize>(n & ~3)) << 2;
    for (; j < whole; j += 16) {
      const magnitude = f32x4.abs(v128.load(w + j));
      v128.store(scale + j, f32x4.max(v128.load(scale + j), magnitude));
    }
    // Remainder: columns one at a time.
    for (const end = (<usize>n) << 2; j < end; j += 4) {
      store<f32>(scale + j, max(load<f32>(scale + j), abs(load<f32>(w + j))));
    }
    w += rowBytes;
  }
  for (let j: usize = 0, end = (<usize>n) << 2; j < end; j += 4) {
    const value = load<f32>(scale + j) / <f32>largest;
    store<f32>(scale + j, value == 0 ? 1 : value);
  }
}

/** The scales of four columns; 1 for those beyond `count`, which may lie outside the array. */
@inline
export function fourScales(scale: usize, count: i32): v128 {
  if (count >= 4) return v128.load(scale);
  let v = f32x4.splat(1);
  if (count > 0) v = f32x4.replace_lane(v, 0, load<f32>(scale));
  if (count > 1) v = f32x4.replace_lane(v, 1, load<f32>(scale, 4));
  if (count > 2) v = f32x4.replace_lane(v, 2, load<f32>(scale, 8));
  return v;
}

/** All ones in the first `count` lanes. */
@inline
export function firstLanes(count: i32): v128 {
  return i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(count));
}

/** Four weights of one row, quantised, as integers; 0 outside `mask`. */
@inline
export function quantise(w: usize, scale: v128, mask: v128): v128 {
  const v = f32x4.nearest(f32x4.div(v128.load(w), scale));
  const limited = f32x4.pmin(f32x4.pmax(v, f32x4.splat(-127)), f32x4.splat(127));
  return v128.and(i32x4.trunc_sat_f32x4_s(limited), mask);
}

export function qs8PackedBytesX8c4(segments: i32, segmentLength: i32, n: i32): i32 {
  const groups = segments * ((segmentLength + DEPTH - 1) / DEPTH);
  return ((n + COLUMNS - 1) / COLUMNS) * groups * <i32>GROUP_BYTES;
}

export function qs8PackX8c4(
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
  assert(segments > 0);
  assert(segmentLength > 0);
  assert(n >= 0 && n <= ldw);
  assert(largest > 0 && largest <= 127);
  columnScales(w, segments * segmentLength, n, ldw, scale, largest);
  const rowBytes = (<usize>ldw) << 2;
  const byte = i32x4.splat(0xff);
  for (let j = 0; j < n; j += COLUMNS) {
    const columns = min(COLUMNS, n - j);
    const first = (<usize>j) << 2;
    const scaleLow = fourScales(scale + first, columns);
    const scaleHigh = fourScales(scale + first + 16, columns - 4);
    const maskLow = firstLanes(columns);
    const maskHigh = firstLanes(columns - 4);
    let sumLow = i32x4.splat(0);
    let sumHigh = i32x4.splat(0);
    let row = w + first;
    for (let s = 0; s < segments; ++s) {
      for (let k = 0; k < segmentLength; k += DEPTH) {
        const depth = min(DEPTH, segmentLength - k);
        let low = i32x4.splat(0);
        let high = i32x4.splat(0);
        for (let d = 0; d < depth; ++d) {
          const a = quantise(row, scaleLow, maskLow);
          const b = quantise(row + 16, scaleHigh, maskHigh);
          sumLow = i32x4.add(sumLow, a);
          sumHigh = i32x4.add(sumHigh, b);
          low = v128.or(low, i32x4.shl(v128.and(a, byte), d << 3));
          high = v128.or(high, i32x4.shl(v128.and(b, byte), d << 3));
          row += rowBytes;
        }
        v128.store(packed, low);
        v128.store(packed, high, 16);
        packed += GROUP_BYTES;
      }
    }
    storeLanes(sum + first, sumLow, columns);
    if (columns > 4) storeLanes(sum + first + 16, sumHigh, columns - 4);
  }
}
