/**
 * The oracle of the search: every way to place a few nodes, shares in steps of 1/16, by the same
 * simulator. A branch is left where its clocks already say no.
 */
import type { Node } from '../../src/graph/graph.js';
import type { Value } from '../../src/graph/value.js';
import { roundCut } from '../../src/plan/partition.js';
import type { Circumstances, Cut, State } from '../../src/plan/schedule.js';
import {
  advance,
  ALL_ON_CPU,
  ALL_ON_GPU,
  begin,
  finish,
  jobOf,
  MS,
} from '../../src/plan/schedule.js';

/** Milliseconds of the best. */
export function exhaustive(nodes: readonly Node[], circumstances: Circumstances): number {
  const job = jobOf(nodes, circumstances);
  const choices = nodes.map(cutsOf);
  let best = Infinity;
  const go = (state: State, index: number) => {
    if (index === nodes.length) {
      best = Math.min(best, finish(job, state));
      return;
    }
    for (const cut of choices[index]) {
      const next = advance(job, state, index, cut, false);
      if (next && Math.max(next.cpu, next.gpu) < best) go(next, index + 1);
    }
  };
  go(begin(job), 0);
  return best * MS;
}

function cutsOf(node: Node): Cut[] {
  const channels = node.outputs[0].shape.at(-1) ?? 1;
  const grain = node.kernel.grain?.(node) ?? 1;
  const shares = Array.from({ length: 15 }, (_, i) => roundCut(channels, (i + 1) / 16, grain));
  return [...new Set([ALL_ON_CPU, ALL_ON_GPU, ...shares.filter(cut => cut > 0)])];
}

/** Some nodes of a graph as a graph of their own. */
export interface Part {
  readonly nodes: readonly Node[];
  readonly isConstant: (value: Value) => boolean;
  /** Two parts with the same text are the same. */
  readonly text: string;
}

/**
 * Calls with nodes [from, to) as a graph of their own, of which all is a result that others read.
 */
export function withPart<T>(
  all: readonly Node[],
  from: number,
  to: number,
  use: (part: Part) => T,
): T {
  const nodes = all.slice(from, to);
  const inside = new Set(nodes);
  const readOutside = new Set(
    all
      .filter(node => !inside.has(node))
      .flatMap(({ inputs }) => Object.values(inputs).map(({ value }) => value)),
  );
  const held = nodes
    .flatMap(({ outputs }) => outputs)
    .filter(value => value.refs === 0 && readOutside.has(value));
  const computed = new Set(all.flatMap(({ outputs }) => outputs));
  const isFirst = (value: Value) => Object.values(all[0].inputs)[0].value === value;
  const isConstant = (value: Value) => !computed.has(value) && !isFirst(value);
  const numbers = new Map<Value, number>();
  const numberOf = (value: Value) => {
    if (!numbers.has(value)) numbers.set(value, numbers.size);
    return numbers.get(value)!;
  };
  for (const value of held) value.refs = 1;
  const text = JSON.stringify(
    nodes.map(({ kernel, inputs, attributes, outputs }) => [
      kernel.name,
      attributes,
      ...Object.values(inputs).map(({ value, shape }) => [numberOf(value), shape]),
      ...outputs.map(value => [numberOf(value), value.shape, value.refs]),
    ]),
  );
  try {
    return use({ nodes, isConstant, text });
  } finally {
    for (const value of held) value.refs = 0;
  }
}
