/**
 * The GPU's part of a profile: each problem in each format as so many draws, from their submission until
 * a fence says that all are done. Nothing blocks but read-backs, which are measured for themselves.
 */
import type { Buffer } from '../../graph/value.js';
import { findLanes, fitGpu, fitTransfer, median } from '../../plan/fit.js';
import type { Family, GpuFormat, GpuProfile, GpuUnit, Transfer } from '../../plan/profile.js';
import { FAMILIES } from '../../plan/profile.js';
import type { GpuBuffer, GpuProcessor } from '../../processors/gpu/processor.js';
import type { Argument, Call } from '../../processors/kernel.js';
import type { Problem } from './problems.js';

interface Trial {
  readonly problem: Problem;
  readonly format: 'float32' | 'f16';
  readonly fragments: number;
  readonly times: number[];
}

/** Numbers that travel: [1,1,n]. */
const JOURNEYS: readonly number[] = [64, 2 ** 16, 2 ** 18];

/** Draws between two fences at most, and the milliseconds that they should take at least. */
const MOST_DRAWS = 32;
const BATCH_MS = 1;

/** Milliseconds of a draw at least, where the fence has taken longer for few than for many. */
const LEAST_MS = 1e-4;

const QUANTISATION = { scale: 1 / 128, zero: 128 };

type Way = 'upload' | 'readBack';

/** Whose time a family has that was not measured. */
const LIKE: Partial<Record<Family, Family>> = { pointwise: 'product', vector: 'pointwise' };

export class GpuTimes {
  private readonly trials: readonly Trial[];
  private last: number[] | undefined;
  private isPrepared = false;
  /** Milliseconds that the main thread was busy with measuring. */
  busy = 0;
  private readonly journeys: { way: Way; isBytes: boolean; numbers: number; times: number[] }[];

  constructor(
    problems: readonly Problem[],
    private readonly gpu: GpuProcessor,
  ) {
    const able = problems.filter(({ kernel, called: { inputs, outputs } }) =>
      gpu.supports(kernel, Object.values(inputs), outputs),
    );
    this.trials = able.flatMap(problem =>
      (['f16', 'float32'] as const).map((format): Trial => {
        const { blocks, channels } = problem.work;
        return { problem, format, fragments: blocks * Math.ceil(channels / 4), times: [] };
      }),
    );
    this.journeys = (['upload', 'readBack'] as const).flatMap(way =>
      [false, true].flatMap(isBytes =>
        JOURNEYS.map(numbers => ({ way, isBytes, numbers, times: [] })),
      ),
    );
  }

  /** Goes through all trials; every pause is a good moment to stop. */
  async *pass(): AsyncGenerator<void, void> {
    yield* this.prepare();
    for (const journey of this.journeys) {
      this.note(journey, await this.travel(journey));
      yield;
    }
    for (const trial of this.trials) {
      this.note(trial, await this.measure(trial));
      yield;
    }
  }

  /** Programs are compiled while transfers are measured, by whatever threads the driver has. */
  private *prepare(): Generator<void, void> {
    for (const { problem, format } of this.isPrepared ? [] : this.trials) {
      const { kernel, called, isList } = problem;
      this.use(format, () => this.gpu.prepare(kernel, { ...called, isList }));
      yield;
    }
    this.isPrepared = true;
  }

  /** In textures of a format, for so long as it takes the main thread. */
  private use<T>(format: Trial['format'], todo: () => T): T {
    const start = performance.now();
    try {
      return within(this.gpu, format, todo);
    } finally {
      this.busy += performance.now() - start;
    }
  }

  /** Somebody else has used the GPU meanwhile. */
  forgetLast(): void {
    this.last?.pop();
    this.last = undefined;
  }

  private note({ times }: { times: number[] }, ns: number): void {
    times.push(ns);
    this.last = times;
  }

  /** Undefined where a family has not been measured. */
  profile(): GpuProfile | undefined {
    const samples = (family: Family, format: GpuFormat) =>
      this.trials
        .filter(
          ({ problem: { work }, format: of, times }) =>
            work.family === family && of === format && times.length > 0,
        )
        .map(({ problem: { work }, fragments, times }) => ({
          ...{ fragments, depth: work.depth, ns: median(times) },
        }));
    const lanes = findLanes(samples('product', 'f16'));
    const units: Partial<Record<Family, Partial<Record<GpuFormat, GpuUnit>>>> = {};
    for (const family of FAMILIES) {
      const like = LIKE[family];
      const own: Partial<Record<GpuFormat, GpuUnit>> = { ...(like && units[like]) };
      for (const format of ['float32', 'f16'] as const) {
        const known = samples(family, format);
        if (known.length > 0) own[format] = fitGpu(known, lanes);
      }
      if (!own.float32) return undefined;
      units[family] = own;
    }
    const upload = this.transfers('upload');
    const readBack = this.transfers('readBack');
    if (!upload || !readBack) return undefined;
    return { lanes, units: units as GpuProfile['units'], upload, readBack, slowDown: 1 };
  }

  private transfers(way: Way): Record<GpuFormat, Transfer> | undefined {
    const of = (isBytes: boolean) => {
      const known = this.journeys.filter(
        journey => journey.way === way && journey.isBytes === isBytes && journey.times.length > 0,
      );
      return known.length < 2
        ? undefined
        : fitTransfer(
            known.map(({ numbers, times }) => ({
              ns: median(times),
              bytes: numbers * (isBytes ? 1 : 4),
            })),
          );
    };
    const [floats, bytes] = [of(false), of(true)];
    if (!floats || !bytes) return undefined;
    // Halves travel as floats: twice their bytes.
    return { float32: floats, f16: { a: floats.a, b: 2 * floats.b }, bytes };
  }

  /** Nanoseconds. */
  private async travel({ way, isBytes, numbers }: GpuTimes['journeys'][number]): Promise<number> {
    const { gpu } = this;
    const spec = { shape: [1, 1, numbers], dtype: 'float32' } as const;
    const host = new Float32Array(numbers).fill(0.5);
    const bytes = new Uint8Array(numbers);
    const use = <T>(todo: () => T) => this.use('f16', todo);
    const send = () =>
      use(() =>
        isBytes && gpu.takesBytes(spec)
          ? gpu.upload(bytes, spec, QUANTISATION)
          : gpu.upload(host, spec),
      );
    const read = (buffer: GpuBuffer) =>
      use(() => {
        const length = isBytes ? gpu.downloadLength(buffer) : undefined;
        const start = performance.now();
        if (length === undefined) gpu.download(buffer);
        else gpu.downloadBytes(buffer, QUANTISATION, new Uint8Array(length));
        return performance.now() - start;
      });
    // Compiles its programs and makes its textures.
    let buffer = send();
    try {
      await gpu.settled();
      if (way === 'readBack') {
        read(buffer);
        return read(buffer) * 1e6;
      }
      use(() => buffer.free());
      const start = performance.now();
      buffer = send();
      await gpu.settled();
      return (performance.now() - start) * 1e6;
    } finally {
      use(() => buffer.free());
    }
  }

  /** Nanoseconds. */
  private async measure({ problem, format }: Trial): Promise<number> {
    const { gpu } = this;
    const { draw, free } = this.use(format, () => readyOnGpu(problem, gpu, format));
    try {
      const timed = async (count: number) => {
        const start = performance.now();
        this.use(format, () => {
          for (let i = 0; i < count; i++) draw();
          gpu.flush();
        });
        await gpu.settled();
        return performance.now() - start;
      };
      await timed(1);
      // The fence has a price of its own, which is the same for few and for many.
      const few = await timed(2);
      const count = Math.min(MOST_DRAWS, Math.max(4, Math.ceil((2 * BATCH_MS) / few) * 2));
      return Math.max(((await timed(count + 2)) - (await timed(2))) / count, LEAST_MS) * 1e6;
    } finally {
      free();
    }
  }
}

/** Draws of a problem in textures of a format, and what gives its operands back. */
export function readyOnGpu(
  { kernel, called, isList }: Problem,
  gpu: GpuProcessor,
  format: 'float32' | 'f16',
): { draw: () => void; free: () => void } {
  const owned: Buffer[] = [];
  const argument = (name: string): Argument<GpuBuffer> => {
    const { shape, dtype } = called.inputs[name];
    const numbers = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5);
    const buffer = gpu.upload(numbers, { shape, dtype });
    owned.push(buffer);
    const forms = new Map<string, Buffer>();
    return {
      ...{ buffer, shape, dtype, range: () => [-1, 1], host: () => numbers },
      derived<D extends Buffer>(key: string, make: () => D): D {
        const form = (forms.get(key) as D | undefined) ?? make();
        if (!forms.has(key)) owned.push(form);
        forms.set(key, form);
        return form;
      },
    };
  };
  const inputs = within(gpu, format, () =>
    Object.keys(called.inputs).map(name => [name, argument(name)] as const),
  );
  const call: Call<GpuBuffer> = {
    ...{ name: kernel.name, inputs: Object.fromEntries(inputs), isList, int8: false },
    ...{ attributes: called.attributes, outputs: called.outputs },
  };
  return {
    draw: () => within(gpu, format, () => gpu.run(kernel, call).forEach(buffer => buffer.free())),
    free: () => within(gpu, format, () => owned.forEach(buffer => buffer.free())),
  };
}

function within<T>(gpu: GpuProcessor, format: 'float32' | 'f16', use: () => T): T {
  const { half } = gpu;
  gpu.half = format === 'f16';
  try {
    return use();
  } finally {
    gpu.half = half;
  }
}
