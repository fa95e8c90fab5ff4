/**
 * exp, expm1, log and what is made of them, for four floats; SIMD polynomials, inlined.
 *
 * exp(x) = 2^n * (1 + p(r)), n = round(x / ln 2), r = x - n * ln 2 in two parts, |r| <= ln(2)/2,
 * p(r) = e^r - 1 by the polynomial of Cephes' expf (S. Moshier, netlib.org/cephes). Keeping the 1
 * apart lets expm1 = 2^n * p + (2^n - 1) keep its digits near 0, and tanh and elu with it.
 *
 * Errors over all float32 inputs sampled in test/wasm/f32_unary_test.ts: exp, log 2 ulp; sigmoid,
 * expm1 (elu), softplus 3 ulp; tanh 4 ulp. Results below 2^-126 are rounded as subnormals are.
 */
import { madd } from '../simd';

/** Beyond these exp is Infinity, and 0. */
const EXP_MAX: f32 = 89;
const EXP_MIN: f32 = -104;
/** Adding 1.5 * 2^23 rounds to an integer, which is then in the low bits. */
const MAGIC: f32 = 12582912;
const MAGIC_BITS: i32 = 0x4b400000;
const LOG2_E: f32 = 1.44269504088896341;
/** ln 2 = LN2_HIGH + LN2_LOW; the high part has 9 significant bits, so n * LN2_HIGH is exact. */
const LN2_HIGH: f32 = 0.693359375;
const LN2_LOW: f32 = -2.1219444e-4;

/** x limited to where exp is neither 0 nor Infinity; a NaN passes. */
@inline
function limited(x: v128): v128 {
  return f32x4.pmin(f32x4.pmax(x, f32x4.splat(EXP_MIN)), f32x4.splat(EXP_MAX));
}

/** x / ln 2, rounded to an integer, plus MAGIC. */
@inline
function quotient(x: v128): v128 {
  return madd(x, f32x4.splat(LOG2_E), f32x4.splat(MAGIC));
}

/** e^r - 1 for r = x - n * ln 2. */
@inline
function fraction(x: v128, n: v128): v128 {
  let r = madd(n, f32x4.splat(-LN2_HIGH), x);
  r = madd(n, f32x4.splat(-LN2_LOW), r);
  let p = madd(f32x4.splat(1.98756915e-4), r, f32x4.splat(1.3981999507e-3));
  p = madd(p, r, f32x4.splat(8.3334519073e-3));
  p = madd(p, r, f32x4.splat(4.1665795894e-2));
  p = madd(p, r, f32x4.splat(1.6666665459e-1));
  p = madd(p, r, f32x4.splat(5.0000001201e-1));
  return madd(p, f32x4.mul(r, r), r);
}

/** 2^n for integers -127 < n < 128. */
@inline
function powerOfTwo(n: v128): v128 {
  return i32x4.shl(i32x4.add(n, i32x4.splat(127)), 23);
}


@inline
export function exp(x: v128): v128 {
  x = limited(x);
  const q = quotient(x);
  const n = i32x4.sub(q, i32x4.splat(MAGIC_BITS));
  const v = f32x4.add(fraction(x, f32x4.sub(q, f32x4.splat(MAGIC))), f32x4.splat(1));
  // In two factors, since n may be 128 or as low as -150.
  const half = i32x4.shr_s(n, 1);
  return f32x4.mul(f32x4.mul(v, powerOfTwo(half)), powerOfTwo(i32x4.sub(n, half)));
}

/** exp(x) - 1 for x <= 88. */
@inline
export function expm1(x: v128): v128 {
  // Below -25 the result is -1, and 2^n needs no second factor.
  x = f32x4.pmax(x, f32x4.splat(-25));
  const q = quotient(x);
  const scale = powerOfTwo(i32x4.sub(q, i32x4.splat(MAGIC_BITS)));
  const p = fraction(x, f32x4.sub(q, f32x4.splat(MAGIC)));
  return madd(scale, p, f32x4.sub(scale, f32x4.splat(1)));
}

/** Natural logarithm: -Infinity of 0, NaN of negatives. Cephes' logf. */
@inline
export function log(x: v128): v128 {
  // Subnormals times 2^23.
  const small = f32x4.lt(x, f32x4.splat(1.17549435e-38));
  const scaled = v128.bitselect(f32x4.mul(x, f32x4.splat(8388608)), x, small);
  // x = m * 2^e with m in [sqrt(1/2), sqrt(2)): the bits above those of sqrt(1/2) are e.
  const bits = i32x4.sub(scaled, i32x4.splat(0x3f3504f3));
  let e = f32x4.convert_i32x4_s(i32x4.shr_s(bits, 23));
  e = f32x4.sub(e, v128.and(small, f32x4.splat(23)));
  const mantissa = v128.and(bits, i32x4.splat(0x7fffff));
  const f = f32x4.sub(i32x4.add(mantissa, i32x4.splat(0x3f3504f3)), f32x4.splat(1));
  let p = madd(f32x4.splat(7.0376836292e-2), f, f32x4.splat(-1.151461031e-1));
  p = madd(p, f, f32x4.splat(1.167699874e-1));
  p = madd(p, f, f32x4.splat(-1.2420140846e-1));
  p = madd(p, f, f32x4.splat(1.4249322787e-1));
  p = madd(p, f, f32x4.splat(-1.6668057665e-1));
  p = madd(p, f, f32x4.splat(2.0000714765e-1));
  p = madd(p, f, f32x4.splat(-2.4999993993e-1));
  p = madd(p, f, f32x4.splat(3.3333331174e-1));
  const square = f32x4.mul(f, f);
  let y = f32x4.mul(f32x4.mul(p, f), square);
  y = madd(e, f32x4.splat(LN2_LOW), y);
  y = madd(f32x4.splat(-0.5), square, y);
  y = madd(e, f32x4.splat(LN2_HIGH), f32x4.add(f, y));
  // 0, negatives and NaN, Infinity.
  const zero = f32x4.eq(x, f32x4.splat(0));
  const positive = f32x4.ge(x, f32x4.splat(0));
  y = v128.bitselect(f32x4.splat(-Infinity), y, zero);
  y = v128.bitselect(y, f32x4.splat(f32.NaN), positive);
  return v128.bitselect(x, y, f32x4.eq(x, f32x4.splat(Infinity)));
}

/** log(1 + e) for 0 <= e <= 1: log(u) * e / (u - 1) with u = 1 + e rounded (W. Kahan). */
@inline
function log1p(e: v128): v128 {
  const one = f32x4.splat(1);
  const u = f32x4.add(one, e);
  const v = f32x4.div(f32x4.mul(log(u), e), f32x4.sub(u, one));
  return v128.bitselect(e, v, f32x4.eq(u, one));
}

/** 1 / (1 + exp(-x)), from exp(-|x|), which does not overflow. */
@inline
export function sigmoid(x: v128): v128 {
  const one = f32x4.splat(1);
  const e = exp(f32x4.neg(f32x4.abs(x)));
  const numerator = v128.bitselect(one, e, f32x4.ge(x, f32x4.splat(0)));
  return f32x4.div(numerator, f32x4.add(one, e));
}

/** tanh |x| = m / (m + 2) with m = exp(2|x|) - 1; 1 from 10 on. */
@inline
export function tanh(x: v128): v128 {
  const magnitude = f32x4.pmin(f32x4.abs(x), f32x4.splat(10));
  const m = expm1(f32x4.add(magnitude, magnitude));
  const y = f32x4.div(m, f32x4.add(m, f32x4.splat(2)));
  const sign = i32x4.splat(i32.MIN_VALUE);
  return v128.bitselect(x, y, sign);
}

/** x >= 0 ? x : exp(x) - 1 */
@inline
export function elu(x: v128): v128 {
  const zero = f32x4.splat(0);
  return v128.bitselect(x, expm1(f32x4.pmin(x, zero)), f32x4.ge(x, zero));
}

/** log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)) */
@inline
export function softplus(x: v128): v128 {
  const tail = log1p(exp(f32x4.neg(f32x4.abs(x))));
  return f32x4.add(f32x4.pmax(x, f32x4.splat(0)), tail);
}
