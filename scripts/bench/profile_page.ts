/**
 * The page of `scripts/bench/profile.mjs`: measures the profile of this device, then what the layers of
 * whole nets take on its CPU, and what the profile had predicted.
 *
 * `bench.run(plan)` is called by the script; or the result is POSTed to /result, for a browser that
 * nobody drives: `profile.html?nets=mobilenet,vgg16&threads=1,4&runs=10`.
 */
import '@tensorflow/tfjs-backend-webgl';
import * as tf from '@tensorflow/tfjs-core';

import { kernels } from '../../kernels/table.js';
import type { MulayerBackend } from '../../src/backend.js';
import '../../src/index.js';
import type { Profile } from '../../src/plan/profile.js';
import type { Observed } from '../../src/plan/refine.js';
import { observedOf, predicted, refine } from '../../src/plan/refine.js';
import { measureProfile } from '../../src/run/profiler.js';
import { replay } from '../../test/plan/nets.js';
import type { MeasuredNet, NetTimes } from './profile_nets.js';
import { measureNet, useThreads } from './profile_nets.js';

interface Plan {
  nets: MeasuredNet[];
  threads: number[];
  /** Inferences of each net in each arithmetic. */
  runs: number;
  /** Milliseconds of calibration. */
  budget: number;
  /** Where `.models/` is served. */
  models: string;
  /** Whether a GPU that is a program on the CPU is measured too. */
  software: boolean;
}

/** How well layers were predicted. */
export interface Score {
  within: number;
  of: number;
}

export interface NetReport {
  net: MeasuredNet;
  threads: number;
  precision: string;
  /** Milliseconds of an inference; its layers' sum; the sum predicted; the same once refined. */
  ms: number;
  layersMs: number;
  predictedMs: number;
  refinedMs: number;
  /** Of all layers, and of those that take a clock of 5 µs ten steps or more. */
  all: Score;
  large: Score;
  refined: Score;
  layers: { op: string; shape: number[]; family: string; ms: number; predicted: number }[];
}

export interface Report {
  renderer: string;
  /** By threads. */
  profiles: { profile: Profile; ms: number; longest: number }[];
  nets: NetReport[];
}

/** A prediction is right within this share, or this many milliseconds: a step of the clock. */
const SHARE = 0.15;
const STEP_MS = 0.005;
const LARGE_MS = 0.05;

/** Runs that a profile learns from before it is judged again. */
const REFINEMENTS = 6;

async function run(plan: Plan): Promise<Report> {
  await tf.setBackend('mulayer');
  const backend = tf.backend() as MulayerBackend;
  const report: Report = {
    renderer: backend.gpu?.renderer ?? 'no GPU',
    profiles: [],
    nets: [],
  };
  const times: NetTimes[] = [];
  for (const net of plan.nets) {
    times.push(...(await measureNet(net, plan.threads, plan.models, plan.runs)));
  }
  for (const threads of plan.threads) {
    await useThreads(threads);
    const { cpu, gpu } = backend;
    const device = { kernels, cpu, gpu: !plan.software && gpu?.isSoftware ? undefined : gpu };
    const start = performance.now();
    const profile = await measureProfile(device, { runs: 1, isRunning: false }, plan.budget);
    if (!profile) throw new Error(`profile of ${threads} threads: expected one, got none`);
    report.profiles.push({ profile, ms: performance.now() - start, longest: 0 });
    const own = times.filter(one => one.threads === threads);
    const observed = own.map(({ recorded, rows }) => observedOf(replay(recorded), rows));
    own.forEach((one, i) => {
      let refined = profile;
      const known = observed[i].filter(layer => layer !== undefined);
      for (let n = 0; n < REFINEMENTS; n++) refined = refine(refined, known);
      report.nets.push(reportOf(one, known, profile, refined));
    });
  }
  return report;
}

function reportOf(
  { net, threads, precision, ms, rows }: NetTimes,
  observed: readonly Observed[],
  profile: Profile,
  refined: Profile,
): NetReport {
  const sum = (of: (one: Observed) => number) => observed.reduce((all, one) => all + of(one), 0);
  const score = (some: readonly Observed[], by: Profile): Score => ({
    within: some.filter(one => {
      const off = Math.abs(predicted(one, by) - one.ms);
      return off <= Math.max(SHARE * one.ms, STEP_MS);
    }).length,
    of: some.length,
  });
  return {
    ...{ net, threads, precision, ms },
    layersMs: sum(one => one.ms),
    predictedMs: sum(one => predicted(one, profile)),
    refinedMs: sum(one => predicted(one, refined)),
    all: score(observed, profile),
    large: score(
      observed.filter(one => one.ms >= LARGE_MS),
      profile,
    ),
    refined: score(observed, refined),
    layers: observed.map((one, i) => ({
      ...{ op: rows[i].op, shape: rows[i].shape, family: one.work.family, ms: one.ms },
      predicted: predicted(one, profile),
    })),
  };
}

const DEFAULTS: Plan = {
  nets: ['vgg16', 'alexnet', 'googlenet', 'squeezenet', 'mobilenet', 'centernet'],
  ...{ threads: [1, 2], runs: 20, budget: 200, models: 'models', software: false },
};

const given = new URLSearchParams(location.search);
if ([...given.keys()].length > 0) {
  const list = (name: string) => given.get(name)?.split(',').filter(Boolean);
  const plan: Plan = {
    ...DEFAULTS,
    nets: (list('nets') as MeasuredNet[] | undefined) ?? DEFAULTS.nets,
    threads: list('threads')?.map(Number) ?? DEFAULTS.threads,
    runs: Number(given.get('runs') ?? DEFAULTS.runs),
    budget: Number(given.get('budget') ?? DEFAULTS.budget),
  };
  const post = (body: unknown) => fetch('/result', { method: 'POST', body: JSON.stringify(body) });
  run(plan).then(
    report => post({ ...report, done: true }),
    (error: unknown) => post({ fatal: String(error) }),
  );
}

(globalThis as { bench?: unknown }).bench = { run };
