/**
 * y [hp,wp,c] = x [h,w,c] ^ xor with its corner at (top, left), `value` ^ xor around it; bytes. As
 * f32-pad, for images that are bytes already; the image lies within y.
 *
 * Reads x up to its end only; x and y do not overlap.
 */

/** n bytes, flipped. */
@inline
function flipRun(y: usize, x: usize, n: usize, xor: i32): void {
  const end = y + n;
  const mask = i8x16.splat(<i8>xor);
  while (y + 16 <= end) {
    v128.store(y, v128.xor(v128.load(x), mask));
    x += 16;
    y += 16;
  }
  while (y < end) {
    store<u8>(y, load<u8>(x) ^ (<u8>xor));
    x += 1;
    y += 1;
  }
}

export function x8Pad(
  x: usize,
  h: i32,
  w: i32,
  c: i32,
  top: i32,
  left: i32,
  hp: i32,
  wp: i32,
  value: i32,
  xor: i32,
  y: usize,
): void {
  assert(top >= 0 && top + h <= hp);
  assert(left >= 0 && left + w <= wp);
  const border = <u8>(value ^ xor);
  const row = <usize>(w * c);
  const head = <usize>(left * c);
  const tail = <usize>((wp - left - w) * c);
  let bytes = <usize>(top * wp * c);
  memory.fill(y, border, bytes);
  y += bytes;
  for (let i = 0; i < h; ++i) {
    memory.fill(y, border, head);
    y += head;
    if (xor == 0) memory.copy(y, x, row);
    else flipRun(y, x, row, xor);
    x += row;
    y += row;
    memory.fill(y, border, tail);
    y += tail;
  }
  bytes = <usize>((hp - top - h) * wp * c);
  memory.fill(y, border, bytes);
}
