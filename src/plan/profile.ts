/**
 * The device profile: what the processors of one device take for a unit of work, and what it costs to
 * exchange numbers between them. Plain JSON, so that it can be kept, exported, and planned with in Node.
 *
 * All times are nanoseconds. The time of one call, `t` threads, `l` fragments at once:
 *
 *     CPU   call + ceil(tiles / t) * depth * perUnit[t]
 *                + (results * perResult + weights * perWeight + copies * perCopy + far * perFar) / t
 *     GPU   draw + ceil(fragments / l) * depth * perUnit
 *     transfer of n bytes   a + b * n
 *
 * `cost.ts` says how many of each a layer has. (CoDL, MobiSys 2022: a predictor that
 * knows how the kernels round up beats one that counts multiply-accumulates.)
 */
import { ProfileError } from '../errors.js';

/**
 * Kernels whose units of work are alike. `product`: convolutions and matrix products; `pointwise`: those
 * of one tap, which have no neighbours to share loads with; `vector`: those of so few rows that they wait
 * for weights; `polynomial`: element-wise functions that are one (sigmoid); `move`: touches bytes,
 * computes nothing.
 */
export const FAMILIES = [
  'product',
  'pointwise',
  'vector',
  'depthwise',
  'pool',
  'elementwise',
  'polynomial',
  'move',
] as const;
export type Family = (typeof FAMILIES)[number];

/** `i16`: the exact 8-bit product of machines without a relaxed dot. */
export const CPU_FORMATS = ['float32', 'int8', 'i16'] as const;
export type CpuFormat = (typeof CPU_FORMATS)[number];

/** How the GPU holds numbers, and how they travel. */
export const GPU_FORMATS = ['float32', 'f16', 'bytes'] as const;
export type GpuFormat = (typeof GPU_FORMATS)[number];

/** Bytes of one number. */
export const BYTES: Readonly<Record<GpuFormat, number>> = { float32: 4, f16: 2, bytes: 1 };

export interface CpuUnit {
  /** One thread's time for a unit, by how many threads work. */
  readonly perUnit: Readonly<Record<string, number>>;
  /** Of a call, whatever its size. */
  readonly call: number;
  /** Beside the units, one thread's time; 0 when absent, as all that follow. Of a number of the result. */
  readonly perResult?: number;
  /** Of a byte of weights. */
  readonly perWeight?: number;
  /** Of a number that is padded, or made a byte, before it is multiplied. */
  readonly perCopy?: number;
  /** Of a byte beyond those that a cache holds. */
  readonly perFar?: number;
}

/** Times of a {@link CpuUnit} that may be absent. */
export const MORE_CPU_TIMES = ['perResult', 'perWeight', 'perCopy', 'perFar'] as const;

export interface GpuUnit {
  /** Time of a unit in each of the fragments that run at once. */
  readonly perUnit: number;
  /** Of a draw with its submission. */
  readonly draw: number;
}

export interface Transfer {
  readonly a: number;
  /** For a byte. */
  readonly b: number;
}

/** A family has the formats it has kernels for; `float32` always. */
type Units<Format extends string, Unit> = Readonly<
  Record<Family, { readonly float32: Unit } & Readonly<Partial<Record<Format, Unit>>>>
>;

export interface GpuProfile {
  /** Fragments that run at once: what is begun is paid for. */
  readonly lanes: number;
  readonly units: Units<GpuFormat, GpuUnit>;
  /** Does not block. */
  readonly upload: Readonly<Record<GpuFormat, Transfer>>;
  /** Blocks. */
  readonly readBack: Readonly<Record<GpuFormat, Transfer>>;
  /** How many times longer it takes while the CPU works. */
  readonly slowDown: number;
}

export interface Profile {
  readonly name: string;
  readonly cpu: {
    readonly threads: number;
    readonly units: Units<CpuFormat, CpuUnit>;
    /** To have the workers at work again after a wait. */
    readonly wake: number;
    /** How many times longer it takes while the GPU works. */
    readonly slowDown: number;
  };
  /** Absent where there is none. */
  readonly gpu?: GpuProfile;
}

/**
 * A profile that came from somewhere.
 *
 * @throws ProfileError naming the field, what was wanted and what came.
 */
export function profileOf(json: unknown): Profile {
  const root = objectAt('profile', json);
  if (typeof root.name !== 'string') throw wrong('name', 'a string', root.name);
  const cpu = objectAt('cpu', root.cpu);
  numberAt('cpu.threads', cpu.threads, n => Number.isInteger(n) && n >= 1, 'a whole number from 1');
  notNegativeAt('cpu.wake', cpu.wake);
  slowDownAt('cpu.slowDown', cpu.slowDown);
  unitsAt('cpu.units', cpu.units, CPU_FORMATS, (path, unit) => {
    const times = objectAt(`${path}.perUnit`, unit.perUnit);
    positiveAt(`${path}.perUnit.${cpu.threads as number}`, times[String(cpu.threads)]);
    for (const [threads, ns] of Object.entries(times)) positiveAt(`${path}.perUnit.${threads}`, ns);
    notNegativeAt(`${path}.call`, unit.call);
    for (const name of MORE_CPU_TIMES) {
      if (unit[name] !== undefined) notNegativeAt(`${path}.${name}`, unit[name]);
    }
  });
  if (root.gpu === undefined) return json as Profile;
  const gpu = objectAt('gpu', root.gpu);
  numberAt('gpu.lanes', gpu.lanes, n => Number.isInteger(n) && n >= 1, 'a whole number from 1');
  slowDownAt('gpu.slowDown', gpu.slowDown);
  unitsAt('gpu.units', gpu.units, GPU_FORMATS, (path, unit) => {
    positiveAt(`${path}.perUnit`, unit.perUnit);
    notNegativeAt(`${path}.draw`, unit.draw);
  });
  for (const way of ['upload', 'readBack']) {
    const formats = objectAt(`gpu.${way}`, gpu[way]);
    for (const format of GPU_FORMATS) {
      const transfer = objectAt(`gpu.${way}.${format}`, formats[format]);
      notNegativeAt(`gpu.${way}.${format}.a`, transfer.a);
      notNegativeAt(`gpu.${way}.${format}.b`, transfer.b);
    }
  }
  return json as Profile;
}

type Json = Record<string, unknown>;

function unitsAt(
  path: string,
  json: unknown,
  formats: readonly string[],
  check: (path: string, unit: Json) => void,
): void {
  const families = objectAt(path, json);
  for (const family of FAMILIES) {
    const units = objectAt(`${path}.${family}`, families[family]);
    for (const format of formats) {
      if (units[format] === undefined && format !== 'float32') continue;
      check(`${path}.${family}.${format}`, objectAt(`${path}.${family}.${format}`, units[format]));
    }
  }
}

function objectAt(path: string, json: unknown): Json {
  if (typeof json !== 'object' || json === null) throw wrong(path, 'an object', json);
  return json as Json;
}

const positiveAt = (path: string, json: unknown) =>
  numberAt(path, json, n => n > 0, 'a number above 0');

const notNegativeAt = (path: string, json: unknown) =>
  numberAt(path, json, n => n >= 0, 'a number from 0');

const slowDownAt = (path: string, json: unknown) =>
  numberAt(path, json, n => n >= 1, 'a number from 1');

function numberAt(
  path: string,
  json: unknown,
  isRight: (n: number) => boolean,
  wanted: string,
): void {
  if (typeof json === 'number' && Number.isFinite(json) && isRight(json)) return;
  throw wrong(path, wanted, json);
}

function wrong(path: string, wanted: string, got: unknown): ProfileError {
  return new ProfileError(`${path}: expected ${wanted}, got ${textOf(got)}`);
}

function textOf(got: unknown): string {
  if (typeof got === 'string') return `'${got}'`;
  if (typeof got === 'number') return String(got);
  return got === null || got === undefined ? String(got) : `a ${typeof got}`;
}
