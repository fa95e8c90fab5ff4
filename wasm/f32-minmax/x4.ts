/**
 * out [2] = [min x, max x] of x [n]. Any NaN in x makes both NaN; of nothing (n = 0) it is
 * [Infinity, -Infinity].
 *
 * pmin and pmax are one instruction each but drop NaNs, which are therefore collected apart.
 * Reads x up to its end only.
 */

export function f32MinMax(x: usize, n: i32, out: usize): void {
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
  min = f32x4.pmin(min, min2);
  max = f32x4.pmax(max, max2);
  min = f32x4.pmin(min, v128.shuffle<i32>(min, min, 2, 3, 0, 1));
  max = f32x4.pmax(max, v128.shuffle<i32>(max, max, 2, 3, 0, 1));
  min = f32x4.pmin(min, v128.shuffle<i32>(min, min, 1, 0, 3, 2));
  max = f32x4.pmax(max, v128.shuffle<i32>(max, max, 1, 0, 3, 2));
  const any = v128.any_true(nan);
  store<f32>(out, any ? f32.NaN : f32x4.extract_lane(min, 0));
  store<f32>(out, any ? f32.NaN : f32x4.extract_lane(max, 0), 4);
}
