/**
 * Transposed convolution, `x [n,h,w,co] * filter [kh,kw,ci,co] (+ bias [ci], activation)
 * -> y [n,oh,ow,ci]`, the sizes of the convolution it transposes the other way round. To a pixel of y
 * come the taps that are a whole number of strides away from a pixel of x:
 *
 *     y[i, j] = sum of x[(i + top - ky) / strideH, (j + left - kx) / strideW] * filter[ky, kx]
 *
 * so it visits every strideH-th row and strideW-th column of the filter, and multiplies no zeros.
 */
import type { Format, GpuContext, Source } from '../context.js';
import type { Image } from '../layout.js';
import { computedFormat } from '../layout.js';
import type { Epilogue } from './activation.js';
import { epilogueKey, epilogueText, epilogueUniforms } from './activation.js';
import type { Filter, Window } from './conv2d.js';
import { drawImage } from './draw.js';
import { FLAT, pixelwise, reader } from './text.js';

const source = (format: Format, epilogue: Epilogue): Source => ({
  name: `transposed conv2d, ${format}, ${epilogueKey(epilogue)}`,
  fragment: () =>
    pixelwise(
      format,
      `${epilogueText(epilogue)}${FLAT}${reader()}
uniform sampler2D W;
uniform ivec4 K, O;                 // kh, kw, strides; top, left
vec4 pixel(int image, int g, int y, int x) {
  vec4 sum = biasOf(g);
  y += O.x; x += O.y;
  for (int ky = y % K.z; ky < K.x; ky += K.z) {
    for (int kx = x % K.w; kx < K.y; kx += K.w) {
      for (int i = 0; i < Lx.z; ++i) {
        ivec2 q = cell(4 * ((g * Lx.z + i) * K.x * K.y + ky * K.y + kx));
        mat4 w = mat4(texelFetch(W, q, 0), texelFetch(W, q + ivec2(1, 0), 0),
                      texelFetch(W, q + ivec2(2, 0), 0), texelFetch(W, q + ivec2(3, 0), 0));
        sum += w * read(image, i, (y - ky) / K.z, (x - kx) / K.w);
      }
    }
  }
  return act(sum, g);
}`,
    ),
});

/** @param filter packed as [kh,kw,co,ci], in a texture. */
export function conv2dTranspose(
  context: GpuContext,
  x: Image,
  filter: Filter,
  { kh, kw, strideH, strideW, top, left }: Window,
  epilogue: Epilogue,
  shape: readonly number[],
): Image {
  const { textures, floats } = epilogueUniforms(epilogue);
  return drawImage(context, source(computedFormat(x), epilogue), { '': x }, shape, {
    textures: { W: filter.texture!, ...textures },
    ints: { K: [kh, kw, strideH, strideW], O: [top, left, 0, 0] },
    floats,
  });
}
