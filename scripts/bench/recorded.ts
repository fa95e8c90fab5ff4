/** The steps of a run as the planner sees them, as the JSON of `test/plan/nets.ts`. */
import * as tf from '@tensorflow/tfjs-core';

import type { Value } from '../../src/graph/value.js';
import type { Step } from '../../src/run/fuser.js';
import type { Recorded } from '../../test/plan/nets.js';

/** What is private in the backend. */
interface Insides {
  executor: { placer: { fuser: { steps: (...args: unknown[]) => Step[] } } };
}

/** Calls `hear` with the steps of each run from now on. */
export function hearSteps(hear: (steps: readonly Step[]) => void): void {
  const { fuser } = (tf.backend() as unknown as Insides).executor.placer;
  const original = fuser.steps.bind(fuser);
  fuser.steps = (...args) => {
    const steps = original(...args);
    hear(steps);
    return steps;
  };
}

export function recordOf(steps: readonly Step[]): Recorded {
  const numbers = new Map<Value, number>();
  const numberOf = (value: Value) => {
    if (!numbers.has(value)) numbers.set(value, numbers.size);
    return numbers.get(value)!;
  };
  const nodes = steps.map(({ node }) => ({
    op: node.kernel.name,
    inputs: Object.fromEntries(
      Object.entries(node.inputs).map(([name, { value, shape }]) => [
        name,
        [numberOf(value), shape] as const,
      ]),
    ),
    attributes: node.attributes,
    outputs: node.outputs.map(value => [numberOf(value), value.shape, value.dtype] as const),
  }));
  const produced = steps.flatMap(({ node }) => node.outputs);
  return { nodes, held: produced.filter(({ refs }) => refs > 0).map(numberOf) };
}
