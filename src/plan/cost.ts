/**
 * What a node, or a slice of it, takes on each processor, by the device profile. Work is counted as
 * the kernels do it, rounded up at every edge:
 *
 *     CPU   tiles 4 rows x 8 channels        x ceil(k / 4) deep     shared by the threads
 *     GPU   fragments 2x2 pixels x 4 channels x ceil(k / 4) deep    `lanes` at once
 *
 * with y [rows, channels] and k the multiply-accumulates of one number of it; element-wise kernels have
 * tiles of 64 numbers and fragments of 4x4, and are as deep as their window.
 *
 * On the CPU units are not all. In VGG-16 to MobileNet, one thread, 61 % of the layers were predicted
 * within 15 % by units alone; 91 to 100 % of the products are with
 *
 *     results    each number of y is scaled, clamped and stored: 0.2 to 0.5 ns
 *     weights    each byte of them comes from afar once: 0.1 ns
 *     copies     x is padded (floats, windows) or made bytes (int8 of floats) first: 0.4 to 1.3 ns
 *     far        bytes of x and y beyond what a cache holds
 */
import type { Problem, Rules } from '../graph/kernel.js';
import type { CpuFormat, Family, GpuFormat, GpuProfile, Profile, Transfer } from './profile.js';
import { BYTES, MORE_CPU_TIMES } from './profile.js';

/** A call of a kernel with its rules, as a node is. */
export interface Called extends Problem {
  readonly kernel: Rules;
}

/** y [rows, channels], for each number of which `depth` others are looked at. */
export interface Work {
  readonly family: Family;
  readonly rows: number;
  readonly channels: number;
  /** Rows in blocks of 2x2 pixels, or of 4. */
  readonly blocks: number;
  readonly depth: number;
  /** Numbers it reads, weights not among them. */
  readonly reads: number;
  /** Weights for one channel of y, and numbers of a pixel of x. */
  readonly weights: number;
  readonly pixel: number;
  /** On the CPU: whether x gets a border before, and whether a polynomial is a pass of its own after. */
  readonly pads: boolean;
  readonly hasPass: boolean;
  /** Whether nothing is left to do when its inputs are bytes: they were written where it wants them. */
  readonly isRoom: boolean;
}

/** What the error budget allows a node. */
export interface Allowed {
  /** int8 on the CPU, bytes on the wire. */
  readonly int8: boolean;
  readonly f16: boolean;
}

const POOLS = ['MaxPool', 'AvgPool'];

/** Functions that are a polynomial, and activations whose pass comes after the product. */
const POLYNOMIALS = ['Exp', 'Sigmoid', 'Tanh', 'Elu', 'Softplus', 'Softmax'];
const PASSES = ['sigmoid', 'tanh', 'elu', 'softplus'];

/** Products of fewer rows wait for weights (`wasm/f32-gemm/1x4.ts`). */
const VECTOR_ROWS = 4;

/** Bytes of x and y that a cache holds, more or less. */
const CACHE_BYTES = 2e6;

/** Numbers of x in a block of pixels (`wasm/f32-gemm/x8.ts`, `wasm/qu8-gemm/x8c4-relaxed.ts`). */
const BLOCK_NUMBERS = { float32: 2 ** 16, int8: 2 ** 17 };

/** One thread's nanoseconds below which work is not shared (`processors/cpu/queue.ts`). */
const WORTH_SHARING_NS = 10_000;

/** Numbers in a tile of what is no matrix product. */
const ELEMENTS = 64;

export function workOf({ kernel, inputs, attributes, outputs }: Called): Work {
  const sizes = outputs.map(({ shape }) => sizeOf(shape));
  // Of a kernel with several results (SplitV) the first stands for all of them.
  const elements = sizes.reduce((a, b) => a + b, 0);
  const [{ shape }] = outputs;
  const channels = shape.at(-1) ?? 1;
  const rows = channels === 0 ? 0 : elements / channels;
  const [n, h, w] = shape;
  const blocks =
    shape.length === 4 && outputs.length === 1
      ? n * Math.ceil(h / 2) * Math.ceil(w / 2)
      : Math.ceil(rows / 4);
  const macs = kernel.macs?.({ inputs, attributes, outputs }) ?? 0;
  const perElement = elements === 0 ? 0 : macs / elements;
  const operands = Object.entries(inputs).filter(([name]) => name !== kernel.weights);
  const read = operands.map(([, x]) => sizeOf(x.shape));
  const common = {
    ...{ rows, channels, blocks, weights: 0, pixel: 1, pads: false, hasPass: false, isRoom: false },
    reads: read.reduce((a, b) => a + b, 0),
  };
  if (kernel.kind === 'layer') {
    const [kh, kw] = kernel.weights ? (inputs[kernel.weights]?.shape ?? []) : [];
    const isWindow = inputs[kernel.weights ?? '']?.shape.length === 4 && kh * kw > 1;
    const many = isWindow ? 'product' : 'pointwise';
    return {
      ...common,
      family: rows < VECTOR_ROWS ? 'vector' : many,
      depth: Math.ceil(perElement / 4),
      weights: perElement,
      pixel: operands[0][1].shape.at(-1) ?? 1,
      pads: isWindow,
      hasPass: PASSES.includes(attributes.activation as string),
    };
  }
  if (macs > 0) {
    const depth = Math.ceil(perElement);
    return { ...common, family: 'depthwise', depth, weights: perElement };
  }
  if (POOLS.includes(kernel.name)) {
    const size = attributes.filterSize as number | readonly number[];
    const [height, width] = typeof size === 'number' ? [size, size] : size;
    return { ...common, family: 'pool', depth: height * width };
  }
  if (kernel.kind === 'mover') {
    const isRoom = !!kernel.putsSideBySide?.({ inputs, attributes, outputs });
    return { ...common, family: 'move', depth: 1, isRoom };
  }
  // A reduction reads more than it writes.
  const depth = elements === 0 ? 0 : Math.max(1, Math.ceil(Math.max(0, ...read) / elements));
  const family = POLYNOMIALS.includes(kernel.name) ? 'polynomial' : 'elementwise';
  return { ...common, family, depth };
}

/** The times of a {@link CpuUnit} but the call's, and how often each of them counts. */
export type CpuTerm = 'perUnit' | (typeof MORE_CPU_TIMES)[number];
export type CpuCounts = Readonly<Record<CpuTerm, number>>;

/**
 * @param isOfBytes whether it reads bytes.
 * @param threads that share it.
 */
export function cpuCounts(
  { family, rows, channels: all, depth, reads, weights, pixel, pads }: Work,
  channels: number,
  format: CpuFormat,
  isOfBytes: boolean,
  threads: number,
): CpuCounts {
  const isInt8 = format !== 'float32';
  const results = rows * channels;
  const isMatrix = family === 'product' || family === 'pointwise';
  // A part of a channelwise layer reads its own channels only.
  const read = isMatrix || all === 0 ? reads : (reads * channels) / all;
  const eights = Math.ceil(channels / 8);
  let tiles: number;
  // Tiles of 6 rows and of 4 together leave an odd row at most.
  if (isMatrix) tiles = Math.ceil((Math.ceil(rows / 2) * eights) / threads) / 2;
  else if (family === 'vector') tiles = Math.ceil((rows * eights) / threads);
  else tiles = Math.ceil(results / ELEMENTS / threads);
  const copies = isInt8 && !isOfBytes ? read : !isInt8 && pads ? read : 0;
  const weightBytes = (isInt8 ? 1 : 4) * weights * channels;
  // Products of many rows go over the weights again for each block of pixels.
  const blocks = isMatrix
    ? Math.ceil(
        (rows * pixel) /
          (isInt8 ? BLOCK_NUMBERS.int8 : Math.max(BLOCK_NUMBERS.float32, 256 * pixel)),
      )
    : 1;
  const far = (isOfBytes ? 1 : 4) * (read + results) - CACHE_BYTES;
  return {
    perUnit: tiles * depth,
    perResult: results / threads,
    perWeight: (weightBytes * blocks) / threads,
    perCopy: isMatrix ? copies / threads : 0,
    perFar: Math.max(0, far) / threads,
  };
}

/**
 * Nanoseconds of so many channels of it on the CPU; 0 of none.
 *
 * @param isOfBytes whether it reads bytes, where that is known.
 */
export function cpuTime(
  work: Work,
  channels: number,
  format: CpuFormat,
  { cpu: { threads, units } }: Profile,
  isOfBytes = format !== 'float32',
): number {
  if (channels === 0 || (work.isRoom && isOfBytes)) return 0;
  const time = (part: Work, by: CpuFormat, count: number) => {
    const { call, perUnit, ...unit } = units[part.family][by] ?? units[part.family].float32;
    const counts = cpuCounts(part, channels, by, isOfBytes, count);
    const more = MORE_CPU_TIMES.reduce((sum, name) => sum + counts[name] * (unit[name] ?? 0), 0);
    return call + counts.perUnit * perUnit[threads] + more;
  };
  const pass: Work = { ...work, family: 'polynomial', depth: 1, reads: work.rows * work.channels };
  const all = (count: number) =>
    time(work, format, count) + (work.hasPass ? time(pass, 'float32', count) : 0);
  const alone = all(1);
  return threads === 1 || alone < WORTH_SHARING_NS ? alone : all(threads);
}

/** Nanoseconds of so many channels of it on the GPU; 0 of none. */
export function gpuTime(
  { family, blocks, depth }: Work,
  channels: number,
  format: GpuFormat,
  { lanes, units }: GpuProfile,
): number {
  if (channels === 0) return 0;
  const { draw, perUnit } = units[family][format] ?? units[family].float32;
  return draw + Math.ceil((blocks * Math.ceil(channels / 4)) / lanes) * depth * perUnit;
}

/** Of the formats that the CPU has kernels for and that are allowed, the fastest for this work. */
export function cpuFormat(
  work: Work,
  channels: number,
  { int8 }: Allowed,
  profile: Profile,
  isOfBytes?: boolean,
) {
  const has = profile.cpu.units[work.family];
  const formats = (['float32', 'int8', 'i16'] as const).filter(
    format => has[format] && (int8 || format === 'float32'),
  );
  return fastest(formats, format => cpuTime(work, channels, format, profile, isOfBytes));
}

/** The same of the GPU. */
export function gpuFormat(work: Work, channels: number, allowed: Allowed, gpu: GpuProfile) {
  const may: Record<GpuFormat, boolean> = {
    float32: true,
    f16: allowed.f16,
    bytes: allowed.int8 && allowed.f16,
  };
  const formats = (['float32', 'f16', 'bytes'] as const).filter(
    format => gpu.units[work.family][format] && may[format],
  );
  return fastest(formats, format => gpuTime(work, channels, format, gpu));
}

/** What a result travels as. */
export function wireOf({ int8, f16 }: Allowed): GpuFormat {
  return int8 ? 'bytes' : f16 ? 'f16' : 'float32';
}

/** Nanoseconds that so many numbers are on their way. */
export function transferTime(
  transfers: Readonly<Record<GpuFormat, Transfer>>,
  numbers: number,
  format: GpuFormat,
): number {
  const { a, b } = transfers[format];
  return a + b * BYTES[format] * numbers;
}

/**
 * How long something takes that takes `time` alone, when the other processor works for `busy` from its
 * start on and slows it down by a factor meanwhile.
 */
export function contended(time: number, busy: number, slowDown: number): number {
  if (busy <= 0) return time;
  return time * slowDown <= busy ? time * slowDown : time + busy * (1 - 1 / slowDown);
}

export const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

function fastest<Format>(formats: readonly Format[], time: (format: Format) => number): Format {
  return formats.reduce((best, format) => (time(format) < time(best) ? format : best));
}
