/**
 * Products of matrices that are both results: a [...,m,k] * b [...,k,n] -> y [...,m,n], batch axes of
 * length 1 repeated. A matrix [m,k] is a row of m pixels of k channels. Where b is constant its
 * packed form makes a convolution of 1x1 of it (`conv2d.ts`), with the same rows.
 */
import type { Format, GpuContext, Source } from '../context.js';
import type { Image } from '../layout.js';
import { computedFormat } from '../layout.js';
import { drawImage } from './draw.js';
import { pixelwise, reader } from './text.js';

const source = (format: Format): Source => ({
  name: `matrix product, ${format}`,
  fragment: () =>
    pixelwise(
      format,
      `${reader('0')}${reader('1')}
vec4 pixel(int image, int g, int y, int x) {
  int image0 = min(image, Dx0.x - 1), y0 = min(y, Dx0.y - 1);
  int image1 = min(image, Dx1.x - 1), y1 = min(y, Dx1.y - 1);
  vec4 sum = vec4(0);
  for (int i = 0; i < Lx0.z; ++i) {
    vec4 a = read0(image0, i, y0, x);
    mat4 b = mat4(read1(image1, g, y1, 4 * i), read1(image1, g, y1, 4 * i + 1),
                  read1(image1, g, y1, 4 * i + 2), read1(image1, g, y1, 4 * i + 3));
    sum += b * a;
  }
  return sum;
}`,
    ),
});

export function matMulImage(
  context: GpuContext,
  a: Image,
  b: Image,
  shape: readonly number[],
): Image {
  return drawImage(context, source(computedFormat(a)), { 0: a, 1: b }, shape);
}
