/**
 * Which results shall lie as bytes (QUInt8) from layer to layer. A value does where its producer can
 * write it so and everybody who reads it would make bytes of it anyway:
 *
 *     conv int8 ──bytes──► max pool ──bytes──► conv int8 ──floats──► softmax
 *
 * so that nothing is rounded which would not be rounded otherwise. The exception are residual sums
 * (`blend`): their terms are rounded first. Pure: it knows nodes, not processors.
 */
import type { Node } from '../graph/graph.js';
import type { Value } from '../graph/value.js';

/** What the pass must know of a node. */
export interface ByteRules {
  /** Whether it multiplies bytes in this run. */
  int8(node: Node, index: number): boolean;
  /** How it writes bytes, see `Kernel.writesBytes`. */
  writes(node: Node, index: number): 'range' | 'blend' | 'same' | undefined;
}

/**
 * For each node: undefined, when its result is to be floats or only moved; else the nodes (itself among them)
 * whose results shall have one scale, because all of them end in one Concat.
 */
export function placeBytes(
  nodes: readonly Node[],
  rules: ByteRules,
): (readonly number[] | undefined)[] {
  const producers = new Map<Value, number>();
  const readers = new Map<Value, { index: number; name: string }[]>();
  const canWrite: boolean[] = [];
  nodes.forEach((node, index) => {
    const inputs = Object.entries(node.inputs);
    for (const [name, { value }] of inputs) {
      readers.set(value, [...(readers.get(value) ?? []), { index, name }]);
    }
    for (const value of node.outputs) producers.set(value, index);
    const writes = rules.writes(node, index);
    canWrite[index] =
      writes === 'range'
        ? rules.int8(node, index)
        : !!writes && inputs.every(([, { value }]) => canWrite[producers.get(value) ?? -1]);
  });
  // From the end: the node by whose result a result is known to be bytes, itself or a later one.
  const ends: (number | undefined)[] = nodes.map(() => undefined);
  for (let i = nodes.length - 1; i >= 0; i--) {
    const [value] = nodes[i].outputs;
    const own = readers.get(value) ?? [];
    if (!canWrite[i] || value.refs > 0 || own.length === 0) continue;
    const wantsBytes = own.every(({ index, name }) => {
      const writesOn = rules.writes(nodes[index], index);
      if (writesOn === 'same' || writesOn === 'blend') return ends[index] !== undefined;
      return rules.int8(nodes[index], index) && name === activationsOf(nodes[index]);
    });
    if (!wantsBytes) continue;
    const [{ index: next }] = own;
    ends[i] = own.length === 1 && rules.writes(nodes[next], next) === 'same' ? ends[next] : i;
  }
  return ends.map((end, i) => {
    if (end === undefined || rules.writes(nodes[i], i) === 'same') return undefined;
    return nodes.flatMap((node, j) =>
      ends[j] === end && rules.writes(node, j) !== 'same' ? j : [],
    );
  });
}

/** The name of the input a layer turns into bytes: `x` or `a`, the first. */
function activationsOf({ inputs }: Node): string {
  return Object.keys(inputs)[0];
}
