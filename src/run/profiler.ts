/**
 * Learns what the device takes for a unit of work (`plan/profile.ts`), by measuring it: small calls of
 * the kernels there are, in pieces of a few milliseconds of the main thread.
 *
 *     first inference │ idle: piece, piece │ inference │ idle: piece, piece, ... │ profile
 *
 * It waits for the first inference to be over, and while one is under way; so it measures a machine
 * that has compiled its kernels and started its workers, and is never in anybody's way. What was
 * measured while an inference ran does not count.
 */
import type { Profile } from '../plan/profile.js';
import { profileOf } from '../plan/profile.js';
import type { CpuProcessor } from '../processors/cpu/processor.js';
import type { GpuProcessor } from '../processors/gpu/processor.js';
import type { Kernel } from '../processors/kernel.js';
import { CpuTimes } from './profiler/cpu.js';
import { GpuTimes } from './profiler/gpu.js';
import { contention } from './profiler/contention.js';
import { problems } from './profiler/problems.js';

export interface Device {
  readonly kernels: ReadonlyMap<string, Kernel>;
  readonly cpu: CpuProcessor;
  /** A GPU that is worth planning for. */
  readonly gpu?: GpuProcessor | undefined;
}

/** What the profiler must know of those it shall not disturb. */
export interface Traffic {
  /** Inferences that are over. */
  readonly runs: number;
  readonly isRunning: boolean;
  /** Whether there is nothing left to measure for: the backend was disposed. */
  readonly isGone?: boolean;
}

/** Milliseconds of the main thread, when nobody says how many; and the CPU's share where there are two. */
const BUDGET_MS = 200;
const CPU_SHARE = 0.6;

/** Milliseconds after which idle time is taken for given: some pages are never idle. */
const IDLE_TIMEOUT_MS = 1000;

/** Milliseconds that a clock's steps are looked at. */
const CLOCK_MS = 2;

/** Passes after which more say nothing new. */
const MOST_PASSES = 9;

/**
 * Measures a profile in idle time.
 *
 * @param budget milliseconds of the main thread that all pieces together may take; on a slow device
 *   less is known after them, and what is not is taken from what is like it. Waiting for the GPU is free.
 * @returns undefined where it could not be measured: too little time for one call of each family, or
 *   the backend is gone, or its threads have become others.
 */
export async function measureProfile(
  { kernels, cpu, gpu }: Device,
  traffic: Traffic,
  budget = BUDGET_MS,
): Promise<Profile | undefined> {
  const wait = async () => {
    do await idle();
    while (!traffic.isGone && (traffic.runs === 0 || traffic.isRunning));
  };
  await wait();
  const { threads } = cpu;
  const isOver = () => !!traffic.isGone || cpu.threads !== threads || !!gpu?.isLost;
  const all = problems(kernels);
  const cpuTimes = new CpuTimes(all, cpu, tick());
  const gpuTimes = gpu?.context && new GpuTimes(all, gpu);
  /** Goes through passes until the main thread was busy with them for so long. */
  const repeat = async (
    passes: () => Generator<void, void> | AsyncGenerator<void, void>,
    most: number,
    busy: () => number,
  ) => {
    const start = busy();
    for (let i = 0; i < MOST_PASSES; i++) {
      const pass = passes();
      try {
        for (;;) {
          if (isOver() || busy() - start >= most) return;
          const { runs } = traffic;
          const { done } = await pass.next();
          if (traffic.isRunning || traffic.runs !== runs) gpuTimes?.forgetLast();
          if (done) break;
          await wait();
        }
      } finally {
        await pass.return();
      }
    }
  };
  const share = gpuTimes ? CPU_SHARE : 1;
  await repeat(
    () => cpuTimes.pass(),
    share * budget,
    () => cpuTimes.busy,
  );
  if (gpuTimes) {
    await repeat(
      () => gpuTimes.pass(),
      (1 - share) * budget,
      () => gpuTimes.busy,
    );
  }
  if (isOver()) return undefined;
  const measured = cpuTimes.profile();
  if (!measured) return undefined;
  const gpuMeasured = gpuTimes?.profile();
  const name = gpu ? gpu.renderer : 'no GPU';
  if (!gpu || !gpuMeasured) return profileOf({ name, cpu: measured });
  await wait();
  const slowDowns = await contention(all[0], cpu, gpu);
  if (isOver()) return undefined;
  return profileOf({
    name,
    cpu: { ...measured, slowDown: slowDowns.cpu },
    gpu: { ...gpuMeasured, slowDown: slowDowns.gpu },
  });
}

/** The smallest step of the clock, in milliseconds. */
function tick(): number {
  const start = performance.now();
  let least = CLOCK_MS;
  for (let last = start, now = start; now - start < CLOCK_MS; last = now) {
    now = performance.now();
    if (now > last) least = Math.min(least, now - last);
  }
  return least;
}

function idle(): Promise<void> {
  return new Promise(resolve => {
    if (typeof requestIdleCallback === 'function') {
      requestIdleCallback(() => resolve(), { timeout: IDLE_TIMEOUT_MS });
    } else setTimeout(resolve, 1);
  });
}
