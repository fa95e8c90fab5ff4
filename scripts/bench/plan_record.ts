/**
 * Records the graph of a real net as the planner sees it: one inference after the other until all that
 * can be fused is, and of the last the steps that are placed, as the JSON of `test/plan/nets.ts`.
 */
import * as tf from '@tensorflow/tfjs-core';

import '../../src/index.js';
import { NETS } from '../../test/models/nets.js';
import type { Recorded } from '../../test/plan/nets.js';
import { hearSteps, recordOf } from './recorded.js';

/** @param base URL of the models. */
export async function record(name: 'centernet' | 'inception', base: string): Promise<Recorded> {
  await tf.setBackend('mulayer');
  tf.env().set('MULAYER_SPLIT', 'cpu');
  let recorded: Recorded | undefined;
  hearSteps(steps => {
    // Not what the preparation of its input or its weights records.
    if (steps.length > 50) recorded = recordOf(steps);
  });
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
