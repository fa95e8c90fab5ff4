/**
 * DepthToSpace: `x [n,h,w,b*b*c] -> y [n,h*b,w*b,c]`, NHWC. The channels of a pixel become a block of
 * pixels:
 *
 *     x [n,h,w,b,b',c]  ─►  y [n,h,b,w,b',c]
 *
 * A channel of the result needs every c-th of x, so it keeps no slices.
 */
import { ArgumentError } from '../src/errors.js';
import { copyStrided, moveElements, stridesOf } from '../src/processors/cpu/moves.js';
import { depthToSpaceImage } from '../src/processors/gpu/programs/permute.js';
import type { Kernel } from '../src/processors/kernel.js';
import { allFloat, expectRank } from './guards.js';

export const depthToSpace: Kernel = {
  name: 'DepthToSpace',
  kind: 'mover',
  accepts: (inputs, { dataFormat }) => dataFormat === 'NHWC' && allFloat(inputs),

  infer({ x }, attributes) {
    expectRank('x', x, 4, '[n,h,w,b*b*c]');
    const block = attributes.blockSize as number;
    const [n, h, w, depth] = x.shape as [number, number, number, number];
    if (depth % block ** 2 !== 0) {
      throw new ArgumentError(`x: expected a multiple of ${block ** 2} channels, got ${depth}`);
    }
    return [{ shape: [n, h * block, w * block, depth / block ** 2], dtype: x.dtype }];
  },

  writesBytes: () => 'same',

  cpu(cpu, { inputs: { x }, attributes, outputs: [y] }) {
    const block = attributes.blockSize as number;
    const [n, h, w] = x.shape;
    const c = y.shape[3];
    const grid = [n, h, block, w, block, c];
    const strides = stridesOf([n, h, w, block, block, c]);
    const xStrides = [0, 1, 3, 2, 4, 5].map(axis => strides[axis]);
    return [
      moveElements(cpu, x.buffer, y, (from, to, bytes) =>
        copyStrided(cpu, bytes, from, xStrides, to, stridesOf(grid), grid),
      ),
    ];
  },

  gpu: (gpu, call) =>
    gpu.own(call, (context, [x]) =>
      depthToSpaceImage(context, x, call.attributes.blockSize as number, call.outputs[0].shape),
    ) ?? gpu.tfjs(call),
};
