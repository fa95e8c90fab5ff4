/**
 * Softmax over the channels: y [n,h,w,c] = exp(x - max) / sum of exp(x - max). Each texel needs all of
 * its pixel.
 */
import type { Format, GpuContext, Source } from '../context.js';
import type { Image } from '../layout.js';
import { computedFormat } from '../layout.js';
import { drawImage } from './draw.js';
import { pixelwise, reader } from './text.js';

const source = (format: Format): Source => ({
  name: `softmax, ${format}`,
  fragment: () =>
    pixelwise(
      format,
      `${reader()}
vec4 logits(int image, int g, int y, int x) {                  // those beyond c: no part of the sum
  bvec4 there = lessThan(4 * g + ivec4(0, 1, 2, 3), ivec4(Dx.w));
  return mix(vec4(-3.4028234e38), read(image, g, y, x), there);
}
vec4 pixel(int image, int g, int y, int x) {
  vec4 most = vec4(-3.4028234e38), sum = vec4(0);
  for (int i = 0; i < Lx.z; ++i) most = max(most, logits(image, i, y, x));
  float top = max(max(most.x, most.y), max(most.z, most.w));
  for (int i = 0; i < Lx.z; ++i) sum += exp(logits(image, i, y, x) - top);
  return exp(logits(image, g, y, x) - top) / dot(sum, vec4(1));
}`,
    ),
});

export function softmaxImage(context: GpuContext, x: Image): Image {
  const { n, h, w, c } = x.layout;
  return drawImage(context, source(computedFormat(x)), { '': x }, [n, h, w, c]);
}
