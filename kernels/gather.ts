/**
 * GatherV2: `x [...], indices int32 [...] -> y`, the elements of one axis of x at the indices. On the
 * CPU by tfjs-cpu. Indices that are known when the call is made are left to tfjs altogether
 * (`register.ts`), which checks them on the spot.
 */
import { backend_util, util } from '@tensorflow/tfjs-core';

import type { Kernel } from '../src/processors/kernel.js';
import { allNumeric } from './guards.js';

export const gather: Kernel = {
  name: 'GatherV2',
  kind: 'mover',
  accepts: allNumeric,

  infer({ x, indices }, { axis, batchDims }) {
    const [parsed] = util.parseAxisParam(axis as number, x.shape as number[]);
    const { outputShape } = backend_util.segment_util.collectGatherOpShapeInfo(
      { ...x, shape: x.shape as number[], dataId: {} },
      { ...indices, shape: indices.shape as number[], dataId: {} },
      parsed,
      (batchDims as number | undefined) ?? 0,
    );
    return [{ shape: outputShape, dtype: x.dtype }];
  },

  cpu: (cpu, call) => cpu.tfjs(call),
};
