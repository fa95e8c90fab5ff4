/**
 * y [rows,yPitch] = x [rows,width] in another scale, bytes into columns of a wider matrix:
 *
 *     y = clamp(round((x - xZero) * factor) + yZero, 0, 255)
 *
 * `factor` is the quotient of the scales, x's by y's. Nothing between the rows of y is written.
 * May read 7 bytes beyond x.
 */
import { quantise8, storeBytes8 } from '../simd';


@inline
function requantise8(x: usize, zeros: v128, factor: f32, yZero: i32): v128 {
  const words = i16x8.sub(v128.load_ext<u8>(x), zeros);
  const low = f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(words));
  const high = f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(words));
  return quantise8(low, high, factor, yZero);
}

export function qu8Requantise(
  x: usize,
  rows: i32,
  width: i32,
  factor: f32,
  xZero: i32,
  yZero: i32,
  y: usize,
  yPitch: i32,
): void {
  assert(width <= yPitch || rows <= 1);
  assert(xZero >= 0 && xZero <= 255);
  assert(yZero >= 0 && yZero <= 255);
  const zeros = i16x8.splat(<i16>xZero);
  const whole = <usize>(width & ~7);
  const rest = width & 7;
  for (let i = 0; i < rows; ++i) {
    let j: usize = 0;
    for (; j < whole; j += 8) {
      v128.store64_lane(y + j, requantise8(x + j, zeros, factor, yZero), 0);
    }
    // Remainder: fewer than 8.
    if (rest > 0) storeBytes8(y + j, requantise8(x + j, zeros, factor, yZero), rest);
    x += <usize>width;
    y += <usize>yPitch;
  }
}
