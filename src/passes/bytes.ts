/**
 * Which results shall lie as bytes (QUInt8) from layer to layer. A value does where its producer can
 * write it so and everybody who reads it would make bytes of it anyway:
 *
 *     conv int8 ──bytes──► max pool ──bytes──► conv int8 ──floats──► softmax
 *
 * so that nothing is rounded which would not be rounded otherwise. The exception are functions of
 * bytes (`blend`), residual sums above all: what they are of is rounded first, but for results of
 * layers in float32, which are kept exact. Pure: it knows nodes, not processors.
 */
import type { Node } from '../graph/graph.js';
import type { Spec, WritesBytes } from '../graph/kernel.js';
import type { Value } from '../graph/value.js';

/** What the pass must know of a node. */
export interface ByteRules {
  /** Whether it multiplies bytes in this run. */
  int8(node: Node, index: number): boolean;
  /** How it writes bytes, see `Kernel.writesBytes`. */
  writes(node: Node, index: number): WritesBytes | undefined;
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
  const writes = nodes.map((node, i) => rules.writes(node, i));
  const int8 = nodes.map((node, i) => rules.int8(node, i));
  const canWrite: boolean[] = [];
  /** Of layers in float32, or only moved since. */
  const isExact: boolean[] = [];
  nodes.forEach((node, index) => {
    for (const [name, { value }] of Object.entries(node.inputs)) {
      readers.set(value, [...(readers.get(value) ?? []), { index, name }]);
    }
    for (const value of node.outputs) producers.set(value, index);
    isExact[index] =
      writes[index] === 'range'
        ? !int8[index]
        : writes[index] === 'same' &&
          Object.values(node.inputs).some(({ value }) => isExact[producers.get(value) ?? -1]);
    const mayRound = (i: number) => canWrite[i] && !(writes[index] === 'blend' && isExact[i]);
    canWrite[index] =
      writes[index] === 'range' ||
      (!!writes[index] && areBytes(node, value => mayRound(producers.get(value) ?? -1)));
  });
  // From the end: the node by whose result a result is known to be bytes, itself or a later one.
  const ends: (number | undefined)[] = nodes.map(() => undefined);
  for (let i = nodes.length - 1; i >= 0; i--) {
    const { outputs } = nodes[i];
    const own = outputs.flatMap(value => readers.get(value) ?? []);
    if (
      !canWrite[i] ||
      outputs.some(isNumber) ||
      outputs.some(({ refs }) => refs > 0) ||
      own.length === 0
    )
      continue;
    const wantsBytes = own.every(({ index, name }) => {
      if (writes[index] === 'same' || writes[index] === 'blend') return ends[index] !== undefined;
      return int8[index] && name === activationsOf(nodes[index]);
    });
    if (!wantsBytes) continue;
    const [{ index: next }] = own;
    ends[i] = own.length === 1 && writes[next] === 'same' ? ends[next] : i;
  }
  const groups = new Map<number, number[]>();
  return ends.map((end, i) => {
    if (end === undefined || writes[i] === 'same') return undefined;
    const group = groups.get(end) ?? [];
    group.push(i);
    groups.set(end, group);
    return group;
  });
}

/** One number is a parameter and never bytes. */
function isNumber({ shape }: Spec): boolean {
  return shape.every(n => n === 1);
}

/** Whether all inputs that are more than a number can be bytes. */
function areBytes({ inputs }: Node, canBeBytes: (value: Value) => boolean): boolean {
  const tensors = Object.values(inputs).filter(use => !isNumber(use));
  return tensors.length > 0 && tensors.every(({ value }) => canBeBytes(value));
}

/** The name of the input a layer turns into bytes: `x` or `a`, the first. */
function activationsOf({ inputs }: Node): string {
  return Object.keys(inputs)[0];
}
