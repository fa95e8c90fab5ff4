/**
 * Fusing: what follows a convolution or a matrix product number by number becomes part of it.
 *
 *     Conv2D ─► FusedBatchNorm ─► Relu ─► Minimum 6      =>      FusedConv2D, bias, relu6
 *
 * The layer, the `base`, is followed by `stages`, each of which reads the value before it and
 * nothing else that is computed here. Stages that scale and shift channels are folded into filter
 * and bias (Jacob et al., "Quantization and Training of Neural Networks for Efficient
 * Integer-Arithmetic-Only Inference", CVPR 2018, section 3.2); a single Add becomes the bias as it
 * is; clamps are composed; one activation ends it.
 *
 * Two pure functions. `fuse` sees the structure alone, which is the plan's key, so its chains are
 * found once a plan. `shorten` sees one run: who holds a value in between, which weights have come
 * before, which numbers a Minimum has. It gives the longest beginning of the chain that may be one
 * layer this time.
 */
import type { Use } from '../graph/graph.js';
import { Node } from '../graph/graph.js';
import type { Attributes, Named, Rules, Spec } from '../graph/kernel.js';
import type { Value } from '../graph/value.js';

/** Fused kernels by what they stand for. */
const FUSED: Readonly<Record<string, string>> = {
  Conv2D: 'FusedConv2D',
  FusedConv2D: 'FusedConv2D',
  Conv2DBackpropInput: 'FusedConv2DBackpropInput',
  DepthwiseConv2dNative: 'FusedDepthwiseConv2D',
  FusedDepthwiseConv2D: 'FusedDepthwiseConv2D',
  BatchMatMul: '_FusedMatMul',
  _FusedMatMul: '_FusedMatMul',
};

/** Activations that end a chain, by the kernels that compute them alone. */
const ACTIVATIONS: Readonly<Record<string, string>> = {
  LeakyRelu: 'leakyrelu',
  Prelu: 'prelu',
  Elu: 'elu',
  Sigmoid: 'sigmoid',
  Tanh: 'tanh',
  Softplus: 'softplus',
};

/** Clamps [lo, hi] that fused kernels have a name for. */
const CLAMPS: Readonly<Record<string, Clamp>> = {
  linear: [-Infinity, Infinity],
  relu: [0, Infinity],
  relu6: [0, 6],
};

/** min(max(v, lo), hi), lo <= hi. */
type Clamp = readonly [lo: number, hi: number];

/** A value that nobody but the chain may want, and how often the chain reads it. */
interface Inner {
  /** Index of the node that gives it. */
  readonly node: number;
  readonly uses: number;
}

/** A scalar of a hard swish. */
interface Scalar {
  readonly node: number;
  readonly input: string;
  /** What it has to be; absent: it is the scale, or what is divided by. */
  readonly number?: number;
}

/** One or some nodes that may become part of the layer. Nodes by index. */
export interface Stage {
  /**
   * `add`: a constant, the bias if nothing else is to be folded. `affine`: scales or shifts
   * channels. `clamp`. `activation`: the last stage.
   */
  readonly kind: 'add' | 'affine' | 'clamp' | 'activation';
  /** The last one gives the result. */
  readonly nodes: readonly number[];
  /** Values that are gone when the stage is fused: what it reads, and what is inside it. */
  readonly inner: readonly Inner[];
  /** Names of the inputs that are constants. */
  readonly operands: readonly string[];
  /** Of `activation`: its name in a fused kernel. */
  readonly activation?: string;
  readonly scalars?: readonly Scalar[];
}

/** A layer and what may be fused into it, by indices of nodes. */
export interface Chain {
  readonly base: number;
  readonly stages: readonly Stage[];
}

/** Filter and bias with the scales and shifts of the stages in them. */
export interface Folded {
  readonly filter: Use;
  readonly bias: Use;
}

/** What scales or shifts the result of a layer. */
export interface Fold {
  readonly base: Node;
  /** In this order. */
  readonly stages: readonly Node[];
  /** All constants in it: filter, bias, operands. */
  readonly constants: readonly Value[];
}

/** What `shorten` must know of a run. */
export interface Host {
  rules(name: string): Rules;
  /** Whether all who may compute the layer have this fused kernel with this activation. */
  has(activation: string, kernel: string): boolean;
  /** The numbers of a value if they are at hand on the CPU. */
  numbers(value: Value): ArrayLike<number> | undefined;
  /** Undefined while the constants are not known to be constant, or cannot be folded. */
  fold(fold: Fold): Folded | undefined;
}

/** One layer for several nodes. */
export interface Fusion {
  /** Gives the value of the last of `members`. */
  readonly node: Node;
  /** Indices of the nodes it stands for, the layer first. */
  readonly members: readonly number[];
}

/** All chains of a graph. A node is part of one at most. */
export function fuse(nodes: readonly Node[]): Chain[] {
  const graph = new Wiring(nodes);
  const chains: Chain[] = [];
  nodes.forEach((node, base) => {
    const state = openState(node);
    if (!state) return;
    const stages: Stage[] = [];
    let last = base;
    for (let stage; (stage = nextStage(graph, base, last, state)); last = stage.nodes.at(-1)!) {
      stages.push(stage);
      for (const index of stage.nodes) graph.taken.add(index);
      if (stage.kind === 'activation') break;
      if (stage.kind === 'clamp') state.clamped = true;
    }
    if (stages.length > 0) chains.push({ base, stages });
  });
  return chains;
}

/** Who reads what. */
class Wiring {
  readonly taken = new Set<number>();
  /** Indices of the nodes that read a value, once for each time. */
  private readonly readers = new Map<Value, number[]>();
  private readonly made = new Set<Value>();

  constructor(readonly nodes: readonly Node[]) {
    nodes.forEach((node, index) => {
      for (const { value } of Object.values(node.inputs)) {
        const readers = this.readers.get(value) ?? [];
        this.readers.set(value, readers);
        readers.push(index);
      }
      for (const value of node.outputs) this.made.add(value);
    });
  }

  output(index: number): Value {
    return this.nodes[index].outputs[0];
  }

  readersOf(index: number): readonly number[] {
    return this.readers.get(this.output(index)) ?? [];
  }

  /** Given from outside: what is computed here may come too late, and is no constant. */
  isGiven(value: Value): boolean {
    return !this.made.has(value);
  }

  /** The value of a node as something that is gone when it is fused. */
  inner(index: number): Inner {
    return { node: index, uses: this.readersOf(index).length };
  }
}

/** What may still come; undefined: nothing. */
function openState({ kernel, inputs, attributes }: Node): { clamped: boolean } | undefined {
  const activation = (attributes.activation as string | undefined) ?? 'linear';
  if (!(kernel.name in FUSED) || !(activation in CLAMPS)) return undefined;
  if (inputs.preluActivationWeights) return undefined;
  return { clamped: activation !== 'linear' };
}

function nextStage(
  graph: Wiring,
  base: number,
  last: number,
  { clamped }: { clamped: boolean },
): Stage | undefined {
  const readers = graph.readersOf(last);
  if (readers.length === 2 && !clamped) return hardSwish(graph, base, last);
  const [index] = readers;
  if (readers.length !== 1 || graph.taken.has(index)) return undefined;
  const name = flowsThrough(graph, base, last, index);
  if (name === undefined) return undefined;
  const node = graph.nodes[index];
  const found = stageOf(graph, node, name);
  if (!found || (clamped && found.kind !== 'clamp')) return undefined;
  return { ...found, nodes: [index], inner: [graph.inner(last)] };
}

/**
 * The name of the input by which the value goes through a node with its shape unchanged. The
 * result of a matrix product may be reshaped on the way as long as its rows stay rows: tfjs
 * computes [m,n] as [1,m,n].
 */
function flowsThrough(
  graph: Wiring,
  base: number,
  last: number,
  index: number,
): string | undefined {
  const value = graph.output(last);
  const { inputs, outputs } = graph.nodes[index];
  const found = Object.entries(inputs).find(([, use]) => use.value === value);
  if (!found || outputs.length !== 1) return undefined;
  const [name, use] = found;
  const isProduct = FUSED[graph.nodes[base].kernel.name] === FUSED.BatchMatMul;
  const isSame =
    sameShape(use.shape, value.shape) || (isProduct && use.shape.at(-1) === value.shape.at(-1));
  return isSame && sameShape(use.shape, outputs[0].shape) && outputs[0].dtype === 'float32'
    ? name
    : undefined;
}

type Kind = Pick<Stage, 'kind' | 'operands' | 'activation'>;

/** What a node is to the value that comes in by this input. */
function stageOf(graph: Wiring, node: Node, input: string): Kind | undefined {
  const { kernel, inputs, outputs } = node;
  const operands = Object.keys(inputs).filter(name => name !== input);
  const channels = outputs[0].shape.at(-1) ?? 1;
  const isFirst = Object.keys(inputs)[0] === input;
  const areConstants = operands.every(
    name =>
      graph.isGiven(inputs[name].value) &&
      inputs[name].dtype === 'float32' &&
      isByChannel(inputs[name], channels),
  );
  if (!areConstants) return undefined;
  switch (kernel.name) {
    case 'Add':
      return { kind: isRow(inputs[operands[0]], channels) ? 'add' : 'affine', operands };
    case 'Sub':
    case 'Multiply':
      return { kind: 'affine', operands };
    case 'RealDiv':
      return isFirst ? { kind: 'affine', operands } : undefined;
    case 'FusedBatchNorm': {
      const areRows = operands.every(name => isRow(inputs[name], channels));
      return input === 'x' && areRows ? { kind: 'affine', operands } : undefined;
    }
    case 'Relu':
    case 'Relu6':
    case 'ClipByValue':
      return { kind: 'clamp', operands };
    case 'Maximum':
    case 'Minimum':
      return sizeOf(inputs[operands[0]]) === 1 ? { kind: 'clamp', operands } : undefined;
    case 'Prelu':
      if (!isFirst || !isRow(inputs[operands[0]], channels)) return undefined;
  }
  const activation = ACTIVATIONS[kernel.name];
  return activation === undefined ? undefined : { kind: 'activation', operands, activation };
}

/**
 * v * relu6(v + 3) * scale, the scale being a sixth or so (in weights of 16 bits), taken of any of
 * the three:
 *
 *     v ─┬─────────(scale)──────────┐
 *        └─► Add 3 ─► Relu6 ─(scale)┴─► Multiply ─(scale)─►
 */
function hardSwish(graph: Wiring, base: number, last: number): Stage | undefined {
  const nodes: number[] = [];
  const scalars: Scalar[] = [];
  const nameOf = (index: number) => graph.nodes[index].kernel.name;
  const onlyReader = (index: number): number | undefined => {
    const readers = graph.readersOf(index);
    return readers.length === 1 ? readers[0] : undefined;
  };
  /** Takes a node that reads `from` and nothing else, or one of these kernels with a scalar. */
  const take = (from: number, index: number, kernels?: readonly string[], number?: number) => {
    const name = flowsThrough(graph, base, from, index);
    if (name === undefined || graph.taken.has(index)) return false;
    const { inputs } = graph.nodes[index];
    const names = Object.keys(inputs);
    if (kernels) {
      const input = names.find(other => other !== name);
      if (!kernels.includes(nameOf(index)) || input === undefined) return false;
      if (!graph.isGiven(inputs[input].value) || sizeOf(inputs[input]) !== 1) return false;
      if (nameOf(index) === 'RealDiv' && names[0] !== name) return false; // 6 / v
      scalars.push({ node: index, input, ...(number === undefined ? {} : { number }) });
    } else if (names.length !== 1) return false;
    nodes.push(index);
    return true;
  };
  /** Goes on over a scale, if one comes. */
  const overScale = (from: number): number => {
    const index = onlyReader(from);
    return index !== undefined && take(from, index, SCALES) ? index : from;
  };

  const readers = graph.readersOf(last);
  const add = readers.find(index => nameOf(index) === 'Add');
  const other = readers.find(index => index !== add);
  if (add === undefined || other === undefined || !take(last, add, ['Add'], 3)) return undefined;
  const relu6 = onlyReader(add);
  if (relu6 === undefined || !isRelu6(graph.nodes[relu6]) || !take(add, relu6)) return undefined;
  const gate = overScale(relu6);
  const product = onlyReader(gate);
  if (product === undefined || nameOf(product) !== 'Multiply') return undefined;
  // The upper way: straight to the product, or over a scale.
  let line = last;
  if (product !== other) {
    if (!take(last, other, SCALES) || onlyReader(other) !== product) return undefined;
    line = other;
  }
  const isProduct = [line, gate].every(from => flowsThrough(graph, base, from, product));
  if (!isProduct || graph.taken.has(product)) return undefined;
  nodes.push(product);
  const end = scalars.length === 1 ? overScale(product) : product;
  // The 3 and one scale.
  if (scalars.length !== 2) return undefined;
  return {
    kind: 'activation',
    activation: 'hardswish',
    nodes: [...nodes].sort((a, b) => a - b),
    inner: [last, ...nodes].filter(index => index !== end).map(index => graph.inner(index)),
    operands: [],
    scalars,
  };
}

/** Kernels that scale by a scalar. */
const SCALES = ['Multiply', 'RealDiv'];

function isRelu6({ kernel, attributes }: Node): boolean {
  if (kernel.name === 'Relu6') return true;
  const { clipValueMin, clipValueMax } = attributes;
  return kernel.name === 'ClipByValue' && clipValueMin === 0 && clipValueMax === 6;
}

/** The most of a chain that may be one layer in this run; undefined: nothing. */
export function shorten(chain: Chain, nodes: readonly Node[], host: Host): Fusion | undefined {
  const base = nodes[chain.base];
  const candidates: Candidate[] = [];
  let now: Candidate | undefined = {
    members: [chain.base],
    affine: [],
    clamp: CLAMPS[(base.attributes.activation as string | undefined) ?? 'linear'],
  };
  for (const stage of chain.stages) {
    if (!stage.inner.every(({ node, uses }) => isHidden(nodes[node].outputs[0], uses))) break;
    now = withStage(now, stage, nodes, host);
    if (!now) break;
    candidates.unshift(now);
  }
  for (const candidate of candidates) {
    const node = fusedNode(base, candidate, nodes, host);
    if (node) return { node, members: candidate.members };
  }
  return undefined;
}

/** Whether nobody wants a value but the nodes that are counted. */
function isHidden({ refs, uses }: Value, counted: number): boolean {
  return refs <= 0 && uses === counted;
}

/** A beginning of a chain. */
interface Candidate {
  readonly members: readonly number[];
  /** Stages to be folded. */
  readonly affine: readonly Stage[];
  readonly clamp: Clamp;
  /** An activation that is no clamp, and its parameters. */
  readonly activation?: string;
  readonly prelu?: Use;
  readonly alpha?: number;
  readonly scale?: number;
}

function withStage(
  before: Candidate,
  stage: Stage,
  nodes: readonly Node[],
  host: Host,
): Candidate | undefined {
  const members = [...before.members, ...stage.nodes];
  const node = nodes[stage.nodes[0]];
  if (stage.kind === 'add' || stage.kind === 'affine') {
    return { ...before, members, affine: [...before.affine, stage] };
  }
  if (stage.kind === 'clamp') {
    const clamp = clampOf(node, stage, host);
    return clamp && { ...before, members, clamp: composed(before.clamp, clamp) };
  }
  const { activation } = stage;
  const done = { ...before, members, activation: activation! };
  if (activation === 'hardswish') {
    const scale = scaleOf(stage, nodes, host);
    return scale === undefined ? undefined : { ...done, scale };
  }
  if (activation === 'leakyrelu') {
    const alpha = node.attributes.alpha as number;
    return Number.isFinite(alpha) ? { ...done, alpha } : undefined;
  }
  if (activation === 'prelu') {
    // The fused ones multiply by the slope on both sides of zero: an infinite one would make NaN.
    const use = node.inputs[stage.operands[0]];
    const numbers = host.numbers(use.value);
    const areFinite = numbers && Array.prototype.every.call(numbers, Number.isFinite);
    return areFinite ? { ...done, prelu: asRow(use) } : undefined;
  }
  return done;
}

/** Six times the scale of a hard swish, if it is one. */
function scaleOf({ scalars }: Stage, nodes: readonly Node[], host: Host): number | undefined {
  let scale = 6;
  for (const { node: index, input, number: wanted } of scalars!) {
    const { kernel, inputs } = nodes[index];
    const number = host.numbers(inputs[input].value)?.[0];
    if (number === undefined || (wanted !== undefined && number !== wanted)) return undefined;
    if (wanted === undefined) scale = kernel.name === 'RealDiv' ? 6 / number : 6 * number;
  }
  return Number.isFinite(Math.fround(scale)) ? Math.fround(scale) : undefined;
}

function clampOf(
  { kernel, attributes, inputs }: Node,
  { operands }: Stage,
  host: Host,
): Clamp | undefined {
  if (kernel.name === 'Relu') return CLAMPS.relu;
  if (kernel.name === 'Relu6') return CLAMPS.relu6;
  if (kernel.name === 'ClipByValue') {
    const { clipValueMin: lo, clipValueMax: hi } = attributes as Record<string, number>;
    return lo <= hi ? [lo, hi] : undefined;
  }
  const number = host.numbers(inputs[operands[0]].value)?.[0];
  if (number === undefined || Number.isNaN(number)) return undefined;
  return kernel.name === 'Maximum' ? [number, Infinity] : [-Infinity, number];
}

/** First `a`, then `b`. */
function composed(a: Clamp, [lo, hi]: Clamp): Clamp {
  const [from, to] = a.map(v => Math.min(Math.max(v, lo), hi));
  return [from, to];
}

function fusedNode(
  base: Node,
  candidate: Candidate,
  nodes: readonly Node[],
  host: Host,
): Node | undefined {
  const ending = attributesOf(candidate);
  const name = FUSED[base.kernel.name];
  if (!host.has(ending.activation as string, name)) return undefined;
  const rules = host.rules(name);
  const inputs: Named<Use> = { ...base.inputs };
  const { affine, prelu } = candidate;
  if (affine.length === 1 && affine[0].kind === 'add' && !base.inputs.bias) {
    inputs.bias = asRow(operandsOf(affine[0], nodes)[0]);
  } else if (affine.length > 0) {
    const weights = rules.weights!;
    const operands = affine.flatMap(stage => operandsOf(stage, nodes));
    const { bias } = base.inputs;
    const uses = [base.inputs[weights], ...(bias ? [bias] : []), ...operands];
    const stages = affine.map(stage => nodes[stage.nodes[0]]);
    const constants = uses.map(({ value }) => value);
    const folded = host.fold({ base, stages, constants });
    if (!folded) return undefined;
    inputs[weights] = folded.filter;
    inputs.bias = folded.bias;
  }
  if (prelu) inputs.preluActivationWeights = prelu;
  const attributes = { ...base.attributes, ...ending };
  const last = nodes[candidate.members.at(-1)!];
  return new Node(rules, inputs, base.isList, attributes, last.outputs);
}

function operandsOf({ operands, nodes: [index] }: Stage, nodes: readonly Node[]): Use[] {
  return operands.map(name => nodes[index].inputs[name]);
}

/** What the candidate ends in, as the attributes of a fused kernel. */
function attributesOf({ activation, alpha, scale, clamp: [lo, hi] }: Candidate): Attributes {
  if (activation === 'leakyrelu') return { activation, leakyreluAlpha: alpha };
  if (activation === 'hardswish') return { activation, hardSwishScale: scale };
  if (activation !== undefined) return { activation };
  const known = Object.entries(CLAMPS).find(([, [from, to]]) => from === lo && to === hi);
  return known ? { activation: known[0] } : { activation: 'clip', clipMin: lo, clipMax: hi };
}

/** [1,1,n] and the like as [n]: a shape belongs to the use. */
const asRow = ({ value, shape, dtype }: Use): Use => ({ value, shape: [shape.at(-1)!], dtype });

/** One number, or one a channel. */
const isByChannel = (spec: Spec, channels: number): boolean =>
  sizeOf(spec) === 1 || isRow(spec, channels);

const isRow = (spec: Spec, channels: number): boolean =>
  spec.shape.at(-1) === channels && sizeOf(spec) === channels;

const sizeOf = ({ shape }: Spec): number => shape.reduce((a, b) => a * b, 1);

const sameShape = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((length, i) => length === b[i]);
