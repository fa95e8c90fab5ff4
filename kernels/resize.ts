/**
 * ResizeBilinear and ResizeNearestNeighbor: `images [n,h,w,c] -> y [n,oh,ow,c]`. Channelwise.
 */
import type { Attributes } from '../src/graph/kernel.js';
import type { Kernel } from '../src/processors/kernel.js';
import { tfjsOnGpu } from '../src/processors/kernel.js';
import { allFloat, expectRank } from './guards.js';

/** Codes of `f32Resize`. */
const OPS = { ResizeBilinear: 0, ResizeNearestNeighbor: 1 } as const;

const sizeOfResult = ({ size }: Attributes) => size as [number, number];

function resize(name: keyof typeof OPS): Kernel {
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

    cpu(cpu, { inputs, attributes, outputs }) {
      const [n, h, w, c] = inputs.images.shape as [number, number, number, number];
      const [oh, ow] = sizeOfResult(attributes);
      const result = cpu.fill(outputs[0], y =>
        cpu.withDense(inputs.images.buffer, x => {
          for (let i = 0; i < n; i++) {
            cpu.heap.kernels.f32Resize(
              OPS[name],
              x + 4 * i * h * w * c,
              h,
              w,
              c,
              oh,
              ow,
              attributes.alignCorners ? 1 : 0,
              attributes.halfPixelCenters ? 1 : 0,
              y.address() + 4 * i * oh * ow * c,
            );
          }
        }),
      );
      return [result];
    },

    gpu: tfjsOnGpu,
  };
}

export const resizeBilinear = resize('ResizeBilinear');
export const resizeNearest = resize('ResizeNearestNeighbor');
