/**
 * Rows [from, to) of y [oh,ow,pixelBytes] = x [h,w,pixelBytes] resized to the nearest cell; y points
 * at row `from`. Coordinates: `resize.ts`.
 *
 * Reads x up to its end only.
 */
import { scratch } from '../memory/scratch';
import { COLUMN_BYTES, COLUMNS, nearestCell, ratio } from '../resize';
import { copyRun } from '../simd';

export function x8ResizeNearest(
  x: usize,
  h: i32,
  w: i32,
  pixelBytes: i32,
  oh: i32,
  ow: i32,
  alignCorners: i32,
  halfPixelCenters: i32,
  from: i32,
  to: i32,
  y: usize,
): void {
  assert(h > 0 && w > 0);
  assert(from >= 0 && from <= to && to <= oh);
  const bytes = <usize>pixelBytes;
  const rowScale = ratio(h, oh, alignCorners);
  const columnScale = ratio(w, ow, alignCorners);
  const table = scratch();
  for (let first = 0; first < ow; first += COLUMNS) {
    const columns = min(COLUMNS, ow - first);
    const tableEnd = table + <usize>columns * COLUMN_BYTES;
    let column = first;
    for (let entry = table; entry < tableEnd; entry += COLUMN_BYTES, ++column) {
      const cell = nearestCell(column, columnScale, w, alignCorners, halfPixelCenters);
      store<i32>(entry, cell * pixelBytes);
    }
    for (let row = from; row < to; ++row) {
      let out = y + <usize>((row - from) * ow + first) * bytes;
      const cell = nearestCell(row, rowScale, h, alignCorners, halfPixelCenters);
      const source = x + <usize>(cell * w) * bytes;
      for (let entry = table; entry < tableEnd; entry += COLUMN_BYTES, out += bytes) {
        copyRun(out, source + <usize>load<i32>(entry), bytes);
      }
    }
  }
}
