/**
 * y [oh,ow,c*multiplier] = act(depthwise x [h,w,c] * filter [kh,kw,c,multiplier] + bias):
 *
 *     y[oy, ox, k*multiplier + q] = sum over ky, kx of
 *         x[oy*strideH - top + ky*dilationH, ox*strideW - left + kx*dilationW, k]
 *         * filter[(ky*kw + kx)*ldw + k*multiplier + q]
 *
 * Cells outside the image are left out (so an infinite weight over the border gives no NaN). No
 * padded copy: rows and columns of the filter are clipped at the edges, and inside, where a whole
 * row of the filter fits, a tile is 4 pixels by 4 channels, so that a weight is loaded once for 4
 * pixels.
 *
 * Products are added in the order of (ky, kx), starting from the bias; relaxed: fused.
 * May read 12 bytes beyond x, filter, bias and alpha.
 */
import { clamp, gated, madd, prelu, storeLanes } from '../simd';

/** Pixels of a tile. */
const PIXELS: i32 = 4;

/** The first index i >= 0 with start + i * step >= 0. */
@inline
function firstInside(start: i32, step: i32): i32 {
  return start >= 0 ? 0 : (step - 1 - start) / step;
}

/** The number of indices i, counted from 0 and at most `count`, before start + i * step >= size. */
@inline
function endInside(start: i32, step: i32, count: i32, size: i32): i32 {
  const room = size - start;
  return room <= 0 ? 0 : min(count, (room + step - 1) / step);
}


@inline
function activate(v: v128, alpha: usize, isGated: bool, low: v128, high: v128): v128 {
  if (!alpha) return clamp(v, low, high);
  const slope = v128.load(alpha);
  return isGated ? gated(v, slope, low, high) : prelu(v, slope);
}

export function f32Depthwise4x4(
  x: usize,
  h: i32,
  w: i32,
  c: i32,
  filter: usize,
  ldw: i32,
  kh: i32,
  kw: i32,
  multiplier: i32,
  strideH: i32,
  strideW: i32,
  dilationH: i32,
  dilationW: i32,
  top: i32,
  left: i32,
  oh: i32,
  ow: i32,
  bias: usize,
  alpha: usize,
  lo: f32,
  hi: f32,
  y: usize,
): void {
  assert(h >= 0);
  assert(w >= 0);
  assert(c > 0);
  assert(ldw >= c * multiplier);
  assert(multiplier > 0);
  assert(strideH > 0 && strideW > 0);
  assert(dilationH > 0 && dilationW > 0);
  const low = f32x4.splat(lo);
  const high = f32x4.splat(hi);
  const isGated = lo > -Infinity;
  const channelBytes = (<usize>c) << 2;
  const rowBytes = <usize>w * channelBytes;
  const wStep = (<usize>ldw) << 2;
  const xStep = <usize>dilationW * channelBytes;
  const outBytes = (<usize>(c * multiplier)) << 2;
  const pixelStep = <usize>strideW * channelBytes;
  // Pixels for which every column of the filter is inside: [insideFrom, insideTo).
  const insideFrom = min(ow, firstInside(-left, strideW));
  const insideTo = max(insideFrom, endInside((kw - 1) * dilationW - left, strideW, ow, w));
  const tiled = multiplier == 1 && insideTo - insideFrom >= PIXELS;

  for (let oy = 0; oy < oh; ++oy) {
    const iy = oy * strideH - top;
    const kyFrom = min(kh, firstInside(iy, dilationH));
    const kyTo = max(kyFrom, endInside(iy, dilationH, kh, h));
    const firstRow = x + <usize>(iy + kyFrom * dilationH) * rowBytes;
    const rowStep = <usize>dilationH * rowBytes;
    let ox = 0;
    while (ox < ow) {
      if (tiled && ox >= insideFrom && ox < insideTo) {
        // The last tile moves back over pixels that are done, rather than leave some over.
        ox = min(ox, insideTo - PIXELS);
        const ix = ox * strideW - left;
        const source = firstRow + <usize>ix * channelBytes;
        for (let k: usize = 0; k < channelBytes; k += 16) {
          let c0 = bias ? v128.load(bias + k) : f32x4.splat(0);
          let c1 = c0,
            c2 = c0,
            c3 = c0;
          let p = source + k;
          let f = filter + <usize>(kyFrom * kw) * wStep + k;
          if (kw == 3 && pixelStep == xStep) {
            for (let ky = kyFrom; ky < kyTo; ++ky, p += rowStep) {
              const f0 = v128.load(f);
              const f1 = v128.load(f + wStep);
              const f2 = v128.load(f + wStep * 2);
              f += wStep * 3;
              let v = v128.load(p);
              c0 = madd(v, f0, c0);
              v = v128.load(p + xStep);
              c0 = madd(v, f1, c0);
              c1 = madd(v, f0, c1);
              v = v128.load(p + xStep * 2);
              c0 = madd(v, f2, c0);
              c1 = madd(v, f1, c1);
              c2 = madd(v, f0, c2);
              v = v128.load(p + xStep * 3);
              c1 = madd(v, f2, c1);
              c2 = madd(v, f1, c2);
              c3 = madd(v, f0, c3);
              v = v128.load(p + xStep * 4);
              c2 = madd(v, f2, c2);
              c3 = madd(v, f1, c3);
              v = v128.load(p + xStep * 5);
              c3 = madd(v, f2, c3);
            }
          } else if (kw == 5 && pixelStep == xStep) {
            for (let ky = kyFrom; ky < kyTo; ++ky, p += rowStep) {
              const f0 = v128.load(f);
              const f1 = v128.load(f + wStep);
              const f2 = v128.load(f + wStep * 2);
              const f3 = v128.load(f + wStep * 3);
              const f4 = v128.load(f + wStep * 4);
              f += wStep * 5;
              let v = v128.load(p);
              c0 = madd(v, f0, c0);
              v = v128.load(p + xStep);
              c0 = madd(v, f1, c0);
              c1 = madd(v, f0, c1);
              v = v128.load(p + xStep * 2);
              c0 = madd(v, f2, c0);
              c1 = madd(v, f1, c1);
              c2 = madd(v, f0, c2);
              v = v128.load(p + xStep * 3);
              c0 = madd(v, f3, c0);
              c1 = madd(v, f2, c1);
              c2 = madd(v, f1, c2);
              c3 = madd(v, f0, c3);
              v = v128.load(p + xStep * 4);
              c0 = madd(v, f4, c0);
              c1 = madd(v, f3, c1);
              c2 = madd(v, f2, c2);
              c3 = madd(v, f1, c3);
              v = v128.load(p + xStep * 5);
              c1 = madd(v, f4, c1);
              c2 = madd(v, f3, c2);
              c3 = madd(v, f2, c3);
              v = v128.load(p + xStep * 6);
              c2 = madd(v, f4, c2);
              c3 = madd(v, f3, c3);
              v = v128.load(p + xStep * 7);
              c3 = madd(v, f4, c3);
            }
          } else if (kw == 3) {
            for (let ky = kyFrom; ky < kyTo; ++ky, p += rowStep) {
              const f0 = v128.load(f);
              const f1 = v128.load(f + wStep);
              const f2 = v128.load(f + wStep * 2);
              f += wStep * 3;
              const p1 = p + pixelStep,
                p2 = p1 + pixelStep,
                p3 = p2 + pixelStep;
              c0 = madd(v128.load(p), f0, c0);
              c1 = madd(v128.load(p1), f0, c1);
              c2 = madd(v128.load(p2), f0, c2);
              c3 = madd(v128.load(p3), f0, c3);
              c0 = madd(v128.load(p + xStep), f1, c0);
              c1 = madd(v128.load(p1 + xStep), f1, c1);
              c2 = madd(v128.load(p2 + xStep), f1, c2);
              c3 = madd(v128.load(p3 + xStep), f1, c3);
              c0 = madd(v128.load(p + xStep * 2), f2, c0);
              c1 = madd(v128.load(p1 + xStep * 2), f2, c1);
              c2 = madd(v128.load(p2 + xStep * 2), f2, c2);
              c3 = madd(v128.load(p3 + xStep * 2), f2, c3);
            }
          } else {
            for (let ky = kyFrom; ky < kyTo; ++ky, p += rowStep) {
              let q = p;
              for (let kx = 0; kx < kw; ++kx, f += wStep, q += xStep) {
                const f0 = v128.load(f);
                c0 = madd(v128.load(q), f0, c0);
                c1 = madd(v128.load(q + pixelStep), f0, c1);
                c2 = madd(v128.load(q + pixelStep * 2), f0, c2);
                c3 = madd(v128.load(q + pixelStep * 3), f0, c3);
              }
            }
          }
          const slope = alpha ? alpha + k : 0;
          c0 = activate(c0, slope, isGated, low, high);
          c1 = activate(c1, slope, isGated, low, high);
          c2 = activate(c2, slope, isGated, low, high);
          c3 = activate(c3, slope, isGated, low, high);
          const count = <i32>((channelBytes - k) >> 2);
          const out = y + <usize>ox * outBytes + k;
          storeLanes(out, c0, count);
          storeLanes(out + outBytes, c1, count);
          storeLanes(out + outBytes * 2, c2, count);
          storeLanes(out + outBytes * 3, c3, count);
        }
        ox += PIXELS;
        continue;
      }
      // Remainder: one pixel, its filter clipped.
      const ix = ox * strideW - left;
      const out = y + <usize>ox * outBytes;
      const kxFrom = min(kw, firstInside(ix, dilationW));
      const kxTo = max(kxFrom, endInside(ix, dilationW, kw, w));
      const source = firstRow + <usize>(ix + kxFrom * dilationW) * channelBytes;
      if (multiplier == 1) {
        for (let k: usize = 0; k < channelBytes; k += 16) {
          let sum = bias ? v128.load(bias + k) : f32x4.splat(0);
          for (let ky = kyFrom; ky < kyTo; ++ky) {
            let p = source + <usize>(ky - kyFrom) * rowStep + k;
            let f = filter + <usize>(ky * kw + kxFrom) * wStep + k;
            for (let kx = kxFrom; kx < kxTo; ++kx, p += xStep, f += wStep) {
              sum = madd(v128.load(p), v128.load(f), sum);
            }
          }
          sum = activate(sum, alpha ? alpha + k : 0, isGated, low, high);
          storeLanes(out + k, sum, <i32>((channelBytes - k) >> 2));
        }
      } else {
        // Several outputs of one channel: vectors run over them, 4 at a time.
        for (let k = 0; k < c; ++k) {
          for (let q = 0; q < multiplier; q += 4) {
            const at = (<usize>(k * multiplier + q)) << 2;
            let sum = bias ? v128.load(bias + at) : f32x4.splat(0);
            for (let ky = kyFrom; ky < kyTo; ++ky) {
              let p = source + <usize>(ky - kyFrom) * rowStep + ((<usize>k) << 2);
              let f = filter + <usize>(ky * kw + kxFrom) * wStep + at;
              for (let kx = kxFrom; kx < kxTo; ++kx, p += xStep, f += wStep) {
                sum = madd(v128.load32_splat(p), v128.load(f), sum);
              }
            }
            sum = activate(sum, alpha ? alpha + at : 0, isGated, low, high);
            storeLanes(out + at, sum, multiplier - q);
          }
        }
      }
      ox += 1;
    }
    y += <usize>ow * outBytes;
  }
}
