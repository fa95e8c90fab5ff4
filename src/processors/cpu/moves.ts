/**
 * Numbers that are moved and stay what they are: slices, pads, transposes, concatenations. A tensor
 * that lies as QUInt8 is moved as bytes, a quarter of the work, and keeps its scale.
 */
import { util } from '@tensorflow/tfjs-core';

import type { Spec } from '../../graph/kernel.js';
import type { CpuBuffer, CpuProcessor } from './processor.js';
import { bytesPerNumber } from './buffer.js';

/** Bytes of an element: 1 of QUInt8 and bool, 4 of all others. */
export type ElementBytes = 1 | 4;

/** Dimensions of the wasm kernel. */
const MAX_DIMENSIONS = 6;

/**
 * A result made of elements of x: bytes of the same scale where x lies as bytes.
 *
 * @param write copies elements from one pointer to the other
 * @param asBytes false where there is something in it that the bytes of x cannot say
 */
export function moveElements(
  cpu: CpuProcessor,
  x: CpuBuffer,
  y: Spec,
  write: (from: number, to: number, elementBytes: ElementBytes) => void,
  asBytes = true,
): CpuBuffer {
  const { quantised } = x;
  if (quantised && asBytes)
    return cpu.fillBytes(y, quantised, to => write(quantised.pointer, to.pointer, 1));
  return cpu.fill(y, to =>
    cpu.withDense(x, from => write(from, to.address(), bytesPerNumber(y.dtype))),
  );
}

/** y[index * yStrides] = x[index * xStrides], for every index of `shape`; x's may be 0 or negative. */
export function copyStrided(
  cpu: CpuProcessor,
  elementBytes: ElementBytes,
  x: number,
  xStrides: readonly number[],
  y: number,
  yStrides: readonly number[],
  shape: readonly number[],
): void {
  if (shape.includes(0)) return;
  const axes = shape.flatMap((n, axis) => (n === 1 ? [] : [axis]));
  while (axes.length < MAX_DIMENSIONS) axes.push(shape.length);
  const inner = axes.slice(-MAX_DIMENSIONS);
  const of = (numbers: readonly number[], filler: number) =>
    inner.map(axis => numbers[axis] ?? filler) as Dimensions;
  const sizes = [...of(shape, 1), ...of(xStrides, 0), ...of(yStrides, 0)] as const;
  const walk = (outer: readonly number[], from: number, to: number) => {
    const [axis, ...rest] = outer;
    if (axis === undefined) {
      cpu.heap.kernels.copyStrided(elementBytes, from, to, ...sizes);
      return;
    }
    for (let i = 0; i < shape[axis]; i++) {
      const at = (pointer: number, stride: number) => pointer + elementBytes * i * stride;
      walk(rest, at(from, xStrides[axis]), at(to, yStrides[axis]));
    }
  };
  walk(axes.slice(0, -MAX_DIMENSIONS), x, y);
}

type Dimensions = [number, number, number, number, number, number];

/** Row-major strides of a shape; elements. */
export function stridesOf(shape: readonly number[]): number[] {
  return shape.map((_, i) => util.sizeFromShape(shape.slice(i + 1)));
}
