/**
 * Plans bands (`passes/bands.ts`): which stretches of a graph run on the CPU, on the GPU, or as chains on
 * both, and in which shares. Dynamic programming over the boundaries, where all that is still to be read
 * is one value:
 *
 *     boundary   0 ────────── 1 ── 2 ──────────────── 3 ─── 4
 *                 chain, 5/16   CPU   chain, 6/16       GPU
 *
 * Its state is where that value lies. A chain takes as long as the slower of its two sides, its halo
 * included; in between, numbers travel. Each (end, share) costs one walk from the end to the start,
 * which prices all chains that end there.
 */
import type { Node } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import type { Cut } from '../passes/bands.js';
import { Chain, lastReaders } from '../passes/bands.js';
import type { Placement } from './plan.js';

/** What things take, all in the same unit of time. */
export interface Prices {
  /** Of whole nodes. */
  cpu(index: number): number;
  gpu(index: number): number;
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

/** Boundaries that chains may end at; of more, those with the fewest numbers. */
const MOST_ENDS = 24;

const CPU: Placement = { where: 'cpu' };
const GPU: Placement = { where: 'gpu' };

/** Where the value at a boundary lies; a number: sliced, with this share on the CPU. */
type Where = 'cpu' | 'gpu' | number;

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
    const onCpu = sum(stretch, prices.cpu);
    const onGpu = stretch.every(i => can[i])
      ? sum(stretch, i => Math.max(prices.gpu(i), prices.issue))
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
        go(to, share, Math.max(cpuAt + cpu, gpuAt + gpu), placements);
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
  const isSliced = typeof where === 'number';
  if (on === 'cpu') return prices.readBack(isSliced ? (1 - where) * numbers : numbers);
  return prices.upload(isSliced ? where * numbers : numbers);
}

/** Of states with the value in the same place, the earlier; of those that are sliced, too. */
function enter(states: State[], state: State): void {
  const key = ({ where }: State) => (typeof where === 'number' ? 'sliced' : where);
  const at = states.findIndex(other => key(other) === key(state));
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
        for (let index = end - 1; index >= 0; index--) {
          const cut = can[index] ? chain.add(index) : undefined;
          if (!cut) break;
          cuts.unshift(cut);
          const length = nodes[index].outputs[0].shape[axis];
          cpu += (prices.cpu(index) * cut.cut) / length + prices.issue;
          gpu += Math.max((prices.gpu(index) * (length - cut.from)) / length, prices.issue);
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
