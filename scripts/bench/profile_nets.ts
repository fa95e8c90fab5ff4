/**
 * What the layers of whole nets take on the CPU: medians of many inferences, with the steps they
 * belong to. A net runs with every number of threads and in every arithmetic in turn, so that all see
 * the same machine.
 */
import * as tf from '@tensorflow/tfjs-core';

import '@tensorflow/tfjs-core/dist/public/chained_ops/register_all_chained_ops';
import type { LayerReport } from '../../src/index.js';
import { explain } from '../../src/index.js';
import type { Step } from '../../src/run/fuser.js';
import { NETS } from '../../test/models/nets.js';
import type { Recorded } from '../../test/plan/nets.js';
import { TfjsNet } from './nets_tfjs.js';
import { hearSteps, recordOf } from './recorded.js';
import { inputOf, topology, type TopologyName } from './topologies.js';

export type MeasuredNet = TopologyName | 'centernet';

/** A net in one arithmetic on so many threads. */
export interface NetTimes {
  readonly net: MeasuredNet;
  readonly threads: number;
  readonly precision: 'int8' | 'float32';
  readonly recorded: Recorded;
  /** One for each node of it, `ms` the median. */
  readonly rows: readonly LayerReport[];
  /** Milliseconds of an inference, the median. */
  readonly ms: number;
}

/** Int8 first: weights that have come in float32 alone are not yet constant (`plan.layers`). */
const PRECISIONS = ['int8', 'float32'] as const;

/** Inferences before those that count: observed, packed, recorded on a tape. */
const WARM_UPS = 8;
const ROUNDS = 3;

let heard: readonly Step[] = [];
let isHearing = false;

/** A net that computes all of its outputs in one call. */
interface Opened {
  readonly infer: () => void;
  readonly close: () => void;
}

async function opened(net: MeasuredNet, models: string): Promise<Opened> {
  if (net !== 'centernet') {
    const model = new TfjsNet(topology(net));
    const x = tf.tensor4d(inputOf(model.topology), [1, ...model.topology.layers[0].shape]);
    return {
      infer() {
        const y = model.run(x);
        y.dataSync();
        y.dispose();
      },
      close() {
        model.dispose();
        x.dispose();
      },
    };
  }
  const model = await NETS.centernet.load(models);
  const x = tf.randomUniform<tf.Rank.R4>(NETS.centernet.inputShape(0, 0), 0, 255, 'float32', 7);
  await x.data();
  return {
    infer() {
      const outputs = model.run(x);
      for (const output of outputs) output.dataSync();
      tf.dispose(outputs);
    },
    close() {
      model.dispose();
      x.dispose();
    },
  };
}

/**
 * @param models URL under which `.models/` is served.
 * @param runs inferences of each kind.
 */
export async function measureNet(
  net: MeasuredNet,
  threads: readonly number[],
  models: string,
  runs: number,
): Promise<NetTimes[]> {
  tf.env().set('MULAYER_SPLIT', 'cpu');
  if (!isHearing) hearSteps(steps => (heard = steps));
  isHearing = true;
  const { infer, close } = await opened(net, models);
  const all = threads.flatMap(count =>
    PRECISIONS.map(precision => ({
      ...{ threads: count, precision, ms: [] as number[], rows: [] as LayerReport[][] },
      recorded: undefined as Recorded | undefined,
    })),
  );
  for (let round = 0; round < ROUNDS; round++) {
    for (const one of all) {
      await useThreads(one.threads);
      tf.env().set('MULAYER_PRECISION', one.precision);
      for (let i = 0; i < WARM_UPS; i++) infer();
      for (let i = 0; i < runs / ROUNDS; i++) {
        infer();
        const { layers, ms } = explain();
        if (layers.length !== heard.length) continue;
        one.rows.push(layers);
        one.ms.push(ms);
        one.recorded ??= recordOf(heard);
        // Lets the browser clean up.
        await rest(0);
      }
    }
  }
  close();
  return all.map(({ recorded, rows, ms, ...one }) => ({
    ...{ ...one, net, recorded: recorded!, ms: median(ms) },
    rows: rows.at(-1)!.map((row, i) => ({ ...row, ms: median(rows.map(run => run[i].ms)) })),
  }));
}

/** So many threads at work: workers start when there is something for them, and report in a turn. */
export async function useThreads(count: number): Promise<void> {
  tf.env().set('MULAYER_THREADS', count);
  const x = tf.zeros<tf.Rank.R4>([1, 64, 64, 32]);
  const filter = tf.zeros<tf.Rank.R4>([3, 3, 32, 32]);
  for (let i = 0; i < 50; i++) {
    const y = tf.conv2d(x, filter, 1, 'same');
    await y.data();
    y.dispose();
    if ((tf.memory() as unknown as { mulayerThreads: number }).mulayerThreads >= count) break;
    await rest(20);
  }
  tf.dispose([x, filter]);
}

const rest = (ms: number) => new Promise(resolve => setTimeout(resolve, ms));

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}
