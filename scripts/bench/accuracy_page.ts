/** The page of `scripts/bench/accuracy.mjs`: it computes, the script asks and prints. */
import * as tf from '@tensorflow/tfjs-core';

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
import { LABELLED } from '../../test/models/labelled.js';
import { growth, holdingsAfterEach } from '../../test/models/leaks.js';
import { type LoadedNet, NETS, type NetName } from '../../test/models/nets.js';
import { pictureTensor } from '../../test/models/pictures.js';
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

/** How many of the labelled pictures each setting gets right, and answers as tfjs does. */
export interface Tops {
  readonly of: number;
  /** tfjs's own; undefined where the labels are not known. */
  readonly right: number | undefined;
  readonly settings: readonly (Setting & { right: number | undefined; asTfjs: number })[];
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

  async tops(name: keyof typeof LABELLED, settings: readonly Setting[]): Promise<Tops> {
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
    const answers = async (model: LoadedNet) => {
      const all: string[] = [];
      for (const input of inputs) {
        all.push(LABELLED[name].top(await infer(model, input, net.inputShape(0, 0))));
      }
      return all;
    };
    await tf.setBackend('wasm');
    const onWasm = await net.load(MODELS_URL);
    const theirs = await answers(onWasm);
    onWasm.dispose();
    const right = (all: readonly string[]) =>
      labels[0] === undefined ? undefined : all.filter((one, i) => one === labels[i]).length;

    const rows: Tops['settings'][number][] = [];
    for (const setting of settings) {
      // Loaded anew: what one setting observed is not to help the next.
      const model = await onMulayer(name);
      set(setting);
      // The first inference only observes.
      await infer(model, inputs[0], net.inputShape(0, 0));
      const ours = await answers(model);
      model.dispose();
      const asTfjs = ours.filter((one, i) => one === theirs[i]).length;
      rows.push({ ...setting, right: right(ours), asTfjs });
    }
    return { of: inputs.length, right: right(theirs), settings: rows };
  },

  pictures: Object.keys(PICTURES),
};

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
