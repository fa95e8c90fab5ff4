/**
 * The oracle for what only moves elements: strided copies, padding, gathering rows.
 */

/** Every index of `shape`, in row-major order, as [offset in x, offset in y]. */
export function* offsets(
  shape: readonly number[],
  xStrides: readonly number[],
  yStrides: readonly number[],
): Generator<[x: number, y: number]> {
  const size = shape.reduce((a, b) => a * b, 1);
  for (let flat = 0; flat < size; ++flat) {
    let rest = flat;
    let x = 0;
    let y = 0;
    for (let d = shape.length - 1; d >= 0; --d) {
      const i = rest % shape[d];
      rest = (rest - i) / shape[d];
      x += i * xStrides[d];
      y += i * yStrides[d];
    }
    yield [x, y];
  }
}

/** y [hp,wp,c] = x [h,w,c] at (top, left), `value` around it; what lies outside y is left out. */
export function pad(
  x: ArrayLike<number>,
  h: number,
  w: number,
  c: number,
  top: number,
  left: number,
  hp: number,
  wp: number,
  value: number,
): Float32Array {
  const y = new Float32Array(hp * wp * c).fill(value);
  for (let i = 0; i < h; ++i) {
    for (let j = 0; j < w; ++j) {
      const row = i + top;
      const column = j + left;
      if (row < 0 || row >= hp || column < 0 || column >= wp) continue;
      for (let k = 0; k < c; ++k) y[(row * wp + column) * c + k] = x[(i * w + j) * c + k]!;
    }
  }
  return y;
}
