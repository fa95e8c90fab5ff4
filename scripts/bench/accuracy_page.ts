/** The page of `accuracy.mjs` and of `labelled.mjs`: it computes, the scripts ask and print. */
import * as tf from '@tensorflow/tfjs-core';

import { type RunReport, explain } from '../../src/index.js';
import {
  type Judgement,
  PICTURES,
  type Problem,
  type Setting,
  FLOAT32_BOUND,
  hasPicture,
  infer,
  judge,
  onMulayer,
  problemsOf,
  set,
} from '../../test/models/judge.js';
import { LABELLED, type LabelledName } from '../../test/models/labelled.js';
import { growth, holdingsAfterEach } from '../../test/models/leaks.js';
import { type LoadedNet, NETS, type NetName } from '../../test/models/nets.js';
import { fetchPicture, pictureTensor, psnr } from '../../test/models/pictures.js';
import { MODELS_URL } from '../../test/models/urls.js';

let loaded: LoadedNet | undefined;
let problems: Problem[] = [];

/** Judgements of one setting, of all pictures together. */
export interface Row extends Setting {
  readonly maxAbs: number;
  readonly maxRelative: number;
  readonly rmsRelative: number;
  /** Largest maxRelative allowed; in float32 only. */
  readonly bound: number | undefined;
  readonly same: number;
  readonly of: number;
  /** Where answers differ: ours, then tfjs's. */
  readonly different: readonly string[];
  readonly psnr: number | undefined;
  readonly readbacks: number;
  readonly recorded: number;
  readonly delegated: Readonly<Record<string, number>>;
  /** The quickest inference. */
  readonly ms: number;
}

/** The top answers to the pictures of one net. */
export interface Tops {
  /** What the pictures show; undefined where nobody knows. */
  readonly labels: readonly (string | undefined)[];
  /** tfjs's own answers. */
  readonly tfjs: readonly string[];
  readonly settings: readonly (Setting & { answers: string[]; int8Share: number })[];
}

/** ESRGAN-slim's own picture against its shipped result. */
export interface Shipped {
  /** dB that tfjs reaches. */
  readonly tfjs: number;
  readonly settings: readonly (Setting & { psnr: number; int8Share: number })[];
}

const api = {
  /** Which of these pictures there are here. */
  async available(pictures: readonly string[]): Promise<string[]> {
    const there = await Promise.all(pictures.map(hasPicture));
    return pictures.filter((_, i) => there[i]);
  },

  /** Gets a net and its problems ready; the settings below are about them. */
  async open(net: NetName, pictures: readonly string[]): Promise<void> {
    loaded?.dispose();
    problems = await problemsOf(net, pictures);
    loaded = await onMulayer(net);
  },

  async row(setting: Setting): Promise<Row> {
    const all = await judge(loaded!, problems, setting);
    const worst = (of: (one: Judgement) => number) => all.reduce((w, one) => max(w, of(one)), 0);
    const psnrs = all.flatMap(({ psnr }) => psnr ?? []);
    const float32 = setting.precision === 'float32';
    const report = all[0].report;
    return {
      ...setting,
      maxAbs: worst(one => one.maxAbs),
      maxRelative: worst(one => one.maxRelative),
      rmsRelative: worst(one => one.rmsRelative),
      bound: float32 ? FLOAT32_BOUND : undefined,
      same: all.filter(({ same }) => same).length,
      of: all.length,
      different: all.flatMap((one, i) =>
        one.same ? [] : `${problems[i].picture}: ${one.answer}; tfjs: ${one.expectedAnswer}`,
      ),
      psnr: psnrs.length ? Math.min(...psnrs) : undefined,
      readbacks: report.layers.reduce((n, { readbacks }) => n + readbacks, 0),
      recorded: report.layers.reduce((n, { fused }) => n + 1 + fused.length, 0),
      delegated: report.delegated,
      ms: Math.min(...all.map(({ ms }) => ms)),
    };
  },

  /** @returns what grew, in words. */
  async leaks(setting: Setting, times: number): Promise<string[]> {
    set(setting);
    return growth(await holdingsAfterEach(loaded!, problems[0], times));
  },

  async tops(name: LabelledName, settings: readonly Setting[]): Promise<Tops> {
    loaded?.dispose();
    loaded = undefined;
    const net = NETS[name];
    const labels: (string | undefined)[] = [];
    const inputs: Float32Array[] = [];
    await tf.setBackend('cpu');
    for await (const { picture, label } of LABELLED[name].pictures()) {
      const input = tf.tidy(() => net.prepare(pictureTensor(picture)));
      inputs.push(input.dataSync<'float32'>().slice());
      input.dispose();
      labels.push(label);
    }
    const answers = async (model: LoadedNet, each: () => void = () => undefined) => {
      const all: string[] = [];
      for (const input of inputs) {
        all.push(LABELLED[name].top(await infer(model, input, net.inputShape(0, 0))));
        each();
      }
      return all;
    };
    await tf.setBackend('wasm');
    const onWasm = await net.load(MODELS_URL);
    const theirs = await answers(onWasm);
    onWasm.dispose();
    const rows: Tops['settings'][number][] = [];
    for (const setting of settings) {
      // Loaded anew: what one setting observed is not to help the next.
      const model = await onMulayer(name);
      set(setting);
      // The first inference only observes.
      await infer(model, inputs[0], net.inputShape(0, 0));
      const shares: number[] = [];
      const ours = await answers(model, () => shares.push(int8Share(explain())));
      const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
      rows.push({ ...setting, answers: ours, int8Share: mean });
      model.dispose();
    }
    return { labels, tfjs: theirs, settings: rows };
  },

  async shipped(settings: readonly Setting[]): Promise<Shipped> {
    loaded?.dispose();
    loaded = undefined;
    const result = await fetchPicture(`${MODELS_URL}/esrgan/result.png`);
    const [problem] = await problemsOf('esrgan', ['fixture']);
    const rows: Shipped['settings'][number][] = [];
    for (const setting of settings) {
      const model = await onMulayer('esrgan');
      set(setting);
      await infer(model, problem.input, problem.inputShape);
      const [got] = await infer(model, problem.input, problem.inputShape);
      rows.push({ ...setting, psnr: psnr(got, result.rgb), int8Share: int8Share(explain()) });
      model.dispose();
    }
    return { tfjs: psnr(problem.expected[0], result.rgb), settings: rows };
  },

  pictures: Object.keys(PICTURES),
};

/** The share of a run's multiply-accumulates that were of 8-bit integers; 0 to 1. */
function int8Share({ layers }: RunReport): number {
  const all = layers.reduce((sum, { macs }) => sum + macs, 0);
  const int8 = layers.reduce((sum, { macs, precision }) => sum + +(precision === 'int8') * macs, 0);
  return int8 / all;
}

/** NaN is the worst of all. */
const max = (a: number, b: number) => (a > b || Number.isNaN(a) ? a : b);

/** What `scripts/bench/accuracy.mjs` calls. */
export type AccuracyPage = typeof api;
declare global {
  interface Window {
    accuracy: AccuracyPage;
  }
}
window.accuracy = api;
