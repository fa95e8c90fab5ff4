/**
 * y [hp,wp,c] u8 = quantised x [h,w,c] with its corner at (top, left):
 *
 *     y = clamp(round(x * inverseScale) + zeroPoint, 0, 255) ^ xor        inside
 *     y = zeroPoint ^ xor                                                 on the border
 *
 * `round` is to the nearest, halves to even. A NaN becomes 0 ^ xor. `xor` is 0, or 0x80 for kernels
 * that read the activations as signed bytes. 0 <= zeroPoint <= 255.
 *
 * Rounding: v is first clamped to [-0.5, 255.5] - zeroPoint; adding MAGIC = 1.5 * 2^23 then leaves
 * round(v) in the low bits of the float, since one unit in the last place is 1 there, and the
 * float addition rounds halves to even. The -1 and 256 that may come out saturate as they are
 * narrowed to bytes.
 *
 * Returns 1 when some value lay outside the range (its rounded result had to be clamped) or was NaN,
 * else 0.
 *
 * Reads x up to its end only.
 */

/** 1.5 * 2^23 as a float, and the same bits as an integer. */
const MAGIC: f32 = 12582912;
const MAGIC_BITS: i32 = 0x4b400000;

/** Scaled v to [lo, hi], NaN to lo: pmax(lo, v) is `lo < v ? v : lo`. */
@inline
function inRange(v: v128, lo: v128, hi: v128): v128 {
  return f32x4.pmin(f32x4.pmax(lo, v), hi);
}


@inline
function toInteger(v: v128, bias: v128): v128 {
  return i32x4.sub(f32x4.add(v, f32x4.splat(MAGIC)), bias);
}

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
  const lo = f32x4.splat(<f32>-zeroPoint - 0.5);
  const hi = f32x4.splat(255.5 - <f32>zeroPoint);
  const bias = i32x4.splat(MAGIC_BITS - zeroPoint);
  const mask = i8x16.splat(<i8>flip);
  const end = y + <usize>n;
  let moved = i32x4.splat(0);
  while (y + 16 <= end) {
    const a = f32x4.mul(v128.load(x), s);
    const b = f32x4.mul(v128.load(x, 16), s);
    const c = f32x4.mul(v128.load(x, 32), s);
    const d = f32x4.mul(v128.load(x, 48), s);
    const ca = inRange(a, lo, hi);
    const cb = inRange(b, lo, hi);
    const cc = inRange(c, lo, hi);
    const cd = inRange(d, lo, hi);
    const ab = v128.or(f32x4.ne(a, ca), f32x4.ne(b, cb));
    const cAndD = v128.or(f32x4.ne(c, cc), f32x4.ne(d, cd));
    moved = v128.or(moved, v128.or(ab, cAndD));
    const low = i16x8.narrow_i32x4_s(toInteger(ca, bias), toInteger(cb, bias));
    const high = i16x8.narrow_i32x4_s(toInteger(cc, bias), toInteger(cd, bias));
    v128.store(y, v128.xor(i8x16.narrow_i16x8_u(low, high), mask));
    x += 64;
    y += 16;
  }
  // Remainder: one element at a time.
  while (y < end) {
    const v = f32x4.mul(v128.load32_splat(x), s);
    const clamped = inRange(v, lo, hi);
    moved = v128.or(moved, f32x4.ne(v, clamped));
    const integer = toInteger(clamped, bias);
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
