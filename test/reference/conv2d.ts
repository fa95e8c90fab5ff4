/**
 * The oracle for convolution: x [h,w,ci] * filter [kh,kw,ci,co] -> y [oh,ow,co], cells outside the
 * image counting as nothing; and depthwise, x [h,w,c] * filter [kh,kw,c,q] -> y [oh,ow,c*q].
 */
import { activate, type Activation } from './activation';

/** Sizes of one image's convolution. For depthwise co = c * multiplier. */
export interface Conv2D {
  h: number;
  w: number;
  ci: number;
  kh: number;
  kw: number;
  co: number;
  strideH: number;
  strideW: number;
  dilationH: number;
  dilationW: number;
  top: number;
  left: number;
  oh: number;
  ow: number;
}

/** Sums in doubles. */
export function conv2d(
  x: ArrayLike<number>,
  filter: ArrayLike<number>,
  p: Conv2D,
  bias: ArrayLike<number> | null,
  activation: Activation,
): Float32Array {
  const y = new Float32Array(p.oh * p.ow * p.co);
  let at = 0;
  for (let oy = 0; oy < p.oh; ++oy) {
    for (let ox = 0; ox < p.ow; ++ox) {
      for (let j = 0; j < p.co; ++j) {
        let sum = 0;
        for (let ky = 0; ky < p.kh; ++ky) {
          const iy = oy * p.strideH - p.top + ky * p.dilationH;
          if (iy < 0 || iy >= p.h) continue;
          for (let kx = 0; kx < p.kw; ++kx) {
            const ix = ox * p.strideW - p.left + kx * p.dilationW;
            if (ix < 0 || ix >= p.w) continue;
            for (let k = 0; k < p.ci; ++k) {
              sum +=
                x[(iy * p.w + ix) * p.ci + k] * filter[((ky * p.kw + kx) * p.ci + k) * p.co + j];
            }
          }
        }
        y[at++] = activate(sum + (bias ? bias[j] : 0), j, activation);
      }
    }
  }
  return y;
}

/** Depthwise; filter element (ky, kx, j) is at (ky*kw + kx)*ldw + j, j = channel*multiplier + q. */
export function depthwiseConv2d(
  x: ArrayLike<number>,
  filter: ArrayLike<number>,
  ldw: number,
  p: Conv2D,
  bias: ArrayLike<number> | null,
  activation: Activation,
): Float32Array {
  const multiplier = p.co / p.ci;
  const y = new Float32Array(p.oh * p.ow * p.co);
  let at = 0;
  for (let oy = 0; oy < p.oh; ++oy) {
    for (let ox = 0; ox < p.ow; ++ox) {
      for (let j = 0; j < p.co; ++j) {
        const k = Math.floor(j / multiplier);
        let sum = 0;
        for (let ky = 0; ky < p.kh; ++ky) {
          const iy = oy * p.strideH - p.top + ky * p.dilationH;
          if (iy < 0 || iy >= p.h) continue;
          for (let kx = 0; kx < p.kw; ++kx) {
            const ix = ox * p.strideW - p.left + kx * p.dilationW;
            if (ix < 0 || ix >= p.w) continue;
            sum += x[(iy * p.w + ix) * p.ci + k] * filter[(ky * p.kw + kx) * ldw + j];
          }
        }
        y[at++] = activate(sum + (bias ? bias[j] : 0), j, activation);
      }
    }
  }
  return y;
}
