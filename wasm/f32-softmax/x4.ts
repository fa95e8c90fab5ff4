/**
 * y [rows,c] = exp(x - max) / sum(exp(x - max)) of each row of x [rows,c]. A row with a NaN, or
 * with Infinity, is all NaN or has NaN there, as tfjs gives it: Infinity - Infinity.
 *
 * exp as in f32-unary/exp (2 ulp), the sum in doubles, one division.
 * Reads x up to its end only. y may be x.
 */
import { exp } from '../f32-unary/exp';

export function f32Softmax(x: usize, rows: i32, c: i32, y: usize): void {
  assert(rows >= 0);
  assert(c > 0);
  const whole = (<usize>(c & ~3)) << 2;
  const rowBytes = (<usize>c) << 2;
  for (let row = 0; row < rows; ++row, x += rowBytes, y += rowBytes) {
    let max = f32x4.splat(-Infinity);
    let i: usize = 0;
    for (; i < whole; i += 16) max = f32x4.max(max, v128.load(x + i));
    for (; i < rowBytes; i += 4) max = f32x4.max(max, v128.load32_splat(x + i));
    max = f32x4.max(max, v128.shuffle<i32>(max, max, 2, 3, 0, 1));
    max = f32x4.max(max, v128.shuffle<i32>(max, max, 1, 0, 3, 2));

    let low = f64x2.splat(0),
      high = low;
    for (i = 0; i < whole; i += 16) {
      const e = exp(f32x4.sub(v128.load(x + i), max));
      v128.store(y + i, e);
      low = f64x2.add(low, f64x2.promote_low_f32x4(e));
      high = f64x2.add(high, f64x2.promote_low_f32x4(v128.shuffle<i64>(e, e, 1, 1)));
    }
    low = f64x2.add(low, high);
    let sum = f64x2.extract_lane(low, 0) + f64x2.extract_lane(low, 1);
    for (; i < rowBytes; i += 4) {
      const e = f32x4.extract_lane(exp(f32x4.sub(v128.load32_splat(x + i), max)), 0);
      store<f32>(y + i, e);
      sum += <f64>e;
    }

    const divisor = f32x4.splat(<f32>sum);
    for (i = 0; i < whole; i += 16) v128.store(y + i, f32x4.div(v128.load(y + i), divisor));
    for (; i < rowBytes; i += 4) store<f32>(y + i, load<f32>(y + i) / <f32>sum);
  }
}
