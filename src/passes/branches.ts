/**
 * Finds fork-join regions: branches that begin at one node, join at another, and have nothing to do with
 * each other between them, so that each can go whole to a processor of its own.
 *
 *              ┌─► conv ────────────┐
 *     fork ────┼─► conv ─► conv ────┼──► join          Inception; branches of one region
 *              └────────────────────┘                  a direct edge (residual): a branch of no nodes
 *
 * At a node with several inputs, the fork is its immediate dominator; what the fork strictly dominates
 * and the join strictly post-dominates lies between them, and falls into connected parts, the branches.
 * (Dominators by walking up to the nearest common one: Cooper, Harvey, Kennedy, "A Simple, Fast
 * Dominance Algorithm", 2001; in a graph without cycles one pass is enough.) Regions nest. The
 * outside of the graph is the fork of what begins at its inputs, and the join of several results.
 */
import type { Node } from '../graph/graph.js';
import type { Value } from '../graph/value.js';

export interface Region {
  /** Index of the node where the branches begin; -1: at the inputs of the graph. */
  readonly fork: number;
  /** Index of the node where they join; the number of nodes: they are results. */
  readonly join: number;
  /** Indices of each branch's nodes, ascending; empty for a direct edge. Two or more. */
  readonly branches: readonly (readonly number[])[];
}

/** Those that contain others come first. */
export function findRegions(nodes: readonly Node[]): Region[] {
  const { length } = nodes;
  if (length === 0) return [];
  const before = inputsOf(nodes);
  const after: number[][] = Array.from({ length: length + 1 }, () => []);
  before.forEach((all, i) => all.forEach(p => after[p + 1].push(i)));
  const isRead = after.slice(1).map(readers => readers.length > 0);
  const results = nodes.flatMap(({ outputs }, i) =>
    !isRead[i] || outputs.some(value => value.refs > 0) ? [i] : [],
  );
  before.push(results);
  for (const i of results) after[i + 1].push(length);

  // Vertices -1 .. length, as 0 .. length + 1.
  const down = dominators(before.map(all => all.map(p => p + 1)));
  const reversed = [...after].reverse().map(all => all.map(i => length - i));
  const up = dominators(reversed);
  const dominates = (a: number, b: number) => down.isAbove(a + 1, b + 1);
  const postDominates = (a: number, b: number) => up.isAbove(length - a, length - b);

  const regions: Region[] = [];
  before.forEach((inputs, join) => {
    if (inputs.length < 2) return;
    const fork = down.parents[join + 1] - 1;
    const between: number[] = [];
    for (let i = fork + 1; i < join; i++) {
      if (dominates(fork, i) && postDominates(join, i)) between.push(i);
    }
    const branches = connected(between, before);
    if (inputs.includes(fork)) branches.push([]);
    if (branches.filter(branch => branch.length > 0).length > 0 && branches.length > 1) {
      regions.push({ fork, join, branches });
    }
  });
  return regions.sort((a, b) => b.join - b.fork - (a.join - a.fork));
}

/** For each node the indices of those it reads, each once; -1 where it reads none of them. */
export function inputsOf(nodes: readonly Node[]): number[][] {
  const producers = new Map<Value, number>();
  return nodes.map((node, i) => {
    const inputs = Object.values(node.inputs).flatMap(({ value }) => producers.get(value) ?? []);
    for (const value of node.outputs) producers.set(value, i);
    return inputs.length > 0 ? [...new Set(inputs)] : [-1];
  });
}

/**
 * The dominator tree of vertices 0 .. n, 0 being the root and `before[v - 1]` those that vertex v
 * comes after.
 */
function dominators(before: readonly (readonly number[])[]) {
  const size = before.length + 1;
  const parents = new Int32Array(size);
  const children: number[][] = Array.from({ length: size }, () => []);
  for (let v = 1; v < size; v++) {
    // Vertices ascend from the root, so the greater of two can never be above the other.
    parents[v] = before[v - 1].reduce((a, b) => {
      while (a !== b) {
        if (a > b) a = parents[a];
        else b = parents[b];
      }
      return a;
    });
    children[parents[v]].push(v);
  }
  // Numbers of a walk around the tree: what is below a vertex lies between its two.
  const from = new Int32Array(size);
  const to = new Int32Array(size);
  const stack = [0];
  let clock = 0;
  for (let v = stack.at(-1); v !== undefined; v = stack.at(-1)) {
    const child = children[v].pop();
    from[v] ||= ++clock;
    if (child !== undefined) stack.push(child);
    else {
      to[v] = ++clock;
      stack.pop();
    }
  }
  const isAbove = (a: number, b: number) => a !== b && from[a] <= from[b] && to[b] <= to[a];
  return { parents, isAbove };
}

/** The connected parts of some nodes, ascending, in the order of their first nodes. */
function connected(some: readonly number[], before: readonly (readonly number[])[]): number[][] {
  const leaders = new Map<number, number>(some.map(i => [i, i]));
  const leaderOf = (i: number): number => {
    let leader = i;
    while (leaders.get(leader) !== leader) leader = leaders.get(leader)!;
    leaders.set(i, leader);
    return leader;
  };
  for (const i of some) {
    for (const input of before[i]) {
      if (!leaders.has(input)) continue;
      const [a, b] = [leaderOf(i), leaderOf(input)];
      leaders.set(Math.max(a, b), Math.min(a, b));
    }
  }
  const parts = new Map<number, number[]>();
  for (const i of some) {
    const leader = leaderOf(i);
    const part = parts.get(leader) ?? [];
    part.push(i);
    parts.set(leader, part);
  }
  return [...parts.values()];
}
