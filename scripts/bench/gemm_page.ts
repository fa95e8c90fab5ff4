/**
 * The measuring half of `scripts/bench/gemm.mjs`, for a page and for Node: our products of patches
 * on convolutions against the limit of register-only loops and against tfjs-wasm's conv2d, all in
 * one process, in turn. Operands are seeded; a time is the median over the rounds.
 */
import * as tf from '@tensorflow/tfjs-core';

import type { Pointer, WasmKernels } from '../../wasm/exports.js';
import baselineBytes from '../../build/baseline.wasm';
import benchBytes from '../../build/bench.wasm';
import relaxedBytes from '../../build/relaxed.wasm';
import '../../test/models/tfjs_wasm.js';
import { Random } from '../../test/wasm/random.js';
import { Arena } from '../../src/processors/cpu/arena.js';
import { withSharedMemory } from '../../src/processors/cpu/heap.js';
import { canShareMemory, Pool } from '../../src/processors/cpu/pool.js';
import { Queue } from '../../src/processors/cpu/queue.js';

/** A convolution of one image, stride 1, 'same', as [rows, columns, ci, kernel, co]. */
export type Shape = [h: number, w: number, ci: number, k: number, co: number];

export interface Plan {
  shapes: Shape[];
  rounds: number;
  /** Milliseconds that one sample should take at least. */
  sample: number;
  /** Names of the columns wanted, without the threads; empty for all. */
  only: string[];
  /** Numbers of threads of ours. */
  threads: number[];
}

export interface Result {
  relaxedDotKind: number | null;
  /** GMAC/s by name; of the limits in the same rounds. */
  rows: { shape: Shape; gmacs: Record<string, number>; limits: Record<string, number> }[];
}

/** wasm/bench.ts */
interface Limits {
  peakDot(iterations: number): number;
  peakMadd(iterations: number): number;
  peakDotI16(iterations: number): number;
}

/** Which loop is the limit of a column's first word, and multiplications of one iteration. */
const LIMITS: readonly [name: string, loop: keyof Limits, macs: number][] = [
  ['dot', 'peakDot', 12 * 16],
  ['i16', 'peakDotI16', 12 * 8],
  ['f32', 'peakMadd', 12 * 4],
];

async function instantiate<Exports>(bytes: Uint8Array): Promise<[Exports, WebAssembly.Memory]> {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
  const abort = () => {
    throw new Error('wasm: abort');
  };
  const source = bytes as Uint8Array<ArrayBuffer>;
  const { instance } = await WebAssembly.instantiate(source, { env: { memory, abort } });
  return [instance.exports as Exports, memory];
}

/** A build: its kernels, on its memory, which is handed out by its arena. */
type Build = readonly [WasmKernels, WebAssembly.Memory, Arena];

function arenaOf(kernels: WasmKernels, memory: WebAssembly.Memory): Arena {
  const arena = new Arena(memory, kernels.heapBase());
  kernels.setScratch(arena.alloc(16384));
  return arena;
}

/** One build for several threads; its functions return when all have done. */
async function instantiateThreaded(
  bytes: Uint8Array,
  relaxed: boolean,
  threads: number,
): Promise<Build> {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
  const abort = () => {
    throw new Error('wasm: abort');
  };
  const source = withSharedMemory(bytes);
  const { module, instance } = await WebAssembly.instantiate(source, { env: { memory, abort } });
  const kernels = instance.exports as unknown as WasmKernels;
  const arena = arenaOf(kernels, memory);
  const queue = new Queue(kernels, memory, arena, relaxed, helpers => {
    const scratches = Array.from({ length: helpers }, () => arena.alloc(16384));
    return new Pool({ module, memory }, scratches);
  });
  queue.threads = threads;
  // Work enough for the workers to start.
  const n = 1 << 20;
  const y = arena.alloc(4 * n);
  while (queue.threads < threads) {
    queue.kernels.fill(4, y, n, 0);
    queue.finish();
    await new Promise(resolve => setTimeout(resolve, 10));
  }
  arena.free(y);
  const finishing = Object.entries(queue.kernels).map(([name, kernel]) => [
    name,
    (...args: number[]) => {
      const result = (kernel as (...all: number[]) => unknown)(...args);
      queue.finish();
      return result;
    },
  ]);
  return [Object.fromEntries(finishing) as WasmKernels, memory, arena];
}

/** One thing to measure: runs once, synchronously. */
interface Contestant {
  name: string;
  macs: number;
  run: () => void;
  close: () => void;
}

const macsOf = ([h, w, ci, k, co]: Shape) => h * w * ci * k * k * co;

/** Our kernels of one build on one shape. */
function ours(
  build: string,
  threads: number,
  [kernels, memory, arena]: Build,
  [h, w, ci, k, co]: Shape,
): Contestant[] {
  const random = new Random(1);
  const blocks: Pointer[] = [];
  const put = (values: ArrayBufferView): Pointer => {
    const at = arena.alloc(values.byteLength);
    new Uint8Array(memory.buffer, at, values.byteLength).set(
      new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    );
    blocks.push(at);
    return at;
  };
  const reserve = (bytes: number) => {
    const at = arena.alloc(bytes);
    blocks.push(at);
    return at;
  };
  const macs = macsOf([h, w, ci, k, co]);
  const border = (k - 1) / 2;
  const [hp, wp] = [h + 2 * border, w + 2 * border];
  const m = h * w;
  const segmentLength = k * ci;
  const offsets = put(Int32Array.from({ length: k }, (_, y) => y * wp * ci));
  const patches = [m, w, ci, wp * ci, k, segmentLength, offsets] as const;
  const weights = put(random.floats(k * segmentLength * co));
  const bias = put(random.floats(co));
  const scale = reserve(co * 4);
  const correction = reserve(co * 4);
  const x32 = put(random.floats(hp * wp * ci));
  const x8 = put(random.bytes(hp * wp * ci));
  const y = reserve(m * co * 4);
  const pack = (bytes: WasmKernels['qs8PackedBytes'], pack: WasmKernels['qs8Pack']) => {
    const packed = reserve(bytes(k, segmentLength, co));
    pack(weights, k, segmentLength, co, co, packed, scale, correction, 127);
    return packed;
  };
  const packed = pack(kernels.qs8PackedBytes, kernels.qs8Pack);
  const packedI16 = pack(kernels.qs8PackedBytesI16, kernels.qs8PackI16);
  const tail = [co, correction, scale, bias, 0, 0, Infinity, y, co, 0, 0, 0] as const;
  let open = 0;
  const contestant = (name: string, run: () => void): Contestant => {
    ++open;
    const close = () => {
      if (--open === 0) blocks.forEach(block => arena.free(block));
    };
    const suffix = threads > 1 ? ` x${threads}` : '';
    return { name: `${name} ${build}${suffix}`, macs, run, close };
  };
  const all = [
    contestant('f32', () =>
      kernels.f32Gemm(x32, ...patches, weights, co, co, bias, 0, 0, Infinity, y, co),
    ),
    contestant('i16', () => kernels.qu8GemmI16(x8, ...patches, packedI16, ...tail)),
  ];
  if (build === 'relaxed') {
    all.push(contestant('dot', () => kernels.qu8Gemm(x8, ...patches, packed, ...tail)));
  }
  return all;
}

/** tfjs-wasm's convolution, with bias and ReLU fused as ours have them. */
function theirs([h, w, ci, k, co]: Shape): Contestant {
  const random = new Random(1);
  const x = tf.tensor4d(random.floats(h * w * ci), [1, h, w, ci]);
  const filter = tf.tensor4d(random.floats(k * k * ci * co), [k, k, ci, co]);
  const bias = tf.tensor1d(random.floats(co));
  const options = { x, filter, bias, strides: 1, pad: 'same', activation: 'relu' } as const;
  return {
    name: 'tfjs-wasm',
    macs: macsOf([h, w, ci, k, co]),
    run: () => tf.dispose(tf.fused.conv2d(options)),
    close: () => tf.dispose([x, filter, bias]),
  };
}

export async function run(plan: Plan): Promise<Result> {
  const builds: [string, number, Build][] = [];
  const add = async (name: string, bytes: Uint8Array) => {
    for (const threads of plan.threads) {
      if (threads === 1) {
        const [kernels, memory] = await instantiate<WasmKernels>(bytes);
        builds.push([name, threads, [kernels, memory, arenaOf(kernels, memory)]]);
      } else if (canShareMemory()) {
        const relaxed = name === 'relaxed';
        builds.push([name, threads, await instantiateThreaded(bytes, relaxed, threads)]);
      }
    }
  };
  await add('baseline', baselineBytes);
  const limits: Contestant[] = [];
  if (WebAssembly.validate(relaxedBytes as Uint8Array<ArrayBuffer>)) {
    await add('relaxed', relaxedBytes);
    const [loops] = await instantiate<Limits>(benchBytes);
    for (const [name, loop, macs] of LIMITS) {
      const iterations = 1e6;
      const run = () => void loops[loop](iterations);
      limits.push({ name, macs: iterations * macs, run, close: () => undefined });
    }
  }
  // tfjs-wasm finds its files by fetch, which Node's fetch does not do for blobs of its own.
  const page = typeof document !== 'undefined';
  // One thread, as ours.
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  if (page) await tf.setBackend('wasm');
  const rows: Result['rows'] = [];
  for (const shape of plan.shapes) {
    const contestants = builds.flatMap(([name, threads, build]) =>
      ours(name, threads, build, shape),
    );
    if (page) contestants.push(theirs(shape));
    const wanted = contestants.filter(
      ({ name }) => plan.only.length === 0 || plan.only.includes(name.replace(/ x\d+$/, '')),
    );
    const speeds = measure([...limits, ...wanted], plan.rounds, plan.sample);
    contestants.forEach(({ close }) => close());
    const named = (list: Contestant[], from: number) =>
      Object.fromEntries(list.map(({ name }, i) => [name, speeds[from + i]]));
    rows.push({ shape, limits: named(limits, 0), gmacs: named(wanted, limits.length) });
    await new Promise(resolve => setTimeout(resolve));
  }
  const relaxed = builds.find(([name]) => name === 'relaxed');
  return { relaxedDotKind: relaxed ? relaxed[2][0].relaxedDotKind() : null, rows };
}

/** GMAC/s of each: of the median over rounds, in which all take their turn. */
function measure(contestants: Contestant[], rounds: number, sample: number): number[] {
  const repeats = contestants.map(({ run }) => {
    // Until the engine's optimising compiler is done with it, and to know how long it takes.
    const start = performance.now();
    let runs = 0;
    while (runs < 3 || performance.now() - start < 3 * sample) {
      run();
      ++runs;
    }
    return Math.max(1, Math.round((sample * runs) / (performance.now() - start)));
  });
  const times = contestants.map(() => [] as number[]);
  for (let round = 0; round < rounds; ++round) {
    contestants.forEach(({ run }, i) => {
      const start = performance.now();
      for (let r = 0; r < repeats[i]; ++r) run();
      times[i].push((performance.now() - start) / repeats[i]);
    });
  }
  return contestants.map(({ macs }, i) => {
    const median = times[i].sort((a, b) => a - b)[rounds >> 1];
    return macs / median / 1e6;
  });
}

(globalThis as { benchGemm?: unknown }).benchGemm = { run };
