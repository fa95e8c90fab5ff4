/** Cast between float32, int32 and bool: `x [...] -> y [...]`. To its own type it is an alias. */
import type { DataType } from '@tensorflow/tfjs-core';

import type { Kernel } from '../src/processors/kernel.js';
import { tfjsOnGpu } from '../src/processors/kernel.js';
import { allNumeric } from './guards.js';

const NUMERIC = ['float32', 'int32', 'bool'];

export const cast: Kernel = {
  name: 'Cast',
  kind: 'channelwise',
  accepts: (inputs, { dtype }) => allNumeric(inputs) && NUMERIC.includes(dtype as string),
  infer: ({ x }, { dtype }) => [{ shape: x.shape, dtype: dtype as DataType }],
  cpu: (cpu, call) => cpu.tfjs(call),
  gpu: tfjsOnGpu,
};
