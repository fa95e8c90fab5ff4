/** Graphs made by hand, of kernels that only have the rules a spec is about. */
import { Graph } from '../../src/graph/graph.js';
import type { Node, Use } from '../../src/graph/graph.js';
import type { Attributes, Rules } from '../../src/graph/kernel.js';
import { Value } from '../../src/graph/value.js';

/** A kernel whose result has the shape of its first input, unless `rules` say otherwise. */
export function kernel(name: string, rules: Partial<Rules> = {}): Rules {
  return {
    name,
    kind: 'channelwise',
    infer: inputs => {
      const [{ shape, dtype }] = Object.values(inputs);
      return [{ shape, dtype }];
    },
    slice: (_, from, to) => ({ inputs: { x: { axis: -1, from, to } } }),
    ...rules,
  };
}

/** x [...,ci] -> y [...,channels], of so many multiply-accumulates. */
export function layer(channels: number, macs = 1, rules: Partial<Rules> = {}): Rules {
  return kernel('Layer', {
    kind: 'layer',
    weights: 'w',
    macs: () => macs,
    infer: ({ x }) => [{ shape: [...x.shape.slice(0, -1), channels], dtype: 'float32' }],
    ...rules,
  });
}

/** Given from outside, as a tensor of the user. */
export const given = (...shape: number[]): Value => new Value(shape, 'float32');

export const use = (value: Value, shape = value.shape): Use => ({
  value,
  shape,
  dtype: value.dtype,
});

export class Recorder {
  readonly dead: Node[] = [];
  readonly graph = new Graph(node => this.dead.push(node));

  /** Records a call and gives its first result. */
  call(rules: Rules, inputs: Record<string, Value | Use>, attributes: Attributes = {}): Value {
    const uses = Object.fromEntries(
      Object.entries(inputs).map(([name, x]) => [name, x instanceof Value ? use(x) : x]),
    );
    const specs = rules.infer(uses, attributes);
    return this.graph.record(rules, uses, false, attributes, specs).outputs[0];
  }

  get nodes(): Node[] {
    return [...this.graph.nodes];
  }
}
