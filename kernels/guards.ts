/** Checks of arguments, and the few shape helpers that several kernels share. */
import { util } from '@tensorflow/tfjs-core';

import { ArgumentError } from '../src/errors.js';
import type { Named, Need, Spec } from '../src/graph/kernel.js';

export function expectRank(name: string, { shape }: Spec, rank: number, layout: string): void {
  if (shape.length === rank) return;
  throw new ArgumentError(`${name}: expected rank ${rank} ${layout}, got [${shape.join()}]`);
}

export function expectAxis(
  name: string,
  { shape }: Spec,
  axis: number,
  length: number,
  why: string,
): void {
  if (shape[axis] === length) return;
  const wanted = shape.map((n, i) => (i === axis ? length : n));
  throw new ArgumentError(`${name}: expected [${wanted.join()}] (${why}), got [${shape.join()}]`);
}

/** That the operand can be repeated along its axes of length 1 to the shape. */
export function expectBroadcast(
  name: string,
  operand: Spec | undefined,
  shape: readonly number[],
): void {
  const skipped = shape.length - (operand?.shape.length ?? 0);
  if (
    skipped >= 0 &&
    operand?.shape.every((n, i) => n === 1 || n === shape[skipped + i]) !== false
  ) {
    return;
  }
  throw new ArgumentError(
    `${name}: expected a shape that broadcasts to [${shape.join()}], got [${operand!.shape.join()}]`,
  );
}

export function expectFloat(name: string, { dtype }: Spec): void {
  if (dtype === 'float32') return;
  throw new ArgumentError(`${name}: expected dtype float32, got ${dtype}`);
}

/** Whether all inputs are numbers a processor of ours computes on. */
export function allNumeric(inputs: Named<Spec>): boolean {
  return Object.values(inputs).every(({ dtype }) => dtype !== 'string' && dtype !== 'complex64');
}

export function allFloat(inputs: Named<Spec>): boolean {
  return Object.values(inputs).every(({ dtype }) => dtype === 'float32');
}

/** Channels [from, to) of an operand that has `channels` of them on its last axis; else all of it. */
export function channelRange({ shape }: Spec, channels: number, from: number, to: number): Need {
  const axis = shape.length - 1;
  return shape[axis] === channels && channels > 1 ? { axis, from, to } : 'whole';
}

export const sizeOf = ({ shape }: Spec): number => util.sizeFromShape(shape as number[]);
