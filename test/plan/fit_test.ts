/** src/plan/fit.ts: units that were put in come out, whatever disturbs a few of the times. */
import type { CpuCounts } from '../../src/plan/cost.js';
import { findLanes, fit, fitCpu, fitGpu, fitTransfer, median } from '../../src/plan/fit.js';
import { Random } from '../wasm/random.js';

const TERMS = ['perUnit', 'perResult', 'perWeight', 'perCopy'] as const;
const KNOWN = { perUnit: 3, perResult: 0.3, perWeight: 0.1, perCopy: 0.5 };
const CALL = 5000;

const random = new Random(5);
const upTo = (most: number) => Math.round(random.floats(1)[0] ** 2 * most);

/** Counts as those of problems of all kinds. */
const counts = Array.from({ length: 12 }, (): CpuCounts => ({
  ...{ perUnit: 1e4 + upTo(2e5), perResult: upTo(3e5), perWeight: upTo(1e6) },
  ...{ perCopy: upTo(2e5), perFar: 0 },
}));

const timeOf = (one: CpuCounts) =>
  CALL + TERMS.reduce((sum, term) => sum + one[term] * KNOWN[term], 0);

describe('units from times', () => {
  it('are those that the times are made of', () => {
    const samples = counts.map(one => ({ counts: one, ns: timeOf(one) }));
    const { perUnit, call, perFar, ...more } = fitCpu(samples, 2, [...TERMS, 'perFar']);
    expect(perUnit[2]).toBeCloseTo(KNOWN.perUnit, 3);
    expect(call).toBeCloseTo(CALL, -1);
    expect(perFar).toBeUndefined();
    for (const term of TERMS.slice(1)) {
      expect(more[term as 'perResult'])
        .withContext(term)
        .toBeCloseTo(KNOWN[term], 3);
    }
  });

  it('hardly mind one time that is three times too long', () => {
    const samples = counts.map((one, i) => ({ counts: one, ns: timeOf(one) * (i === 4 ? 3 : 1) }));
    const { perUnit } = fitCpu(samples, 1, TERMS);
    expect(Math.abs(perUnit[1] / KNOWN.perUnit - 1)).toBeLessThan(0.05);
  });

  it('are found from a single time: all of it is units', () => {
    const [one] = counts;
    const unit = fitCpu([{ counts: one, ns: 600 }], 1, TERMS);
    expect(unit.call).toBe(0);
    expect(unit.perUnit[1] * one.perUnit).toBeCloseTo(600, 3);
  });

  it('are never negative, and a unit is never nothing', () => {
    const samples = [1, 2, 3].map(n => ({
      counts: { perUnit: n, perResult: 0, perWeight: 0, perCopy: 0, perFar: 0 },
      ns: 9e5 / n,
    }));
    const { perUnit, call } = fitCpu(samples, 1, TERMS);
    expect(perUnit[1]).toBeGreaterThan(0);
    expect(call).toBeGreaterThanOrEqual(0);
    const solution = fit(
      [
        [1, 1],
        [1, 2],
      ],
      [2e5, 1e5],
    );
    expect(solution.every(v => v >= 0)).toBeTrue();
  });

  it('of a GPU tell how many fragments run at once', () => {
    const problems = [100, 900, 2000, 3000, 9000, 30_000].map(fragments => ({
      ...{ fragments, depth: 50 },
      ns: 20_000 + Math.ceil(fragments / 1024) * 50 * 400,
    }));
    expect(findLanes(problems)).toBe(1024);
    const { perUnit, draw } = fitGpu(problems, 1024);
    expect(perUnit).toBeCloseTo(400, 3);
    expect(draw).toBeCloseTo(20_000, -1);
  });

  it('of a transfer are a + b * bytes', () => {
    const { a, b } = fitTransfer([64, 1e5, 1e6].map(bytes => ({ bytes, ns: 1e5 + 0.4 * bytes })));
    expect(a).toBeCloseTo(1e5, -2);
    expect(b).toBeCloseTo(0.4, 4);
  });

  it('median is the middle, or the middle of the two', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
  });
});
