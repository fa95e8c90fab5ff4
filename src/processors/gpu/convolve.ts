/**
 * A call of a convolution or of a matrix product as a program of ours, or nothing where there is none
 * for it, and tfjs-webgl shall have it: weights that only the GPU has, a depthwise convolution of
 * several channels for each of x, a bias or slopes that are not one number a channel.
 */
import type { backend_util } from '@tensorflow/tfjs-core';
import { util } from '@tensorflow/tfjs-core';

import type { Attributes, Named } from '../../graph/kernel.js';
import type { Argument, Call } from '../kernel.js';
import type { GpuContext } from './context.js';
import type { GpuBuffer, GpuProcessor } from './processor.js';
import type { Image } from './layout.js';
import type { Epilogue } from './programs/activation.js';
import { activationOf } from './programs/activation.js';
import type { Filter, Window } from './programs/conv2d.js';
import { conv2d, packDepthwise, packFilter, placeFor } from './programs/conv2d.js';
import { conv2dTranspose } from './programs/conv2d_transpose.js';
import { dense, isDense } from './programs/dense.js';

export function convolve(
  gpu: GpuProcessor,
  { inputs, attributes, outputs: [y] }: Call<GpuBuffer>,
  info: backend_util.Conv2DInfo,
  isDepthwise = false,
): GpuBuffer[] | undefined {
  const { x, filter } = inputs;
  if (!gpu.hasImage(x) || !gpu.hasImage(y)) return undefined;
  const isPoint = !isDepthwise && info.filterHeight * info.filterWidth === 1;
  return gpu.drawn(y, context => {
    const epilogue = epilogueOf(gpu, inputs, attributes, y.shape[3]);
    const weights = isDepthwise ? depthwiseFilter(gpu, filter) : filterFor(gpu, filter, y.shape);
    if (!epilogue || !weights) return undefined;
    const image = gpu.image(x.buffer)!;
    return sums(context, image, weights, isPoint, windowOf(info), epilogue, y.shape);
  });
}

/** A transposed convolution; `info` is of the one it transposes. */
export function deconvolve(
  gpu: GpuProcessor,
  { inputs, attributes, outputs: [y] }: Call<GpuBuffer>,
  info: backend_util.Conv2DInfo,
): GpuBuffer[] | undefined {
  const { dy, filter } = inputs;
  if (!gpu.hasImage(dy) || !gpu.hasImage(y)) return undefined;
  return gpu.drawn(y, context => {
    const [kh, kw, ci, co] = filter.shape;
    const epilogue = epilogueOf(gpu, inputs, attributes, ci);
    const { format } = gpu;
    const weights = packed(filter, `transposed conv2d ${format}`, numbers => {
      const matrices = transposed(numbers, kh * kw, ci, co);
      return packFilter(context, matrices, [kh, kw, co, ci], 'texture', format);
    });
    if (!epilogue || !weights) return undefined;
    const image = gpu.image(dy.buffer)!;
    return conv2dTranspose(context, image, weights, windowOf(info), epilogue, y.shape);
  });
}

/** `a [...,m,k] * b [k,n]`, b perhaps given transposed: a convolution of rows of m pixels. */
export function multiply(
  gpu: GpuProcessor,
  { inputs, attributes, outputs: [y] }: Call<GpuBuffer>,
): GpuBuffer[] | undefined {
  const { a, b } = inputs;
  const isMatrix = b.shape.slice(0, -2).every(n => n === 1);
  if (!isMatrix || attributes.transposeA || !gpu.hasImage(a) || !gpu.hasImage(y)) return undefined;
  const [k, n] = [a.shape.at(-1)!, y.shape.at(-1)!];
  return gpu.drawn(y, context => {
    const epilogue = epilogueOf(gpu, inputs, attributes, n);
    const weights = matrix(gpu, b, [1, 1, k, n], !!attributes.transposeB, y.shape);
    if (!epilogue || !weights) return undefined;
    const image = gpu.image(a.buffer)!;
    return sums(context, image, weights, true, POINT, epilogue, y.shape);
  });
}

const POINT: Window = {
  ...{ kh: 1, kw: 1, strideH: 1, strideW: 1 },
  ...{ dilationH: 1, dilationW: 1, top: 0, left: 0 },
};

function sums(
  context: GpuContext,
  x: Image,
  filter: Filter,
  isPoint: boolean,
  window: Window,
  epilogue: Epilogue,
  shape: readonly number[],
): Image {
  if (isPoint && filter.texture && isDense(x)) return dense(context, x, filter, epilogue, shape);
  return conv2d(context, x, filter, window, epilogue, shape);
}

/** Bias and activation of a fused kernel; undefined for those that are not by channel. */
export function epilogueOf(
  gpu: GpuProcessor,
  { bias, preluActivationWeights: prelu }: Named<Argument<GpuBuffer>>,
  attributes: Attributes,
  channels: number,
): Epilogue | undefined {
  const slopes = prelu && channelImage(gpu, prelu, channels);
  const biases = bias && channelImage(gpu, bias, channels);
  const activation = activationOf(attributes, slopes);
  return activation && (!bias || biases) ? { bias: biases, activation } : undefined;
}

/** One number a channel, as an image of one pixel. */
function channelImage(
  gpu: GpuProcessor,
  argument: Argument<GpuBuffer>,
  channels: number,
): Image | undefined {
  const size = util.sizeFromShape(argument.shape as number[]);
  if (size !== channels || argument.shape.at(-1) !== channels) return undefined;
  const image = gpu.image(argument.buffer);
  return image?.quantisation ? undefined : image;
}

/** Weights [kh,kw,ci,co], packed once for results of this size. */
function filterFor(
  { context, format }: GpuProcessor,
  filter: Argument<GpuBuffer>,
  shape: readonly number[],
): Filter | undefined {
  const place = placeFor(context!, filter.shape, shape, format);
  return packed(filter, `conv2d ${place} ${format}`, numbers =>
    packFilter(context!, numbers, filter.shape, place, format),
  );
}

/** Weights [1,1,k,n], given as [k,n] or [n,k]. */
function matrix(
  { context, format }: GpuProcessor,
  b: Argument<GpuBuffer>,
  filter: readonly number[],
  isTransposed: boolean,
  shape: readonly number[],
): Filter | undefined {
  const [n, h, w, c] = [1, 1, 1, 1, ...shape].slice(-4);
  const place = placeFor(context!, filter, [n, h, w, c], format);
  return packed(b, `matrix ${place} ${format} ${isTransposed ? 'transposed' : ''}`, numbers =>
    packFilter(
      context!,
      isTransposed ? transposed(numbers, 1, filter[3], filter[2]) : numbers,
      filter,
      place,
      format,
    ),
  );
}

/** [n, rows, columns] -> [n, columns, rows]; nothing of a rehearsal's nothing. */
function transposed(numbers: ArrayLike<number>, n: number, rows: number, columns: number) {
  if (numbers.length === 0) return numbers;
  const result = new Float32Array(numbers.length);
  let at = 0;
  for (let i = 0; i < n; i++) {
    for (let column = 0; column < columns; column++) {
      for (let row = 0; row < rows; row++) {
        result[at++] = numbers[(i * rows + row) * columns + column];
      }
    }
  }
  return result;
}

/** Weights [kh,kw,c,1]. */
function depthwiseFilter(
  { context, format }: GpuProcessor,
  filter: Argument<GpuBuffer>,
): Filter | undefined {
  if (filter.shape[3] !== 1) return undefined;
  return packed(filter, `depthwise ${format}`, numbers =>
    packDepthwise(context!, numbers, filter.shape, format),
  );
}

/** Weights only the GPU has are not packed on the host. */
function packed(
  filter: Argument<GpuBuffer>,
  name: string,
  pack: (numbers: ArrayLike<number>) => Filter,
): Filter | undefined {
  return filter.host && filter.derived(name, () => pack(filter.host!()));
}

export const windowOf = ({
  filterHeight: kh,
  filterWidth: kw,
  strideHeight: strideH,
  strideWidth: strideW,
  dilationHeight: dilationH,
  dilationWidth: dilationW,
  padInfo: { top, left },
}: backend_util.Conv2DInfo): Window => ({
  ...{ kh, kw, strideH, strideW },
  ...{ dilationH, dilationW, top, left },
});
