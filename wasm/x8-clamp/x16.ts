/**
 * y [n] = min(max(x [n], lo), hi), unsigned bytes: ReLU, ReLU6 and clips of a QUInt8 tensor, whose
 * scale stays.
 *
 * Reads x up to its end only.
 */

export function x8Clamp(x: usize, n: i32, lo: i32, hi: i32, y: usize): void {
  assert(n >= 0);
  assert(lo >= 0 && lo <= hi && hi <= 255);
  const end = x + <usize>n;
  const least = i8x16.splat(<i8>lo);
  const most = i8x16.splat(<i8>hi);
  for (; x + 16 <= end; x += 16, y += 16) {
    v128.store(y, i8x16.min_u(i8x16.max_u(v128.load(x), least), most));
  }
  // Remainder: one byte at a time.
  for (; x < end; ++x, ++y) store<u8>(y, <u8>min(max(<i32>load<u8>(x), lo), hi));
}
