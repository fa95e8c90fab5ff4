/**
 * The CPU's part of a profile: each problem in each format, in batches that the clock can tell, again and
 * again as long as there is time; of each the least, since they are few and others only ever add to
 * them; and of these the units (`plan/fit.ts`).
 *
 * What a lowering calls is heard once and then called again by itself, as a run that has been recorded
 * does (`run/replay.ts`): its JavaScript, 5 to 10 µs a layer, is no part of what most runs take.
 */
import type { Buffer } from '../../graph/value.js';
import type { CpuCounts, CpuTerm } from '../../plan/cost.js';
import { cpuCounts } from '../../plan/cost.js';
import { fitCpu, median } from '../../plan/fit.js';
import type { CpuFormat, CpuUnit, Family, Profile } from '../../plan/profile.js';
import { FAMILIES } from '../../plan/profile.js';
import type { Calls, TiledKernel } from '../../processors/cpu/board.js';
import type { CpuProcessor } from '../../processors/cpu/processor.js';
import { CpuBuffer } from '../../processors/cpu/processor.js';
import type { Argument, Call } from '../../processors/kernel.js';
import type { Problem } from './problems.js';

/** How the numbers of a problem lie: as floats, as floats that are made bytes, as bytes. */
type Form = 'float32' | 'int8 of floats' | 'int8';

/** A problem in a form, and what it took. */
interface Trial {
  readonly problem: Problem;
  readonly form: Form;
  readonly format: CpuFormat;
  readonly counts: CpuCounts;
  /** Nanoseconds of a call, one for each batch. */
  readonly times: number[];
}

/** Between -1 and 1. */
const NOISE = Float32Array.from({ length: 1 << 14 }, (_, i) => (((i * 40503) & 255) - 128) / 128);
const QUANTISATION = { scale: 1 / 128, zero: 128 };
const RANGE = [-1, 1] as const;

/** A batch takes so many ticks of the clock, and at least and at most so many milliseconds. */
const TICKS = 40;
const LEAST_BATCH_MS = 0.2;
const MOST_BATCH_MS = 3;
const MOST_CALLS = 64;

/** What a family's time is made of, beside the call; of the others units and far bytes. */
const PRODUCT: readonly CpuTerm[] = ['perUnit', 'perResult', 'perWeight', 'perCopy'];
const TERMS: Partial<Record<Family, readonly CpuTerm[]>> = {
  product: PRODUCT,
  pointwise: PRODUCT,
  vector: ['perUnit'],
  depthwise: ['perUnit', 'perWeight', 'perResult', 'perFar'],
  pool: ['perUnit', 'perResult'],
};

/**
 * Bytes of operands that are called with in turn, where they shall not come from the nearest cache, and
 * sets of operands at most.
 */
const COLD_BYTES = 3e6;
const MOST_SETS = 4;

/** Bytes that are copied to learn what memory gives; a cache holds fewer. */
const STREAM_BYTES = 24e6;
const STREAM_PIECES = 6;

/** Bytes of weights that a unit reads. */
const UNIT_BYTES = { float32: 128, int8: 32 } as const;

/** Numbers of x from which on making them bytes is measured too. */
const MANY = 4e4;

/** Whose time a family has that was not measured. */
const LIKE: Partial<Record<Family, Family>> = {
  pointwise: 'product',
  vector: 'pointwise',
  pool: 'depthwise',
  polynomial: 'elementwise',
  move: 'elementwise',
};

export class CpuTimes {
  readonly threads: number;
  /** Milliseconds that measuring has taken. */
  busy = 0;
  private readonly trials: readonly Trial[];
  /** Nanoseconds by which the first call after a rest took longer than the others. */
  private readonly wakes: number[] = [];
  /** Nanoseconds for a byte of memory. */
  private readonly streams: number[] = [];

  /** @param tickMs the smallest step of the clock. */
  constructor(
    problems: readonly Problem[],
    private readonly cpu: CpuProcessor,
    private readonly tickMs: number,
  ) {
    const { threads } = cpu;
    this.threads = threads;
    this.trials = problems.flatMap(problem =>
      formsOf(problem, cpu).map((form): Trial => {
        const { work } = problem;
        const format = form === 'float32' ? 'float32' : 'int8';
        const counts = cpuCounts(work, work.channels, format, form === 'int8', threads);
        return { problem, form, format, counts, times: [] };
      }),
    );
  }

  /** Goes through all trials, one batch of each, in pieces; every pause is a good moment to stop. */
  *pass(): Generator<void, void> {
    const pieces = this.pieces();
    try {
      for (;;) {
        const start = performance.now();
        const { done } = pieces.next();
        this.busy += performance.now() - start;
        if (done) return;
        yield;
      }
    } finally {
      pieces.return();
    }
  }

  private *pieces(): Generator<void, void> {
    this.measureWake();
    for (const trial of this.trials) yield* this.measure(trial);
    yield* this.measureStream();
  }

  /** Undefined where a family has not been measured, nor the one it is like. */
  profile(): Profile['cpu'] | undefined {
    const { threads } = this;
    const units: Partial<Record<Family, Partial<Record<CpuFormat, CpuUnit>>>> = {};
    for (const family of FAMILIES) {
      const like = LIKE[family];
      const own = { ...(like && units[like]), ...this.unitsOf(family) };
      if (!own.float32) return undefined;
      units[family] = own;
    }
    const wake = this.wakes.length > 0 ? Math.max(0, median(this.wakes)) : 0;
    return { threads, units: units as Profile['cpu']['units'], wake, slowDown: 1 };
  }

  private unitsOf(family: Family): Partial<Record<CpuFormat, CpuUnit>> {
    const units: Partial<Record<CpuFormat, CpuUnit>> = {};
    for (const format of ['float32', 'int8'] as const) {
      const own = this.trials.filter(
        ({ problem: { work }, format: of, times }) =>
          work.family === family && of === format && times.length > 0,
      );
      const samples = own.map(({ times, counts }) => ({ ns: Math.min(...times), counts }));
      if (samples.length === 0) continue;
      const unit = fitCpu(samples, this.threads, TERMS[family] ?? ['perUnit', 'perFar']);
      units[format] = family === 'vector' ? this.withStream(unit, format) : unit;
    }
    return units;
  }

  /** They were measured with weights that a cache holds. */
  private withStream(unit: CpuUnit, format: keyof typeof UNIT_BYTES): CpuUnit {
    if (this.streams.length === 0) return unit;
    const perUnit = Math.max(unit.perUnit[this.threads], median(this.streams) * UNIT_BYTES[format]);
    return { ...unit, perUnit: { [this.threads]: perUnit } };
  }

  private *measure({ problem, form, times }: Trial): Generator<void, void> {
    const { cpu, tickMs } = this;
    const sets = isBoundByMemory(problem) ? Math.ceil(COLD_BYTES / bytesOf(problem, form)) : 1;
    const all: Ready[] = [];
    try {
      while (all.length < Math.min(sets, MOST_SETS)) {
        all.push(ready(problem, form, cpu));
        yield;
      }
      let next = 0;
      const call = () => all[next++ % all.length].call();
      // Compiles its code.
      timed(cpu, call, 1);
      const first = timed(cpu, call, 1);
      const wanted = Math.min(Math.max(TICKS * tickMs, LEAST_BATCH_MS), MOST_BATCH_MS);
      const calls = Math.min(Math.max(1, Math.round(wanted / Math.max(first, tickMs))), MOST_CALLS);
      if (cpu.threads > 1) {
        // In a net workers are awake; here they sleep before each piece, and small calls wake nobody.
        cpu.wake();
        timed(cpu, call, calls);
      }
      times.push((timed(cpu, call, calls) / calls) * 1e6);
    } finally {
      for (const { free } of all) free();
    }
    yield;
  }

  /** The first call after a rest has to wake the workers. */
  private measureWake(): void {
    if (this.threads === 1) return;
    const { call, free } = ready(this.trials[0].problem, 'float32', this.cpu);
    try {
      const [first, ...next] = [0, 1, 2].map(() => timed(this.cpu, call, 1));
      this.wakes.push((first - Math.min(...next)) * 1e6);
    } finally {
      free();
    }
  }

  /** Weights of a vector's product come from memory in each inference: no cache holds a net's. */
  private *measureStream(): Generator<void, void> {
    const numbers = new Float32Array(STREAM_BYTES / 4);
    const part = numbers.length / STREAM_PIECES;
    for (let i = 0; i < STREAM_PIECES; i++) {
      // The system gives memory when it is written first, which takes it longer than we do.
      numbers.fill(1, i * part, (i + 1) * part);
      yield;
    }
    const start = performance.now();
    numbers.copyWithin(0, numbers.length / 2);
    // Half of the bytes are read, and half are written.
    this.streams.push(((performance.now() - start) * 1e6) / STREAM_BYTES);
    yield;
  }
}

/** Whether it takes longer when its operands come from afar, as they do in a net. */
const isBoundByMemory = ({ work: { family } }: Problem): boolean =>
  family !== 'product' && family !== 'pointwise' && family !== 'vector';

/** Of its operands and its result. */
const bytesOf = ({ work: { reads, rows, channels } }: Problem, form: Form): number =>
  (form === 'int8' ? 1 : 4) * (reads + rows * channels);

/** Milliseconds. */
function timed(cpu: CpuProcessor, call: () => void, calls: number): number {
  const start = performance.now();
  for (let i = 0; i < calls; i++) call();
  cpu.finish();
  return performance.now() - start;
}

/** Which forms there are of a problem on this machine. */
function formsOf({ kernel, called, work }: Problem, cpu: CpuProcessor): Form[] {
  if (kernel.macs) {
    if (!kernel.quantises?.(called, cpu)) return ['float32'];
    // Where there are few numbers it does not matter what they are made of.
    return work.reads < MANY ? ['float32', 'int8'] : ['float32', 'int8', 'int8 of floats'];
  }
  // A clamp of bytes is a fifth of what other functions of bytes take, and mostly part of a layer.
  const writes = kernel.writesBytes?.(called);
  const isTypical = writes === 'blend' || (!!writes && kernel.name !== 'Relu');
  return isTypical ? ['float32', 'int8'] : ['float32'];
}

/** A call of a problem, and what gives its operands back. */
export interface Ready {
  readonly call: () => void;
  readonly free: () => void;
}

export function ready({ kernel, called, isList }: Problem, form: Form, cpu: CpuProcessor): Ready {
  const owned: Buffer[] = [];
  const argument = (name: string): Argument<CpuBuffer> => {
    const { shape, dtype } = called.inputs[name];
    const size = shape.reduce((a, b) => a * b, 1);
    const isConstant = name === kernel.weights || name === 'bias';
    const isBytes = form === 'int8' && !isConstant;
    const buffer = isBytes ? CpuBuffer.asBytes(cpu.heap, size, QUANTISATION) : noise(cpu, size);
    owned.push(buffer);
    const forms = new Map<string, Buffer>();
    return {
      ...{ buffer, shape, dtype, range: () => RANGE },
      // Weights are packed once; other inputs are new to each call.
      derived<D extends Buffer>(key: string, make: () => D): D {
        const known = forms.get(key) as D | undefined;
        if (known) return known;
        const made = make();
        if (isConstant) forms.set(key, made);
        owned.push(made);
        return made;
      },
    };
  };
  try {
    const inputs = Object.keys(called.inputs).map(name => [name, argument(name)] as const);
    const call: Call<CpuBuffer> = {
      ...{ name: kernel.name, inputs: Object.fromEntries(inputs), isList },
      ...{ attributes: called.attributes, outputs: called.outputs },
      int8: form !== 'float32' && !!kernel.macs,
      ...(form === 'int8' && { range: RANGE }),
    };
    const heard: [TiledKernel, readonly number[]][] = [];
    const { queue, kernels } = cpu.heap;
    // Weights are packed in the first.
    for (let i = 0; i < 2; i++) {
      queue.heard = i === 0 ? undefined : (name, args) => heard.push([name, args]);
      owned.push(...cpu.run(kernel, call));
    }
    return {
      call() {
        for (const [name, args] of heard) (kernels as unknown as Calls)[name](...args);
      },
      free() {
        cpu.finish();
        owned.forEach(buffer => buffer.free());
      },
    };
  } catch (error) {
    owned.forEach(buffer => buffer.free());
    throw error;
  } finally {
    cpu.heap.queue.heard = undefined;
  }
}

/** Numbers on the heap; neither zeros nor denormals, which some machines multiply at another speed. */
function noise(cpu: CpuProcessor, size: number): CpuBuffer {
  const buffer = CpuBuffer.onHeap(cpu.heap, 'float32', size);
  const numbers = cpu.heap.f32(buffer.address(), size);
  for (let at = 0; at < size; at += NOISE.length) {
    numbers.set(NOISE.subarray(0, Math.min(NOISE.length, size - at)), at);
  }
  return buffer;
}
