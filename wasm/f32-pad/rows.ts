/**
 * y [hp,wp,c] = x [h,w,c] with its corner at (top, left), `value` around it. An image that reaches
 * beyond y (negative or large top and left) is clipped.
 *
 *          left      w
 *        ┌─────┬───────────┬────┐
 *    top │  value           value
 *        ├     ┌───────────┐    ┤
 *     h  │     │     x     │    │ hp
 *        ├     └───────────┘    ┤
 *        │                      │
 *        └──────────────────────┘
 *                  wp
 *
 * Reads x up to its end only; x and y do not overlap.
 */
import { copyRun, fillRun } from '../simd';

export function f32Pad(
  x: usize,
  h: i32,
  w: i32,
  c: i32,
  top: i32,
  left: i32,
  hp: i32,
  wp: i32,
  value: f32,
  y: usize,
): void {
  assert(h >= 0);
  assert(w >= 0);
  assert(c >= 0);
  const bits = reinterpret<i32>(value);
  const rowBytes = (<usize>(wp * c)) << 2;
  // The columns of y that x covers: [from, to).
  const from = max(0, min(left, wp));
  const to = max(from, min(left + w, wp));
  for (let row = 0; row < hp; ++row) {
    const sourceRow = row - top;
    if (sourceRow < 0 || sourceRow >= h) {
      fillRun(y, wp * c, bits);
    } else {
      const source = x + ((<usize>((sourceRow * w + from - left) * c)) << 2);
      fillRun(y, from * c, bits);
      copyRun(y + ((<usize>(from * c)) << 2), source, (<usize>((to - from) * c)) << 2);
      fillRun(y + ((<usize>(to * c)) << 2), (wp - to) * c, bits);
    }
    y += rowBytes;
  }
}
