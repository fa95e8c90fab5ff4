/**
 * Which results shall be written where a Concat wants them, side by side, so that it has nothing to
 * move:
 *
 *     conv ──┐                   conv ──► ┌──────────┬──────┐
 *            ├─► Concat    ──►            │          │      │ ◄── that is the Concat's result
 *     conv ──┘                   conv ────┴────────► └──────┘
 *
 * Only those that nobody else reads: what reads bytes reads them without gaps. Pure: it knows nodes,
 * not processors.
 */
import type { Node } from '../graph/graph.js';
import type { Value } from '../graph/value.js';

/** Channels of a Concat's result, from `at` on. */
export interface Place {
  /** Index of the Concat. */
  readonly concat: number;
  readonly at: number;
}

/** @param fits whether the result of a node will be bytes of its own making. */
export function placeRooms(
  nodes: readonly Node[],
  fits: (node: Node, index: number) => boolean,
): (Place | undefined)[] {
  const readers = new Map<Value, number>();
  for (const { inputs } of nodes) {
    for (const { value } of Object.values(inputs))
      readers.set(value, (readers.get(value) ?? 0) + 1);
  }
  const places = new Map<Value, Place>();
  nodes.forEach((node, concat) => {
    if (!node.kernel.putsSideBySide?.(node)) return;
    let at = 0;
    for (const { value, shape } of Object.values(node.inputs)) {
      if (readers.get(value) === 1) places.set(value, { concat, at });
      at += shape.at(-1)!;
    }
  });
  return nodes.map((node, i) => (fits(node, i) ? places.get(node.outputs[0]) : undefined));
}
