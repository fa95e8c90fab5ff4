/**
 * y [rows,yPitch] = x [rows,width] in another scale, bytes into columns of a wider matrix:
 *
 *     y = clamp(round((x - xZero) * factor) + yZero, 0, 255)
 *
 * `factor` is the quotient of the scales, x's by y's. Nothing between the rows of y is written.
 * May read 7 bytes beyond x.
 */
import { quantise8, storeBytes8 } from '../simd';

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
  for (let i = 0; i < rows; ++i) {
    for (let j = 0; j < width; j += 8) {
      const words = i16x8.sub(v128.load_ext<u8>(x + <usize>j), zeros);
      const low = f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(words));
      const high = f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(words));
      storeBytes8(y + <usize>j, quantise8(low, high, factor, yZero), width - j);
    }
    x += <usize>width;
    y += <usize>yPitch;
  }
}
