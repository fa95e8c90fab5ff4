/**
 * Profiles made by hand for specs and simulations, from the measured tables of the README and of the
 * GPU programs: at full speed the CPU's relaxed dot does 100 GMAC/s on a thread and float32 36, the
 * GPU 675 GMAC/s in 16 bits and 540 in 32 (3x3, 4,096 fragments at once explain what small maps cost).
 * The others are these at other speeds. Phones of 2019 are taken for twenty times slower.
 *
 * None is recorded from a device. Ratios in the names are of the speed of large int8 and 16-bit matrix
 * products; of whole nets they differ, since small layers leave a GPU partly idle: under
 * `soc, GPU 1.40` VGG-16 takes the CPU 1.36 times as long, MobileNet 0.79 times.
 */
import type { CpuUnit, Family, GpuUnit, Profile, Transfer } from '../../src/plan/profile.js';
import { FAMILIES } from '../../src/plan/profile.js';

/** Milliseconds, and milliseconds a MB, in nanoseconds. */
const ms = (n: number) => n * 1e6;
const perMB = (n: number): number => (n * 1e6) / 2 ** 20;

/** Nanoseconds of a unit on one thread at full speed; 128 multiply-accumulates, or 64 numbers. */
const CPU: Readonly<Record<Family, { float32: number; int8: number }>> = {
  product: { float32: 3.6, int8: 1.28 },
  pointwise: { float32: 3.6, int8: 1.36 },
  vector: { float32: 3.6, int8: 1.36 },
  depthwise: { float32: 5.3, int8: 3.2 },
  pool: { float32: 10, int8: 2.5 },
  elementwise: { float32: 16, int8: 8 },
  polynomial: { float32: 16, int8: 8 },
  move: { float32: 12, int8: 4 },
};

/** Nanoseconds of a unit in each of 4,096 fragments; 64 multiply-accumulates, or 16 numbers. */
const LANES = 4096;
const GPU: Readonly<Record<Family, { float32: number; f16: number; bytes: number }>> = {
  product: { float32: 485, f16: 388, bytes: 390 },
  pointwise: { float32: 760, f16: 730, bytes: 735 },
  vector: { float32: 760, f16: 730, bytes: 735 },
  depthwise: { float32: 460, f16: 410, bytes: 410 },
  pool: { float32: 500, f16: 410, bytes: 400 },
  elementwise: { float32: 1500, f16: 900, bytes: 800 },
  polynomial: { float32: 1500, f16: 900, bytes: 800 },
  move: { float32: 1500, f16: 900, bytes: 800 },
};

interface Making {
  readonly name: string;
  /** Times the speeds above. */
  readonly cpu: number;
  readonly gpu?: number;
  readonly threads: number;
  /** Fragments at once, at the same speed. */
  readonly lanes?: number;
  /** What several threads are worth. */
  readonly threadsGain?: number;
  readonly readBack?: Transfer;
  readonly upload?: Transfer;
  /** Nanoseconds. */
  readonly call?: number;
  readonly draw?: number;
  readonly wake?: number;
  readonly slowDowns?: readonly [cpu: number, gpu: number];
}

const FREE: Transfer = { a: 0, b: 0 };

function made(making: Making): Profile {
  const { name, cpu, gpu, threads, call = 5000, draw = 15_000, wake = 10_000 } = making;
  const { threadsGain = threads, slowDowns = [1.05, 1.05], lanes = LANES } = making;
  const cpuUnit = (ns: number): CpuUnit => ({
    perUnit: { [threads]: (ns / cpu) * (threads / threadsGain) },
    call,
  });
  const families = <T>(make: (family: Family) => T) =>
    Object.fromEntries(FAMILIES.map(family => [family, make(family)])) as Record<Family, T>;
  const units = families(family => ({
    float32: cpuUnit(CPU[family].float32),
    int8: cpuUnit(CPU[family].int8),
  }));
  const profile = { name, cpu: { threads, units, wake, slowDown: slowDowns[0] } };
  if (gpu === undefined) return profile;
  const gpuUnit = (ns: number): GpuUnit => ({ perUnit: ((ns / gpu) * lanes) / LANES, draw });
  const all = (transfer: Transfer) => ({ float32: transfer, f16: transfer, bytes: transfer });
  return {
    ...profile,
    gpu: {
      lanes,
      units: families(family => ({
        float32: gpuUnit(GPU[family].float32),
        f16: gpuUnit(GPU[family].f16),
        bytes: gpuUnit(GPU[family].bytes),
      })),
      readBack: all(making.readBack ?? { a: ms(0.1), b: perMB(0.45) }),
      upload: all(making.upload ?? { a: ms(0.03), b: perMB(0.5) }),
      slowDown: slowDowns[1],
    },
  };
}

/** Speed of one CPU thread over the GPU's, in int8 and 16 bits: 100 to 675 GMAC/s. */
const RATIO = 100 / 675;

/** A phone's: memory is shared, so little is paid by the byte. */
const SOC = {
  threads: 4,
  lanes: 256,
  gpu: 1 / 20,
  call: 20_000,
  draw: 60_000,
  wake: 30_000,
  readBack: { a: ms(0.15), b: perMB(0.2) },
  upload: { a: ms(0.05), b: perMB(0.2) },
  slowDowns: [1.08, 1.08],
} as const;

/** Speed of each of four threads that together are `times` as fast as the GPU. */
const four = (times: number, gpu: number) => (times * gpu) / RATIO / 4;

export const PROFILES = {
  /** The two of the muLayer paper, by what their processors take for whole nets. */
  'soc, CPU 1.26': made({ name: 'soc, CPU 1.26', ...SOC, cpu: four(1.26, SOC.gpu) }),
  'soc, GPU 1.40': made({ name: 'soc, GPU 1.40', ...SOC, cpu: four(1 / 1.4, SOC.gpu) }),
  '4:1': made({ name: '4:1', cpu: four(4, 1), gpu: 1, threads: 4 }),
  '1:4': made({ name: '1:4', cpu: four(1 / 4, 1), gpu: 1, threads: 4 }),
  'free sharing': made({
    name: 'free sharing',
    cpu: four(1, 1),
    gpu: 1,
    threads: 4,
    readBack: FREE,
    upload: FREE,
    wake: 0,
  }),
  '2 ms a read-back': made({
    name: '2 ms a read-back',
    cpu: four(1, 1),
    gpu: 1,
    threads: 4,
    readBack: { a: ms(2), b: perMB(0.45) },
  }),
  '2 cores, no GPU': made({
    name: '2 cores, no GPU',
    cpu: 0.42,
    threads: 2,
    threadsGain: 1.85,
  }),
  'GPU, 4 threads': made({
    name: 'GPU, 4 threads',
    cpu: 0.9,
    gpu: 1,
    threads: 4,
    threadsGain: 3.5,
    call: 6000,
    slowDowns: [1.15, 1.05],
  }),
} as const satisfies Record<string, Profile>;

export type ProfileName = keyof typeof PROFILES;
