/**
 * y [hp,wp,c] u8 = quantised x [h,w,c] with its corner at (top, left):
 *
 *     y = clamp(round(x * inverseScale) + zeroPoint, 0, 255) ^ xor        inside
 *     y = zeroPoint ^ xor                                                 on the border
 *
 * `round` is to the nearest, halves to even. A NaN becomes 0 ^ xor. `xor` is 0, or 0x80 for kernels
 * that read the activations as signed bytes. 0 <= zeroPoint <= 255.
 *
 * Rounding: `toIntegers` of simd.ts.
 *
 * Returns 1 when some value lay outside the range (its rounded result had to be clamped) or was NaN,
 * else 0.
 *
 * Reads x up to its end only.
 */

import { toByteRange, toIntegers } from '../simd';

/** x [n] to y [n]; false when some value was outside the range. */
function convertRun(
  x: usize,
  n: i32,
  inverseScale: f32,
  zeroPoint: i32,
  flip: i32,
  y: usize,
): bool {
  const s = f32x4.splat(inverseScale);
  const mask = i8x16.splat(<i8>flip);
  const end = y + <usize>n;
  let moved = i32x4.splat(0);
  while (y + 16 <= end) {
    const a = f32x4.mul(v128.load(x), s);
    const b = f32x4.mul(v128.load(x, 16), s);
    const c = f32x4.mul(v128.load(x, 32), s);
    const d = f32x4.mul(v128.load(x, 48), s);
    const ca = toByteRange(a, zeroPoint);
    const cb = toByteRange(b, zeroPoint);
    const cc = toByteRange(c, zeroPoint);
    const cd = toByteRange(d, zeroPoint);
    const ab = v128.or(f32x4.ne(a, ca), f32x4.ne(b, cb));
    const cAndD = v128.or(f32x4.ne(c, cc), f32x4.ne(d, cd));
    moved = v128.or(moved, v128.or(ab, cAndD));
    const low = i16x8.narrow_i32x4_s(toIntegers(ca, zeroPoint), toIntegers(cb, zeroPoint));
    const high = i16x8.narrow_i32x4_s(toIntegers(cc, zeroPoint), toIntegers(cd, zeroPoint));
    v128.store(y, v128.xor(i8x16.narrow_i16x8_u(low, high), mask));
    x += 64;
    y += 16;
  }
  // Remainder: one element at a time.
  while (y < end) {
    const v = f32x4.mul(v128.load32_splat(x), s);
    const clamped = toByteRange(v, zeroPoint);
    moved = v128.or(moved, f32x4.ne(v, clamped));
    const integer = toIntegers(clamped, zeroPoint);
    const words = i16x8.narrow_i32x4_s(integer, integer);
    store<u8>(y, i8x16.extract_lane_u(i8x16.narrow_i16x8_u(words, words), 0) ^ flip);
    x += 4;
    y += 1;
  }
  return !v128.any_true(moved);
}

export function f32ToQu8(
  x: usize,
  h: i32,
  w: i32,
  c: i32,
  top: i32,
  left: i32,
  hp: i32,
  wp: i32,
  inverseScale: f32,
  zeroPoint: i32,
  xor: i32,
  y: usize,
): i32 {
  assert(top >= 0 && top + h <= hp);
  assert(left >= 0 && left + w <= wp);
  assert(zeroPoint >= 0 && zeroPoint <= 255);
  const border = <u8>(zeroPoint ^ xor);
  if (h == 0 || w == 0) {
    memory.fill(y, border, <usize>(hp * wp * c));
    return 0;
  }
  if (w == wp) {
    // No columns to add: the rows are one run.
    memory.fill(y, border, <usize>(top * wp * c));
    y += <usize>(top * wp * c);
    const inside = convertRun(x, h * w * c, inverseScale, zeroPoint, xor, y);
    y += <usize>(h * w * c);
    memory.fill(y, border, <usize>((hp - top - h) * wp * c));
    return <i32>!inside;
  }
  // The border to the right of a row and the one to the left of the next are one run.
  const between = <usize>((wp - w) * c);
  const head = <usize>((top * wp + left) * c);
  memory.fill(y, border, head);
  y += head;
  let inside = true;
  for (let i = 0; i < h; ++i) {
    inside = convertRun(x, w * c, inverseScale, zeroPoint, xor, y) && inside;
    x += (<usize>(w * c)) << 2;
    y += <usize>(w * c);
    const gap = i + 1 < h ? between : <usize>((wp - w - left + (hp - top - h) * wp) * c);
    memory.fill(y, border, gap);
    y += gap;
  }
  return <i32>!inside;
}
