/**
 * y [oh,ow,c] = x [h,w,c] resized: op 0 bilinear, op 1 nearest; coordinates as in tfjs (in
 * doubles), alignCorners and halfPixelCenters being 0 or 1:
 *
 *     ratio    = (alignCorners and size > 1) ? (old - 1) / (new - 1) : old / new
 *     bilinear   at = halfPixelCenters ? ratio * (i + 0.5) - 0.5 : ratio * i
 *                between cells max(0, floor(at)) and min(old - 1, ceil(at)); columns first:
 *                top + (bottom - top) * rowFraction, in float32
 *     nearest    at = halfPixelCenters ? ratio * (i + 0.5) : ratio * i
 *                cell min(old - 1, alignCorners ? floor(at + 0.5) : floor(at))
 *
 * What is to be known of each column is computed once, in the scratch block:
 *
 *     ┌───────────┬────────────┬──────────┐
 *     │ left cell │ right cell │ fraction │ for each of COLUMNS columns, cells as byte offsets
 *     └───────────┴────────────┴──────────┘
 *     0           4            8         12
 *
 * May read 12 bytes beyond x (bilinear).
 */
import { scratch } from '../memory/scratch';
import { copyRun, storeLanes } from '../simd';

const BILINEAR: i32 = 0;
/** Columns at a time: 12 KiB of scratch. */
const COLUMNS: i32 = 1024;
const COLUMN_BYTES: usize = 12;


@inline
function ratio(from: i32, to: i32, alignCorners: i32): f64 {
  const align = alignCorners && to > 1;
  return align ? <f64>(from - 1) / <f64>(to - 1) : <f64>from / <f64>to;
}


@inline
function nearest(i: i32, scale: f64, size: i32, alignCorners: i32, halfPixelCenters: i32): i32 {
  const at = halfPixelCenters ? scale * (<f64>i + 0.5) : scale * <f64>i;
  return min(size - 1, <i32>(alignCorners ? floor(at + 0.5) : floor(at)));
}


@inline
function position(i: i32, scale: f64, halfPixelCenters: i32): f64 {
  return halfPixelCenters ? scale * (<f64>i + 0.5) - 0.5 : scale * <f64>i;
}


@inline
function between(a: v128, b: v128, fraction: v128): v128 {
  return f32x4.add(a, f32x4.mul(f32x4.sub(b, a), fraction));
}

export function f32Resize(
  op: i32,
  x: usize,
  h: i32,
  w: i32,
  c: i32,
  oh: i32,
  ow: i32,
  alignCorners: i32,
  halfPixelCenters: i32,
  y: usize,
): void {
  assert(op == 0 || op == 1);
  assert(h > 0 && w > 0);
  const pixelBytes = (<usize>c) << 2;
  const rowBytes = <usize>w * pixelBytes;
  const rowScale = ratio(h, oh, alignCorners);
  const columnScale = ratio(w, ow, alignCorners);
  const table = scratch();
  for (let first = 0; first < ow; first += COLUMNS) {
    const columns = min(COLUMNS, ow - first);
    const tableEnd = table + <usize>columns * COLUMN_BYTES;
    let column = first;
    for (let entry = table; entry < tableEnd; entry += COLUMN_BYTES, ++column) {
      if (op == BILINEAR) {
        const at = position(column, columnScale, halfPixelCenters);
        const left = max(0, <i32>floor(at));
        store<i32>(entry, left * <i32>pixelBytes);
        store<i32>(entry, min(w - 1, <i32>ceil(at)) * <i32>pixelBytes, 4);
        store<f32>(entry, <f32>(at - <f64>left), 8);
      } else {
        const cell = nearest(column, columnScale, w, alignCorners, halfPixelCenters);
        store<i32>(entry, cell * <i32>pixelBytes);
      }
    }
    for (let row = 0; row < oh; ++row) {
      let out = y + <usize>(row * ow + first) * pixelBytes;
      if (op == BILINEAR) {
        const at = position(row, rowScale, halfPixelCenters);
        const upper = max(0, <i32>floor(at));
        const top = x + <usize>upper * rowBytes;
        const bottom = x + <usize>min(h - 1, <i32>ceil(at)) * rowBytes;
        const rowFraction = f32x4.splat(<f32>(at - <f64>upper));
        for (let entry = table; entry < tableEnd; entry += COLUMN_BYTES) {
          const left = <usize>load<i32>(entry);
          const right = <usize>load<i32>(entry, 4);
          const fraction = v128.load32_splat(entry, 8);
          for (let k: usize = 0; k < pixelBytes; k += 16) {
            const t = between(v128.load(top + left + k), v128.load(top + right + k), fraction);
            const b = between(
              v128.load(bottom + left + k),
              v128.load(bottom + right + k),
              fraction,
            );
            storeLanes(out + k, between(t, b, rowFraction), <i32>((pixelBytes - k) >> 2));
          }
          out += pixelBytes;
        }
      } else {
        const cell = nearest(row, rowScale, h, alignCorners, halfPixelCenters);
        const source = x + <usize>cell * rowBytes;
        for (let entry = table; entry < tableEnd; entry += COLUMN_BYTES, out += pixelBytes) {
          copyRun(out, source + <usize>load<i32>(entry), pixelBytes);
        }
      }
    }
  }
}
