/** src/plan/trial.ts: how MULAYER_SPLIT=auto finds its split. */
import type { Rule } from '../../src/plan/partition.js';
import { Trial } from '../../src/plan/trial.js';

/** The splits in the order they are tried, on a machine that takes so long for each. */
function tried(ms: (split: Rule, run: number) => number): Rule[] {
  const trial = new Trial();
  const splits: Rule[] = [];
  const counts = new Map<Rule, number>();
  for (let i = 0; i < 20; i++) {
    const split = trial.next();
    const run = counts.get(split) ?? 0;
    counts.set(split, run + 1);
    splits.push(split);
    trial.add(split, ms(split, run));
  }
  return splits;
}

const thrice = (...splits: Rule[]) => splits.flatMap(split => [split, split, split]);

describe('Trial', () => {
  it('tries each three times and keeps the fastest', () => {
    const speeds: Partial<Record<Rule, number>> = { cpu: 10, gpu: 8, 0.5: 6, 0.25: 7 };
    const splits = tried(split => speeds[split]!);
    expect(splits.slice(0, 12)).toEqual(thrice('cpu', 'gpu', 0.5, 0.25));
    expect(new Set(splits.slice(12))).toEqual(new Set([0.5]));
  });

  it('gives the faster processor the larger share', () => {
    const speeds: Partial<Record<Rule, number>> = { cpu: 8, gpu: 10, 0.5: 9, 0.75: 7 };
    const splits = tried(split => speeds[split]!);
    expect(splits.slice(0, 12)).toEqual(thrice('cpu', 'gpu', 0.5, 0.75));
    expect(splits.at(-1)).toBe(0.75);
  });

  it('never keeps a split that is slower than the better processor alone', () => {
    const splits = tried(split => (split === 'gpu' ? 5 : 9));
    expect(splits.at(-1)).toBe('gpu');
  });

  it('tries no split where one processor is hopeless', () => {
    expect(tried(split => (split === 'cpu' ? 10 : 50)).slice(0, 8)).toEqual([
      ...thrice('cpu', 'gpu'),
      'cpu',
      'cpu',
    ]);
    expect(tried(split => (split === 'cpu' ? 50 : 10)).at(-1)).toBe('gpu');
  });

  it('does not count the first run of each, which compiles and packs', () => {
    const splits = tried((split, run) => (split === 'gpu' ? (run === 0 ? 1000 : 1) : 3));
    expect(splits.at(-1)).toBe('gpu');
  });

  it('does not change its mind afterwards', () => {
    const trial = new Trial();
    while (trial.isRunning) {
      const split = trial.next();
      if (trial.isRunning) trial.add(split, split === 'cpu' ? 1 : 100);
    }
    for (let i = 0; i < 10; i++) trial.add('gpu', 0);
    expect(trial.next()).toBe('cpu');
  });
});
