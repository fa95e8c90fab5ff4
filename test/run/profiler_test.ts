/** src/run/profiler.ts: measures the device that the specs run on, in nobody's way. */
import * as tf from '@tensorflow/tfjs-core';

import { kernels } from '../../kernels/table.js';
import { FAMILIES, profileOf } from '../../src/plan/profile.js';
import { measureProfile } from '../../src/run/profiler.js';
import { CpuTimes } from '../../src/run/profiler/cpu.js';
import { problems } from '../../src/run/profiler/problems.js';
import { backend, heapBytes, useMulayer } from '../support.js';

/** Milliseconds that are enough for every problem once, on any machine. */
const PLENTY = 5000;

const device = () => ({ kernels, cpu: backend().cpu });

const rest = (ms: number) => new Promise(resolve => setTimeout(resolve, ms));

/** One pass over few problems costs a tenth of all. */
const few = () => {
  const families = new Set<string>();
  return problems(kernels).filter(({ work: { family } }) => {
    const isNew = !families.has(family);
    families.add(family);
    return isNew;
  });
};

describe('the profiler', () => {
  useMulayer();

  it('has a problem of each family', () => {
    expect(
      few()
        .map(({ work: { family } }) => family)
        .sort(),
    ).toEqual([...FAMILIES].sort());
  });

  it('gives a possible profile of the threads at work, and the memory back', async () => {
    const before = heapBytes();
    const profile = await measureProfile(device(), { runs: 1, isRunning: false }, PLENTY / 25);
    expect(heapBytes()).toBe(before);
    if (!profile) return; // A machine too slow for that budget.
    expect(profileOf(JSON.parse(JSON.stringify(profile)))).toEqual(profile);
    expect(profile.cpu.threads).toBe(backend().cpu.threads);
    expect(profile.gpu).toBeUndefined();
  }, 20_000);

  it('measures every family in float32, and products in int8', () => {
    const times = new CpuTimes(few(), backend().cpu, 0.1);
    for (const pass = times.pass(); !pass.next().done;) expect(times.busy).toBeGreaterThan(0);
    const { units } = times.profile()!;
    for (const family of FAMILIES) expect(units[family].float32.call).toBeGreaterThanOrEqual(0);
    expect(units.product.int8).toBeDefined();
    expect(units.vector.int8).toBeDefined();
  });

  it('knows nothing before a family has been measured', () => {
    const times = new CpuTimes(problems(kernels), backend().cpu, 0.1);
    expect(times.profile()).toBeUndefined();
    const pass = times.pass();
    pass.next();
    pass.return();
    expect(times.profile()).toBeUndefined();
  });

  it('gives its operands back when it is stopped in the middle of a problem', () => {
    const before = heapBytes();
    const pass = new CpuTimes(problems(kernels), backend().cpu, 0.1).pass();
    for (let i = 0; i < 4; i++) pass.next();
    pass.return();
    expect(heapBytes()).toBe(before);
  });

  it('does not begin before the first inference is over', async () => {
    const traffic = { runs: 0, isRunning: false, isGone: false };
    const calls = spyOn(backend().cpu, 'run').and.callThrough();
    const measured = measureProfile(device(), traffic, 1);
    await rest(30);
    expect(calls).not.toHaveBeenCalled();
    traffic.runs = 1;
    await measured;
    expect(calls).toHaveBeenCalled();
  });

  it('pauses while an inference runs', async () => {
    let pauses = 0;
    const calls = spyOn(backend().cpu, 'run').and.callThrough();
    const traffic = {
      runs: 1,
      /** Every other look, once it has begun. */
      get isRunning() {
        const isRunning = calls.calls.count() > 0 && pauses < 3;
        if (isRunning) pauses++;
        return isRunning;
      },
    };
    await measureProfile(device(), traffic, 20);
    expect(pauses).toBe(3);
  });

  it('gives up when the backend is gone', async () => {
    const traffic = { runs: 0, isRunning: false, isGone: true };
    expect(await measureProfile(device(), traffic)).toBeUndefined();
  });

  it('leaves no trace in the runs that follow', async () => {
    const x = tf.randomUniform<tf.Rank.R4>([1, 20, 20, 8], -1, 1, 'float32', 3);
    const w = tf.randomUniform<tf.Rank.R4>([3, 3, 8, 16], -1, 1, 'float32', 4);
    const infer = async () => {
      const y = tf.relu(tf.conv2d(x, w, 1, 'same'));
      const numbers = await y.data();
      y.dispose();
      return [...numbers];
    };
    for (let i = 0; i < 5; i++) await infer();
    const before = await infer();
    const pass = new CpuTimes(few(), backend().cpu, 0.1).pass();
    while (!pass.next().done) await infer();
    expect(await infer()).toEqual(before);
  });
});
