/**
 * The oracle for the transposed convolution of y [oh,ow,co] by filter [kh,kw,ci,co] -> x [h,w,ci]:
 * each cell of y, times the filter, is added to the cells that the convolution would have read it
 * from. Sums in doubles; the sizes are those of the convolution.
 */
import type { Conv2D } from './conv2d';

export function conv2dTranspose(
  y: ArrayLike<number>,
  filter: ArrayLike<number>,
  p: Conv2D,
): Float64Array {
  const x = new Float64Array(p.h * p.w * p.ci);
  for (let oy = 0; oy < p.oh; ++oy) {
    for (let ox = 0; ox < p.ow; ++ox) {
      for (let ky = 0; ky < p.kh; ++ky) {
        const iy = oy * p.strideH - p.top + ky;
        if (iy < 0 || iy >= p.h) continue;
        for (let kx = 0; kx < p.kw; ++kx) {
          const ix = ox * p.strideW - p.left + kx;
          if (ix < 0 || ix >= p.w) continue;
          for (let k = 0; k < p.ci; ++k) {
            let sum = 0;
            for (let j = 0; j < p.co; ++j) {
              sum +=
                y[(oy * p.ow + ox) * p.co + j] * filter[((ky * p.kw + kx) * p.ci + k) * p.co + j];
            }
            x[(iy * p.w + ix) * p.ci + k] += sum;
          }
        }
      }
    }
  }
  return x;
}
