/**
 * Widens `spread`, f32 [min x4 | max x4], by x [n]. A NaN in x widens it to both infinities.
 *
 * pmin and pmax are one instruction each but drop NaNs, which are therefore collected apart.
 * Reads x up to its end only.
 */
import { widen } from '../simd';

export function f32MinMax(x: usize, n: i32, spread: usize): void {
  assert(n >= 0);
  const end = x + ((<usize>n) << 2);
  let min = f32x4.splat(Infinity);
  let max = f32x4.splat(-Infinity);
  let min2 = min;
  let max2 = max;
  let nan = i32x4.splat(0);
  while (x + 32 <= end) {
    const v = v128.load(x);
    const w = v128.load(x, 16);
    min = f32x4.pmin(min, v);
    max = f32x4.pmax(max, v);
    min2 = f32x4.pmin(min2, w);
    max2 = f32x4.pmax(max2, w);
    nan = v128.or(nan, v128.or(f32x4.ne(v, v), f32x4.ne(w, w)));
    x += 32;
  }
  // Remainder: one element at a time.
  while (x < end) {
    const v = v128.load32_splat(x);
    min = f32x4.pmin(min, v);
    max = f32x4.pmax(max, v);
    nan = v128.or(nan, f32x4.ne(v, v));
    x += 4;
  }
  if (v128.any_true(nan)) {
    min = f32x4.splat(-Infinity);
    max = f32x4.splat(Infinity);
  }
  widen(spread, f32x4.pmin(min, min2), f32x4.pmax(max, max2));
}
