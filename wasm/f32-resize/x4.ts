/**
 * Rows [from, to) of y [oh,ow,c] = x [h,w,c] resized bilinearly; y points at row `from`. Coordinates:
 * `resize.ts`. Columns first: top + (bottom - top) * rowFraction, in float32.
 *
 * May read 12 bytes beyond x.
 */
import { scratch } from '../memory/scratch';
import { bilinearColumns, COLUMN_BYTES, COLUMNS, position, ratio } from '../resize';
import { storeLanes } from '../simd';


@inline
function between(a: v128, b: v128, fraction: v128): v128 {
  return f32x4.add(a, f32x4.mul(f32x4.sub(b, a), fraction));
}

export function f32Resize(
  x: usize,
  h: i32,
  w: i32,
  c: i32,
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
  const pixelBytes = (<usize>c) << 2;
  const rowBytes = <usize>w * pixelBytes;
  const rowScale = ratio(h, oh, alignCorners);
  const table = scratch();
  for (let first = 0; first < ow; first += COLUMNS) {
    const columns = min(COLUMNS, ow - first);
    const tableEnd = table + <usize>columns * COLUMN_BYTES;
    bilinearColumns(table, first, columns, w, ow, c << 2, alignCorners, halfPixelCenters);
    for (let row = from; row < to; ++row) {
      let out = y + <usize>((row - from) * ow + first) * pixelBytes;
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
          const b = between(v128.load(bottom + left + k), v128.load(bottom + right + k), fraction);
          storeLanes(out + k, between(t, b, rowFraction), <i32>((pixelBytes - k) >> 2));
        }
        out += pixelBytes;
      }
    }
  }
}
