/**
 * Resize: x [n,h,w,c] -> y [n,oh,ow,c]. Pixel i of y lies at (i * times + plus) / by of x, in integers:
 * which cells that is between is exact. Nearest takes the cell it lies in.
 */
import type { Format, GpuContext, Source } from '../context.js';
import type { Image } from '../layout.js';
import { computedFormat, layoutOf } from '../layout.js';
import { drawImage } from './draw.js';
import { pixelwise, reader } from './text.js';

export interface Resize {
  readonly isNearest: boolean;
  readonly alignCorners: boolean;
  readonly halfPixelCenters: boolean;
}

/** times, plus, by. */
function steps(from: number, to: number, { isNearest, alignCorners, halfPixelCenters }: Resize) {
  if (halfPixelCenters) return [2 * from, isNearest ? from : from - to, 2 * to, 0];
  if (!alignCorners || to === 1) return [from, 0, to, 0];
  return isNearest ? [2 * (from - 1), to - 1, 2 * (to - 1), 0] : [from - 1, 0, to - 1, 0];
}

const source = (isNearest: boolean, format: Format): Source => ({
  name: `resize ${isNearest ? 'nearest' : 'bilinear'}, ${format}`,
  fragment: () =>
    pixelwise(
      format,
      `${reader()}
uniform ivec4 Ry, Rx;               // times, plus, by
vec4 pixel(int image, int g, int y, int x) {
  int top = max(0, y * Ry.x + Ry.y), row = min(top / Ry.z, Dx.y - 1);
  int left = max(0, x * Rx.x + Rx.y), column = min(left / Rx.z, Dx.z - 1);
  ${
    isNearest
      ? 'return read(image, g, row, column);'
      : `float dy = float(top - row * Ry.z) / float(Ry.z), dx = float(left - column * Rx.z) / float(Rx.z);
  int below = min(row + 1, Dx.y - 1), right = min(column + 1, Dx.z - 1);
  vec4 upper = mix(read(image, g, row, column), read(image, g, row, right), dx);
  vec4 lower = mix(read(image, g, below, column), read(image, g, below, right), dx);
  return mix(upper, lower, dy);`
  }
}`,
    ),
});

/** Undefined for both conventions at once, which tfjs has not defined. */
export function resizeImage(
  context: GpuContext,
  x: Image,
  resize: Resize,
  shape: readonly number[],
): Image | undefined {
  if (resize.alignCorners && resize.halfPixelCenters) return undefined;
  const y = layoutOf(shape);
  const ints = { Ry: steps(x.layout.h, y.h, resize), Rx: steps(x.layout.w, y.w, resize) };
  const program = source(resize.isNearest, computedFormat(x));
  return drawImage(context, program, { '': x }, shape, { ints });
}
