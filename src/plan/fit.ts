/**
 * From times of known calls to the units of a profile: the times of a unit, a result, a byte of weights
 * and so on that predict all of them best. None of them is negative, so it is least squares over every
 * subset of the terms, of which there are 63 at most; relative errors, since a layer of 0.1 ms shall be
 * predicted as well as one of 10.
 */
import type { CpuCounts, CpuTerm } from './cost.js';
import type { CpuUnit, GpuUnit } from './profile.js';

/** A call that was measured. */
export interface CpuSample {
  /** Nanoseconds. */
  readonly ns: number;
  readonly counts: CpuCounts;
}

export interface GpuSample {
  readonly ns: number;
  /** 2x2 blocks of pixels with 4 channels. */
  readonly fragments: number;
  readonly depth: number;
}

/** What times are never taken to be below: a unit of nothing is an impossible number of a profile. */
const LEAST_NS = 1e-3;

/** Errors beyond this share count less the larger they are: somebody else had the core. */
const TYPICAL_ERROR = 0.05;
const ROUNDS = 6;

/** Nanoseconds below which an error is the clock's. */
const CLOCK_NS = 4000;

/** Fragments that may run at once. */
const LANES: readonly number[] = Array.from({ length: 12 }, (_, i) => 2 ** (i + 5));

/**
 * One family in one format.
 *
 * @param threads that worked.
 * @param terms of its time beside the call, by their worth: with few samples the last ones are left out.
 */
export function fitCpu(
  samples: readonly CpuSample[],
  threads: number,
  terms: readonly CpuTerm[],
): CpuUnit {
  // What is in no sample has no time.
  const present = terms.filter(term => samples.some(({ counts }) => counts[term] > 0));
  const used = present.slice(0, Math.max(1, samples.length - 1));
  const hasCall = samples.length > used.length;
  const found = fit(
    samples.map(({ counts }) => [...used.map(term => counts[term]), ...(hasCall ? [1] : [])]),
    samples.map(({ ns }) => ns),
  );
  const { perUnit = 0, ...more } = Object.fromEntries(
    used.flatMap((term, i) => (found[i] > 0 ? [[term, found[i]]] : [])),
  ) as Partial<Record<CpuTerm, number>>;
  return {
    perUnit: { [threads]: Math.max(perUnit, LEAST_NS) },
    call: hasCall ? found.at(-1)! : 0,
    ...more,
  };
}

/** One family in one format, where so many fragments run at once. */
export function fitGpu(samples: readonly GpuSample[], lanes: number): GpuUnit {
  const rows = samples.map(sample => [unitsOf(sample, lanes), 1]);
  const [perUnit, draw] = fit(
    samples.length > 1 ? rows : rows.map(([units]) => [units]),
    samples.map(({ ns }) => ns),
  );
  return { perUnit: Math.max(perUnit, LEAST_NS), draw: draw ?? 0 };
}

/** How many fragments run at once, by the samples of one family and format. */
export function findLanes(samples: readonly GpuSample[]): number {
  const error = (lanes: number) => {
    const { perUnit, draw } = fitGpu(samples, lanes);
    return samples.reduce(
      (sum, sample) => sum + ((draw + perUnit * unitsOf(sample, lanes)) / sample.ns - 1) ** 2,
      0,
    );
  };
  return LANES.reduce((best, lanes) => (error(lanes) < error(best) ? lanes : best), LANES[0]);
}

/** a and b of a + b * bytes. */
export function fitTransfer(samples: readonly { readonly ns: number; readonly bytes: number }[]) {
  const [b, a] = fit(
    samples.map(({ bytes }) => [bytes, 1]),
    samples.map(({ ns }) => ns),
  );
  return { a, b };
}

const unitsOf = ({ fragments, depth }: GpuSample, lanes: number) =>
  Math.ceil(fragments / lanes) * depth;

/** x >= 0 with rows * x ≈ wanted; wanted > 0. */
export function fit(rows: readonly (readonly number[])[], wanted: readonly number[]): number[] {
  const count = rows[0]?.length ?? 0;
  let best = new Array<number>(count).fill(0);
  let trust = wanted.map(() => 1);
  for (let round = 0; round < ROUNDS; round++) {
    const weights = wanted.map((ns, i) => Math.sqrt(trust[i]) / Math.max(ns, CLOCK_NS));
    const scaled = rows.map((row, i) => row.map(v => v * weights[i]));
    const goals = wanted.map((ns, i) => ns * weights[i]);
    best = leastSquares(scaled, goals);
    const errors = rows.map(
      (row, i) => Math.abs(dot(row, best) - wanted[i]) / Math.max(wanted[i], CLOCK_NS),
    );
    trust = errors.map(error => TYPICAL_ERROR / Math.max(error, TYPICAL_ERROR));
  }
  return best;
}

function leastSquares(rows: readonly (readonly number[])[], goals: readonly number[]): number[] {
  const count = rows[0]?.length ?? 0;
  const sizes = Array.from(
    { length: count },
    (_, j) => Math.hypot(...rows.map(row => row[j])) || 1,
  );
  const unit = rows.map(row => row.map((v, j) => v / sizes[j]));
  let best = new Array<number>(count).fill(0);
  let least = Infinity;
  for (let subset = 1; subset < 1 << count; subset++) {
    const chosen = sizes.flatMap((_, j) => ((subset >> j) & 1 ? [j] : []));
    const solution = solve(
      chosen.map(i => chosen.map(j => dotColumns(unit, i, j) + (i === j ? TINY : 0))),
      chosen.map(i => unit.reduce((sum, row, n) => sum + row[i] * goals[n], 0)),
    );
    if (!solution?.every(v => v >= 0)) continue;
    const error = unit.reduce(
      (sum, row, n) =>
        sum + (chosen.reduce((s, j, k) => s + row[j] * solution[k], 0) - goals[n]) ** 2,
      0,
    );
    if (error >= least) continue;
    least = error;
    best = new Array<number>(count).fill(0);
    chosen.forEach((j, k) => (best[j] = solution[k] / sizes[j]));
  }
  return best;
}

/** So that columns that say the same have a solution. */
const TINY = 1e-9;

/** Gauss's elimination; undefined where there is no one solution. */
function solve(matrix: number[][], right: readonly number[]): number[] | undefined {
  const rows = matrix.map((row, i) => [...row, right[i]]);
  for (let i = 0; i < rows.length; i++) {
    let pivot = i;
    for (let k = i; k < rows.length; k++) {
      if (Math.abs(rows[k][i]) > Math.abs(rows[pivot][i])) pivot = k;
    }
    [rows[i], rows[pivot]] = [rows[pivot], rows[i]];
    if (Math.abs(rows[i][i]) < TINY / 2) return undefined;
    for (let k = 0; k < rows.length; k++) {
      if (k === i) continue;
      const factor = rows[k][i] / rows[i][i];
      for (let j = i; j <= rows.length; j++) rows[k][j] -= factor * rows[i][j];
    }
  }
  return rows.map((row, i) => row[rows.length] / row[i]);
}

const dot = (a: readonly number[], b: readonly number[]) => a.reduce((s, v, i) => s + v * b[i], 0);

const dotColumns = (rows: readonly (readonly number[])[], i: number, j: number) =>
  rows.reduce((sum, row) => sum + row[i] * row[j], 0);

/** Of one number at least. */
export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}
