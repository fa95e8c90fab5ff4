/**
 * What a node, or a slice of it, takes on each processor, by the device profile. Work is counted as
 * the kernels do it, rounded up at every edge:
 *
 *     CPU   tiles 4 rows x 8 channels        x ceil(k / 4) deep     shared by the threads
 *     GPU   fragments 2x2 pixels x 4 channels x ceil(k / 4) deep    `lanes` at once
 *
 * with y [rows, channels] and k the multiply-accumulates of one number of it; element-wise kernels have
 * tiles of 64 numbers and fragments of 4x4, and are as deep as their window.
 */
import type { Problem, Rules } from '../graph/kernel.js';
import type { CpuFormat, Family, GpuFormat, GpuProfile, Profile, Transfer } from './profile.js';
import { BYTES } from './profile.js';

/** A call of a kernel with its rules, as a node is. */
export interface Called extends Problem {
  readonly kernel: Rules;
}

/** y [rows, channels], for each number of which `depth` others are looked at. */
export interface Work {
  readonly family: Family;
  readonly rows: number;
  /** Rows in blocks of 2x2 pixels, or of 4. */
  readonly blocks: number;
  readonly depth: number;
}

/** What the error budget allows a node. */
export interface Allowed {
  /** int8 on the CPU, bytes on the wire. */
  readonly int8: boolean;
  readonly f16: boolean;
}

const POOLS = ['MaxPool', 'AvgPool'];

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
  const common = { rows, blocks };
  if (kernel.kind === 'layer') {
    const [kh, kw] = kernel.weights ? (inputs[kernel.weights]?.shape ?? []) : [];
    const isWindow = inputs[kernel.weights ?? '']?.shape.length === 4 && kh * kw > 1;
    const family = isWindow ? 'product' : 'pointwise';
    return { family, ...common, depth: Math.ceil(perElement / 4) };
  }
  if (macs > 0) return { family: 'depthwise', ...common, depth: Math.ceil(perElement) };
  if (POOLS.includes(kernel.name)) {
    const size = attributes.filterSize as number | readonly number[];
    const [rows, columns] = typeof size === 'number' ? [size, size] : size;
    return { family: 'pool', ...common, depth: rows * columns };
  }
  if (kernel.kind === 'mover') return { family: 'move', ...common, depth: 1 };
  // A reduction reads more than it writes.
  const read = Math.max(0, ...Object.values(inputs).map(x => sizeOf(x.shape)));
  const depth = elements === 0 ? 0 : Math.max(1, Math.ceil(read / elements));
  return { family: 'elementwise', ...common, depth };
}

/** Nanoseconds of so many channels of it on the CPU; 0 of none. */
export function cpuTime(
  { family, rows, depth }: Work,
  channels: number,
  format: CpuFormat,
  { cpu: { threads, units } }: Profile,
): number {
  if (channels === 0) return 0;
  const { call, perUnit } = units[family][format] ?? units[family].float32;
  const tiles = isMatrix(family)
    ? Math.ceil(rows / 4) * Math.ceil(channels / 8)
    : Math.ceil((rows * channels) / ELEMENTS);
  return call + Math.ceil(tiles / threads) * depth * perUnit[threads];
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
export function cpuFormat(work: Work, channels: number, { int8 }: Allowed, profile: Profile) {
  const has = profile.cpu.units[work.family];
  const formats = (['float32', 'int8', 'i16'] as const).filter(
    format => has[format] && (int8 || format === 'float32'),
  );
  return fastest(formats, format => cpuTime(work, channels, format, profile));
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

const isMatrix = (family: Family) => family === 'product' || family === 'pointwise';

function fastest<Format>(formats: readonly Format[], time: (format: Format) => number): Format {
  return formats.reduce((best, format) => (time(format) < time(best) ? format : best));
}
