/**
 * y [oh,ow,c] = the maximum (op 0) or the mean (op 1) of the cells of x [h,w,c] under a window
 * [kh,kw], counting only cells inside the image.
 *
 * As in tfjs, the maximum passes over NaNs (-Infinity where there is nothing else) and the mean is
 * divided by the number of cells inside (NaN where there is none). The mean is a float32 sum in
 * the order of (ky, kx), then one division.
 *
 * May read 12 bytes beyond x.
 */
import { storeLanes } from '../simd';
import { endInside, firstInside } from '../window';

const MAX: i32 = 0;


@inline
function step(isMax: bool, sum: v128, x: v128): v128 {
  return isMax ? f32x4.pmax(sum, x) : f32x4.add(sum, x);
}


@inline
function pool(
  isMax: bool,
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
  y: usize,
): void {
  const start = isMax ? f32x4.splat(-Infinity) : f32x4.splat(0);
  const pixelBytes = (<usize>c) << 2;
  const rowStep = <usize>(dilationH * w) * pixelBytes;
  const xStep = <usize>dilationW * pixelBytes;
  for (let oy = 0; oy < oh; ++oy) {
    const iy = oy * strideH - top;
    const kyFrom = min(kh, firstInside(iy, dilationH));
    const kyTo = max(kyFrom, endInside(iy, dilationH, kh, h));
    for (let ox = 0; ox < ow; ++ox, y += pixelBytes) {
      const ix = ox * strideW - left;
      const kxFrom = min(kw, firstInside(ix, dilationW));
      const kxTo = max(kxFrom, endInside(ix, dilationW, kw, w));
      const cells = <usize>((iy + kyFrom * dilationH) * w + ix + kxFrom * dilationW);
      const source = x + cells * pixelBytes;
      const count = f32x4.splat(<f32>((kyTo - kyFrom) * (kxTo - kxFrom)));
      let k: usize = 0;
      for (; k + 32 <= pixelBytes; k += 32) {
        let sum = start,
          sum1 = start;
        let row = source + k;
        for (let ky = kyFrom; ky < kyTo; ++ky, row += rowStep) {
          let p = row;
          for (let kx = kxFrom; kx < kxTo; ++kx, p += xStep) {
            sum = step(isMax, sum, v128.load(p));
            sum1 = step(isMax, sum1, v128.load(p, 16));
          }
        }
        v128.store(y + k, isMax ? sum : f32x4.div(sum, count));
        v128.store(y + k, isMax ? sum1 : f32x4.div(sum1, count), 16);
      }
      // Remainder: 4 channels or fewer at a time.
      for (; k < pixelBytes; k += 16) {
        let sum = start;
        let row = source + k;
        for (let ky = kyFrom; ky < kyTo; ++ky, row += rowStep) {
          let p = row;
          for (let kx = kxFrom; kx < kxTo; ++kx, p += xStep) {
            sum = step(isMax, sum, v128.load(p));
          }
        }
        if (!isMax) sum = f32x4.div(sum, count);
        storeLanes(y + k, sum, <i32>((pixelBytes - k) >> 2));
      }
    }
  }
}

export function f32Pool(
  op: i32,
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
  y: usize,
): void {
  assert(op == 0 || op == 1);
  assert(c > 0);
  assert(kh > 0 && kw > 0);
  assert(strideH > 0 && strideW > 0);
  assert(dilationH > 0 && dilationW > 0);
  if (op == MAX) {
    pool(true, x, h, w, c, kh, kw, strideH, strideW, dilationH, dilationW, top, left, oh, ow, y);
  } else {
    pool(false, x, h, w, c, kh, kw, strideH, strideW, dilationH, dilationW, top, left, oh, ow, y);
  }
}
