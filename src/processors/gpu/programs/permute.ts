/**
 * Transpose and depth-to-space: each number of y [n,h,w,c] is one of x, found by its index.
 *
 *     transpose        y[i_0, i_1, i_2, i_3] = x at the i of whose axes perm says where they went
 *     depth to space   y[n, h, w, c] = x[n, h / b, w / b, (h % b * b + w % b) * C + c]
 */
import type { Format, GpuContext, Source } from '../context.js';
import type { Image } from '../layout.js';
import { movedFormat } from '../layout.js';
import { drawImage } from './draw.js';
import { elementwise, reader } from './text.js';

const ELEMENT = `${reader()}
float at(ivec4 i) { return read(i.x, i.w >> 2, i.y, i.z)[i.w & 3]; }
`;

const transposed = (format: Format): Source => ({
  name: `transpose, ${format}`,
  fragment: () =>
    elementwise(
      format,
      `${ELEMENT}
uniform ivec4 P;                    // axis i of y is axis P[i] of x
float element(int image, int y, int x, int c) {
  ivec4 i;
  i[P.x] = image; i[P.y] = y; i[P.z] = x; i[P.w] = c;
  return at(i);
}`,
    ),
});

const spaced = (format: Format): Source => ({
  name: `depth to space, ${format}`,
  fragment: () =>
    elementwise(
      format,
      `${ELEMENT}
uniform ivec4 P;                    // block
float element(int image, int y, int x, int c) {
  return at(ivec4(image, y / P.x, x / P.x, (y % P.x * P.x + x % P.x) * Dy.w + c));
}`,
    ),
});

export function transposeImage(
  context: GpuContext,
  x: Image,
  perm: readonly number[],
  shape: readonly number[],
): Image {
  const more = 4 - perm.length;
  const P = [...[0, 1, 2, 3].slice(0, more), ...perm.map(axis => axis + more)];
  return drawImage(
    context,
    transposed(movedFormat([x])),
    { '': x },
    shape,
    { ints: { P } },
    x.quantisation,
  );
}

export function depthToSpaceImage(
  context: GpuContext,
  x: Image,
  block: number,
  shape: readonly number[],
): Image {
  const ints = { P: [block, 0, 0, 0] };
  return drawImage(context, spaced(movedFormat([x])), { '': x }, shape, { ints }, x.quantisation);
}
