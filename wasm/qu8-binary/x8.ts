/**
 * y [rows,n] = op(a [rows,n], b [rows,n] or [n]), bytes of three scales:
 *
 *     y = clamp(round(op((a - aZero) * aScale, (b - bZero) * bScale) * inverse) + zero, 0, 255)
 *
 * op: 0 add, 1 sub, 2 mul. `spread`, f32 [min x4 | max x4], is widened by the results before they
 * become bytes. Each operation rounds to float32, in both builds alike.
 *
 * May read 7 bytes beyond a row of a and b.
 */
import { LANES, onlyLanes, quantise8, storeBytes8, widen } from '../simd';

const ADD: i32 = 0;
const SUB: i32 = 1;


@inline
function apply(op: i32, a: v128, b: v128): v128 {
  if (op == ADD) return f32x4.add(a, b);
  if (op == SUB) return f32x4.sub(a, b);
  return f32x4.mul(a, b);
}


@inline
function low(words: v128, scale: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(words)), scale);
}


@inline
function high(words: v128, scale: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(words)), scale);
}


@inline
function binary(
  op: i32,
  rows: i32,
  n: i32,
  a: usize,
  aZero: i32,
  aScale: f32,
  b: usize,
  bPitch: i32,
  bZero: i32,
  bScale: f32,
  y: usize,
  inverse: f32,
  zero: i32,
  spread: usize,
): void {
  const aZeros = i16x8.splat(<i16>aZero);
  const bZeros = i16x8.splat(<i16>bZero);
  const aScales = f32x4.splat(aScale);
  const bScales = f32x4.splat(bScale);
  let least = f32x4.splat(Infinity);
  let greatest = f32x4.splat(-Infinity);
  const whole = <usize>(n & ~7);
  const rest = n & 7;
  for (let i = 0; i < rows; ++i) {
    let j: usize = 0;
    for (; j < whole; j += 8) {
      const u = i16x8.sub(v128.load_ext<u8>(a + j), aZeros);
      const v = i16x8.sub(v128.load_ext<u8>(b + j), bZeros);
      const y0 = apply(op, low(u, aScales), low(v, bScales));
      const y1 = apply(op, high(u, aScales), high(v, bScales));
      v128.store64_lane(y + j, quantise8(y0, y1, inverse, zero), 0);
      least = f32x4.pmin(least, f32x4.pmin(y0, y1));
      greatest = f32x4.pmax(greatest, f32x4.pmax(y0, y1));
    }
    // Remainder: fewer than 8. In the loop above, storeBytes8 costs half as much again.
    if (rest > 0) {
      const u = i16x8.sub(v128.load_ext<u8>(a + j), aZeros);
      const v = i16x8.sub(v128.load_ext<u8>(b + j), bZeros);
      const y0 = apply(op, low(u, aScales), low(v, bScales));
      const y1 = apply(op, high(u, aScales), high(v, bScales));
      storeBytes8(y + j, quantise8(y0, y1, inverse, zero), rest);
      const l = onlyLanes(y0, rest);
      const h = rest > LANES ? onlyLanes(y1, rest - LANES) : l;
      least = f32x4.pmin(least, f32x4.pmin(l, h));
      greatest = f32x4.pmax(greatest, f32x4.pmax(l, h));
    }
    a += <usize>n;
    b += <usize>bPitch;
    y += <usize>n;
  }
  widen(spread, least, greatest);
}

/** @param bPitch n, or 0 to give every row the same b. */
export function qu8Binary(
  op: i32,
  rows: i32,
  n: i32,
  a: usize,
  aZero: i32,
  aScale: f32,
  b: usize,
  bPitch: i32,
  bZero: i32,
  bScale: f32,
  y: usize,
  inverse: f32,
  zero: i32,
  spread: usize,
): void {
  assert(op >= 0 && op <= 2);
  assert(bPitch == n || bPitch == 0);
  if (op == ADD) {
    binary(ADD, rows, n, a, aZero, aScale, b, bPitch, bZero, bScale, y, inverse, zero, spread);
  } else if (op == SUB) {
    binary(SUB, rows, n, a, aZero, aScale, b, bPitch, bZero, bScale, y, inverse, zero, spread);
  } else {
    binary(2, rows, n, a, aZero, aScale, b, bPitch, bZero, bScale, y, inverse, zero, spread);
  }
}
