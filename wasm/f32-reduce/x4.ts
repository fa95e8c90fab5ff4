/**
 * y [outer,inner] = x [outer,reduce,inner] reduced over its middle dimension:
 *
 *     op  0 sum    1 mean    sums in doubles, rounded once at the end     0, NaN of nothing
 *         2 max    3 min     NaN if any is                                -Infinity, Infinity
 *         4 prod             products in doubles                          1
 *
 * Doubles, since tfjs-cpu has them, and since the loads are the work anyway.
 * May read 12 bytes beyond x.
 */
import { storeLanes } from '../simd';

const SUM: i32 = 0;
const MEAN: i32 = 1;
const MAX: i32 = 2;
const MIN: i32 = 3;


@inline
function upper(v: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<i64>(v, v, 1, 1));
}

/** Two doubles: the running sum or product, and two more values. */
@inline
function join(product: bool, a: v128, b: v128): v128 {
  return product ? f64x2.mul(a, b) : f64x2.add(a, b);
}


@inline
function joinLanes(product: bool, v: v128): f64 {
  const a = f64x2.extract_lane(v, 0);
  const b = f64x2.extract_lane(v, 1);
  return product ? a * b : a + b;
}

/** Sum, mean, product. */
@inline
function total(
  product: bool,
  x: usize,
  outer: i32,
  reduce: i32,
  inner: i32,
  divisor: f64,
  y: usize,
): void {
  const start = f64x2.splat(product ? 1 : 0);
  const innerBytes = (<usize>inner) << 2;
  for (let o = 0; o < outer; ++o) {
    if (inner == 1) {
      let low = start,
        high = start;
      const end = x + ((<usize>reduce) << 2);
      for (const whole = x + ((<usize>(reduce & ~3)) << 2); x < whole; x += 16) {
        const v = v128.load(x);
        low = join(product, low, f64x2.promote_low_f32x4(v));
        high = join(product, high, upper(v));
      }
      let sum = joinLanes(product, join(product, low, high));
      for (; x < end; x += 4) {
        const v = <f64>load<f32>(x);
        sum = product ? sum * v : sum + v;
      }
      store<f32>(y, <f32>(sum / divisor));
      y += 4;
      continue;
    }
    for (let i: usize = 0; i < innerBytes; i += 16) {
      let low = start,
        high = start;
      let p = x + i;
      for (let r = 0; r < reduce; ++r, p += innerBytes) {
        const v = v128.load(p);
        low = join(product, low, f64x2.promote_low_f32x4(v));
        high = join(product, high, upper(v));
      }
      low = f32x4.demote_f64x2_zero(f64x2.div(low, f64x2.splat(divisor)));
      high = f32x4.demote_f64x2_zero(f64x2.div(high, f64x2.splat(divisor)));
      storeLanes(y + i, v128.shuffle<i64>(low, high, 0, 2), <i32>((innerBytes - i) >> 2));
    }
    x += <usize>reduce * innerBytes;
    y += innerBytes;
  }
}


@inline
function pick(greatest: bool, a: v128, b: v128): v128 {
  return greatest ? f32x4.max(a, b) : f32x4.min(a, b);
}

/** Max, min. */
@inline
function extreme(greatest: bool, x: usize, outer: i32, reduce: i32, inner: i32, y: usize): void {
  const start = f32x4.splat(greatest ? -Infinity : Infinity);
  const innerBytes = (<usize>inner) << 2;
  for (let o = 0; o < outer; ++o) {
    if (inner == 1) {
      let best = start;
      const end = x + ((<usize>reduce) << 2);
      for (const whole = x + ((<usize>(reduce & ~3)) << 2); x < whole; x += 16) {
        best = pick(greatest, best, v128.load(x));
      }
      for (; x < end; x += 4) best = pick(greatest, best, v128.load32_splat(x));
      best = pick(greatest, best, v128.shuffle<i32>(best, best, 2, 3, 0, 1));
      best = pick(greatest, best, v128.shuffle<i32>(best, best, 1, 0, 3, 2));
      store<f32>(y, f32x4.extract_lane(best, 0));
      y += 4;
      continue;
    }
    for (let i: usize = 0; i < innerBytes; i += 16) {
      let best = start;
      let p = x + i;
      for (let r = 0; r < reduce; ++r, p += innerBytes) best = pick(greatest, best, v128.load(p));
      storeLanes(y + i, best, <i32>((innerBytes - i) >> 2));
    }
    x += <usize>reduce * innerBytes;
    y += innerBytes;
  }
}

export function f32Reduce(op: i32, x: usize, outer: i32, reduce: i32, inner: i32, y: usize): void {
  assert(op >= 0 && op <= 4);
  assert(outer >= 0 && reduce >= 0 && inner >= 0);
  if (op == SUM) total(false, x, outer, reduce, inner, 1, y);
  else if (op == MEAN) total(false, x, outer, reduce, inner, <f64>reduce, y);
  else if (op == MAX) extreme(true, x, outer, reduce, inner, y);
  else if (op == MIN) extreme(false, x, outer, reduce, inner, y);
  else total(true, x, outer, reduce, inner, 1, y);
}
