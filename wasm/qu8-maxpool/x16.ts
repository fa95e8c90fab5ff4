/**
 * y [oh,ow,c] = the maximum of the bytes of x [h,w,c] under a window [kh,kw], counting only cells
 * inside the image; 0 where there is none. Scale and zero point stay what they were.
 *
 * May read 15 bytes beyond x.
 */
import { endInside, firstInside } from '../window';

export function qu8MaxPool(
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
  assert(c > 0);
  assert(kh > 0 && kw > 0);
  assert(strideH > 0 && strideW > 0);
  assert(dilationH > 0 && dilationW > 0);
  const rowStep = <usize>(dilationH * w * c);
  const xStep = <usize>(dilationW * c);
  for (let oy = 0; oy < oh; ++oy) {
    const iy = oy * strideH - top;
    const kyFrom = min(kh, firstInside(iy, dilationH));
    const kyTo = max(kyFrom, endInside(iy, dilationH, kh, h));
    for (let ox = 0; ox < ow; ++ox, y += <usize>c) {
      const ix = ox * strideW - left;
      const kxFrom = min(kw, firstInside(ix, dilationW));
      const kxTo = max(kxFrom, endInside(ix, dilationW, kw, w));
      const source = x + <usize>(((iy + kyFrom * dilationH) * w + ix + kxFrom * dilationW) * c);
      for (let k = 0; k < c; k += 16) {
        let most = i8x16.splat(0);
        let row = source + <usize>k;
        for (let ky = kyFrom; ky < kyTo; ++ky, row += rowStep) {
          let p = row;
          for (let kx = kxFrom; kx < kxTo; ++kx, p += xStep) {
            most = i8x16.max_u(most, v128.load(p));
          }
        }
        const rest = c - k;
        const to = y + <usize>k;
        if (rest >= 16) {
          v128.store(to, most);
        } else {
          let half = i64x2.extract_lane(most, 0);
          let i = 0;
          if (rest >= 8) {
            v128.store64_lane(to, most, 0);
            half = i64x2.extract_lane(most, 1);
            i = 8;
          }
          for (; i < rest; ++i, half >>= 8) store<u8>(to + <usize>i, <u8>half);
        }
      }
    }
  }
}
