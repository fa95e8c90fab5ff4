/**
 * What the specs of the backend share: switching it on, ways to run a layer, and the judge.
 *
 * A kernel's spec is a table of problems. Each is computed twice in every way of {@link WAYS} (the
 * first run of a graph observes in float32, int8 begins with the second), compared with the oracle
 * of `test/reference`, and `explain()` has to say that it really ran that way.
 */
import '@tensorflow/tfjs-core/dist/register_all_gradients.js';
import * as tf from '@tensorflow/tfjs-core';

import { kernels } from '../kernels/table.js';
import { MulayerBackend } from '../src/backend.js';
import type { Precision, Split } from '../src/flags.js';
import { explain } from '../src/index.js';
import type { LayerReport } from '../src/index.js';
import { roundCut } from '../src/plan/partition.js';
import type { CpuProcessor } from '../src/processors/cpu/processor.js';
import { dotFor } from '../src/processors/cpu/product.js';
import type { GpuProcessor } from '../src/processors/gpu/processor.js';
import { registerKernels } from '../src/register.js';
import { options } from './options.js';

/** Half a unit in the last place of 1 in float32: one rounding. */
export const EPSILON32 = 2 ** -24;

/** The same of the oracles' doubles. */
export const EPSILON64 = 2 ** -53;

/** Half of the smallest float32: what a rounding may do to numbers near zero. */
export const TINY32 = 2 ** -150;

/** One rounding to F16, doubled because GPUs may cut off where they should round. */
export const EPSILON16 = 2 ** -10;

/** The smallest F16, and so twice what a rounding may do to numbers near zero. */
export const TINY16 = 2 ** -24;

/**
 * Sets the backend before the specs of a suite, and after each one puts the flags back and counts:
 * tensors, data ids of this backend and of tfjs's own below it, and bytes on the wasm heap are what
 * they were before.
 */
export function useMulayer(): void {
  let before: ReturnType<typeof counts>;

  beforeAll(async () => {
    await tf.setBackend('mulayer');
  });

  beforeEach(() => {
    setFlags();
    before = counts();
    tf.engine().startScope();
  });

  afterEach(async () => {
    await tf.setBackend('mulayer');
    tf.engine().endScope();
    setFlags();
    expect(counts()).withContext('left behind').toEqual(before);
  });
}

function counts() {
  const { registry } = tf.engine();
  return {
    tensors: tf.memory().numTensors,
    heapBytes: heapBytes(),
    ids: Object.fromEntries(
      ['mulayer', 'cpu', 'webgl'].map(name => [name, registry[name]?.numDataIds() ?? 0]),
    ),
  };
}

/** The one instance behind `tf.setBackend('mulayer')`. */
export function backend(): MulayerBackend {
  return tf.engine().registry.mulayer as MulayerBackend;
}

export const hasGpu = (): boolean => backend().gpu !== undefined;

export const heapBytes = (): number => backend().memory().mulayerHeapBytes;

/** tfjs's names of the kernels of the last run. */
export const operations = (): string[] => explain().layers.map(({ op }) => op);

/** The same backend under another name, with these processors. */
export function registerAs(
  name: string,
  processors: () => Promise<[CpuProcessor, GpuProcessor | undefined]>,
): void {
  registerKernels(name);
  tf.registerBackend(name, async () => new MulayerBackend(kernels, ...(await processors())), 0);
}

/** Defaults, then what the runner was asked for, then these. */
export function setFlags(flags: Record<string, string | number | boolean> = {}): void {
  const all = { ...DEFAULTS, ...options.flags, ...flags };
  for (const [name, value] of Object.entries(all)) tf.env().set(name, value);
}

const DEFAULTS = {
  MULAYER_SPLIT: 'auto',
  MULAYER_PRECISION: 'auto',
  MULAYER_DOT: 'auto',
  MULAYER_ERROR_BUDGET: 0.1,
  MULAYER_THREADS: 0,
};

/** One way to run a layer. */
export interface Way {
  readonly split: Exclude<Split, 'auto' | 'layer'>;
  readonly precision: Exclude<Precision, 'auto'>;
  readonly dot?: 'i16' | 'usdot7';
}

/** On the CPU alone, with the integer products that the machine has and other machines take. */
export const CPU_WAYS: readonly Way[] = [
  { split: 'cpu', precision: 'float32' },
  { split: 'cpu', precision: 'int8' },
  { split: 'cpu', precision: 'int8', dot: 'i16' },
  { split: 'cpu', precision: 'int8', dot: 'usdot7' },
];

/**
 * With the GPU, whose textures hold 32-bit floats under precision `float32` and 16-bit ones under
 * `int8`. Without WebGL they must give the same on the CPU.
 */
export const GPU_WAYS: readonly Way[] = [
  { split: 'gpu', precision: 'float32' },
  { split: 'gpu', precision: 'int8' },
  { split: 0.25, precision: 'float32' },
  { split: 0.5, precision: 'float32' },
  { split: 0.25, precision: 'int8' },
  { split: 0.5, precision: 'int8' },
];

export const WAYS: readonly Way[] = [...CPU_WAYS, ...GPU_WAYS];

/** For long tables: compiling GPU programs is what takes the time. */
export const SOME_WAYS: readonly Way[] = WAYS.filter(
  ({ split }) => split === 'cpu' || split === 0.5,
);

/** For kernels that have no int8 of their own. */
export const FLOAT_WAYS: readonly Way[] = WAYS.filter(
  ({ split, precision }) => split !== 'cpu' || precision === 'float32',
);

export const SOME_FLOAT_WAYS: readonly Way[] = SOME_WAYS.filter(way => FLOAT_WAYS.includes(way));

export const CPU_FLOAT_WAY: readonly Way[] = CPU_WAYS.filter(way => FLOAT_WAYS.includes(way));

const nameOf = ({ split, precision, dot }: Way) =>
  `split ${split}, ${precision}${dot ? `, ${dot}` : ''}`;

/** What is wanted of one arithmetic: element i of the result lies within tolerance(i) of values[i]. */
export interface Wanted {
  readonly values: ArrayLike<number>;
  readonly tolerance: (i: number) => number;
}

/** A call of one kernel, and what it must give. */
export interface Problem {
  /** Makes the tensors; what it gives back calls the kernel on them, each time it is called. */
  readonly setUp: () => () => tf.Tensor;
  readonly float32: Wanted;
  /** Absent where the numbers are too small for 16-bit floats: the GPU's part is not judged then. */
  readonly f16?: Wanted;
  /** Of a GPU in 32 bits, where that is rougher than the CPU. */
  readonly gpu32?: Wanted;
  /** For weights of ±127 or ±64; absent where the CPU has to stay in float32. */
  readonly int8?: (largestWeight: number) => Wanted;
  /** Whether the CPU runs it in int8 here and now; whenever there is an `int8` if absent. */
  readonly int8When?: () => boolean;
  /** tfjs's name of the kernel, where the call does not say it. */
  readonly op?: string;
  /** The cut between the processors must be a multiple of this; 0: there is none. */
  readonly grain?: number;
  /** False for a call that stays on the CPU however it is asked. */
  readonly onGpu?: boolean;
  /** Kernel calls in it, 1 when absent; the last one is judged. */
  readonly calls?: number;
}

/** One spec for each way. `make`, which asks the oracle, is called once, when the first one runs. */
export function itInWays(name: string, ways: readonly Way[], make: () => Problem): void {
  let problem: Problem | undefined;
  for (const way of ways) {
    it(`${name}: ${nameOf(way)}`, async () => {
      await judge(way, (problem ??= make()));
    });
  }
}

/** Computes the problem twice in this way and compares numbers and reports. */
export async function judge(way: Way, problem: Problem): Promise<void> {
  setFlags({
    MULAYER_SPLIT: way.split,
    MULAYER_PRECISION: way.precision,
    MULAYER_DOT: way.dot ?? 'auto',
  });
  const compute = problem.setUp();
  for (const run of [1, 2]) {
    const y = compute();
    const numbers = await y.data();
    const { layers } = explain();
    expect(layers.length)
      .withContext(`recorded in run ${run}`)
      .toBe(problem.calls ?? 1);
    const canInt8 = !!problem.int8 && (problem.int8When?.() ?? true);
    const int8 = run === 2 && way.precision === 'int8' && canInt8;
    const layer = layers.at(-1)!;
    expectReport(layer, y, way, problem, int8);
    expectNumbers(numbers, y, layer, problem, `run ${run}`);
    y.dispose();
  }
}

function expectReport(layer: LayerReport, y: tf.Tensor, way: Way, problem: Problem, int8: boolean) {
  const { where, cut } = placementOf(y, way, problem);
  if (problem.op) expect(layer.op).toBe(problem.op);
  const channels = y.shape.at(-1) ?? 1;
  expect(layer.where).toBe(where);
  expect(layer.p).toBe(where === 'split' ? cut / channels : where === 'cpu' ? 1 : 0);
  const onGpu = way.precision === 'int8' ? 'f16' : 'float32';
  expect(layer.precision).toBe(where === 'gpu' ? onGpu : int8 ? 'int8' : 'float32');
  // tfjs itself may put another shape on the result: matMul of matrices is a batch of one.
  expect(layer.shape.at(-1)).toBe(y.shape.at(-1));
  expect(tf.util.sizeFromShape(layer.shape)).toBe(y.size);
}

function placementOf(y: tf.Tensor, { split }: Way, { grain = 1, onGpu = true }: Problem) {
  const channels = y.shape.at(-1) ?? 1;
  if (split === 'cpu' || !hasGpu() || !onGpu) return { where: 'cpu', cut: channels } as const;
  if (split === 'gpu') return { where: 'gpu', cut: 0 } as const;
  const cut = grain === 0 ? 0 : roundCut(channels, split as number, grain);
  return cut === 0
    ? ({ where: 'cpu', cut: channels } as const)
    : ({ where: 'split', cut } as const);
}

/** Channels below the cut are the CPU's, in its arithmetic; the others the GPU's, in its own. */
function expectNumbers(
  numbers: ArrayLike<number>,
  y: tf.Tensor,
  layer: LayerReport,
  problem: Problem,
  context: string,
): void {
  const channels = y.shape.at(-1) ?? 1;
  const cut = Math.round(layer.p * channels);
  const half = tf.env().get('MULAYER_PRECISION') !== 'float32' || !canRenderFloat32();
  const onCpu = layer.precision === 'int8' ? problem.int8!(largestWeight(cut)) : problem.float32;
  const onGpu = half ? problem.f16 : (problem.gpu32 ?? problem.float32);
  expect(numbers.length).withContext(context).toBe(problem.float32.values.length);
  for (let i = 0; i < numbers.length; i++) {
    const wanted = i % channels < cut ? onCpu : onGpu;
    if (!wanted || isNear(numbers[i], wanted.values[i], wanted.tolerance(i))) continue;
    fail(
      `${context}: element ${i} of [${y.shape.join()}], channel ${i % channels} with the cut at ` +
        `${cut}: expected ${wanted.values[i]} ± ${wanted.tolerance(i)}, got ${numbers[i]}`,
    );
    return;
  }
}

/** Equal, or both NaN, or no further apart than this. */
export function isNear(actual: number, wanted: number, tolerance: number): boolean {
  return Object.is(actual, wanted) || actual === wanted || Math.abs(actual - wanted) <= tolerance;
}

/** All numbers of a tensor, or of an array, against these. */
export function expectNear(
  actual: ArrayLike<number>,
  wanted: ArrayLike<number>,
  tolerance: number | ((i: number) => number) = 0,
): void {
  expect(actual.length).toBe(wanted.length);
  for (let i = 0; i < actual.length; i++) {
    const allowed = typeof tolerance === 'number' ? tolerance : tolerance(i);
    if (isNear(actual[i], wanted[i], allowed)) continue;
    fail(`element ${i}: expected ${wanted[i]} ± ${allowed}, got ${actual[i]}`);
    return;
  }
}

/** The dot of x86 without AVX-VNNI has no room for more than 7 bits. */
const largestWeight = (columns: number): number =>
  dotFor(backend().cpu, columns) === 'usdot7' ? 64 : 127;

/** Without it tfjs-webgl computes in 16 bits whatever it is asked. */
function canRenderFloat32(): boolean {
  return hasGpu() && tf.env().getBool('WEBGL_RENDER_FLOAT32_CAPABLE');
}

/** The same values with errors of each arithmetic: `float32(i)` and `f16(i)` say how much. */
export function floats(
  values: ArrayLike<number>,
  float32: (i: number) => number,
  f16: (i: number) => number,
): Pick<Problem, 'float32' | 'f16'> {
  return { float32: { values, tolerance: float32 }, f16: { values, tolerance: f16 } };
}

/** For kernels that only move numbers, all of them of the {@link grid}. */
export function moved(values: ArrayLike<number>): Pick<Problem, 'float32' | 'f16'> {
  return floats(
    values,
    () => 0,
    () => 0,
  );
}

/** For kernels that compute each number by itself, on numbers of the {@link grid}. */
export function rounded(
  values: ArrayLike<number>,
  float32: (i: number) => number = i => EPSILON32 * Math.abs(values[i]),
): Pick<Problem, 'float32' | 'f16'> {
  return floats(values, float32, i => 2 * float32(i) + EPSILON16 * Math.abs(values[i]) + TINY16);
}

/** Multiples of 1/64 from 0 to 8, in no order: exact in F16 too. */
export function grid(length: number, seed = 0): Float32Array {
  return Float32Array.from({ length }, (_, i) => ((seed + i * 197) % 512) / 64);
}

/** Multiples of 1/64 from -4 to 4. */
export function signedGrid(length: number, seed = 0): Float32Array {
  return grid(length, seed).map(v => v - 4);
}
