/**
 * Capture. A kernel call becomes a node: its shapes are known, its numbers are not. The graph keeps
 * all nodes that have not run and whose results somebody can still reach, in the order of the
 * calls, which is a topological order.
 *
 * Counting: every recorded node holds one `use` of each value it reads. A value nobody refers to
 * any more and whose producer has not run takes the producer out of the graph, and so on upwards:
 * what nobody can see is never computed.
 */
import type { Attributes, Named, Problem, Rules, Spec } from './kernel.js';
import { Value } from './value.js';

/** A value as one call sees it. */
export interface Use extends Spec {
  readonly value: Value;
}

export class Node implements Problem {
  readonly outputs: Value[];

  constructor(
    readonly kernel: Rules,
    readonly inputs: Named<Use>,
    /** Whether tfjs passed the inputs as an array. */
    readonly isList: boolean,
    readonly attributes: Attributes,
    /** What to make; values, of other nodes, when this one gives them in their place. */
    outputs: readonly (Spec | Value)[],
  ) {
    this.outputs = outputs.map(output =>
      output instanceof Value ? output : new Value(output.shape, output.dtype, this),
    );
  }

  /** Whether a result is still of use to somebody. */
  get wanted(): boolean {
    return this.outputs.some(value => value.wanted);
  }
}

export class Graph {
  /** What is pending, in the order it was recorded. */
  readonly nodes = new Set<Node>();

  /**
   * @param onDead called with a node whose result was thrown away unread, before it is taken out.
   */
  constructor(private readonly onDead: (node: Node) => void) {}

  record(
    kernel: Rules,
    inputs: Named<Use>,
    isList: boolean,
    attributes: Attributes,
    outputs: readonly Spec[],
  ): Node {
    const node = new Node(kernel, inputs, isList, attributes, outputs);
    for (const { value } of Object.values(inputs)) value.uses++;
    this.nodes.add(node);
    return node;
  }

  /** Takes out everything that is pending, to be run. */
  take(): Node[] {
    const nodes = [...this.nodes];
    this.nodes.clear();
    return nodes;
  }

  /** One reference less to a value; what nobody can reach any more is freed or forgotten. */
  release(value: Value): void {
    if (value.wanted) return;
    const orphans = [value];
    for (let orphan = orphans.pop(); orphan; orphan = orphans.pop()) {
      if (orphan.wanted) continue;
      const { producer } = orphan;
      if (producer instanceof Node && this.nodes.has(producer)) {
        if (producer.wanted) continue;
        this.onDead(producer);
        if (this.nodes.delete(producer)) {
          for (const { value: input } of Object.values(producer.inputs)) {
            input.uses--;
            orphans.push(input);
          }
        }
      }
      orphan.free();
    }
  }

  /** The node has run and needs its inputs no longer. */
  endUses(node: Node): void {
    for (const { value } of Object.values(node.inputs)) {
      value.uses--;
      this.release(value);
    }
  }
}
