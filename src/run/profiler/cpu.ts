/**
 * The CPU's part of a profile: each problem in each format, in batches that the clock can tell, again and
 * again as long as there is time; of each the median, and of these the units (`plan/fit.ts`). Calls go
 * the way of those of a run, from the kernel's lowering on.
 */
import type { Buffer } from '../../graph/value.js';
import type { CpuCounts } from '../../plan/cost.js';
import { cpuCounts } from '../../plan/cost.js';
import { fitCpu, median } from '../../plan/fit.js';
import type { CpuFormat, CpuUnit, Family, Profile } from '../../plan/profile.js';
import { FAMILIES } from '../../plan/profile.js';
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
  private readonly trials: readonly Trial[];
  /** Nanoseconds by which the first call after a rest took longer than the others. */
  private readonly wakes: number[] = [];

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

  /** Goes through all trials, one batch of each; every pause is a good moment to stop. */
  *pass(): Generator<void, void> {
    for (const trial of this.trials) {
      this.measure(trial);
      yield;
    }
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
      const samples = own.map(({ times, counts }) => ({ ns: median(times), counts }));
      if (samples.length > 0) units[format] = fitCpu(samples, this.threads);
    }
    return units;
  }

  private measure({ problem, form, times }: Trial): void {
    const { cpu, tickMs } = this;
    const { call, free } = ready(problem, form, cpu);
    try {
      // Its weights are packed, its code is compiled, the workers are awake.
      call();
      cpu.finish();
      const first = timed(cpu, call, 1);
      const wanted = Math.min(Math.max(TICKS * tickMs, LEAST_BATCH_MS), MOST_BATCH_MS);
      const calls = Math.min(Math.max(1, Math.round(wanted / Math.max(first, tickMs))), MOST_CALLS);
      times.push((timed(cpu, call, calls) / calls) * 1e6);
    } finally {
      cpu.finish();
      free();
    }
  }

  /** How long it takes to have the workers at work after a rest: the first of them must have been idle. */
  measureWake(problem: Problem): void {
    if (this.threads === 1) return;
    const { call, free } = ready(problem, 'float32', this.cpu);
    try {
      const first = timed(this.cpu, call, 1);
      const next = Math.min(timed(this.cpu, call, 1), timed(this.cpu, call, 1));
      this.wakes.push((first - next) * 1e6);
    } finally {
      this.cpu.finish();
      free();
    }
  }
}

/** Milliseconds. */
function timed(cpu: CpuProcessor, call: () => void, calls: number): number {
  const start = performance.now();
  for (let i = 0; i < calls; i++) call();
  cpu.finish();
  return performance.now() - start;
}

/** Which forms there are of a problem on this machine. */
function formsOf({ kernel, called }: Problem, cpu: CpuProcessor): Form[] {
  if (kernel.macs) {
    const isInt8 = kernel.quantises?.(called, cpu);
    return isInt8 ? ['float32', 'int8', 'int8 of floats'] : ['float32'];
  }
  return kernel.writesBytes?.(called) ? ['float32', 'int8'] : ['float32'];
}

/** A call of a problem, and what gives its operands back. */
export function ready(
  { kernel, called, isList }: Problem,
  form: Form,
  cpu: CpuProcessor,
): { call: () => void; free: () => void } {
  const owned: Buffer[] = [];
  let passing: Buffer[] = [];
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
        (isConstant ? owned : passing).push(made);
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
    return {
      call() {
        const made = cpu.run(kernel, call);
        for (const buffer of [...made, ...passing]) buffer.free();
        passing = [];
      },
      free: () => owned.forEach(buffer => buffer.free()),
    };
  } catch (error) {
    owned.forEach(buffer => buffer.free());
    throw error;
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
