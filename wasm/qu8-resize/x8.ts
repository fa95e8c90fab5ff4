/**
 * Rows [from, to) of y [oh,ow,c] = x [h,w,c] resized bilinearly, bytes; y points at row `from`. The
 * coordinates are those of `resize.ts`. Scale and zero point stay what they were: the weights of four
 * cells add up to 1.
 *
 * In units of 1/64 with fractions of 15 bits, halves rounded up at the end: within 0.54 units of the
 * exact result. Two interpolations are rounded to half of 1/64 each and their fractions, at most
 * 2^-15 off, are of differences up to 255.
 *
 * May read 7 bytes beyond x.
 */
import { scratch } from '../memory/scratch';
import { bilinearColumns, COLUMN_BYTES, COLUMNS, position, ratio } from '../resize';
import { storeBytes8 } from '../simd';

/** log2 of the steps in a unit: 255 * 64 fits 16 bits with a sign. */
const STEPS: i32 = 6;
const HALF: i16 = 32;

/** In 15 bits; 1 itself does not fit and is that much less. */
@inline
function fractionBits(fraction: f32): v128 {
  return i16x8.splat(<i16>min(32767, <i32>nearest(fraction * 32768)));
}


@inline
function cells(at: usize): v128 {
  return i16x8.shl(v128.load_ext<u8>(at), STEPS);
}


@inline
function between(a: v128, b: v128, fraction: v128): v128 {
  return i16x8.add(a, i16x8.q15mulr_sat_s(i16x8.sub(b, a), fraction));
}

/** Eight channels of a pixel between four cells. */
@inline
function blend(
  tl: usize,
  tr: usize,
  bl: usize,
  br: usize,
  fraction: v128,
  rowFraction: v128,
): v128 {
  const t = between(cells(tl), cells(tr), fraction);
  const b = between(cells(bl), cells(br), fraction);
  const v = i16x8.add(between(t, b, rowFraction), i16x8.splat(HALF));
  return i8x16.narrow_i16x8_u(i16x8.shr_u(v, STEPS), v);
}

export function qu8Resize(
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
  const rowBytes = <usize>(w * c);
  const rowScale = ratio(h, oh, alignCorners);
  const whole = <usize>(c & ~7);
  const rest = c & 7;
  const table = scratch();
  for (let first = 0; first < ow; first += COLUMNS) {
    const columns = min(COLUMNS, ow - first);
    const tableEnd = table + <usize>columns * COLUMN_BYTES;
    bilinearColumns(table, first, columns, w, ow, c, alignCorners, halfPixelCenters);
    for (let row = from; row < to; ++row) {
      let out = y + <usize>(((row - from) * ow + first) * c);
      const at = position(row, rowScale, halfPixelCenters);
      const upper = max(0, <i32>floor(at));
      const top = x + <usize>upper * rowBytes;
      const bottom = x + <usize>min(h - 1, <i32>ceil(at)) * rowBytes;
      const rowFraction = fractionBits(<f32>(at - <f64>upper));
      for (let entry = table; entry < tableEnd; entry += COLUMN_BYTES) {
        const left = <usize>load<i32>(entry);
        const right = <usize>load<i32>(entry, 4);
        const fraction = fractionBits(load<f32>(entry, 8));
        const tl = top + left;
        const tr = top + right;
        const bl = bottom + left;
        const br = bottom + right;
        let k: usize = 0;
        for (; k < whole; k += 8) {
          const v = blend(tl + k, tr + k, bl + k, br + k, fraction, rowFraction);
          v128.store64_lane(out + k, v, 0);
        }
        // Remainder: fewer than 8 channels.
        if (rest > 0) {
          const v = blend(tl + k, tr + k, bl + k, br + k, fraction, rowFraction);
          storeBytes8(out + k, v, rest);
        }
        out += <usize>c;
      }
    }
  }
}
