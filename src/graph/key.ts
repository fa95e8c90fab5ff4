/**
 * The structural key of a graph: kernels, attributes, shapes and wiring, but no data. Two
 * inferences of one model have the same key, so the second finds the first one's plan.
 *
 *     Conv2D{"strides":[1,1],...}(x:0[1,8,8,3],filter:1[3,3,3,16])>float32[1,8,8,16];Relu{}(x:2...
 *
 * Values are numbered in the order they are first met.
 */
import type { Node } from './graph.js';
import type { Value } from './value.js';

export function keyOf(nodes: readonly Node[]): string {
  const numbers = new Map<Value, number>();
  const number = (value: Value): number => {
    let n = numbers.get(value);
    if (n === undefined) numbers.set(value, (n = numbers.size));
    return n;
  };
  const parts: string[] = [];
  for (const node of nodes) {
    let part = node.kernel.name + JSON.stringify(node.attributes) + '(';
    for (const [name, use] of Object.entries(node.inputs)) {
      part += `${name}:${number(use.value)}[${use.shape.join()}]${use.dtype},`;
    }
    part += ')>';
    for (const value of node.outputs)
      part += `${number(value)}[${value.shape.join()}]${value.dtype}`;
    parts.push(part);
  }
  return parts.join(';');
}
