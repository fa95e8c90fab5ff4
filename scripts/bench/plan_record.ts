/**
 * Records the graph of a real net as the planner sees it: one inference after the other until all that
 * can be fused is, and of the last the steps that are placed, as the JSON of `test/plan/nets.ts`.
 */
import * as tf from '@tensorflow/tfjs-core';

import type { Value } from '../../src/graph/value.js';
import '../../src/index.js';
import type { Step } from '../../src/run/fuser.js';
import type { Recorded } from '../../test/plan/nets.js';
import { NETS } from '../../test/models/nets.js';

/** What is private in the backend. */
interface Insides {
  executor: { fuser: { steps: (...args: unknown[]) => Step[] } };
}

/** @param base URL of the models. */
export async function record(name: 'centernet' | 'inception', base: string): Promise<Recorded> {
  await tf.setBackend('mulayer');
  tf.env().set('MULAYER_SPLIT', 'cpu');
  const { fuser } = (tf.backend() as unknown as Insides).executor;
  const original = fuser.steps.bind(fuser);
  let recorded: Recorded | undefined;
  fuser.steps = (...args) => {
    const steps = original(...args);
    const one = recordOf(steps);
    // Not what the preparation of its input or its weights records.
    if (one.nodes.length > 50) recorded = one;
    return steps;
  };
  const net = await NETS[name].load(base);
  const input = tf.zeros<tf.Rank.R4>(NETS[name].inputShape(0, 0));
  for (let i = 0; i < 3; i++) {
    const outputs = net.run(input);
    for (const output of outputs) {
      await output.data();
      output.dispose();
    }
  }
  return recorded!;
}

function recordOf(steps: readonly Step[]): Recorded {
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
