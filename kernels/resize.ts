/**
 * ResizeBilinear and ResizeNearestNeighbor: `images [n,h,w,c] -> y [n,oh,ow,c]`. Channelwise.
 */
import type { Attributes } from '../src/graph/kernel.js';
import { moveElements } from '../src/processors/cpu/moves.js';
import { resizeImage } from '../src/processors/gpu/programs/resize.js';
import type { Kernel } from '../src/processors/kernel.js';
import { allFloat, expectRank } from './guards.js';

const sizeOfResult = ({ size }: Attributes) => size as [number, number];

function resize(name: string, isNearest: boolean): Kernel {
  return {
    name,
    kind: 'channelwise',
    accepts: allFloat,

    infer({ images }, attributes) {
      expectRank('images', images, 4, '[n,h,w,c]');
      const [oh, ow] = sizeOfResult(attributes);
      return [{ shape: [images.shape[0], oh, ow, images.shape[3]], dtype: 'float32' }];
    },

    slice: (_, from, to) => ({ inputs: { images: { axis: 3, from, to } } }),

    // Bilinear in bytes is rounded to the nearest one.
    writesBytes: () => 'same',

    cpu(cpu, { inputs: { images }, attributes, outputs: [y] }) {
      const [n, h, w, c] = images.shape as [number, number, number, number];
      const [oh, ow] = sizeOfResult(attributes);
      const write = (x: number, to: number, bytes: 1 | 4) => {
        const kernel = isNearest ? 'x8ResizeNearest' : bytes === 1 ? 'qu8Resize' : 'f32Resize';
        for (let i = 0; i < n; i++) {
          cpu.heap.kernels[kernel](
            x + bytes * i * h * w * c,
            h,
            w,
            isNearest ? bytes * c : c,
            oh,
            ow,
            attributes.alignCorners ? 1 : 0,
            attributes.halfPixelCenters ? 1 : 0,
            0,
            oh,
            to + bytes * i * oh * ow * c,
          );
        }
      };
      return [moveElements(cpu, images.buffer, y, write)];
    },

    gpu: (gpu, call) =>
      gpu.own(call, (context, [x]) => {
        const { alignCorners, halfPixelCenters } = call.attributes;
        const how = {
          ...{ isNearest, alignCorners: !!alignCorners, halfPixelCenters: !!halfPixelCenters },
        };
        return resizeImage(context, x, how, call.outputs[0].shape);
      }) ?? gpu.tfjs(call),
  };
}

export const resizeBilinear = resize('ResizeBilinear', false);
export const resizeNearest = resize('ResizeNearestNeighbor', true);
