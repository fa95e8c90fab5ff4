/**
 * Bands: a chain of layers, cut along images or rows so that the CPU computes the first ones of all its
 * results and the GPU the last ones, and nothing is exchanged between its layers. What a layer looks at
 * beyond its own rows, the halo, was computed on both sides:
 *
 *     rows of    x          y1         y2           [0, cut) on the CPU, [from, h) on the GPU
 *              ┌─────┐    ┌─────┐    ┌─────┐
 *              │ CPU │    │ CPU │    │ CPU │
 *              │     │    │     │    ├─────┤  ◄── cut = from = share · h where it ends
 *              │▓▓▓▓▓│    ├▓▓▓▓▓┤    │ GPU │
 *              │▓▓▓▓▓│    │ GPU │    │     │
 *              │ GPU │    │     │    │     │
 *              └─────┘    └─────┘    └─────┘
 *
 * So a chain is found from its end. (Overlapped tiles as in fused-layer accelerators: Alwani et al.,
 * MICRO 2016.)
 */
import type { Node } from '../graph/graph.js';
import type { Named, Need } from '../graph/kernel.js';
import type { Value } from '../graph/value.js';

/** [0, cut) on the CPU, [from, length) on the GPU; from <= cut. */
export interface Cut {
  readonly cut: number;
  readonly from: number;
}

/** For each value of a graph the index of the last node that reads it; Infinity: the user may. */
export function lastReaders(nodes: readonly Node[]): ReadonlyMap<Value, number> {
  const last = new Map<Value, number>();
  nodes.forEach(({ inputs }, i) => {
    for (const { value } of Object.values(inputs)) last.set(value, i);
  });
  for (const { outputs } of nodes) {
    for (const value of outputs) if (value.refs > 0 || !last.has(value)) last.set(value, Infinity);
  }
  return last;
}

export class Chain {
  private readonly needs = new Map<Value, Cut>();
  private readonly wholes = new Set<Value>();

  /**
   * @param end index after its last node.
   * @param axis 0: images, 1: rows.
   * @param share of its results that is the CPU's.
   */
  constructor(
    private readonly nodes: readonly Node[],
    private readonly last: ReadonlyMap<Value, number>,
    private readonly end: number,
    readonly axis: 0 | 1,
    private readonly share: number,
  ) {}

  /**
   * Makes the chain longer by the node before it.
   *
   * @returns where that is cut; undefined where it cannot be.
   */
  add(index: number): Cut | undefined {
    const node = this.nodes[index];
    const { axis } = this;
    const [y] = node.outputs;
    if (!node.kernel.band || node.outputs.length > 1 || this.wholes.has(y)) return undefined;
    const length = y.shape[axis];
    if (axis >= y.shape.length - 1 || length < 2) return undefined;
    const own = this.cutOf(y, length);
    if (!own || own.cut >= length || own.from <= 0) return undefined;
    const left = node.kernel.band(node, { axis, from: 0, to: own.cut });
    const right = node.kernel.band(node, { axis, from: own.from, to: length });
    if (!left || !right) return undefined;
    for (const name of Object.keys(node.inputs)) this.need(node, name, left.inputs, right.inputs);
    return own;
  }

  /** What its readers need of it; the share where some of them are not in the chain. */
  private cutOf(y: Value, length: number): Cut | undefined {
    const needed = this.needs.get(y);
    if ((this.last.get(y) ?? Infinity) < this.end) return needed;
    const even = Math.min(Math.max(Math.round(this.share * length), 1), length - 1);
    return unionOf(needed, { cut: even, from: even });
  }

  private need({ inputs }: Node, name: string, left: Named<Need>, right: Named<Need>): void {
    const { value, shape } = inputs[name];
    const a = left[name] ?? 'whole';
    const b = right[name] ?? 'whole';
    const isSame =
      shape.length === value.shape.length && shape.every((n, i) => n === value.shape[i]);
    if (typeof a === 'string' || typeof b === 'string' || !isSame) this.wholes.add(value);
    else this.needs.set(value, unionOf(this.needs.get(value), { cut: a.to, from: b.from }));
  }
}

/** What neither side needs is the CPU's. */
function unionOf(a: Cut | undefined, b: Cut): Cut {
  const from = Math.min(a?.from ?? Infinity, b.from);
  return { from, cut: Math.max(a?.cut ?? 0, b.cut, from) };
}
