/**
 * y [rows,yPitch] = x [rows,xPitch], `width` bytes of each row: a matrix into columns of a wider
 * one. Nothing between the rows of y is written. Reads x up to its end only.
 */

export function x8Copy(x: usize, rows: i32, width: i32, xPitch: i32, y: usize, yPitch: i32): void {
  assert(width <= xPitch || rows <= 1);
  assert(width <= yPitch || rows <= 1);
  for (let i = 0; i < rows; ++i) {
    let j = 0;
    // Short rows without the call that memory.copy is.
    if (width >= 256) {
      memory.copy(y, x, <usize>width);
    } else {
      for (; j + 16 <= width; j += 16) v128.store(y + <usize>j, v128.load(x + <usize>j));
      if (j + 8 <= width) {
        store<i64>(y + <usize>j, load<i64>(x + <usize>j));
        j += 8;
      }
      for (; j < width; ++j) store<u8>(y + <usize>j, load<u8>(x + <usize>j));
    }
    x += <usize>xPitch;
    y += <usize>yPitch;
  }
}
