/** kernels/depth_to_space.ts: numbers are moved, so they are equal in 16 bits too. */
import * as tf from '@tensorflow/tfjs-core';

import { at, build } from '../reference/tensor';
import type { Problem } from '../support.js';
import { CPU_FLOAT_WAY, FLOAT_WAYS, grid, itInWays, moved, useMulayer } from '../support.js';

type Image = [n: number, h: number, w: number, depth: number];

function problem(shape: Image, block: number): Problem {
  const xs = grid(tf.util.sizeFromShape(shape), 1);
  const [n, h, w, depth] = shape;
  const c = depth / block ** 2;
  const values = build([n, h * block, w * block, c], ([image, row, column, channel]) => {
    const [y, x] = [Math.floor(row / block), Math.floor(column / block)];
    const cell = (row % block) * block + (column % block);
    return at(xs, shape, [image, y, x, cell * c + channel]);
  });
  return {
    op: 'DepthToSpace',
    grain: 0,
    setUp() {
      const x = tf.tensor4d(xs, shape);
      return () => tf.depthToSpace(x, block);
    },
    ...moved(values),
  };
}

const PROBLEMS: Record<string, [shape: Image, block: number]> = {
  'one pixel': [[1, 1, 1, 4], 2],
  'blocks of 3': [[2, 2, 3, 9], 3],
  'blocks of 2, many channels': [[1, 3, 5, 68], 2],
};

describe('DepthToSpace', () => {
  useMulayer();
  for (const [name, [shape, block]] of Object.entries(PROBLEMS)) {
    itInWays(name, CPU_FLOAT_WAY, () => problem(shape, block));
  }
  itInWays('in every way', FLOAT_WAYS, () => problem([2, 2, 3, 16], 2));
});
