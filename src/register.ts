/**
 * Hangs every kernel into tfjs's registry under the name of this backend: ours record, aliases
 * rename, all others are delegated.
 */
import type { KernelConfig, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';
import { registerKernel, util } from '@tensorflow/tfjs-core';

import { ALIASES, aliasShape } from '../kernels/alias.js';
import { kernels } from '../kernels/table.js';
import type { MulayerBackend } from './backend.js';
import { delegableKernels, delegate, delegateConfig } from './delegate/delegate.js';
import type { Attributes, Named, Rules } from './graph/kernel.js';

/** Up to this many integers whose numbers are at hand are computed at once: shape arithmetic. */
const EAGER_INTEGERS = 128;

export function registerKernels(backendName: string): void {
  const names = new Set([...kernels.keys(), ...ALIASES, ...delegableKernels()]);
  for (const name of names) registerKernel({ ...configOf(name), backendName });
}

function configOf(kernelName: string): KernelConfig {
  const rules = kernels.get(kernelName);
  if (!rules && !ALIASES.includes(kernelName)) return delegateConfig(kernelName);
  return {
    kernelName,
    backendName: '',
    kernelFunc: ({ inputs, attrs, backend }) =>
      call(backend as MulayerBackend, kernelName, rules, inputs, attrs ?? {}),
  };
}

function call(
  backend: MulayerBackend,
  name: string,
  rules: Rules | undefined,
  inputs: NamedTensorInfoMap,
  attributes: Attributes,
): TensorInfo | TensorInfo[] {
  const present: Named<TensorInfo> = {};
  for (const [key, info] of Object.entries(inputs)) if (info != null) present[key] = info;
  const shape = aliasShape(name, present, attributes);
  if (shape) return backend.alias(Object.values(present)[0], shape);
  const accepted = rules && (rules.accepts?.(present, attributes) ?? true);
  if (!accepted || isKnownNow(backend, name, present)) {
    return delegate(backend, name, inputs, attributes);
  }
  const results = backend.record(rules, present, Array.isArray(inputs), attributes);
  return rules.returnsList ? results : results[0];
}

/**
 * Whether the call is better made at once: a few integers that are no result of a pending node
 * (recording them would cut the graph when the model reads them to learn a shape), or a gather
 * whose indices can be checked now.
 */
function isKnownNow(backend: MulayerBackend, name: string, inputs: Named<TensorInfo>): boolean {
  const { indices } = inputs;
  const all = Object.values(inputs);
  if (name === 'GatherV2' && indices) {
    return all.every(({ dataId }) => backend.isHost(dataId));
  }
  return all.every(
    ({ dataId, shape, dtype }) =>
      dtype !== 'float32' && util.sizeFromShape(shape) <= EAGER_INTEGERS && backend.isHost(dataId),
  );
}
