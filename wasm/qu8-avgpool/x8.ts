/**
 * y [oh,ow,c] = the mean of the bytes of x [h,w,c] under a window [kh,kw], counting only cells inside
 * the image, in a scale of its own:
 *
 *     mean = (sum - count * xZero) * (xScale / count)
 *     y    = clamp(round(mean * inverse) + zero, 0, 255)
 *
 * Sums are exact integers; there must be a cell in every window. `spread`, f32 [min x4 | max x4], is
 * widened by the means before they become bytes.
 *
 * May read 7 bytes beyond x.
 */
import { LANES, onlyLanes, quantise8, storeBytes8, widen } from '../simd';
import { endInside, firstInside } from '../window';

/** So many bytes add up to 16 bits at most. */
const RUN: i32 = 257;


@inline
function mean(sum: v128, zeros: v128, scale: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(i32x4.sub(sum, zeros)), scale);
}

/** Sums of 8 channels over a window of at most RUN cells. */
@inline
function sumOfFew(x: usize, rows: i32, columns: i32, rowStep: usize, columnStep: usize): v128 {
  let words = i16x8.splat(0);
  for (let row = 0; row < rows; ++row, x += rowStep) {
    let p = x;
    for (let i = columns; i > 0; --i, p += columnStep) {
      words = i16x8.add(words, v128.load_ext<u8>(p));
    }
  }
  return words;
}

/** Sums of 8 channels over 2x2 cells, the window that is most often pooled. */
@inline
function sumOfFour(x: usize, rowStep: usize, columnStep: usize): v128 {
  const a = i16x8.add(v128.load_ext<u8>(x), v128.load_ext<u8>(x + columnStep));
  x += rowStep;
  return i16x8.add(a, i16x8.add(v128.load_ext<u8>(x), v128.load_ext<u8>(x + columnStep)));
}

/** Sums of channels 0 to 3, or 4 to 7 where `upper`, over any window. */
@inline
function sumOfMany(
  upper: bool,
  x: usize,
  rows: i32,
  columns: i32,
  rowStep: usize,
  columnStep: usize,
): v128 {
  let sum = i32x4.splat(0);
  for (let row = 0; row < rows; ++row, x += rowStep) {
    for (let first = 0; first < columns; first += RUN) {
      const p = x + <usize>first * columnStep;
      const words = sumOfFew(p, 1, min(RUN, columns - first), 0, columnStep);
      const four = upper ? i32x4.extend_high_i16x8_u(words) : i32x4.extend_low_i16x8_u(words);
      sum = i32x4.add(sum, four);
    }
  }
  return sum;
}

export function qu8AvgPool(
  x: usize,
  h: i32,
  w: i32,
  c: i32,
  kh: i32,
  kw: i32,
  strideH: i32,
  strideW: i32,
  dilationH: i32,
  dilationW: i32,
  top: i32,
  left: i32,
  oh: i32,
  ow: i32,
  xZero: i32,
  xScale: f32,
  y: usize,
  inverse: f32,
  zero: i32,
  spread: usize,
): void {
  assert(c > 0);
  assert(kh > 0 && kw > 0);
  assert(strideH > 0 && strideW > 0);
  assert(dilationH > 0 && dilationW > 0);
  const rowStep = <usize>(dilationH * w * c);
  const columnStep = <usize>(dilationW * c);
  const whole = <usize>(c & ~7);
  let least = f32x4.splat(Infinity);
  let greatest = f32x4.splat(-Infinity);
  for (let oy = 0; oy < oh; ++oy) {
    const iy = oy * strideH - top;
    const kyFrom = min(kh, firstInside(iy, dilationH));
    const rows = max(kyFrom, endInside(iy, dilationH, kh, h)) - kyFrom;
    for (let ox = 0; ox < ow; ++ox, y += <usize>c) {
      const ix = ox * strideW - left;
      const kxFrom = min(kw, firstInside(ix, dilationW));
      const columns = max(kxFrom, endInside(ix, dilationW, kw, w)) - kxFrom;
      const source = x + <usize>(((iy + kyFrom * dilationH) * w + ix + kxFrom * dilationW) * c);
      const cells = rows * columns;
      const zeros = i32x4.splat(cells * xZero);
      const scale = f32x4.splat(xScale / <f32>cells);
      let k: usize = 0;
      if (cells <= RUN) {
        for (; k < whole; k += 8) {
          const words =
            rows == 2 && columns == 2
              ? sumOfFour(source + k, rowStep, columnStep)
              : sumOfFew(source + k, rows, columns, rowStep, columnStep);
          const low = mean(i32x4.extend_low_i16x8_u(words), zeros, scale);
          const high = mean(i32x4.extend_high_i16x8_u(words), zeros, scale);
          v128.store64_lane(y + k, quantise8(low, high, inverse, zero), 0);
          least = f32x4.pmin(least, f32x4.pmin(low, high));
          greatest = f32x4.pmax(greatest, f32x4.pmax(low, high));
        }
      }
      // Many cells, and the remainder: fewer than 8 channels.
      for (; k < <usize>c; k += 8) {
        const p = source + k;
        const count = c - <i32>k;
        let low = mean(sumOfMany(false, p, rows, columns, rowStep, columnStep), zeros, scale);
        let high = low;
        if (count > LANES) {
          high = mean(sumOfMany(true, p, rows, columns, rowStep, columnStep), zeros, scale);
        }
        storeBytes8(y + k, quantise8(low, high, inverse, zero), count);
        if (count < 8) {
          high = count > LANES ? onlyLanes(high, count - LANES) : onlyLanes(low, count);
          low = onlyLanes(low, count);
        }
        least = f32x4.pmin(least, f32x4.pmin(low, high));
        greatest = f32x4.pmax(greatest, f32x4.pmax(low, high));
      }
    }
  }
  widen(spread, least, greatest);
}
