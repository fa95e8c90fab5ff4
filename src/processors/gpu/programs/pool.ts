/**
 * Pools: y [n,oh,ow,c] is the largest, the sum or the mean of the cells of x [n,h,w,c] that lie in a
 * window, and over the whole image.
 */
import type { Format, GpuContext, Source } from '../context.js';
import type { Image } from '../layout.js';
import { computedFormat } from '../layout.js';
import type { Window } from './conv2d.js';
import { drawImage } from './draw.js';
import { pixelwise, reader } from './text.js';

/** Start, step, and end for n cells. */
const KINDS = {
  max: ['vec4(-3.4028234e38)', 'mix(max(v, cell), v + cell, isNaN(v + cell))', 'v'],
  min: ['vec4(3.4028234e38)', 'mix(min(v, cell), v + cell, isNaN(v + cell))', 'v'],
  sum: ['vec4(0)', 'v + cell', 'v'],
  mean: ['vec4(0)', 'v + cell', 'v / n'],
} as const;

export type PoolKind = keyof typeof KINDS;

/** Cells from which on an image is reduced row by row first: one fragment would be long at it. */
const MANY_CELLS = 256;

const source = (kind: PoolKind, format: Format): Source => ({
  name: `pool ${kind}, ${format}`,
  fragment: () => {
    const [start, step, end] = KINDS[kind];
    return pixelwise(
      format,
      `${reader()}
uniform ivec4 K, O;                 // kh, kw, strides; dilations, top, left
vec4 pixel(int image, int g, int y, int x) {
  vec4 v = ${start};
  float n = 0.;
  for (int ky = 0; ky < K.x; ++ky) {
    int cy = y * K.z - O.z + ky * O.x;
    if (uint(cy) >= uint(Dx.y)) continue;
    for (int kx = 0; kx < K.y; ++kx) {
      int cx = x * K.w - O.w + kx * O.y;
      if (uint(cx) >= uint(Dx.z)) continue;
      vec4 cell = read(image, g, cy, cx);
      v = ${step};
      ++n;
    }
  }
  return ${end};
}`,
    );
  },
});

export function poolImage(
  context: GpuContext,
  x: Image,
  kind: PoolKind,
  { kh, kw, strideH, strideW, dilationH, dilationW, top, left }: Window,
  shape: readonly number[],
): Image {
  const ints = { K: [kh, kw, strideH, strideW], O: [dilationH, dilationW, top, left] };
  // The largest and the smallest of bytes are some of them.
  const quantisation = kind === 'max' || kind === 'min' ? x.quantisation : undefined;
  const program = source(kind, quantisation ? 'byte' : computedFormat(x));
  return drawImage(context, program, { '': x }, shape, { ints }, quantisation);
}

/** Over the whole image: [n,h,w,c] -> [n,1,1,c]. */
export function poolWhole(context: GpuContext, x: Image, kind: PoolKind): Image {
  const { n, h, w, c } = x.layout;
  const unit = { strideH: 1, strideW: 1, dilationH: 1, dilationW: 1, top: 0, left: 0 };
  if (h * w < MANY_CELLS) {
    return poolImage(context, x, kind, { ...unit, kh: h, kw: w }, [n, 1, 1, c]);
  }
  const rows = poolImage(context, x, kind, { ...unit, kh: 1, kw: w }, [n, h, 1, c]);
  const whole = poolImage(context, rows, kind, { ...unit, kh: h, kw: 1 }, [n, 1, 1, c]);
  context.give(rows.texture);
  return whole;
}
