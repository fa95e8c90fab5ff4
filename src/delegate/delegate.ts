/**
 * Kernels we do not own run on tfjs-cpu, or on tfjs-webgl where that is worth it: their inputs are
 * materialised there, their outputs become host values here. Every kernel that either child has
 * therefore works. A delegated call cannot be recorded, because its output shape may depend on its
 * input's numbers, so it runs what is pending.
 *
 * A child's result may be one of the inputs (Identity, Reshape): it is mapped back to our data id.
 */
import type { KernelConfig, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';
import { backend_util, getKernel, getKernelsForBackend } from '@tensorflow/tfjs-core';

import type { MulayerBackend } from '../backend.js';
import type { Attributes } from '../graph/kernel.js';
import type { ChildName } from './child.js';
import { callKernel, child, dropResult, runKernel, takeNumbers } from './child.js';

/**
 * Training's kernels, heavy enough for a read-back to be a trifle beside them. tfjs-cpu runs them
 * in plain JavaScript, so with a real GPU they go there, in 32-bit textures.
 */
const HEAVY = new Set([
  'Conv2DBackpropFilter',
  'Conv2DBackpropInput',
  'DepthwiseConv2dNativeBackpropFilter',
  'DepthwiseConv2dNativeBackpropInput',
  'Conv3D',
  'Conv3DBackpropFilterV2',
  'Conv3DBackpropInputV2',
]);

/** tfjs-core has a way around this one that needs no backend, and its input is no tensor. */
const LEFT_TO_CORE = new Set(['FromPixels']);

/** Changes of attributes that a child needs. */
const REWRITES: Record<string, (attributes: Attributes) => Attributes> = {
  // The canvas context may be named by the backend; tfjs-cpu draws on a 2-D one.
  Draw(attributes) {
    const options = (attributes.options ?? {}) as { contextOptions?: { contextType?: string } };
    if (options.contextOptions?.contextType !== 'mulayer') return attributes;
    const contextOptions = { ...options.contextOptions, contextType: '2d' };
    return { ...attributes, options: { ...options, contextOptions } };
  },
};

/** The names of all kernels that a child can run. */
export function delegableKernels(): string[] {
  const names = (['cpu', 'webgl'] as const).flatMap(name =>
    getKernelsForBackend(name).map(({ kernelName }) => kernelName),
  );
  return [...new Set(names)].filter(name => !LEFT_TO_CORE.has(name));
}

/** A KernelConfig that hands the call to a child. */
export function delegateConfig(kernelName: string): KernelConfig {
  return {
    kernelName,
    backendName: 'mulayer',
    kernelFunc: ({ inputs, attrs, backend }) =>
      delegate(backend as MulayerBackend, kernelName, inputs, attrs),
  };
}

/** Runs a call on a child now. */
export function delegate(
  backend: MulayerBackend,
  kernelName: string,
  inputs: NamedTensorInfoMap,
  attributes: Attributes | undefined,
): TensorInfo | TensorInfo[] {
  backend.countDelegated(kernelName);
  const name = chooseChild(backend, kernelName);
  const lent: { ours: TensorInfo; theirs: TensorInfo }[] = [];
  const lendOne = (ours: TensorInfo): TensorInfo => {
    const theirs = lend(backend, name, ours);
    lent.push({ ours, theirs });
    return theirs;
  };
  try {
    const attrs = REWRITES[kernelName]?.(attributes ?? {}) ?? attributes ?? {};
    const results = callKernel(name, kernelName, mapInputs(inputs, lendOne), attrs);
    const takeOver = (result: TensorInfo): TensorInfo => {
      const same = lent.find(
        ({ ours, theirs }) => theirs.dataId === result.dataId && ours.dtype === result.dtype,
      );
      if (!same) return adopt(backend, name, result);
      // Draw gives its input back, not a tensor of its own.
      if (result === same.theirs) return same.ours;
      dropResult(name, result);
      return backend.alias(same.ours, result.shape);
    };
    return Array.isArray(results) ? results.map(takeOver) : takeOver(results);
  } finally {
    for (const { theirs } of lent) dropResult(name, theirs);
  }
}

/** An input may be missing, a tensor, or (in the ragged kernels) a list of tensors. */
type Input = TensorInfo | TensorInfo[] | null | undefined;

function mapInputs(
  inputs: NamedTensorInfoMap,
  lendOne: (info: TensorInfo) => TensorInfo,
): NamedTensorInfoMap {
  const mapOne = (input: Input): Input =>
    input == null ? input : Array.isArray(input) ? input.map(lendOne) : lendOne(input);
  if (Array.isArray(inputs)) return inputs.map(mapOne) as unknown as NamedTensorInfoMap;
  const mapped = Object.entries(inputs as Record<string, Input>).map(([key, input]) => [
    key,
    mapOne(input),
  ]);
  return Object.fromEntries(mapped) as NamedTensorInfoMap;
}

function chooseChild(backend: MulayerBackend, kernelName: string): ChildName {
  const onGpu = HEAVY.has(kernelName) && backend.gpu && !backend.gpu.isSoftware;
  if (onGpu && getKernel(kernelName, 'webgl')) return 'webgl';
  return getKernel(kernelName, 'cpu') ? 'cpu' : 'webgl';
}

/** Our tensor as one of the child's; the child must drop it again. */
function lend(
  backend: MulayerBackend,
  name: ChildName,
  { dataId, shape, dtype }: TensorInfo,
): TensorInfo {
  const values = backend.readSync(dataId);
  if (dtype !== 'complex64') {
    // Dilation2D's gradients ask their inputs for a rank, as if they were tensors.
    const info = { dataId: child(name).write(values, shape, dtype), shape, dtype };
    return Object.assign(info, { rank: shape.length });
  }
  const { real, imag } = backend_util.splitRealAndImagArrays(values as Float32Array);
  const part = (numbers: Float32Array): TensorInfo => ({
    dataId: child(name).write(numbers, shape, 'float32'),
    shape,
    dtype: 'float32',
  });
  const parts = { real: part(real), imag: part(imag) };
  const [complex] = runKernel(name, 'Complex', parts, false, {});
  dropResult(name, parts.real);
  dropResult(name, parts.imag);
  return complex;
}

/** A child's result as our tensor; the child's own is dropped. */
function adopt(backend: MulayerBackend, name: ChildName, result: TensorInfo): TensorInfo {
  const { shape, dtype } = result;
  const values = takeNumbers(name, result);
  return { dataId: backend.adopt(values, shape, dtype), shape, dtype };
}
