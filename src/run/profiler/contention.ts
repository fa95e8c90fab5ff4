/**
 * How much slower each processor is while the other works: they share memory, power, and the thread
 * that submits.
 */
import type { CpuProcessor } from '../../processors/cpu/processor.js';
import type { GpuProcessor } from '../../processors/gpu/processor.js';
import { ready } from './cpu.js';
import { readyOnGpu } from './gpu.js';
import type { Problem } from './problems.js';

/** Milliseconds that each of them works. */
const LENGTH_MS = 4;
const MOST_CALLS = 64;

/** A factor beyond this is an accident of measuring. */
const MOST = 4;

/** @returns how many times longer each takes. */
export async function contention(
  problem: Problem,
  cpu: CpuProcessor,
  gpu: GpuProcessor,
): Promise<{ cpu: number; gpu: number }> {
  const onCpu = ready(problem, 'float32', cpu);
  const onGpu = readyOnGpu(problem, gpu, 'f16');
  try {
    const work = (calls: number) => {
      const start = performance.now();
      for (let i = 0; i < calls; i++) onCpu.call();
      cpu.finish();
      return performance.now() - start;
    };
    const draw = async (draws: number, meanwhile: () => void = () => undefined) => {
      const start = performance.now();
      for (let i = 0; i < draws; i++) onGpu.draw();
      gpu.flush();
      meanwhile();
      await gpu.settled();
      return performance.now() - start;
    };
    const countFor = (ms: number) =>
      Math.min(MOST_CALLS, Math.max(1, Math.round(LENGTH_MS / Math.max(ms, 1e-3))));
    work(1);
    const calls = countFor(work(1));
    await draw(1);
    const draws = countFor((await draw(8)) / 8);
    const alone = { cpu: work(calls), gpu: await draw(draws) };
    const both = { cpu: 0, gpu: 0 };
    // The GPU has twice as much to do while the CPU is timed, and the other way round.
    await draw(2 * draws, () => (both.cpu = work(calls)));
    both.gpu = await draw(draws, () => work(Math.ceil((calls * alone.gpu) / alone.cpu)));
    const factor = (together: number, apart: number) =>
      Math.min(MOST, Math.max(1, together / apart));
    return { cpu: factor(both.cpu, alone.cpu), gpu: factor(both.gpu, alone.gpu) };
  } finally {
    onCpu.free();
    onGpu.free();
  }
}
