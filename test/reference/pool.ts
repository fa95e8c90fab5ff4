/**
 * The oracle for pooling: x [h,w,c] -> y [oh,ow,c] under a window [kh,kw]; cells outside the image
 * do not count. The maximum passes over NaNs, as tfjs-cpu's does. Where dilation meets padding,
 * cells are those of the dilated window (tfjs-webgl), not those from the border on (tfjs-cpu).
 */
import type { Conv2D } from './conv2d';

export function pool(kind: 'max' | 'avg', x: ArrayLike<number>, p: Conv2D): Float32Array {
  const y = new Float32Array(p.oh * p.ow * p.ci);
  let at = 0;
  for (let oy = 0; oy < p.oh; ++oy) {
    for (let ox = 0; ox < p.ow; ++ox) {
      for (let k = 0; k < p.ci; ++k) {
        let max = -Infinity;
        let sum = 0;
        let count = 0;
        for (let ky = 0; ky < p.kh; ++ky) {
          const iy = oy * p.strideH - p.top + ky * p.dilationH;
          if (iy < 0 || iy >= p.h) continue;
          for (let kx = 0; kx < p.kw; ++kx) {
            const ix = ox * p.strideW - p.left + kx * p.dilationW;
            if (ix < 0 || ix >= p.w) continue;
            const v = x[(iy * p.w + ix) * p.ci + k];
            if (v > max) max = v;
            sum += v;
            ++count;
          }
        }
        y[at++] = kind === 'max' ? max : sum / count;
      }
    }
  }
  return y;
}
