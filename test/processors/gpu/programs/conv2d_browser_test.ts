/**
 * src/processors/gpu/programs/conv2d.ts: every place of the weights, both formats, against the oracle
 * in doubles.
 *
 * The bounds are those of a layer: 2e-4 in 32 bits. In halves operands and result are rounded, 2.8e-4
 * each in relative RMS, and where `mediump` is 16 bits 36 products are summed in them: 7.5e-4 in the
 * mean of a large layer, up to 1.07e-3 in the few numbers of these. Of bytes, which 16 bits hold, too.
 */
import * as tf from '@tensorflow/tfjs-core';

import type { GpuContext } from '../../../../src/processors/gpu/context.js';
import type { Quantisation } from '../../../../src/processors/cpu/quantisation.js';
import { activationOf } from '../../../../src/processors/gpu/programs/activation.js';
import {
  conv2d,
  type Filter,
  fitsBlock,
  packDepthwise,
  packFilter,
  type Window,
} from '../../../../src/processors/gpu/programs/conv2d.js';
import { LINEAR } from '../../../reference/activation';
import { type Conv2D, conv2d as reference, depthwiseConv2d } from '../../../reference/conv2d';
import { useMulayer } from '../../../support.js';
import { Random } from '../../../wasm/random';
import type { Computed } from './images.js';
import { FORMATS, ownContext, relativeRms, throughImages } from './images.js';

/**
 * Halves: 1e-3 where `mediump` is 32 bits. WebKitGTK's is 16: sums of 36 products there have 1.1e-3 in
 * the worst of these problems, which are small and of numbers of either sign, and 1.4e-3 of bytes.
 */
const BOUND: Record<Computed, number> = { float: 2e-4, half: 1.5e-3 };

interface Problem {
  /** [n, h, w, ci] */
  x: [number, number, number, number];
  /** [kh, kw, co]; of depthwise: [kh, kw]. */
  filter: [number, number, number] | [number, number];
  strides?: [number, number];
  dilations?: [number, number];
  pad?: 'same' | 'valid' | [[0, 0], [number, number], [number, number], [0, 0]];
}

const PROBLEMS: readonly Problem[] = [
  { x: [1, 1, 1, 1], filter: [1, 1, 1] },
  { x: [1, 7, 9, 10], filter: [3, 3, 13] },
  { x: [2, 8, 6, 5], filter: [3, 3, 8] },
  { x: [1, 2, 2, 4], filter: [3, 3, 4] },
  { x: [1, 9, 7, 3], filter: [3, 3, 6], strides: [2, 2] },
  { x: [1, 8, 10, 3], filter: [3, 3, 6], strides: [2, 2] },
  { x: [1, 9, 8, 6], filter: [3, 3, 5], pad: 'valid' },
  { x: [1, 9, 8, 6], filter: [3, 3, 5], dilations: [2, 3] },
  { x: [3, 5, 6, 7], filter: [1, 1, 9] },
  { x: [1, 5, 6, 7], filter: [1, 1, 9], strides: [2, 2] },
  { x: [1, 5, 6, 7], filter: [1, 3, 9] },
  { x: [1, 6, 5, 7], filter: [5, 2, 3], strides: [1, 3] },
  { x: [1, 6, 5, 7], filter: [4, 4, 3], pad: [[0, 0], [3, 1], [0, 4], [0, 0]] }, // prettier-ignore
  { x: [1, 15, 13, 3], filter: [7, 7, 5], strides: [2, 2] },
  { x: [1, 23, 17, 3], filter: [11, 9, 5], strides: [4, 3] },
  { x: [2, 23, 20, 3], filter: [11, 11, 4], strides: [4, 4] },
  { x: [1, 5, 6, 518], filter: [3, 3, 6] },
  { x: [1, 7, 9, 10], filter: [3, 3] },
  { x: [2, 8, 6, 5], filter: [3, 3], strides: [2, 2] },
  { x: [1, 9, 7, 9], filter: [5, 5] },
  { x: [1, 9, 8, 3], filter: [3, 3], dilations: [2, 2] },
  { x: [1, 9, 12, 6], filter: [7, 7], strides: [2, 1] },
  { x: [1, 9, 12, 6], filter: [9, 7], strides: [2, 1] },
];

/** Whose zero point is at an end, and in between; of large numbers and of small ones. */
const QUANTISATIONS: readonly Quantisation[] = [
  { scale: 1 / 255, zero: 0 },
  { scale: 2, zero: 131 },
  { scale: 1e-4, zero: 200 },
];

function sizesOf({ x, filter, strides = [1, 1], dilations = [1, 1], pad = 'same' }: Problem) {
  const [kh, kw, co = x[3]] = filter;
  const shape: [number, number, number, number] = [kh, kw, x[3], co];
  const { padInfo, outHeight, outWidth } = tf.backend_util.computeConv2DInfo(
    ...([x, shape, strides, dilations, pad] as const),
  );
  const window: Window = {
    ...{ kh, kw, strideH: strides[0], strideW: strides[1] },
    ...{ dilationH: dilations[0], dilationW: dilations[1] },
    ...{ top: padInfo.top, left: padInfo.left },
  };
  return { window, shape, y: [x[0], outHeight, outWidth, co] };
}

/** The oracle image by image, bias and ReLU included. */
function wanted(problem: Problem, xs: Float32Array, ws: Float32Array, bias: Float32Array) {
  const [n, h, w, ci] = problem.x;
  const { window, y } = sizesOf(problem);
  const sizes: Conv2D = { ...window, h, w, ci, co: y[3], oh: y[1], ow: y[2] };
  const relu = { ...LINEAR, lo: 0 };
  return Array.from({ length: n }, (_, i) => {
    const image = xs.subarray(i * h * w * ci, (i + 1) * h * w * ci);
    return problem.filter.length === 2
      ? [...depthwiseConv2d(image, ws, ci, sizes, bias, relu)]
      : [...reference(image, ws, sizes, bias, relu)];
  }).flat();
}

function compute(
  context: GpuContext,
  problem: Problem,
  format: Computed,
  make: (ws: Float32Array, shape: number[]) => Filter,
  quantisation?: Quantisation,
) {
  const random = new Random(1);
  const { window, shape, y } = sizesOf(problem);
  const isDepthwise = problem.filter.length === 2;
  const size = tf.util.sizeFromShape(problem.x);
  const { scale = 1, zero = 0 } = quantisation ?? {};
  const numbers = quantisation ? random.bytes(size) : random.floats(size);
  const xs = Float32Array.from(numbers, v => (v - zero) * scale);
  const ws = random.floats(shape[0] * shape[1] * (isDepthwise ? 1 : shape[2]) * shape[3]);
  const bias = random.floats(y[3]).map(v => v * scale * (quantisation ? 100 : 1));
  const filter = make(ws, shape);
  const inputs = [
    { numbers, shape: problem.x, ...(quantisation && { quantisation }) },
    { numbers: bias, shape: [y[3]] },
  ];
  const activation = activationOf({ activation: 'relu' })!;
  const got = throughImages(context, inputs, format, ([x, bias]) =>
    conv2d(context, x, filter, window, { bias, activation }, y),
  );
  filter.free();
  return relativeRms(got, wanted(problem, xs, ws, bias));
}

describe('conv2d on the GPU', () => {
  useMulayer();

  for (const format of FORMATS) {
    for (const problem of PROBLEMS) {
      const places = problem.filter.length === 2 ? ['texture'] : ['block', 'packed', 'texture'];
      for (const place of places as Filter['place'][]) {
        if (place === 'packed' && format === 'float') continue;
        it(`${JSON.stringify(problem)}, ${format}, weights in ${place}: like the oracle`, () => {
          const context = ownContext();
          if (!context) return;
          const { shape, window } = sizesOf(problem);
          if (place !== 'texture' && !fitsBlock(context, shape, place)) {
            expect(window.kh * window.kw * shape[2]).toBeGreaterThan(100);
            return;
          }
          const error = compute(context, problem, format, (ws, shape) =>
            problem.filter.length === 2
              ? packDepthwise(context, ws, shape, format)
              : packFilter(context, ws, shape, place, format),
          );
          expect(error).toBeLessThan(BOUND[format]);
        });
        if (format === 'float') continue;
        it(`${JSON.stringify(problem)}, of bytes, weights in ${place}: like the oracle`, () => {
          const context = ownContext();
          if (
            !context ||
            (place !== 'texture' && !fitsBlock(context, sizesOf(problem).shape, place))
          )
            return;
          for (const quantisation of QUANTISATIONS) {
            const error = compute(
              context,
              problem,
              format,
              (ws, shape) =>
                problem.filter.length === 2
                  ? packDepthwise(context, ws, shape, format)
                  : packFilter(context, ws, shape, place, format),
              quantisation,
            );
            expect(error).toBeLessThan(BOUND.half);
          }
        });
      }
    }
  }
});
