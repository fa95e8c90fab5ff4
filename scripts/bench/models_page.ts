/**
 * The page of `scripts/bench/models.mjs`: real nets on seeded noise, mulayer's settings against
 * tfjs's own backends, run in turn in one page so that all see the same machine.
 *
 * `bench.run(plan)` is called by the script; or the plan comes with the address (`?plan={...}`) and
 * the result is POSTed to /result, for a browser that nobody drives.
 */
import '@tensorflow/tfjs-backend-webgl';
import * as tf from '@tensorflow/tfjs-core';

import '@tensorflow/tfjs-core/dist/public/chained_ops/register_all_chained_ops';
import { explain } from '../../src/index.js';
import type { LoadedNet, NetName } from '../../test/models/nets.js';
import { NETS } from '../../test/models/nets.js';
import '../../test/models/tfjs_wasm.js';

export interface Plan {
  nets: NetName[];
  /** Rows and columns of the input, where the net takes any. */
  size: number;
  /** `wasm`, `webgl`, or `SPLIT/PRECISION/THREADS` for mulayer, such as `cpu/auto/1`. */
  settings: string[];
  rounds: number;
  /** Where `.models/` is served. */
  models: string;
  /** Rows of `explain()` wanted too. */
  layers?: boolean;
}

export interface Row {
  net: NetName;
  setting: string;
  /** Milliseconds from the call to the numbers: of the first inference, and the median after it. */
  first: number;
  median: number;
  /** Of the last inference. */
  readbacks: number;
  megabytesRead: number;
  int8Layers: number;
  nodes: number;
  layers?: unknown;
}

async function run(plan: Plan, report: (row: Row) => void): Promise<Row[]> {
  const rows: Row[] = [];
  for (const name of plan.nets) {
    const loaded = new Map<string, LoadedNet>();
    const times = new Map<string, number[]>();
    const last = new Map<string, ReturnType<typeof explain>>();
    for (let round = 0; round < plan.rounds; round++) {
      for (const setting of plan.settings) {
        const backend = await use(setting);
        let net = loaded.get(backend);
        if (!net) loaded.set(backend, (net = await NETS[name].load(plan.models)));
        const times_ = times.get(setting) ?? [];
        times.set(setting, times_);
        // Settings of mulayer share a backend: let each find its plan again before it is timed.
        const runs = round === 0 ? 4 : 3;
        for (let i = 0; i < runs; i++) {
          const ms = await inference(net, name, plan.size);
          if (i > 0 || round === 0) times_.push(ms);
          if (i === 0 && backend === 'mulayer') await workersStarted();
        }
        if (backend === 'mulayer') last.set(setting, explain());
      }
    }
    for (const setting of plan.settings) {
      const [first, , , ...rest] = times.get(setting)!;
      const layers = last.get(setting)?.layers ?? [];
      const sum = (f: (row: (typeof layers)[number]) => number) =>
        layers.reduce((s, row) => s + f(row), 0);
      const row: Row = {
        net: name,
        setting,
        first: first,
        median: median(rest),
        readbacks: sum(({ readbacks }) => readbacks),
        megabytesRead: sum(({ bytesFromGpu }) => bytesFromGpu) / 1e6,
        int8Layers: sum(({ precision }) => (precision === 'int8' ? 1 : 0)),
        nodes: layers.length,
        ...(plan.layers ? { layers } : {}),
      };
      rows.push(row);
      report(row);
    }
    for (const [backend, net] of loaded) {
      await tf.setBackend(backend);
      net.dispose();
    }
  }
  return rows;
}

// tfjs-wasm has one thread, and is to be compared with mulayer's one.
tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);

async function use(setting: string): Promise<string> {
  if (!setting.includes('/')) {
    await tf.setBackend(setting);
    return setting;
  }
  const [split, precision, threads] = setting.split('/') as [string, string, string?];
  await tf.setBackend('mulayer');
  tf.env().set('MULAYER_SPLIT', Number.isNaN(Number(split)) ? split : Number(split));
  tf.env().set('MULAYER_PRECISION', precision);
  tf.env().set('MULAYER_THREADS', Number(threads ?? 1));
  return 'mulayer';
}

/** The first inference with another number of threads starts them; no more than a second, though. */
async function workersStarted(): Promise<void> {
  const threads = () => (tf.memory() as unknown as { mulayerThreads: number }).mulayerThreads;
  for (let i = 0; i < 50 && threads() < tf.env().getNumber('MULAYER_THREADS'); i++) {
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}

async function inference(net: LoadedNet, name: NetName, size: number): Promise<number> {
  const shape = NETS[name].inputShape(size, size);
  const most = name === 'inception' ? 1 : 255;
  const input = tf.randomUniform<tf.Rank.R4>(shape, 0, most, 'float32', 7);
  await input.data();
  const start = performance.now();
  const outputs = net.run(input);
  await Promise.all(outputs.map(output => output.data()));
  const ms = performance.now() - start;
  tf.dispose([input, outputs]);
  return ms;
}

function median(numbers: number[]): number {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1];
}

const post = (body: unknown) => fetch('/result', { method: 'POST', body: JSON.stringify(body) });

const given = new URLSearchParams(location.search).get('plan');
if (given) {
  const rows: Row[] = [];
  run(JSON.parse(given) as Plan, row => {
    rows.push(row);
    void post({ rows });
  }).then(
    () => post({ rows, done: true }),
    (error: unknown) => post({ rows, fatal: String(error) }),
  );
}

(globalThis as { bench?: unknown }).bench = { run: (plan: Plan) => run(plan, () => undefined) };
