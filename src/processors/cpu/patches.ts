/**
 * Convolution as a matrix product without im2col. An output pixel's patch is a few runs of
 * consecutive numbers in the padded image, the same runs for each pixel, only shifted:
 *
 *     padded image [hp, wp, ci], 3x3 filter         segments of pixel (oy, ox), dilation 1
 *     ┌──────────────────────────────┐
 *     │      ┌─────────┐             │   0:  kw*ci numbers at  offset 0
 *     │      │         │ ◄── patch   │   1:  kw*ci numbers at  offset wp*ci
 *     │      └─────────┘             │   2:  kw*ci numbers at  offset 2*wp*ci
 *     └──────────────────────────────┘
 *       start = (oy*strideH*wp + ox*strideW) * ci
 *
 * With a horizontal dilation each tap is a segment of its own (kh*kw of them, ci numbers each). A
 * matrix product is one segment. Filters [kh, kw, ci, co] have their rows in just this order.
 */
import type { backend_util } from '@tensorflow/tfjs-core';

type Conv2DInfo = backend_util.Conv2DInfo;

export interface Patches {
  /** Images; the following is about one of them. */
  batch: number;
  /** The image as it lies in memory. */
  height: number;
  width: number;
  channels: number;
  /** The padded image, which starts `top` rows and `left` columns earlier. */
  top: number;
  left: number;
  paddedHeight: number;
  paddedWidth: number;
  /** Output pixels of one image, and of one row of it. */
  pixels: number;
  pixelsPerRow: number;
  /** Elements from one output pixel's patch to the next, and from one row's first to the next. */
  pixelStride: number;
  rowStride: number;
  /** Offsets of the runs from the patch's start, and their length; elements. */
  segmentOffsets: number[];
  segmentLength: number;
}

export function patchesOfConv(info: Conv2DInfo): Patches {
  const { inHeight, inWidth, inChannels: ci, outHeight, outWidth, padInfo } = info;
  const { filterHeight, filterWidth, strideHeight, strideWidth } = info;
  const { dilationHeight, dilationWidth } = info;
  const reach = (out: number, stride: number, filter: number, dilation: number) =>
    (out - 1) * stride + (filter - 1) * dilation + 1;
  const { top, left } = padInfo;
  const paddedHeight = Math.max(
    reach(outHeight, strideHeight, filterHeight, dilationHeight),
    inHeight + top,
  );
  const paddedWidth = Math.max(
    reach(outWidth, strideWidth, filterWidth, dilationWidth),
    inWidth + left,
  );
  const pitch = paddedWidth * ci;
  const rows = range(filterHeight).map(y => y * dilationHeight * pitch);
  const taps = range(filterWidth).map(x => x * dilationWidth * ci);
  const oneRun = dilationWidth === 1;
  const pixels = outHeight * outWidth;
  const [pixelStride, rowStride] = [strideWidth * ci, strideHeight * pitch];
  return {
    batch: info.batchSize,
    height: inHeight,
    width: inWidth,
    channels: ci,
    top,
    left,
    paddedHeight,
    paddedWidth,
    pixels,
    // Rows that follow each other like pixels are one row, at whose ends no tile has to look.
    pixelsPerRow: rowStride === outWidth * pixelStride ? pixels : outWidth,
    pixelStride,
    rowStride,
    segmentOffsets: oneRun ? rows : rows.flatMap(row => taps.map(tap => row + tap)),
    segmentLength: oneRun ? filterWidth * ci : ci,
  };
}

/** Every `step`-th row or column of a transposed convolution's result, from `first` on. */
export interface Stripe {
  first: number;
  count: number;
  /** Taps of the filter in it, which are `step` apart and the last of which is tap `tap`. */
  taps: number;
  tap: number;
  /** Cell of the padded image in which the first one's patch begins. */
  start: number;
}

interface Stripes {
  stripes: Stripe[];
  /** Cells before the image, and cells of the padded image. */
  before: number;
  padded: number;
}

/**
 * One axis of a transposed convolution. Row y of the result has, of filter row k, the input's row
 * (y + before - k) / step where that is whole. So rows with the same (y + before) mod step have the
 * same filter rows, and are a convolution of step 1 with those, the last one first:
 *
 *     step 2, filter of 3       y + before    0     1     2     3     4
 *                               filter rows  2,0    1    2,0    1    2,0
 *                               input rows  -1,0    0    0,1    1    1,2
 *
 * Where there are no filter rows there is one of zeros, for bias and activation.
 *
 * @param size of the result
 * @param cells of the input
 * @param before padding of the convolution that this one transposes
 */
export function stripesOf(
  size: number,
  cells: number,
  filter: number,
  step: number,
  before: number,
): Stripes {
  const all = range(step).map(rest => {
    const taps = Math.max(Math.ceil((filter - rest) / step), 1);
    const from = Math.max(Math.ceil((before - rest) / step), 0);
    const end = Math.floor((size - 1 + before - rest) / step) + 1;
    const first = from * step + rest - before;
    return { first, count: end - from, taps, tap: rest + (taps - 1) * step, from, end };
  });
  const stripes = all.filter(({ count }) => count > 0);
  const pad = Math.max(0, ...stripes.map(({ taps, from }) => taps - 1 - from));
  return {
    stripes: stripes.map(({ from, ...stripe }) => ({
      ...stripe,
      start: pad + from - (stripe.taps - 1),
    })),
    before: pad,
    padded: pad + Math.max(cells, ...stripes.map(({ end }) => end)),
  };
}

/** The patches of the rows of one stripe and the columns of another; all share one padded image. */
export function patchesOfStripes(
  { batchSize, outHeight, outWidth, outChannels }: Conv2DInfo,
  rows: Stripes,
  columns: Stripes,
  row: Stripe,
  column: Stripe,
): Patches {
  const pitch = columns.padded * outChannels;
  return {
    batch: batchSize,
    height: outHeight,
    width: outWidth,
    channels: outChannels,
    top: rows.before,
    left: columns.before,
    paddedHeight: rows.padded,
    paddedWidth: columns.padded,
    pixels: row.count * column.count,
    pixelsPerRow: column.count,
    pixelStride: outChannels,
    rowStride: pitch,
    segmentOffsets: range(row.taps).map(y => (row.start + y) * pitch + column.start * outChannels),
    segmentLength: column.taps * outChannels,
  };
}

/** `batch` products of a [m, k] matrix. */
export function patchesOfMatMul(batch: number, m: number, k: number): Patches {
  return {
    batch,
    height: 1,
    width: m,
    channels: k,
    top: 0,
    left: 0,
    paddedHeight: 1,
    paddedWidth: m,
    pixels: m,
    pixelsPerRow: m,
    pixelStride: k,
    rowStride: m * k,
    segmentOffsets: [0],
    segmentLength: k,
  };
}

/** Elements of one image, and of one padded image. */
export const imageSize = ({ height, width, channels }: Patches): number =>
  height * width * channels;
export const paddedSize = ({ paddedHeight, paddedWidth, channels }: Patches): number =>
  paddedHeight * paddedWidth * channels;

/** Whether the image can be read where it lies. */
export function needsNoPadding(patches: Patches): boolean {
  return paddedSize(patches) === imageSize(patches);
}

function range(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}
