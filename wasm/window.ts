/**
 * Which cells of a window lie inside the image: what poolings share. Inlined.
 */

/** The first index i >= 0 with start + i * step >= 0. */
@inline
export function firstInside(start: i32, step: i32): i32 {
  return start >= 0 ? 0 : (step - 1 - start) / step;
}

/** The number of indices i, counted from 0 and at most `count`, before start + i * step >= size. */
@inline
export function endInside(start: i32, step: i32, count: i32, size: i32): i32 {
  const room = size - start;
  return room <= 0 ? 0 : min(count, (room + step - 1) / step);
}
