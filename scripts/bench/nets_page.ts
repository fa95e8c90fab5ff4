/**
 * The page of `scripts/bench/nets.mjs`: one net in one runtime, or the machine's register-only loops.
 * The script opens a page for each contestant and lets them take turns, so that nobody's heap,
 * threads or compiled code are another's.
 */
import '@tensorflow/tfjs-backend-webgl';
import * as tf from '@tensorflow/tfjs-core';

import { type RunReport, explain } from '../../src/index.js';
import benchBytes from '../../build/bench.wasm';
import '../../test/models/tfjs_wasm.js';
import { loadLiteRt } from './nets_litert.js';
import { loadOrt } from './nets_ort.js';
import { TfjsNet } from './nets_tfjs.js';
import type { Ranges } from './quantise.js';
import { type Topology, type TopologyName, inputOf, macsOf, topology } from './topologies.js';

export interface Contestant {
  runtime: 'mulayer' | 'tfjs-wasm' | 'ort' | 'litert';
  /** `i16` is mulayer's int8 without the relaxed dot. */
  precision: 'float32' | 'int8' | 'auto' | 'i16';
  threads: number;
}

export interface Opened {
  macs: number;
  /** Milliseconds: from the start to a model that runs, and of the first inference after that. */
  load: number;
  first: number;
}

/** A net that runs. */
interface Model {
  /** What the next inferences are of: [rows, columns, channels]. */
  take(input: Float32Array): void;
  run(): Promise<Float32Array>;
  /** An output in the runtime's own order of axes -> [rows, columns, channels]. */
  output?(values: Float32Array): Float32Array;
  /** Bytes of the wasm memory, which never shrinks; 0 where the runtime does not tell. */
  heap?(): number;
}

let net: Topology | undefined;
let model: Model | undefined;
let tfjs: TfjsNet | undefined;

const api = {
  /** @param ranges of the float32 net, for a peer's int8. */
  async open(name: TopologyName, contestant: Contestant, ranges?: Ranges): Promise<Opened> {
    net = topology(name);
    const start = performance.now();
    const { runtime, precision, threads } = contestant;
    if (runtime === 'ort' || runtime === 'litert') {
      const load = runtime === 'ort' ? loadOrt : loadLiteRt;
      model = await load(net, threads, precision === 'int8' ? ranges : undefined);
    } else {
      model = await loadTfjs(net, contestant);
    }
    model.take(inputOf(net));
    const loaded = performance.now();
    await model.run();
    const first = performance.now() - loaded;
    return { macs: macsOf(net), load: loaded - start, first };
  },

  /** The results for inputs of these seeds, as [rows, columns, channels]; the first is put back. */
  async outputs(seeds: readonly number[]): Promise<number[][]> {
    // What observes first and decides then has decided after these.
    for (let i = 0; i < 4; i++) await model!.run();
    const all: number[][] = [];
    for (const seed of seeds) {
      model!.take(inputOf(net!, seed));
      const values = await model!.run();
      all.push([...(model!.output?.(values) ?? values)]);
    }
    model!.take(inputOf(net!));
    return all;
  },

  /** Least and greatest number of each layer over inputs of these seeds; of tfjs's runtimes. */
  ranges(seeds: readonly number[]): Ranges {
    const ranges = net!.layers.map((): [number, number] => [Infinity, -Infinity]);
    for (const seed of seeds) {
      const x = tf.tensor4d(inputOf(net!, seed), [1, ...net!.layers[0].shape]);
      const y = tfjs!.run(x, (i, result) => {
        for (const value of result.dataSync()) {
          if (value < ranges[i][0]) ranges[i][0] = value;
          if (value > ranges[i][1]) ranges[i][1] = value;
        }
      });
      tf.dispose([x, y]);
    }
    return ranges;
  },

  /** Milliseconds of inferences, one after the other, for about as long as told; at least two. */
  async turn(milliseconds: number): Promise<number[]> {
    // Awakes threads and caches that the others' turns put to sleep.
    await model!.run();
    const times: number[] = [];
    const end = performance.now() + milliseconds;
    while (times.length < 2 || performance.now() < end) {
      const start = performance.now();
      await model!.run();
      times.push(performance.now() - start);
    }
    return times;
  },

  heap: (): number => model!.heap?.() ?? 0,

  /** mulayer's last inference. */
  explain: (): RunReport => explain(),

  /** GMAC/s of register-only loops, one thread; undefined without relaxed SIMD. */
  async limits(): Promise<Record<string, number> | undefined> {
    if (!WebAssembly.validate(benchBytes as Uint8Array<ArrayBuffer>)) return undefined;
    const { instance } = await WebAssembly.instantiate(benchBytes as Uint8Array<ArrayBuffer>, {
      env: { memory: new WebAssembly.Memory({ initial: 1 }), abort: () => undefined },
    });
    const loops = instance.exports as Record<string, (iterations: number) => number>;
    const iterations = 1e6;
    const gmacs: Record<string, number> = {};
    for (const [name, loop, macs] of LIMITS) {
      const times = Array.from({ length: 7 }, () => {
        const start = performance.now();
        loops[loop](iterations);
        return performance.now() - start;
      });
      gmacs[name] = (macs * iterations) / times.sort((a, b) => a - b)[3] / 1e6;
    }
    return gmacs;
  },
};

/** Loops of wasm/bench.ts, and what one iteration multiplies. */
const LIMITS: readonly [name: string, loop: string, macs: number][] = [
  ['dot', 'peakDot', 12 * 16],
  ['i16', 'peakDotI16', 12 * 8],
  ['f32', 'peakMadd', 12 * 4],
];

async function loadTfjs(
  net: Topology,
  { runtime, precision, threads }: Contestant,
): Promise<Model> {
  const env = tf.env();
  if (runtime === 'mulayer') {
    env.set('MULAYER_SPLIT', 'cpu');
    env.set('MULAYER_THREADS', threads);
    env.set('MULAYER_PRECISION', precision === 'i16' ? 'int8' : precision);
    if (precision === 'i16') env.set('MULAYER_DOT', 'i16');
  } else {
    // One thread: 4.22 asked for more starts one and computes the slower for it (tfjs #8513).
    env.set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  }
  await tf.setBackend(runtime === 'mulayer' ? 'mulayer' : 'wasm');
  tfjs = new TfjsNet(net);
  let x: tf.Tensor4D | undefined;
  return {
    take(input) {
      x?.dispose();
      x = tf.tensor4d(input, [1, ...net.layers[0].shape]);
    },
    async run() {
      const y = tfjs!.run(x!);
      const values = await y.data<'float32'>();
      y.dispose();
      return values;
    },
    heap() {
      if (runtime === 'mulayer') {
        return (tf.memory() as unknown as { mulayerHeapSize: number }).mulayerHeapSize;
      }
      const { wasm } = tf.backend() as unknown as { wasm: { HEAPU8: Uint8Array } };
      return wasm.HEAPU8.byteLength;
    },
  };
}

/** What `scripts/bench/nets.mjs` calls. */
export type NetsPage = typeof api;
declare global {
  interface Window {
    nets: NetsPage;
  }
}
window.nets = api;
