/**
 * The page of `scripts/bench/coop.mjs`: nets on mulayer, all on the CPU, all on the GPU, in bands and as
 * `auto` chooses, with so many threads, and on tfjs-webgl and tfjs-wasm; all in turn on one page.
 *
 * A time is from the call to the numbers. `auto` has as many inferences before as its trials take.
 *
 * `bench.run(plan)` is called by the script; or the result is POSTed to /result, for a browser that
 * nobody drives: `coop.html?nets=vgg16&threads=4,8&sizes=224&batches=1,4&rounds=5&splits=cpu,gpu,auto`.
 */
import '@tensorflow/tfjs-backend-webgl';
import * as tf from '@tensorflow/tfjs-core';

import { type Tried, explain } from '../../src/index.js';
import '../../test/models/tfjs_wasm.js';
import { TfjsNet } from './nets_tfjs.js';
import { inputOf, topology, type TopologyName } from './topologies.js';

interface Plan {
  nets: TopologyName[];
  threads: number[];
  /** Rows and columns of the input; 0: the net's own. */
  sizes: number[];
  batches: number[];
  rounds: number;
  /** Inferences of a turn. */
  turn: number;
  /** Of mulayer: values of MULAYER_SPLIT; others are backends of tfjs. */
  splits: string[];
  precision: string;
  /** Called before what is timed. */
  onWarm?: () => void;
}

interface Row {
  net: string;
  size: number;
  batch: number;
  threads: number;
  split: string;
  /** Milliseconds: the median, and the quickest. */
  ms: number;
  least: number;
  /** The greatest difference to all on the CPU, over the greatest number. */
  error: number;
  /** Of the last inference: layers on the CPU, on both, on the GPU; what travelled. */
  layers?: [number, number, number];
  readbacks?: number;
  bytes?: number;
  /** Of the layers that took longest: name, shape, place, milliseconds. */
  longest?: string[];
  /** What `auto` has tried. */
  tried?: Tried[];
}

/** Inferences before any is timed. */
const WARM = { auto: 30, other: 4 };
const PEERS = ['webgl', 'wasm'];

const median = (numbers: number[]) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];

/** One inference: milliseconds and the result. */
async function infer(net: TfjsNet, numbers: Float32Array, shape: [number, number, number, number]) {
  const x = tf.tensor4d(numbers, shape);
  const start = performance.now();
  const y = net.run(x);
  const result = await y.data<'float32'>();
  const ms = performance.now() - start;
  tf.dispose([x, y]);
  return { ms, result };
}

async function compare(
  name: TopologyName,
  size: number,
  batch: number,
  { threads, splits, rounds, turn, precision, onWarm }: Plan,
  report: (row: Row) => void,
): Promise<void> {
  const net = topology(name, size || undefined);
  const [h, w, c] = net.layers[0].shape;
  const shape: [number, number, number, number] = [batch, h, w, c];
  const numbers = new Float32Array(batch * h * w * c);
  for (let i = 0; i < batch; i++) numbers.set(inputOf(net, i), i * h * w * c);
  const nets = new Map<string, TfjsNet>();
  const use = async (split: string, count: number) => {
    const backend = PEERS.includes(split) ? split : 'mulayer';
    await tf.setBackend(backend);
    if (backend === 'mulayer') {
      tf.env().set('MULAYER_SPLIT', Number(split) || split);
      tf.env().set('MULAYER_PRECISION', precision);
      tf.env().set('MULAYER_THREADS', count);
    }
    const made = nets.get(backend) ?? new TfjsNet(net);
    nets.set(backend, made);
    return made;
  };
  for (const count of threads) {
    const all: { split: string; times: number[]; error: number; row?: Partial<Row> }[] = [];
    let wanted: Float32Array | undefined;
    for (const split of splits) {
      const made = await use(split, count);
      const warm = split === 'auto' ? WARM.auto : WARM.other;
      let result: Float32Array = new Float32Array();
      for (let i = 0; i < warm; i++) ({ result } = await infer(made, numbers, shape));
      const largest = (values: Float32Array) =>
        values.reduce((a, v) => Math.max(a, Math.abs(v)), 0);
      wanted ??= result;
      const error = largest(result.map((v, i) => v - wanted![i])) / largest(wanted);
      all.push({ split, times: [], error });
    }
    onWarm?.();
    for (let round = 0; round < rounds; round++) {
      for (const one of all) {
        const made = await use(one.split, count);
        for (let i = 0; i < turn; i++) one.times.push((await infer(made, numbers, shape)).ms);
        if (PEERS.includes(one.split)) continue;
        const { layers, tried } = explain();
        const at = (where: string) => layers.filter(layer => layer.where === where).length;
        one.row = {
          layers: [at('cpu'), at('split'), at('gpu')],
          readbacks: layers.reduce((sum, { readbacks }) => sum + readbacks, 0),
          bytes: layers.reduce((sum, row) => sum + row.bytesFromGpu + row.bytesToGpu, 0),
          ...(one.split === 'auto' && { tried }),
          longest: [...layers]
            .sort((a, b) => b.ms - a.ms)
            .slice(0, 8)
            .map(({ op, shape, where, ms }) => `${op} ${shape.join()} ${where} ${ms.toFixed(2)}`),
        };
      }
    }
    for (const { split, times, error, row } of all) {
      report({
        ...{ net: name, size: h, batch, threads: count, split, error },
        ...{ ms: median(times), least: Math.min(...times), ...row },
      });
    }
  }
  for (const [backend, made] of nets) {
    await tf.setBackend(backend);
    made.dispose();
  }
}

async function run(plan: Plan, report: (rows: Row[]) => void): Promise<Row[]> {
  const rows: Row[] = [];
  for (const net of plan.nets) {
    for (const size of plan.sizes) {
      for (const batch of plan.batches) {
        await compare(net, size, batch, plan, row => rows.push(row));
        report(rows);
      }
    }
  }
  return rows;
}

const post = (body: unknown) => fetch('/result', { method: 'POST', body: JSON.stringify(body) });

const query = new URLSearchParams(location.search);
if (query.has('nets')) {
  const list = (name: string, initial: string) => (query.get(name) ?? initial).split(',');
  const plan: Plan = {
    nets: list('nets', '') as TopologyName[],
    threads: list('threads', '1').map(Number),
    sizes: list('sizes', '0').map(Number),
    batches: list('batches', '1').map(Number),
    rounds: Number(query.get('rounds') ?? 5),
    turn: Number(query.get('turn') ?? 3),
    splits: list('splits', 'cpu,gpu,auto'),
    precision: query.get('precision') ?? 'int8',
  };
  run(plan, rows => void post({ rows })).then(
    rows => post({ rows, done: true }),
    (error: unknown) => post({ fatal: String((error as Error)?.stack ?? error) }),
  );
}

export type CoopRow = Row;
(globalThis as { bench?: unknown }).bench = { run: (plan: Plan) => run(plan, () => undefined) };
