/**
 * The one list of kernels we own. Registration, dispatch, specs and benchmarks loop over it.
 */
import type { Kernel } from '../src/processors/kernel.js';
import { batchNorm } from './batch_norm.js';
import { binaries } from './binary.js';
import { cast } from './cast.js';
import { concat } from './concat.js';
import { conv2d, fusedConv2d } from './conv2d.js';
import { conv2dTranspose, fusedConv2dTranspose } from './conv2d_transpose.js';
import { depthToSpace } from './depth_to_space.js';
import { depthwiseConv2d, fusedDepthwiseConv2d } from './depthwise_conv2d.js';
import { gather } from './gather.js';
import { batchMatMul, fusedMatMul } from './mat_mul.js';
import { pad } from './pad.js';
import { avgPool, maxPool } from './pool.js';
import { reductions } from './reduce.js';
import { resizeBilinear, resizeNearest } from './resize.js';
import { slice, splitV, stridedSlice, unpack } from './slice.js';
import { softmax } from './softmax.js';
import { topK } from './top_k.js';
import { transpose } from './transpose.js';
import { unaries } from './unary.js';

const ALL: readonly Kernel[] = [
  conv2d,
  fusedConv2d,
  conv2dTranspose,
  fusedConv2dTranspose,
  depthwiseConv2d,
  fusedDepthwiseConv2d,
  batchMatMul,
  fusedMatMul,
  maxPool,
  avgPool,
  concat,
  ...binaries,
  ...unaries,
  batchNorm,
  softmax,
  ...reductions,
  pad,
  slice,
  stridedSlice,
  splitV,
  unpack,
  transpose,
  depthToSpace,
  resizeBilinear,
  resizeNearest,
  cast,
  gather,
  topK,
];

/** By tfjs's name. */
export const kernels: ReadonlyMap<string, Kernel> = new Map(
  ALL.map(kernel => [kernel.name, kernel]),
);
