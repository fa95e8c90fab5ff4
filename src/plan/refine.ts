/**
 * A profile learns from every run: what its layers were measured to take (`explain()`) against what was
 * predicted. The calibration has seen a few small problems on a machine at rest; a net sees its own.
 *
 * Families are corrected one by one, each by the median of its layers' ratios, by their times, half of
 * the way at a time: one run with somebody else on the core does little, and a few runs of the same kind all.
 */
import type { Node } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import type { Work } from './cost.js';
import { cpuTime, workOf } from './cost.js';
import type { CpuFormat, CpuUnit, Profile } from './profile.js';
import { CPU_FORMATS, FAMILIES } from './profile.js';

/** What a run tells of a step: some fields of a row of `explain()`. */
export interface Row {
  readonly where: 'cpu' | 'gpu' | 'split';
  readonly precision: 'float32' | 'int8' | 'f16';
  /** Whether the result went on as bytes. */
  readonly quantised: boolean;
  /** Milliseconds. */
  readonly ms: number;
}

/** A layer that ran on the CPU as a whole. */
export interface Observed {
  readonly work: Work;
  readonly format: CpuFormat;
  /** Whether it read bytes. */
  readonly isOfBytes: boolean;
  readonly ms: number;
}

/** Milliseconds below which a clock of 5 µs says too little of a layer. */
const LEAST_MS = 0.05;

/** How much of a correction is made at once: the exponent of the ratio. */
const PACE = 0.5;

/** A ratio beyond this says something of the run, not of the family. */
const MOST = 8;

/** A profile whose predictions are typically wrong by more than this factor is of another machine. */
const WRONG = 2;

/** @param rows one for each node. */
export function observedOf(nodes: readonly Node[], rows: readonly Row[]): (Observed | undefined)[] {
  const bytes = new Set<Value>();
  return nodes.map((node, i) => {
    const { where, precision, quantised, ms } = rows[i];
    if (quantised) for (const value of node.outputs) bytes.add(value);
    if (where !== 'cpu') return undefined;
    const work = workOf(node);
    const isOfBytes = Object.values(node.inputs).some(({ value }) => bytes.has(value));
    // What multiplies nothing is in bytes where its result is.
    const isInt8 = node.kernel.macs ? precision === 'int8' : quantised;
    return { work, format: isInt8 ? 'int8' : 'float32', isOfBytes, ms };
  });
}

/** Milliseconds that a profile predicts. */
export function predicted({ work, format, isOfBytes }: Observed, profile: Profile): number {
  return cpuTime(work, work.channels, format, profile, isOfBytes) / 1e6;
}

/** A better profile, where the layers of a run tell something. */
export function refine(profile: Profile, observed: readonly Observed[]): Profile {
  const { cpu } = profile;
  let units = cpu.units;
  for (const family of FAMILIES) {
    for (const format of CPU_FORMATS) {
      const unit = units[family][format];
      const factor = unit && factorOf(profile, observed.filter(isOf(profile, family, format)));
      if (!factor) continue;
      units = { ...units, [family]: { ...units[family], [format]: scaled(unit, factor) } };
    }
  }
  return units === cpu.units ? profile : { ...profile, cpu: { ...cpu, units } };
}

/** Whether a profile is of the machine that these were measured on, by most of the time they took. */
export function isOfThisMachine(profile: Profile, observed: readonly Observed[]): boolean {
  const sum = (ms: (one: Observed) => number) => observed.reduce((all, one) => all + ms(one), 0);
  const ratio = sum(({ ms }) => ms) / sum(one => predicted(one, profile));
  return !(ratio > WRONG || ratio < 1 / WRONG);
}

const isOf =
  ({ cpu }: Profile, family: Work['family'], format: CpuFormat) =>
  (one: Observed): boolean =>
    one.work.family === family &&
    (cpu.units[family][one.format] ? one.format : 'float32') === format;

function factorOf(profile: Profile, observed: readonly Observed[]): number | undefined {
  const ratios = observed
    .filter(({ ms }) => ms >= LEAST_MS)
    .map(one => ({ ratio: one.ms / predicted(one, profile), weight: one.ms }))
    .filter(({ ratio }) => ratio < MOST && ratio > 1 / MOST);
  return ratios.length === 0 ? undefined : weightedMedian(ratios) ** PACE;
}

/** Half of the weight is of ratios up to it. */
function weightedMedian(ratios: readonly { ratio: number; weight: number }[]): number {
  const sorted = [...ratios].sort((a, b) => a.ratio - b.ratio);
  let rest = sorted.reduce((sum, { weight }) => sum + weight, 0) / 2;
  return sorted.find(({ weight }) => (rest -= weight) <= 0)!.ratio;
}

/** All but the call, which has nothing to do with how fast the kernel is. */
function scaled(unit: CpuUnit, factor: number): CpuUnit {
  const times = (all: Readonly<Record<string, number>>): Record<string, number> =>
    Object.fromEntries(Object.entries(all).map(([name, ns]) => [name, ns * factor]));
  const { perUnit, call, ...more } = unit;
  return { perUnit: times(perUnit), call, ...times(more) };
}
