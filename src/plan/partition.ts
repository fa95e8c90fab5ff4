/**
 * Who runs what. Pure arithmetic over the graph: no processor is touched, so it runs in Node.
 *
 * | `MULAYER_SPLIT` | layers | all others |
 * | --- | --- | --- |
 * | cpu, 1 | CPU | CPU |
 * | gpu, 0 | GPU where it can | GPU where it can |
 * | p | both: channels [0, p·C) on the CPU | keep the slices of their input, else CPU |
 * | layer | GPU from LAYER_MACS on, else CPU | where their input is |
 * | bands | stretches of both, or of one (`bands.ts`) by their work | the same |
 * | auto | cpu, gpu, or both by what these took (`trial.ts`) where there is a real GPU; else cpu | |
 */
import type { Split } from '../flags.js';
import type { Node, Use } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import type { Placement } from './plan.js';

/** The CPU's int8 tile is this many output channels wide. */
const TILE = 8;

/**
 * Multiply-accumulates from which a layer is worth a GPU's launch and exchange: 20 M take the CPU
 * 0.2 ms in int8, as long as one small blocking read-back.
 */
export const LAYER_MACS = 20e6;

export interface Device {
  /** Whether the GPU can run this node at all. */
  gpuCan(node: Node, index: number): boolean;
}

const CPU: Placement = { where: 'cpu' };
const GPU: Placement = { where: 'gpu' };

/** By the times of the runs so far (`bands.ts`), for the first, second, ... time. */
export interface Planned {
  readonly round: number;
}

/** A split with a rule of its own; `auto` and `bands` are resolved to one of them first. */
export type Rule = Exclude<Split, 'auto' | 'bands'> | Planned;

/** A rule that goes from node to node. */
export type NodeRule = Exclude<Rule, Planned>;

export function partition(nodes: readonly Node[], rule: NodeRule, device: Device): Placement[] {
  const placed = new Map<Value, Placement>();
  return nodes.map((node, index) => {
    const source = placed.get(largest(node).value);
    const wanted = place(node, rule, source);
    // Asked only where it matters: the first time costs the GPU's self-test.
    const placement = wanted.where === 'cpu' || device.gpuCan(node, index) ? wanted : CPU;
    for (const value of node.outputs) placed.set(value, placement);
    return placement;
  });
}

/** @param source where the node's largest input was computed; undefined: given from outside. */
function place(node: Node, rule: NodeRule, source: Placement | undefined): Placement {
  if (rule === 'cpu' || rule === 1) return CPU;
  if (rule === 'gpu' || rule === 0) return GPU;
  const { kind } = node.kernel;
  if (rule === 'layer') {
    if (kind !== 'layer') return source ?? CPU;
    return (node.kernel.macs?.(node) ?? 0) >= LAYER_MACS ? GPU : CPU;
  }
  if (kind === 'layer') return cutAt(node, rule, source);
  if (source?.where === 'cpu' || (kind === 'mover' && !source)) return CPU;
  return cutAt(node, rule, source);
}

/** A split at the cut of the input where the node goes channel by channel, else at p. */
function cutAt(node: Node, p: number, source: Placement | undefined): Placement {
  const channels = node.outputs[0].shape.at(-1) ?? 1;
  const perInputChannel = channels / (largest(node).shape.at(-1) ?? 1);
  const cut =
    node.kernel.kind === 'channelwise' && source?.where === 'split'
      ? source.cut * perInputChannel
      : roundCut(channels, p, node.kernel.grain?.(node) ?? 1);
  if (!Number.isInteger(cut) || cut <= 0 || cut >= channels || !node.kernel.slice?.(node, 0, cut))
    return CPU;
  return { where: 'split', cut };
}

/** All multiply-accumulates of a graph. */
export function totalMacs(nodes: readonly Node[]): number {
  return nodes.reduce((sum, node) => sum + (node.kernel.macs?.(node) ?? 0), 0);
}

/** p of the channels, in whole tiles where there are enough of them; 0 when there is no cut. */
export function roundCut(channels: number, p: number, grain: number): number {
  const tile = TILE % grain === 0 ? TILE : grain * TILE;
  const unit = channels >= 2 * tile ? tile : grain;
  if (channels < 2 * unit) return 0;
  const cut = Math.round((p * channels) / unit) * unit;
  const most = Math.ceil(channels / unit - 1) * unit;
  return Math.min(Math.max(cut, unit), most);
}

/** The use of the largest input that is not the weights. */
function largest(node: Node): Use {
  const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
  const uses = Object.entries(node.inputs).filter(([name]) => name !== node.kernel.weights);
  const all = (uses.length ? uses : Object.entries(node.inputs)).map(([, use]) => use);
  return all.reduce((a, b) => (size(b.shape) > size(a.shape) ? b : a));
}
