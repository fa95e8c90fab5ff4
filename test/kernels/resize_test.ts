/**
 * kernels/resize.ts: ResizeBilinear and ResizeNearestNeighbor.
 *
 * Bilinear: positions in the image, up to 16, are off by a few roundings of their own, and numbers
 * that stand side by side differ by less than 8.
 */
import * as tf from '@tensorflow/tfjs-core';

import { resizeBilinear, resizeNearestNeighbor } from '../reference/resize';
import type { Problem } from '../support.js';
import {
  EPSILON32,
  expectNear,
  FLOAT_WAYS,
  itInWays,
  moved,
  rounded,
  signedGrid,
  SOME_FLOAT_WAYS,
  useMulayer,
} from '../support.js';

type Image = [n: number, h: number, w: number, c: number];
type Corners = 'corners' | 'half pixels' | 'plain';

const POSITION_ERROR = 8 * 16 * 8 * EPSILON32;

function problem(
  kind: 'bilinear' | 'nearest',
  [n, h, w, c]: Image,
  [oh, ow]: [number, number],
  corners: Corners,
): Problem {
  const xs = signedGrid(n * h * w * c, 1);
  const [alignCorners, halfPixelCenters] = [corners === 'corners', corners === 'half pixels'];
  const reference = kind === 'bilinear' ? resizeBilinear : resizeNearestNeighbor;
  const values = Array.from({ length: n }, (_, i) => {
    const image = xs.subarray(i * h * w * c, (i + 1) * h * w * c);
    return [...reference(image, { h, w, c, oh, ow, alignCorners, halfPixelCenters })];
  }).flat();
  const resize = kind === 'bilinear' ? tf.image.resizeBilinear : tf.image.resizeNearestNeighbor;
  return {
    op: kind === 'bilinear' ? 'ResizeBilinear' : 'ResizeNearestNeighbor',
    setUp() {
      const x = tf.tensor4d(xs, [n, h, w, c]);
      return () => resize(x, [oh, ow], alignCorners, halfPixelCenters);
    },
    ...(kind === 'nearest' ? moved(values) : rounded(values, () => POSITION_ERROR)),
  };
}

const SIZES: Record<string, [image: Image, size: [number, number]]> = {
  'one pixel to many': [
    [1, 1, 1, 9],
    [3, 2],
  ],
  'many to one pixel': [
    [1, 5, 4, 9],
    [1, 1],
  ],
  'twice as large': [
    [1, 4, 5, 17],
    [8, 10],
  ],
  'half as large, batch': [
    [2, 8, 6, 9],
    [4, 3],
  ],
  'odd to odd': [
    [1, 5, 7, 3],
    [11, 6],
  ],
  'the same size': [
    [1, 4, 4, 8],
    [4, 4],
  ],
};

for (const kind of ['bilinear', 'nearest'] as const) {
  describe(kind === 'bilinear' ? 'ResizeBilinear' : 'ResizeNearestNeighbor', () => {
    useMulayer();
    for (const [name, [image, size]] of Object.entries(SIZES)) {
      for (const corners of ['plain', 'corners', 'half pixels'] as const) {
        itInWays(`${name}, ${corners}`, SOME_FLOAT_WAYS, () => problem(kind, image, size, corners));
      }
    }
    itInWays('in every way', FLOAT_WAYS, () =>
      problem(kind, [2, 4, 5, 17], [6, 10], 'half pixels'),
    );

    it('integers come as floats', async () => {
      const resize = kind === 'bilinear' ? tf.image.resizeBilinear : tf.image.resizeNearestNeighbor;
      const x = tf.tensor4d([1, 3], [1, 1, 2, 1], 'int32');
      expectNear(await resize(x, [1, 2]).data(), [1, 3]);
    });
  });
}
