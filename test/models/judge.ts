/**
 * Real nets on mulayer against the same nets on tfjs's own wasm backend: how far the numbers are
 * apart, and whether the answers are the same. The specs assert on it, `scripts/bench/accuracy.mjs`
 * prints it.
 */
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-webgl';
import * as tf from '@tensorflow/tfjs-core';

import { type RunReport, explain } from '../../src/index.js';
import faces22 from './faces22.json' with { type: 'json' };
import {
  type Detection,
  type LoadedNet,
  NETS,
  type Net,
  type NetName,
  argMax,
  centernetDetections,
  nanodetTop,
  overlap,
} from './nets.js';
import {
  type Picture,
  cropAround,
  fetchBitmap,
  fetchPicture,
  pictureOf,
  pictureTensor,
  psnr,
} from './pictures.js';
import './tfjs_wasm.js';
import { MODELS_URL } from './urls.js';

/** What mulayer is asked for. */
export interface Setting {
  /** `MULAYER_SPLIT`. */
  readonly split: number | 'auto' | 'cpu';
  readonly precision: 'float32' | 'int8' | 'auto';
  /** `MULAYER_DOT`. */
  readonly dot?: string;
}

/** One picture, ready for one net, with what tfjs makes of it. */
export interface Problem {
  readonly net: Net;
  /** As in {@link PICTURES}. */
  readonly picture: string;
  readonly input: Float32Array;
  readonly inputShape: [number, number, number, number];
  /** tfjs's outputs, in the net's order. */
  readonly expected: readonly Float32Array[];
}

/** What one inference on mulayer came to. */
export interface Judgement {
  /** Greatest difference in any output. */
  readonly maxAbs: number;
  /** Greatest difference over the greatest magnitude of the same output; the worst output's. */
  readonly maxRelative: number;
  /** RMS of the difference over RMS of the expected output; the worst output's. */
  readonly rmsRelative: number;
  /** The answer a user would be given, and tfjs's. */
  readonly answer: string;
  readonly expectedAnswer: string;
  /** Whether a user would call them the same: see {@link answersOf}. */
  readonly same: boolean;
  /** dB against the shipped result; of ESRGAN-slim on its own picture only. */
  readonly psnr?: number;
  readonly report: RunReport;
  readonly ms: number;
}

/** A file below `.models/`, or the first face of a photograph. */
interface Source {
  readonly file: string;
  readonly face?: readonly number[];
}

const photo = (name: string) => [name, { file: `pictures/${name}.jpg` }] as const;

/** Pictures by a name of ours. Those of Debian are absent on other systems. */
export const PICTURES: Readonly<Record<string, Source>> = {
  ...Object.fromEntries(['dog', 'giraffe', 'horses', 'kite', 'eagle', 'person'].map(photo)),
  ...Object.fromEntries(
    Object.entries(faces22).map(([file, [face]], i) => [
      `face${i + 1}`,
      { file: `faces/${file}`, face },
    ]),
  ),
  people: { file: 'faces/sample1.jpg' },
  fixture: { file: 'esrgan/fixture.png' },
};

/**
 * Largest {@link Judgement.maxRelative} allowed in float32, at any share: under that precision the
 * GPU's textures are 32-bit too, so only the order of the sums differs from tfjs's. Measured: 3.4e-5
 * at most, for every net and share, in software and on a real GPU. F16 rounding alone would give
 * up to 2^-11 = 4.9e-4 for a single layer.
 */
export const FLOAT32_BOUND = 1e-4;

/** Whether a picture was fetched; some are to be had on Debian only. */
export async function hasPicture(picture: string): Promise<boolean> {
  const index = (await (await fetch(`${MODELS_URL}/index.json`)).json()) as Record<
    string,
    string[]
  >;
  const [item, file] = PICTURES[picture].file.split('/');
  return index[item]?.includes(file) ?? false;
}

/** Prepares pictures for a net and runs it on tfjs's wasm backend. */
export async function problemsOf(name: NetName, pictures: readonly string[]): Promise<Problem[]> {
  const net = NETS[name];
  await tf.setBackend('cpu');
  const prepared: [string, Float32Array, [number, number, number, number]][] = [];
  for (const picture of pictures) {
    const decoded = await get(PICTURES[picture]);
    const input = tf.tidy(() => net.prepare(pictureTensor(decoded)));
    prepared.push([picture, input.dataSync<'float32'>().slice(), input.shape]);
    input.dispose();
  }
  await tf.setBackend('wasm');
  const loaded = await net.load(MODELS_URL);
  const problems: Problem[] = [];
  for (const [picture, input, inputShape] of prepared) {
    const expected = await infer(loaded, input, inputShape);
    problems.push({ net, picture, input, inputShape, expected });
  }
  loaded.dispose();
  return problems;
}

async function get({ file, face }: Source): Promise<Picture> {
  const bitmap = await fetchBitmap(`${MODELS_URL}/${file}`);
  return face ? cropAround(bitmap, face, 1.3) : pictureOf(bitmap, bitmap.width, bitmap.height);
}

/** Loads a net into mulayer. */
export async function onMulayer(name: NetName): Promise<LoadedNet> {
  await tf.setBackend('mulayer');
  return NETS[name].load(MODELS_URL);
}

/** One inference in the current backend; the outputs' values. */
export async function infer(
  loaded: LoadedNet,
  input: Float32Array,
  shape: [number, number, number, number],
): Promise<Float32Array[]> {
  const x = tf.tensor4d(input, shape);
  const outputs = loaded.run(x);
  x.dispose();
  // Asked for at once, so that the backend sees one graph; a copy, for the backend may lend.
  const values = await Promise.all(outputs.map(output => output.data<'float32'>()));
  for (const output of outputs) output.dispose();
  return values.map(one => one.slice());
}

export function set({ split, precision, dot = 'auto' }: Setting): void {
  tf.env().set('MULAYER_SPLIT', split);
  tf.env().set('MULAYER_PRECISION', precision);
  tf.env().set('MULAYER_DOT', dot);
}

/** Nets that have made their first inference: it only observes, in float32 whatever the setting. */
const observed = new WeakSet<LoadedNet>();

/** Runs a net that was loaded by {@link onMulayer}, on each problem, under a setting. */
export async function judge(
  loaded: LoadedNet,
  problems: readonly Problem[],
  setting: Setting,
): Promise<Judgement[]> {
  if (!observed.has(loaded)) {
    // Asked for int8, it also remembers the weights: int8 begins when they come again.
    set({ split: 1, precision: 'int8' });
    await infer(loaded, problems[0].input, problems[0].inputShape);
    observed.add(loaded);
  }
  set(setting);
  const judgements: Judgement[] = [];
  for (const problem of problems) {
    const began = performance.now();
    const got = await infer(loaded, problem.input, problem.inputShape);
    const ms = performance.now() - began;
    const report = explain();
    judgements.push({ ...(await compare(problem, got, setting)), report, ms });
  }
  return judgements;
}

async function compare(
  problem: Problem,
  got: readonly Float32Array[],
  { precision }: Setting,
): Promise<Omit<Judgement, 'report' | 'ms'>> {
  let [maxAbs, maxRelative, rmsRelative] = [0, 0, 0];
  for (const [i, expected] of problem.expected.entries()) {
    // Rows of the detections change places when two scores are nearly equal; the answers say more.
    if (problem.net.outputs[i] === 'tower_0/detections') continue;
    const of = difference(got[i], expected);
    maxAbs = Math.max(maxAbs, of.maxAbs);
    maxRelative = Math.max(maxRelative, of.maxRelative);
    rmsRelative = Math.max(rmsRelative, of.rmsRelative);
  }
  const answers = answersOf(problem, got, CLOSE[precision]);
  if (problem.net.name !== 'esrgan' || problem.picture !== 'fixture') {
    return { maxAbs, maxRelative, rmsRelative, ...answers };
  }
  return {
    maxAbs,
    maxRelative,
    rmsRelative,
    ...answers,
    psnr: psnr(got[0], (await shipped()).rgb),
  };
}

let shippedResult: Promise<Picture> | undefined;
const shipped = () => (shippedResult ??= fetchPicture(`${MODELS_URL}/esrgan/result.png`));

/** A NaN anywhere makes all three NaN. */
function difference(got: Float32Array, expected: Float32Array) {
  if (got.length !== expected.length) {
    throw new Error(`outputs: expected ${expected.length} values, got ${got.length}`);
  }
  let [maxAbs, largest, sum, sumExpected] = [0, 0, 0, 0];
  for (let i = 0; i < got.length; i++) {
    const apart = got[i] - expected[i];
    // Not Math.max for what has to be fast: a branch that is hardly ever taken.
    if (!(Math.abs(apart) <= maxAbs)) maxAbs = Math.abs(apart);
    if (Math.abs(expected[i]) > largest) largest = Math.abs(expected[i]);
    sum += apart * apart;
    sumExpected += expected[i] * expected[i];
  }
  if (Number.isNaN(sum)) return { maxAbs: NaN, maxRelative: NaN, rmsRelative: NaN };
  return {
    maxAbs,
    maxRelative: maxAbs / (largest || 1),
    rmsRelative: Math.sqrt(sum / (sumExpected || 1)),
  };
}

/** Answers in words, and whether they are the same. */
function answersOf(
  { net, expected }: Problem,
  got: readonly Float32Array[],
  close: number,
): Pick<Judgement, 'answer' | 'expectedAnswer' | 'same'> {
  switch (net.name) {
    case 'centernet': {
      const [ours, theirs] = [got, expected].map(([rows]) => centernetDetections(rows, 0));
      return {
        answer: inWords(ours),
        expectedAnswer: inWords(theirs),
        same: sameDetections(ours, theirs, close),
      };
    }
    case 'faceres': {
      const words = ([age, gender]: readonly Float32Array[]) =>
        `age ${argMax(age)}, ${gender[0] > 0.5 ? 'male' : 'female'}`;
      return compared(words(got), words(expected));
    }
    case 'inception':
      return compared(`class ${argMax(got[0])}`, `class ${argMax(expected[0])}`);
    case 'nanodet':
      return compared(nanodetTop(got).label, nanodetTop(expected).label);
    case 'esrgan': {
      // A picture is the answer: 40 dB is where nobody sees a difference any more.
      const dB = psnr(got[0], expected[0]);
      return { answer: `${dB.toFixed(1)} dB to tfjs`, expectedAnswer: 'picture', same: dB > 40 };
    }
  }
}

const compared = (answer: string, expectedAnswer: string) => ({
  answer,
  expectedAnswer,
  same: answer === expectedAnswer,
});

/** What is likely enough to be told a user. */
const SURE = 0.4;
/**
 * How far a score may move without anyone calling it another answer. Half as far again in int8 without
 * an error budget: on processors with the one-instruction dot, which run depthwise layers in int8 too,
 * CenterNet's scores move by up to 0.2 (by 0.02 within the budget).
 */
const CLOSE = { float32: 0.1, auto: 0.1, int8: 0.15 };

/**
 * Whether two lists, best first, tell the same: whatever one of them is sure of, the other found too,
 * as the same class in the same place, with a score no more than twice `close` lower; and the best
 * of each is among the other's best, ties within `close` set aside.
 */
export function sameDetections(
  a: readonly Detection[],
  b: readonly Detection[],
  close: number,
): boolean {
  const covers = (sure: readonly Detection[], all: readonly Detection[]) =>
    sure
      .filter((one, i) => one.score >= SURE || i === 0)
      .every(one => all.some(other => isSame(one, other) && other.score >= one.score - 2 * close));
  const bestAmong = (one: readonly Detection[], other: readonly Detection[]) => {
    const match = other.find(candidate => one[0] && isSame(one[0], candidate));
    return !one[0] || (match !== undefined && match.score >= other[0].score - close);
  };
  return covers(a, b) && covers(b, a) && bestAmong(a, b) && bestAmong(b, a);
}

const isSame = (a: Detection, b: Detection) => a.label === b.label && overlap(a.box, b.box) > 0.5;

const inWords = (found: readonly Detection[]) =>
  found
    .filter(({ score }, i) => score >= SURE || i === 0)
    .map(({ label, score }) => `${label} ${score.toFixed(2)}`)
    .join(', ');
