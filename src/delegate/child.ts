/**
 * tfjs's own backends as children of this one: the engine's single instance of each, and a call of
 * one of their kernels without going through the engine.
 *
 * A child must be the engine's own instance, because some backends keep state in module variables
 * that a second instance would overwrite. `setBackend` may not be called here: it would break an
 * initialisation that is under way.
 */
import type {
  DataType,
  KernelBackend,
  NamedTensorInfoMap,
  TensorInfo,
} from '@tensorflow/tfjs-core';
import {
  engine,
  findBackendFactory,
  getKernel,
  getKernelsForBackend,
  Tensor,
} from '@tensorflow/tfjs-core';

import { UnsupportedError } from '../errors.js';
import type { Attributes, Named } from '../graph/kernel.js';
import type { Numbers } from '../processors/processor.js';

export type ChildName = 'cpu' | 'webgl';

/** The child, or undefined where the platform lacks it (no WebGL, say). */
export function findChild(name: ChildName): KernelBackend | undefined {
  const { registry } = engine();
  const existing = registry[name];
  if (existing) return existing;
  const factory = findBackendFactory(name);
  if (!factory) return undefined;
  try {
    registry[name] = factory() as KernelBackend;
  } catch {
    return undefined; // tfjs-webgl throws where there is no WebGL.
  }
  for (const { setupFunc } of getKernelsForBackend(name)) setupFunc?.(registry[name]);
  return registry[name];
}

/** @throws UnsupportedError where the platform lacks the child. */
export function child(name: ChildName): KernelBackend {
  const backend = findChild(name);
  if (!backend)
    throw new UnsupportedError(`tfjs backend '${name}': expected it to start, it did not`);
  return backend;
}

/** Runs a child's kernel on tensors of the child, and gives what it gives: a tensor or a list. */
export function callKernel(
  name: ChildName,
  kernelName: string,
  inputs: NamedTensorInfoMap,
  attrs: Attributes,
): TensorInfo | TensorInfo[] {
  const kernel = getKernel(kernelName, name);
  if (!kernel) throw new UnsupportedError(`kernel '${kernelName}': tfjs-backend-${name} has none`);
  return kernel.kernelFunc({ inputs, attrs: attrs as never, backend: child(name) });
}

/** The same for a caller who knows how many results there are. */
export function runKernel(
  name: ChildName,
  kernelName: string,
  inputs: Named<TensorInfo>,
  isList: boolean,
  attrs: Attributes,
): TensorInfo[] {
  const map = (isList ? Object.values(inputs) : inputs) as NamedTensorInfoMap;
  return [callKernel(name, kernelName, map, attrs)].flat();
}

/**
 * Takes a result out of a child: its numbers stay, the child's tensor goes. A few kernels (Abs,
 * Dilation2D's gradients) return a tensor the engine already tracks; that one is disposed.
 */
export function takeNumbers(name: ChildName, result: TensorInfo): Numbers | Uint8Array[] {
  const values = child(name).readSync(result.dataId);
  dropResult(name, result);
  if (result.dtype === 'string') return values;
  return toNumbers(values as Numbers, result.dtype);
}

export function dropResult(name: ChildName, result: TensorInfo): void {
  if (result instanceof Tensor) result.dispose();
  else child(name).disposeData(result.dataId);
}

/** Numbers in the array type that tfjs uses for the dtype; the same array where it is that already. */
export function toNumbers(values: ArrayLike<number>, dtype: DataType): Numbers {
  if (dtype === 'int32') return values instanceof Int32Array ? values : new Int32Array(values);
  if (dtype !== 'bool') return values instanceof Float32Array ? values : new Float32Array(values);
  return values instanceof Uint8Array ? values : Uint8Array.from(values, value => (value ? 1 : 0));
}
