/**
 * Register-only loops: what the engine gives at best, for the benchmark's "share of the limit".
 * Twelve accumulators, enough to hide the latency; no loads. A module of its own, so that it does
 * not ship.
 *
 * The operands come from the argument: constants would be put together anew for every operation
 * (V8 13.6 does, at 2 cycles each, and reaches a third).
 */

/** 12 dots of 16 multiplications an iteration. */
export function peakDot(iterations: i32): i32 {
  const a = i8x16.splat(<i8>iterations),
    b = i8x16.splat(<i8>(iterations >> 8));
  let c0 = i32x4.splat(0),
    c1 = c0,
    c2 = c0,
    c3 = c0,
    c4 = c0,
    c5 = c0;
  let c6 = c0,
    c7 = c0,
    c8 = c0,
    c9 = c0,
    c10 = c0,
    c11 = c0;
  for (let i = 0; i < iterations; ++i) {
    c0 = i32x4.relaxed_dot_i8x16_i7x16_add_s(a, b, c0);
    c1 = i32x4.relaxed_dot_i8x16_i7x16_add_s(a, b, c1);
    c2 = i32x4.relaxed_dot_i8x16_i7x16_add_s(a, b, c2);
    c3 = i32x4.relaxed_dot_i8x16_i7x16_add_s(a, b, c3);
    c4 = i32x4.relaxed_dot_i8x16_i7x16_add_s(a, b, c4);
    c5 = i32x4.relaxed_dot_i8x16_i7x16_add_s(a, b, c5);
    c6 = i32x4.relaxed_dot_i8x16_i7x16_add_s(a, b, c6);
    c7 = i32x4.relaxed_dot_i8x16_i7x16_add_s(a, b, c7);
    c8 = i32x4.relaxed_dot_i8x16_i7x16_add_s(a, b, c8);
    c9 = i32x4.relaxed_dot_i8x16_i7x16_add_s(a, b, c9);
    c10 = i32x4.relaxed_dot_i8x16_i7x16_add_s(a, b, c10);
    c11 = i32x4.relaxed_dot_i8x16_i7x16_add_s(a, b, c11);
  }
  c0 = i32x4.add(i32x4.add(i32x4.add(c0, c1), i32x4.add(c2, c3)), i32x4.add(c4, c5));
  c6 = i32x4.add(i32x4.add(i32x4.add(c6, c7), i32x4.add(c8, c9)), i32x4.add(c10, c11));
  return i32x4.extract_lane(i32x4.add(c0, c6), 0);
}

/**
 * 12 exact dots of 8 multiplications, each with its addition, an iteration. The sums go through the
 * dots: a product of constants would be taken out of the loop.
 */
export function peakDotI16(iterations: i32): i32 {
  const a = i16x8.splat(<i16>iterations),
    b = i16x8.splat(<i16>(iterations >> 8));
  let c0 = i32x4.splat(0),
    c1 = c0,
    c2 = c0,
    c3 = c0,
    c4 = c0,
    c5 = c0;
  let c6 = c0,
    c7 = c0,
    c8 = c0,
    c9 = c0,
    c10 = c0,
    c11 = c0;
  for (let i = 0; i < iterations; ++i) {
    c0 = i32x4.add(b, i32x4.dot_i16x8_s(a, c0));
    c1 = i32x4.add(b, i32x4.dot_i16x8_s(a, c1));
    c2 = i32x4.add(b, i32x4.dot_i16x8_s(a, c2));
    c3 = i32x4.add(b, i32x4.dot_i16x8_s(a, c3));
    c4 = i32x4.add(b, i32x4.dot_i16x8_s(a, c4));
    c5 = i32x4.add(b, i32x4.dot_i16x8_s(a, c5));
    c6 = i32x4.add(b, i32x4.dot_i16x8_s(a, c6));
    c7 = i32x4.add(b, i32x4.dot_i16x8_s(a, c7));
    c8 = i32x4.add(b, i32x4.dot_i16x8_s(a, c8));
    c9 = i32x4.add(b, i32x4.dot_i16x8_s(a, c9));
    c10 = i32x4.add(b, i32x4.dot_i16x8_s(a, c10));
    c11 = i32x4.add(b, i32x4.dot_i16x8_s(a, c11));
  }
  c0 = i32x4.add(i32x4.add(i32x4.add(c0, c1), i32x4.add(c2, c3)), i32x4.add(c4, c5));
  c6 = i32x4.add(i32x4.add(i32x4.add(c6, c7), i32x4.add(c8, c9)), i32x4.add(c10, c11));
  return i32x4.extract_lane(i32x4.add(c0, c6), 0);
}

/** 12 multiply-adds of 4 an iteration. */
export function peakMadd(iterations: i32): f32 {
  const a = f32x4.splat(<f32>iterations),
    b = f32x4.splat(1 / <f32>iterations);
  let c0 = f32x4.splat(0),
    c1 = c0,
    c2 = c0,
    c3 = c0,
    c4 = c0,
    c5 = c0;
  let c6 = c0,
    c7 = c0,
    c8 = c0,
    c9 = c0,
    c10 = c0,
    c11 = c0;
  for (let i = 0; i < iterations; ++i) {
    c0 = f32x4.relaxed_madd(a, b, c0);
    c1 = f32x4.relaxed_madd(a, b, c1);
    c2 = f32x4.relaxed_madd(a, b, c2);
    c3 = f32x4.relaxed_madd(a, b, c3);
    c4 = f32x4.relaxed_madd(a, b, c4);
    c5 = f32x4.relaxed_madd(a, b, c5);
    c6 = f32x4.relaxed_madd(a, b, c6);
    c7 = f32x4.relaxed_madd(a, b, c7);
    c8 = f32x4.relaxed_madd(a, b, c8);
    c9 = f32x4.relaxed_madd(a, b, c9);
    c10 = f32x4.relaxed_madd(a, b, c10);
    c11 = f32x4.relaxed_madd(a, b, c11);
  }
  c0 = f32x4.add(f32x4.add(f32x4.add(c0, c1), f32x4.add(c2, c3)), f32x4.add(c4, c5));
  c6 = f32x4.add(f32x4.add(f32x4.add(c6, c7), f32x4.add(c8, c9)), f32x4.add(c10, c11));
  return f32x4.extract_lane(f32x4.add(c0, c6), 0);
}
