/**
 * Plans both processors at once: which stretches of a graph run on the CPU, on the GPU, as chains of bands
 * on both (`passes/bands.ts`), or layer by layer with a part of the channels on each, and in which shares.
 * Dynamic programming over the boundaries, where all that is still to be read is one value:
 *
 *     boundary   0 ────────── 1 ── 2 ──────────────── 3 ─────────── 4 ─── 5
 *                 chain, 5/16   CPU   chain, 6/16       channels, 3/8   GPU
 *
 * Its state is where that value lies. A stretch on both takes as long as the slower side, its halo
 * included; in between, numbers travel. Each (end, share) of chains costs one walk from the end to the
 * start, which prices all chains that end there.
 */
import type { Node } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import type { Cut } from '../passes/bands.js';
import { Chain, lastReaders } from '../passes/bands.js';
import { roundCut } from './partition.js';
import type { Placement } from './plan.js';

/** What things take, all in the same unit of time. */
export interface Prices {
  /** Of so much of a node, 1 being all of it: of its rows or images, or of its channels. */
  cpu(index: number, share: number): number;
  gpu(index: number, share: number, of: 'rows' | 'channels'): number;
  /** The CPU's for submitting a node to the GPU. */
  readonly issue: number;
  /** Of so many numbers. */
  upload(numbers: number): number;
  readBack(numbers: number): number;
}

export interface Banded {
  readonly placements: readonly Placement[];
  readonly time: number;
}

/** Shares that are tried: 1/16 to 15/16. */
const STEPS = 16;

/** Nodes of a chain: a halo has eaten what a longer one could gain, and walks have an end. */
const LONGEST = 128;

/** Shares of channels that are tried: 1/8 to 7/8. */
const PARTS = 8;

/** Boundaries that chains may end at; of more, those with the fewest numbers. */
const MOST_ENDS = 24;

const CPU: Placement = { where: 'cpu' };
const GPU: Placement = { where: 'gpu' };

/** Cut, with this share on the CPU; of channels at this one, of which no more than the value's own. */
interface Sliced {
  readonly share: number;
  readonly channel?: number;
}

/** Where the value at a boundary lies. */
type Where = 'cpu' | 'gpu' | Sliced;

interface State {
  readonly where: Where;
  readonly time: number;
  readonly before: State | undefined;
  /** Of the nodes since the boundary before. */
  readonly placements: readonly Placement[];
}

/** @param gpuCan whether the GPU can run a node. */
export function planBands(
  nodes: readonly Node[],
  prices: Prices,
  gpuCan: (index: number) => boolean,
): Banded {
  const last = lastReaders(nodes);
  const can = nodes.map((_, i) => gpuCan(i));
  const boundaries = boundariesOf(nodes, last);
  const chains = chainsOf(nodes, last, boundaries, prices, can);
  const states: State[][] = boundaries.map(() => []);
  states[0] = [{ where: 'cpu', time: 0, before: undefined, placements: [] }];
  boundaries.forEach(({ at, numbers }, b) => {
    if (b + 1 === boundaries.length) return;
    const next = boundaries[b + 1].at;
    const stretch = nodes.slice(at, next).map((_, i) => at + i);
    const onCpu = sum(stretch, i => prices.cpu(i, 1));
    const onGpu = stretch.every(i => can[i])
      ? sum(stretch, i => Math.max(prices.gpu(i, 1, 'rows'), prices.issue))
      : Infinity;
    for (const state of states[b]) {
      const go = (to: number, where: Where, time: number, placements: Placement[]) =>
        enter(states[to], { where, time: state.time + time, before: state, placements });
      const toCpu = arrival(state.where, numbers, 'cpu', prices);
      const toGpu = arrival(state.where, numbers, 'gpu', prices);
      go(
        b + 1,
        'cpu',
        toCpu + onCpu,
        stretch.map(() => CPU),
      );
      if (onGpu < Infinity)
        go(
          b + 1,
          'gpu',
          toGpu + onGpu,
          stretch.map(() => GPU),
        );
      for (const { to, share, cpu, gpu, placements } of chains.get(b) ?? []) {
        // Where nothing is sliced, each side is sent only what it reads.
        const isWhole = typeof state.where === 'string';
        const cpuAt = toCpu * (isWhole ? share : 1);
        const gpuAt = cpuAt + toGpu * (isWhole ? 1 - share : 1);
        go(to, { share }, Math.max(cpuAt + cpu, gpuAt + gpu), placements);
      }
      if (stretch.length > 1 || !can[at]) continue;
      for (const channel of channelsOf(nodes[at], state.where)) {
        const share = channel / nodes[at].outputs[0].shape.at(-1)!;
        const isKept = nodes[at].kernel.kind === 'channelwise';
        const cpuAt = isKept ? 0 : toCpu;
        const cpu = cpuAt + prices.cpu(at, share) + prices.issue;
        const gpu = Math.max(prices.gpu(at, 1 - share, 'channels'), prices.issue);
        const time = Math.max(cpu, cpuAt + (isKept ? 0 : toGpu) + gpu);
        go(b + 1, { share, channel }, time, [{ where: 'split', cut: channel }]);
      }
    }
  });
  const ends = states.at(-1)!.map(state => ({
    state,
    time: state.time + arrival(state.where, boundaries.at(-1)!.numbers, 'cpu', prices),
  }));
  const best = ends.reduce((a, b) => (b.time < a.time ? b : a));
  return { placements: placementsTo(best.state), time: best.time };
}

/** What it takes to have a value on a processor. */
function arrival(where: Where, numbers: number, on: 'cpu' | 'gpu', prices: Prices): number {
  if (where === on) return 0;
  const onCpu = typeof where === 'object' ? where.share : Number(where === 'cpu');
  return on === 'cpu' ? prices.readBack((1 - onCpu) * numbers) : prices.upload(onCpu * numbers);
}

/** The channels at which a layer may be cut; of what goes channel by channel, the one where its input is. */
function channelsOf(node: Node, where: Where): number[] {
  const { kernel, outputs } = node;
  const channels = outputs[0].shape.at(-1) ?? 1;
  const canCut = (cut: number) => cut > 0 && cut < channels && !!kernel.slice?.(node, 0, cut);
  if (kernel.kind === 'channelwise') {
    const before = typeof where === 'object' ? (where.channel ?? 0) : 0;
    const x = Object.values(node.inputs)[0].shape.at(-1);
    return x === channels && canCut(before) ? [before] : [];
  }
  if (kernel.kind !== 'layer') return [];
  const cuts = Array.from({ length: PARTS - 1 }, (_, i) =>
    roundCut(channels, (i + 1) / PARTS, kernel.grain?.(node) ?? 1),
  );
  return [...new Set(cuts)].filter(canCut);
}

/** Of states with the value in the same place, the earlier; of those that are sliced alike, too. */
function enter(states: State[], state: State): void {
  const kind = ({ where }: State) =>
    typeof where === 'string' ? where : where.channel === undefined ? 'rows' : 'channels';
  const at = states.findIndex(other => kind(other) === kind(state));
  if (at < 0) states.push(state);
  else if (state.time < states[at].time) states[at] = state;
}

function placementsTo(state: State): Placement[] {
  const all: (readonly Placement[])[] = [];
  for (let at: State | undefined = state; at; at = at.before) all.push(at.placements);
  return all.reverse().flat();
}

interface Boundary {
  /** Index of the node it is before. */
  readonly at: number;
  /** Of the value at it. */
  readonly numbers: number;
}

/** The beginning, the end, and where between two nodes one value alone is still to be read. */
function boundariesOf(nodes: readonly Node[], last: ReadonlyMap<Value, number>): Boundary[] {
  const boundaries: Boundary[] = [];
  const live = new Set<Value>();
  const sizeOf = ({ shape }: Value) => shape.reduce((a, b) => a * b, 1);
  nodes.forEach(({ kernel, inputs, outputs }, i) => {
    if (i === 0) {
      const uses = Object.entries(inputs).filter(([name]) => name !== kernel.weights);
      const values = uses.map(([, { value }]) => value);
      const x = values.reduce((a, b) => (sizeOf(b) > sizeOf(a) ? b : a));
      live.add(x);
      boundaries.push({ at: 0, numbers: sizeOf(x) });
    }
    for (const { value } of Object.values(inputs)) if (last.get(value) === i) live.delete(value);
    for (const value of outputs) live.add(value);
    const isLast = i + 1 === nodes.length;
    if (isLast || live.size === 1) {
      const numbers = [...live].reduce((all, value) => all + sizeOf(value), 0);
      boundaries.push({ at: i + 1, numbers });
    }
  });
  return boundaries;
}

interface PricedChain {
  /** Boundary. */
  readonly to: number;
  readonly share: number;
  /** Times of both sides. */
  readonly cpu: number;
  readonly gpu: number;
  readonly placements: Placement[];
}

/** The chains that begin at each boundary. */
function chainsOf(
  nodes: readonly Node[],
  last: ReadonlyMap<Value, number>,
  boundaries: readonly Boundary[],
  prices: Prices,
  can: readonly boolean[],
): ReadonlyMap<number, PricedChain[]> {
  const chains = new Map<number, PricedChain[]>();
  const starts = new Map(boundaries.map(({ at }, b) => [at, b]));
  const byNumbers = boundaries.map((_, b) => b).slice(1);
  byNumbers.sort((a, b) => boundaries[a].numbers - boundaries[b].numbers);
  for (const to of byNumbers.slice(0, MOST_ENDS)) {
    for (const axis of [0, 1] as const) {
      for (let step = 1; step < STEPS; step++) {
        const share = step / STEPS;
        const end = boundaries[to].at;
        const chain = new Chain(nodes, last, end, axis, share);
        const cuts: Cut[] = [];
        let [cpu, gpu] = [0, 0];
        for (let index = end - 1; index >= Math.max(0, end - LONGEST); index--) {
          const cut = can[index] ? chain.add(index) : undefined;
          if (!cut) break;
          cuts.unshift(cut);
          const length = nodes[index].outputs[0].shape[axis];
          cpu += prices.cpu(index, cut.cut / length) + prices.issue;
          gpu += Math.max(prices.gpu(index, 1 - cut.from / length, 'rows'), prices.issue);
          const from = starts.get(index);
          if (from === undefined) continue;
          const placements = cuts.map((one): Placement => ({ where: 'split', axis, ...one }));
          const all = chains.get(from) ?? [];
          all.push({ to, share, cpu, gpu, placements });
          chains.set(from, all);
        }
      }
    }
  }
  return chains;
}

const sum = (indices: readonly number[], of: (index: number) => number): number =>
  indices.reduce((all, i) => all + of(i), 0);
