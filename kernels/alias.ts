/**
 * Reshape, ExpandDims, Identity, and Cast to the same type: no node, no copy. They return the
 * input's own data id with one reference more, as tfjs's backends do; the new shape belongs to the
 * use.
 */
import { util } from '@tensorflow/tfjs-core';

import { ArgumentError } from '../src/errors.js';
import type { Attributes, Named, Spec } from '../src/graph/kernel.js';

/** The new shape of a call that only renames, or undefined when it does more than that. */
export function aliasShape(
  name: string,
  inputs: Named<Spec>,
  attributes: Attributes,
): number[] | undefined {
  const [x] = Object.values(inputs);
  if (!x) return undefined;
  const { shape } = x;
  switch (name) {
    case 'Identity':
      return [...shape];
    case 'Cast':
      return attributes.dtype === x.dtype ? [...shape] : undefined;
    case 'Reshape':
      return reshaped(x, attributes.shape as number[]);
    case 'ExpandDims':
      return expanded(shape, attributes.dim as number);
    default:
      return undefined;
  }
}

/** Names of the kernels that are nothing but a new shape. */
export const ALIASES = ['Identity', 'Reshape', 'ExpandDims'];

function reshaped({ shape }: Spec, wanted: number[]): number[] {
  try {
    const size = util.sizeFromShape(shape as number[]);
    const full = util.inferFromImplicitShape(wanted, size);
    util.assertNonNegativeIntegerDimensions(full);
    if (util.sizeFromShape(full) === size) return full;
  } catch {
    // Said below.
  }
  const [from, to] = [shape, wanted].map(numbers => `[${numbers.join()}]`);
  throw new ArgumentError(`shape: expected one with the elements of ${from}, got ${to}`);
}

function expanded(shape: readonly number[], dim: number): number[] {
  const rank = shape.length;
  if (dim < -(rank + 1) || dim > rank) {
    throw new ArgumentError(`dim: expected -${rank + 1} to ${rank}, got ${dim}`);
  }
  const full = [...shape];
  full.splice(dim < 0 ? dim + rank + 1 : dim, 0, 1);
  return full;
}
