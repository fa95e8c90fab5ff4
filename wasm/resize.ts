/**
 * Where the cells lie that a resized image is made of, with tfjs's coordinates (in doubles);
 * alignCorners and halfPixelCenters are 0 or 1:
 *
 *     ratio    = (alignCorners and size > 1) ? (old - 1) / (new - 1) : old / new
 *     bilinear   at = halfPixelCenters ? ratio * (i + 0.5) - 0.5 : ratio * i
 *                between cells max(0, floor(at)) and min(old - 1, ceil(at))
 *     nearest    at = halfPixelCenters ? ratio * (i + 0.5) : ratio * i
 *                cell min(old - 1, alignCorners ? floor(at + 0.5) : floor(at))
 *
 * What is to be known of each column is computed once, in the scratch block:
 *
 *     ┌───────────┬────────────┬──────────┐
 *     │ left cell │ right cell │ fraction │ for each of COLUMNS columns, cells as byte offsets;
 *     └───────────┴────────────┴──────────┘ of nearest the left one alone
 *     0           4            8         12
 */

/** Columns at a time: 12 KiB of scratch. */
export const COLUMNS: i32 = 1024;
export const COLUMN_BYTES: usize = 12;

export function ratio(from: i32, to: i32, alignCorners: i32): f64 {
  const align = alignCorners && to > 1;
  return align ? <f64>(from - 1) / <f64>(to - 1) : <f64>from / <f64>to;
}

export function nearestCell(
  i: i32,
  scale: f64,
  size: i32,
  alignCorners: i32,
  halfPixelCenters: i32,
): i32 {
  const at = halfPixelCenters ? scale * (<f64>i + 0.5) : scale * <f64>i;
  return min(size - 1, <i32>(alignCorners ? floor(at + 0.5) : floor(at)));
}

export function position(i: i32, scale: f64, halfPixelCenters: i32): f64 {
  return halfPixelCenters ? scale * (<f64>i + 0.5) - 0.5 : scale * <f64>i;
}

/** Columns [first, first + columns) of a bilinear image, into the table. */
export function bilinearColumns(
  table: usize,
  first: i32,
  columns: i32,
  w: i32,
  ow: i32,
  pixelBytes: i32,
  alignCorners: i32,
  halfPixelCenters: i32,
): void {
  const scale = ratio(w, ow, alignCorners);
  for (let i = 0; i < columns; ++i, table += COLUMN_BYTES) {
    const at = position(first + i, scale, halfPixelCenters);
    const left = max(0, <i32>floor(at));
    store<i32>(table, left * pixelBytes);
    store<i32>(table, min(w - 1, <i32>ceil(at)) * pixelBytes, 4);
    store<f32>(table, <f32>(at - <f64>left), 8);
  }
}
