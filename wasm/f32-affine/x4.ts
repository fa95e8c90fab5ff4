/**
 * y [rows,c] = x [rows,c] * scale [c] + offset [c]: batch normalisation with its four vectors
 * folded into two. Multiply, round, add, round: the same in both builds.
 *
 * May read 12 bytes beyond scale, offset and x.
 */
import { storeLanes } from '../simd';

export function f32Affine(
  x: usize,
  rows: i32,
  c: i32,
  scale: usize,
  offset: usize,
  y: usize,
): void {
  assert(rows >= 0);
  assert(c >= 0);
  const rowBytes = (<usize>c) << 2;
  const whole = (<usize>(c & ~3)) << 2;
  for (let row = 0; row < rows; ++row) {
    let i: usize = 0;
    for (; i < whole; i += 16) {
      const v = f32x4.mul(v128.load(x + i), v128.load(scale + i));
      v128.store(y + i, f32x4.add(v, v128.load(offset + i)));
    }
    // Remainder: fewer than four channels.
    if (i < rowBytes) {
      const v = f32x4.mul(v128.load(x + i), v128.load(scale + i));
      storeLanes(y + i, f32x4.add(v, v128.load(offset + i)), c & 3);
    }
    x += rowBytes;
    y += rowBytes;
  }
}
