/**
 * MaxPool and AvgPool: `x [n,h,w,c] -> y [n,oh,ow,c]`. The average is over the cells that lie
 * inside the image. Channelwise: muLayer splits pooling by input channels, which are the output's.
 */
import { backend_util, util } from '@tensorflow/tfjs-core';

import type { Attributes, Named, Spec } from '../src/graph/kernel.js';
import type { Window } from '../src/processors/cpu/means.js';
import { averageBytes } from '../src/processors/cpu/means.js';
import { windowOf } from '../src/processors/gpu/convolve.js';
import { poolImage } from '../src/processors/gpu/programs/pool.js';
import type { Kernel } from '../src/processors/kernel.js';
import { bandOfWindows } from './bands.js';
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

/** tfjs takes a 1x1 window that keeps the shape for the identity, whatever the padding. */
const isIdentity = ({ filterHeight, filterWidth, inShape, outShape }: backend_util.Conv2DInfo) =>
  filterHeight * filterWidth === 1 && util.arraysEqual(inShape, outShape);

/** Whether no window lies wholly in the padding. */
function windowsHaveCells(info: backend_util.Conv2DInfo): boolean {
  const { padInfo, inHeight, inWidth, outHeight, outWidth, strideHeight, strideWidth } = info;
  return (
    padInfo.top < info.effectiveFilterHeight &&
    padInfo.left < info.effectiveFilterWidth &&
    (outHeight - 1) * strideHeight - padInfo.top < inHeight &&
    (outWidth - 1) * strideWidth - padInfo.left < inWidth
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

    band({ inputs, attributes }, range) {
      const info = poolInfo(inputs, attributes);
      if (!windowsHaveCells(info)) return undefined;
      return bandOfWindows(info, attributes, range);
    },

    writesBytes: () => (name === 'MaxPool' ? 'same' : 'blend'),

    cpu(cpu, { inputs, attributes, outputs, range }) {
      const info = poolInfo(inputs, attributes);
      const { inHeight: h, inWidth: w, inChannels: c, outHeight: oh, outWidth: ow } = info;
      const { batchSize, filterHeight, filterWidth } = info;
      const { quantised } = inputs.x.buffer;
      const window: Window = [
        ...([h, w, c, filterHeight, filterWidth, info.strideHeight, info.strideWidth] as const),
        ...([info.dilationHeight, info.dilationWidth] as const),
        ...([info.padInfo.top, info.padInfo.left, oh, ow] as const),
      ];
      if (quantised && name === 'MaxPool' && !isIdentity(info) && windowsHaveCells(info)) {
        const bytes = cpu.fillBytes(outputs[0], quantised, y => {
          for (let i = 0; i < batchSize; i++) {
            const x = quantised.pointer + i * h * w * c;
            cpu.heap.kernels.qu8MaxPool(x, ...window, y.pointer + i * oh * ow * c);
          }
        });
        return [bytes];
      }
      if (name === 'AvgPool' && !isIdentity(info) && windowsHaveCells(info)) {
        const bytes = averageBytes(cpu, inputs.x.buffer, outputs[0], range, batchSize, window);
        if (bytes) return [bytes];
      }
      const floats = cpu.fill(outputs[0], y =>
        cpu.withDense(inputs.x.buffer, x => {
          if (isIdentity(info)) {
            cpu.heap.f32(y.address(), y.size).set(cpu.heap.f32(x, y.size));
            return;
          }
          for (let i = 0; i < batchSize; i++) {
            const to = y.address() + 4 * i * oh * ow * c;
            cpu.heap.kernels.f32Pool(OPS[name], x + 4 * i * h * w * c, ...window, to);
          }
        }),
      );
      return [floats];
    },

    gpu(gpu, call) {
      const info = poolInfo(call.inputs, call.attributes);
      const kind = name === 'MaxPool' ? 'max' : 'mean';
      const own = () =>
        gpu.own(call, (context, [x]) =>
          poolImage(context, x, kind, windowOf(info), call.outputs[0].shape),
        );
      return (windowsHaveCells(info) && !isIdentity(info) ? own() : undefined) ?? gpu.tfjs(call);
    },
  };
}

export const maxPool = pool('MaxPool');
export const avgPool = pool('AvgPool');
