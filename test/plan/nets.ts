/**
 * Graphs as they are planned: convolutions fused with what follows them. The five nets of the muLayer
 * paper from their topologies, CenterNet and Inception v3 as they were recorded (`recorded/`, made by
 * `npm run bench -- plan --record`).
 */
import { kernels } from '../../kernels/table.js';
import type { TopologyName } from '../../scripts/bench/topologies.js';
import { hasWeights, topology, weightShape } from '../../scripts/bench/topologies.js';
import type { Layer, Topology } from '../../scripts/bench/topologies.js';
import { Node } from '../../src/graph/graph.js';
import type { Use } from '../../src/graph/graph.js';
import type { Attributes, Spec } from '../../src/graph/kernel.js';
import { Value } from '../../src/graph/value.js';
import centernet from './recorded/centernet.json';
import inception from './recorded/inception.json';

/** A graph as JSON: values are numbered in the order they are first met. */
export interface Recorded {
  readonly nodes: readonly {
    readonly op: string;
    readonly inputs: Readonly<Record<string, readonly [value: number, shape: readonly number[]]>>;
    readonly attributes: Attributes;
    readonly outputs: readonly (readonly [
      value: number,
      shape: readonly number[],
      dtype: string,
    ])[];
  }[];
  /** Values that the user holds: the outputs. */
  readonly held: readonly number[];
}

export const NETS = {
  vgg16: () => nodesOf('vgg16'),
  alexnet: () => nodesOf('alexnet'),
  googlenet: () => nodesOf('googlenet'),
  squeezenet: () => nodesOf('squeezenet'),
  mobilenet: () => nodesOf('mobilenet'),
  centernet: () => replay(centernet as unknown as Recorded),
  inception: () => replay(inception as unknown as Recorded),
} as const;

export type NetName = keyof typeof NETS;
export const PAPER_NETS = ['vgg16', 'alexnet', 'googlenet', 'squeezenet', 'mobilenet'] as const;

/** A node of a kernel of ours, whose results the user has let go. */
export function called(
  op: string,
  inputs: Readonly<Record<string, Value | Use>>,
  attributes: Attributes = {},
  outputs?: readonly Spec[],
): Node {
  const rules = kernels.get(op)!;
  const uses = Object.fromEntries(
    Object.entries(inputs).map(([name, x]): [string, Use] => [
      name,
      x instanceof Value ? { value: x, shape: x.shape, dtype: x.dtype } : x,
    ]),
  );
  const node = new Node(rules, uses, op === 'Concat', attributes, [
    ...(outputs ?? rules.infer(uses, attributes)),
  ]);
  for (const value of node.outputs) value.refs = 0;
  return node;
}

/** A topology's; the result is held. */
export function nodesOf(name: TopologyName): Node[] {
  const net = topology(name);
  const nodes: Node[] = [];
  const values: Value[] = [];
  for (const layer of net.layers) values.push(valueOf(net, layer, values, nodes));
  values.at(-1)!.refs = 1;
  return nodes;
}

function valueOf(net: Topology, layer: Layer, values: readonly Value[], nodes: Node[]): Value {
  const add = (...call: Parameters<typeof called>): Value => {
    const node = called(...call);
    nodes.push(node);
    return node.outputs[0];
  };
  const [x] = layer.inputs.map(i => values[i]);
  const batch = (shape: readonly number[]) => [1, ...shape];
  if (layer.op === 'input') return new Value(batch(layer.shape), 'float32');
  if (layer.op === 'concat') {
    const all = Object.fromEntries(layer.inputs.map((i, n) => [String(n), values[i]]));
    return add('Concat', all, { axis: 3 });
  }
  if (layer.op === 'maxPool') {
    const { kernel, stride, padding } = layer;
    return add('MaxPool', { x }, { filterSize: kernel, strides: stride, pad: padding });
  }
  if (layer.op === 'globalMean') return add('Mean', { x }, { axis: [1, 2], keepDims: true });
  if (!hasWeights(layer)) throw new Error(`unknown layer`);
  const [h, w, ci, co] = weightShape(net, layer);
  const bias = new Value([layer.op === 'depthwise' ? ci * co : co], 'float32');
  const { activation } = layer;
  if (layer.op === 'dense') {
    const size = x.shape.reduce((a, b) => a * b, 1);
    const a: Use = { value: x, shape: [1, 1, size], dtype: 'float32' };
    const b = new Value([1, h * w * ci, co], 'float32');
    const y = add(
      '_FusedMatMul',
      { a, b, bias },
      { transposeA: false, transposeB: false, activation },
    );
    return y;
  }
  const { stride, padding } = layer;
  const attributes = {
    strides: [stride, stride],
    pad: padding,
    dataFormat: 'NHWC',
    dilations: [1, 1],
    activation,
  };
  if (layer.op === 'depthwise') {
    const channels = x.shape.at(-1)!;
    const filter = new Value([h, w, channels, 1], 'float32');
    const own = new Value([channels], 'float32');
    return add('FusedDepthwiseConv2D', { x, filter, bias: own }, attributes);
  }
  const { groups } = layer;
  const conv = (of: Value, channels: number) => {
    const filter = new Value([h, w, ci, channels], 'float32');
    const own = new Value([channels], 'float32');
    return add('FusedConv2D', { x: of, filter, bias: own }, attributes);
  };
  if (groups === 1) return conv(x, co);
  const parts = Array.from({ length: groups }, (_, g) => {
    const size = [...x.shape.slice(0, 3), ci];
    return conv(add('Slice', { x }, { begin: [0, 0, 0, g * ci], size }), co / groups);
  });
  return add('Concat', Object.fromEntries(parts.map((part, i) => [String(i), part])), { axis: 3 });
}

export function replay({ nodes, held }: Recorded): Node[] {
  const values: Value[] = [];
  const made = nodes.map(({ op, inputs, attributes, outputs }) => {
    const uses = Object.entries(inputs).map(([name, [number, shape]]): [string, Use] => {
      const value = (values[number] ??= new Value(shape, 'float32'));
      return [name, { value, shape, dtype: value.dtype }];
    });
    const specs = outputs.map(([, shape, dtype]) => ({ shape, dtype }) as Spec);
    const node = called(op, Object.fromEntries(uses), attributes, specs);
    outputs.forEach(([number], i) => (values[number] = node.outputs[i]));
    return node;
  });
  for (const number of held) values[number].refs = 1;
  return made;
}
