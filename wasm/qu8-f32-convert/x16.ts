/**
 * y [n] = (x - zero) * scale, floats of bytes. One rounding: the difference is exact.
 *
 * Reads x up to its end only.
 */

/** Four integers as the numbers they stand for. */
@inline
function floatsOf(integers: v128, zero: v128, scale: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(i32x4.sub(integers, zero)), scale);
}

export function qu8ToF32(x: usize, n: i32, scale: f32, zero: i32, y: usize): void {
  assert(n >= 0);
  assert(zero >= 0 && zero <= 255);
  const end = x + <usize>n;
  const zeros = i32x4.splat(zero);
  const scales = f32x4.splat(scale);
  while (x + 8 <= end) {
    const words = v128.load_ext<u8>(x);
    v128.store(y, floatsOf(i32x4.extend_low_i16x8_s(words), zeros, scales));
    v128.store(y, floatsOf(i32x4.extend_high_i16x8_s(words), zeros, scales), 16);
    x += 8;
    y += 32;
  }
  // Remainder: one element at a time.
  while (x < end) {
    store<f32>(y, <f32>(<i32>load<u8>(x) - zero) * scale);
    x += 1;
    y += 4;
  }
}
