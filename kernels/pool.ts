/**
 * MaxPool and AvgPool: `x [n,h,w,c] -> y [n,oh,ow,c]`. The average is over the cells that lie
 * inside the image. Channelwise: muLayer splits pooling by input channels, which are the output's.
 */
import { backend_util, util } from '@tensorflow/tfjs-core';

import type { Attributes, Named, Spec } from '../src/graph/kernel.js';
import type { Kernel } from '../src/processors/kernel.js';
import { tfjsOnGpu } from '../src/processors/kernel.js';
import { allFloat, expectRank } from './guards.js';

/** Codes of `f32Pool`. */
const OPS = { MaxPool: 0, AvgPool: 1 } as const;

type Padding = Parameters<typeof backend_util.computePool2DInfo>[4];

function poolInfo({ x }: Named<Spec>, attributes: Attributes): backend_util.Conv2DInfo {
  return backend_util.computePool2DInfo(
    x.shape as [number, number, number, number],
    attributes.filterSize as [number, number],
    attributes.strides as [number, number],
    1,
    attributes.pad as Padding,
    attributes.dimRoundingMode as 'floor' | undefined,
  );
}

function pool(name: keyof typeof OPS): Kernel {
  return {
    name,
    kind: 'channelwise',
    accepts: allFloat,

    infer(inputs, attributes) {
      expectRank('x', inputs.x, 4, '[n,h,w,c]');
      return [{ shape: poolInfo(inputs, attributes).outShape, dtype: 'float32' }];
    },

    slice: (_, from, to) => ({ inputs: { x: { axis: 3, from, to } } }),

    cpu(cpu, { inputs, attributes, outputs }) {
      const info = poolInfo(inputs, attributes);
      const { inHeight: h, inWidth: w, inChannels: c, outHeight: oh, outWidth: ow } = info;
      const result = cpu.fill(outputs[0], y =>
        cpu.withDense(inputs.x.buffer, x => {
          // tfjs takes a 1x1 window that keeps the shape for the identity, whatever the padding.
          if (
            info.filterHeight * info.filterWidth === 1 &&
            util.arraysEqual(info.inShape, info.outShape)
          ) {
            cpu.heap.f32(y.address(), y.size).set(cpu.heap.f32(x, y.size));
            return;
          }
          for (let i = 0; i < info.batchSize; i++) {
            cpu.heap.kernels.f32Pool(
              OPS[name],
              x + 4 * i * h * w * c,
              h,
              w,
              c,
              info.filterHeight,
              info.filterWidth,
              info.strideHeight,
              info.strideWidth,
              info.dilationHeight,
              info.dilationWidth,
              info.padInfo.top,
              info.padInfo.left,
              oh,
              ow,
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

export const maxPool = pool('MaxPool');
export const avgPool = pool('AvgPool');
