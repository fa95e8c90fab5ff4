/** Cast between float32, int32 and bool: `x [...] -> y [...]`. To its own type it is an alias. */
import type { DataType } from '@tensorflow/tfjs-core';

import type { Kernel } from '../src/processors/kernel.js';
import { allNumeric, sizeOf } from './guards.js';

const NUMERIC = ['float32', 'int32', 'bool'];

export const cast: Kernel = {
  name: 'Cast',
  kind: 'channelwise',
  accepts: (inputs, { dtype }) => allNumeric(inputs) && NUMERIC.includes(dtype as string),
  infer: ({ x }, { dtype }) => [{ shape: x.shape, dtype: dtype as DataType }],

  cpu(cpu, call) {
    const { x } = call.inputs;
    const [y] = call.outputs;
    if (x.dtype !== 'bool' || y.dtype !== 'float32') return cpu.tfjs(call);
    // CenterNet casts 1.3 M of them, which took tfjs 6.5 ms.
    const result = cpu.fill(y, to =>
      cpu.withDense(x.buffer, from =>
        cpu.heap.kernels.qu8ToF32(from, sizeOf(x), 1, 0, to.address()),
      ),
    );
    return [result];
  },

  gpu: (gpu, call) => gpu.tfjs(call),
};
