/**
 * CenterNet on one backend after another, and how long it takes. Every backend is given the same
 * numbers: the picture is prepared once, by tfjs's cpu backend.
 */
import * as tf from '@tensorflow/tfjs-core';

import {
  type Detection,
  type LoadedNet,
  NETS,
  centernetDetections,
} from '../../test/models/nets.js';
import { type Picture, pictureTensor } from '../../test/models/pictures.js';
import { MODELS_URL } from '../../test/models/urls.js';

export const BACKENDS = ['mulayer', 'webgl', 'wasm'] as const;
export type BackendName = (typeof BACKENDS)[number];

/** The net's input, ready for any backend. */
export type Input = Float32Array;

/** What one run on one backend gave. */
export interface Run {
  readonly backend: BackendName;
  /** Milliseconds of the first inference since the net was loaded: planning and compiling included. */
  readonly first: number;
  /** Milliseconds of some after it, once the backend had settled on how to work. */
  readonly times: readonly number[];
  readonly detections: readonly Detection[];
}

/** Told while a run is under way. */
export interface Progress {
  /** share: 0..1, undefined when nobody can know. */
  step(text: string, share?: number): void;
  /** After each inference. */
  found(detections: readonly Detection[]): void;
}

const net = NETS.centernet;
const loaded = new Map<BackendName, Promise<LoadedNet>>();
const firsts = new Map<BackendName, number>();
const settled = new Set<string>();

/** Why a backend cannot be had here, or undefined when it can be tried. */
export function missing(backend: BackendName): string | undefined {
  if (!tf.findBackendFactory(backend)) return 'not in this build';
  if (backend === 'webgl') {
    const canvas = document.createElement('canvas');
    if (!canvas.getContext('webgl2') && !canvas.getContext('webgl')) return 'no WebGL here';
  }
  if (typeof WebAssembly === 'undefined') return 'no WebAssembly here';
  return undefined;
}

/** picture -> the numbers that every backend gets. */
export async function prepare(picture: Picture): Promise<Input> {
  await tf.setBackend('cpu');
  const input = tf.tidy(() => net.prepare(pictureTensor(picture)));
  try {
    return (await input.data()) as Float32Array;
  } finally {
    input.dispose();
  }
}

/**
 * Inferences after which mulayer has planned. Under `MULAYER_SPLIT=auto` it tries the CPU, the GPU and
 * shares between them (src/plan/trial.ts); else the second inference packs what the first observed.
 */
const SETTLING = { auto: 13, fixed: 2 };

/**
 * Infers until the backend has settled on how, then measures up to `repeats` inferences, or as many as
 * fit into `budget` milliseconds, one at least.
 *
 * @param plan what the backend's way of working depends on: settled once for each.
 */
export async function run(
  backend: BackendName,
  input: Input,
  { repeats = 5, budget = 6000, plan = '' }: { repeats?: number; budget?: number; plan?: string },
  progress: Progress,
  signal: AbortSignal,
): Promise<Run> {
  progress.step(`Starting ${backend}`);
  await painted();
  if (!(await tf.setBackend(backend))) throw new Error(`${backend} could not be started here`);
  const model = await load(backend, progress);

  let detections: readonly Detection[] = [];
  const once = async (text: string, share?: number) => {
    signal.throwIfAborted();
    progress.step(text, share);
    await painted();
    const began = performance.now();
    detections = await detect(model, input);
    const ms = performance.now() - began;
    progress.found(detections);
    return ms;
  };

  let first = firsts.get(backend);
  const key = `${backend} ${plan}`;
  if (!settled.has(key)) {
    const ms = await once(`First inference on ${backend}`);
    if (first === undefined) firsts.set(backend, (first = ms));
    if (backend === 'mulayer') {
      const all = SETTLING[plan.startsWith('auto') ? 'auto' : 'fixed'];
      for (let i = 1; i < all; i++) await once('mulayer tries its plans', i / all);
    }
    settled.add(key);
  }

  const times: number[] = [];
  for (let spent = 0; times.length < repeats && (times.length < 1 || spent < budget);) {
    const text = `Inference ${times.length + 1} of ${repeats} on ${backend}`;
    times.push(await once(text, times.length / repeats));
    spent += times[times.length - 1];
  }
  return { backend, first: first ?? times[0], times, detections };
}

/** Middle value; the mean of the two in the middle of an even number; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

async function load(backend: BackendName, progress: Progress): Promise<LoadedNet> {
  let model = loaded.get(backend);
  if (!model) {
    model = net.load(MODELS_URL, share =>
      progress.step(`Loading ${net.title} into ${backend}`, share),
    );
    loaded.set(backend, model);
    // The next try begins anew.
    model.catch(() => loaded.delete(backend));
  }
  return model;
}

async function detect(model: LoadedNet, input: Input): Promise<Detection[]> {
  const x = tf.tensor4d(input, net.inputShape(0, 0));
  let outputs: tf.Tensor[] = [];
  try {
    outputs = model.run(x);
    return centernetDetections(await outputs[0].data());
  } finally {
    x.dispose();
    for (const output of outputs) output.dispose();
  }
}

/** Lets the browser paint; a page nobody sees paints nothing, so it waits no longer than that. */
function painted(): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(resolve, 100);
    requestAnimationFrame(() => {
      clearTimeout(timer);
      setTimeout(resolve);
    });
  });
}
