/**
 * What the layers of whole nets take on the CPU: medians of many inferences, with the steps they
 * belong to. Each net runs with every number of threads and in every arithmetic in turn, so that all
 * see the same machine.
 */
import * as tf from '@tensorflow/tfjs-core';

import '@tensorflow/tfjs-core/dist/public/chained_ops/register_all_chained_ops';
import { explain } from '../../src/index.js';
import type { LayerReport } from '../../src/index.js';
import type { Step } from '../../src/run/fuser.js';
import { NETS } from '../../test/models/nets.js';
import type { Recorded } from '../../test/plan/nets.js';
import { TfjsNet } from './nets_tfjs.js';
import { hearSteps, recordOf } from './recorded.js';
import { inputOf, topology, type TopologyName } from './topologies.js';

export type Precision = 'float32' | 'int8';
export type MeasuredNet = TopologyName | 'centernet';

/** A net in one arithmetic on so many threads. */
export interface NetTimes {
  readonly net: MeasuredNet;
  readonly threads: number;
  readonly precision: Precision;
  readonly recorded: Recorded;
  /** One for each node of it, `ms` the median. */
  readonly rows: readonly LayerReport[];
  /** Milliseconds of an inference, the median. */
  readonly ms: number;
}

/** Inferences before those that count: observed, packed, recorded on a tape. */
const WARM_UPS = 8;

let heard: readonly Step[] = [];
let isHearing = false;

async function opened(net: MeasuredNet, models: string): Promise<() => void> {
  if (net !== 'centernet') {
    const model = new TfjsNet(topology(net));
    const x = tf.tensor4d(inputOf(model.topology), [1, ...model.topology.layers[0].shape]);
    return () => {
      const y = model.run(x);
      y.dataSync();
      y.dispose();
    };
  }
  const model = await NETS.centernet.load(models);
  const x = tf.randomUniform<tf.Rank.R4>(NETS.centernet.inputShape(0, 0), 0, 255, 'float32', 7);
  await x.data();
  return () => {
    const outputs = model.run(x);
    for (const output of outputs) output.dataSync();
    tf.dispose(outputs);
  };
}

/**
 * @param models URL under which `.models/` is served.
 * @param runs inferences of each kind.
 */
export async function measureNet(
  net: MeasuredNet,
  threads: readonly number[],
  precisions: readonly Precision[],
  models: string,
  runs: number,
): Promise<NetTimes[]> {
  await tf.setBackend('mulayer');
  tf.env().set('MULAYER_SPLIT', 'cpu');
  if (!isHearing) hearSteps(steps => (heard = steps));
  isHearing = true;
  const infer = await opened(net, models);
  const all = threads.flatMap(count =>
    precisions.map(precision => ({ count, precision, recorded: undefined as Recorded | undefined, rows: [] as LayerReport[][], ms: [] as number[] })),
  );
  const rounds = Math.max(1, Math.round(runs / 10));
  for (let round = 0; round < rounds; round++) {
    for (const one of all) {
      tf.env().set('MULAYER_THREADS', one.count);
      tf.env().set('MULAYER_PRECISION', one.precision);
      for (let i = 0; i < WARM_UPS; i++) infer();
      for (let i = 0; i < runs / rounds; i++) {
        infer();
        const { layers, ms } = explain();
        if (layers.length !== heard.length) continue;
        one.rows.push(layers);
        one.ms.push(ms);
        one.recorded ??= recordOf(heard);
      }
    }
  }
  return all.map(({ count, precision, recorded, rows, ms }) => ({
    net,
    threads: count,
    precision,
    recorded: recorded!,
    rows: rows.at(-1)!.map((row, i) => ({ ...row, ms: median(rows.map(one => one[i].ms)), all: rows.map(one=>one[i].ms) })),
    ms: median(ms),
  }));
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}
