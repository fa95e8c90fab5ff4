/** src/run/profiler/gpu.ts and contention.ts, on whatever WebGL the browser has. */
import { kernels } from '../../../kernels/table.js';
import { profileOf } from '../../../src/plan/profile.js';
import { contention } from '../../../src/run/profiler/contention.js';
import { GpuTimes } from '../../../src/run/profiler/gpu.js';
import type { Problem } from '../../../src/run/profiler/problems.js';
import { problems } from '../../../src/run/profiler/problems.js';
import { PROFILES } from '../../plan/profiles.js';
import { backend, useMulayer } from '../../support.js';

/** One of each family: a GPU that is a program takes its time. */
function few(): Problem[] {
  const all = new Map(problems(kernels).map(problem => [problem.work.family, problem]));
  return [...all.values()];
}

describe('the GPU’s part of a profile', () => {
  useMulayer();

  it('is a possible one, and gives its textures back', async () => {
    const { gpu } = backend();
    if (!gpu?.context) {
      pending('no WebGL with programs of ours');
      return;
    }
    const { half } = gpu;
    const times = new GpuTimes(few(), gpu);
    const pass = times.pass();
    while (!(await pass.next()).done) expect(gpu.half).toBe(half);
    const measured = times.profile()!;
    const profile = { ...PROFILES['GPU, 4 threads'], gpu: measured };
    expect(profileOf(JSON.parse(JSON.stringify(profile)))).toEqual(profile);
    expect(times.busy).toBeGreaterThan(0);
  }, 60_000);

  it('counts what each processor loses by the other', async () => {
    const { gpu, cpu } = backend();
    if (!gpu?.context) {
      pending('no WebGL with programs of ours');
      return;
    }
    const add = problems(kernels).find(({ name }) => name.startsWith('Add'))!;
    const slowDowns = await contention(add, cpu, gpu);
    for (const factor of Object.values(slowDowns)) {
      expect(factor).toBeGreaterThanOrEqual(1);
      expect(factor).toBeLessThanOrEqual(4);
    }
  }, 30_000);
});
