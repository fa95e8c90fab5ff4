/** src/plan/trial.ts: how MULAYER_SPLIT=auto finds its split. */
import type { Node } from '../../src/graph/graph.js';
import type { Rule } from '../../src/plan/partition.js';
import type { Placement } from '../../src/plan/plan.js';
import { Trial } from '../../src/plan/trial.js';
import { given, layer, Recorder } from '../graph/nodes.js';

const nameOf = (rule: Rule) =>
  typeof rule === 'object' ? `planned ${rule.round + 1}` : String(rule);

const NO_STEPS = new Map<number, number>();

/** The rules in the order they are tried, on a machine that takes so long for each. */
function tried(ms: (rule: string, run: number) => number): string[] {
  const trial = new Trial();
  const rules: string[] = [];
  const counts = new Map<string, number>();
  for (let i = 0; i < 30; i++) {
    const rule = trial.next();
    const name = nameOf(rule);
    const run = counts.get(name) ?? 0;
    counts.set(name, run + 1);
    rules.push(name);
    trial.add(rule, ms(name, run), NO_STEPS);
  }
  return rules;
}

const thrice = (...rules: string[]) => rules.flatMap(rule => [rule, rule, rule]);

describe('Trial', () => {
  const ALL = ['cpu', 'gpu', 'planned 1', 'planned 2', 'planned 3'];

  it('tries each three times, the best two once more in turn, and keeps the fastest', () => {
    const speeds: Record<string, number> = { cpu: 10, gpu: 8, 'planned 1': 7, 'planned 2': 6 };
    const rules = tried(rule => speeds[rule] ?? 9);
    expect(rules.slice(0, 15)).toEqual(thrice(...ALL));
    const pair = ['planned 2', 'planned 1'];
    expect(rules.slice(15, 21)).toEqual([...pair, ...pair, ...pair]);
    expect(new Set(rules.slice(21))).toEqual(new Set(['planned 2']));
  });

  it('takes the one of the best two that is faster in the end', () => {
    const speeds: Record<string, number> = { cpu: 10, gpu: 8 };
    const rules = tried((rule, run) => (rule === 'cpu' && run >= 3 ? 5 : (speeds[rule] ?? 12)));
    expect(rules.at(-1)).toBe('cpu');
  });

  it('never keeps a plan that is slower than the better processor alone', () => {
    expect(tried(rule => (rule === 'gpu' ? 5 : 9)).at(-1)).toBe('gpu');
    expect(tried(rule => (rule === 'cpu' ? 5 : 9)).at(-1)).toBe('cpu');
  });

  it('plans nothing where one processor is hopeless', () => {
    const rules = tried(rule => (rule === 'cpu' ? 10 : 50));
    expect(new Set(rules)).toEqual(new Set(['cpu', 'gpu']));
    expect(new Set(rules.slice(12))).toEqual(new Set(['cpu']));
    expect(tried(rule => (rule === 'cpu' ? 50 : 10)).at(-1)).toBe('gpu');
  });

  it('does not count the first run of each, which compiles and packs', () => {
    const rules = tried((rule, run) => (rule === 'gpu' ? (run === 0 ? 1000 : 1) : 3));
    expect(rules.at(-1)).toBe('gpu');
  });

  it('does not change its mind afterwards', () => {
    const trial = new Trial();
    while (trial.isRunning) {
      const rule = trial.next();
      if (trial.isRunning) trial.add(rule, rule === 'cpu' ? 1 : 100, NO_STEPS);
    }
    for (let i = 0; i < 10; i++) trial.add('gpu', 0, NO_STEPS);
    expect(trial.next()).toBe('cpu');
  });

  it('keeps what was planned, as that is what was timed', () => {
    const trial = new Trial();
    const first: Placement[] = [{ where: 'gpu' }];
    const plan = (placements: Placement[]) => () => ({ placements, time: 1 });
    expect(trial.plan({ round: 0 }, 'a', plan(first))).toBe(first);
    expect(trial.plan({ round: 0 }, 'a', plan([{ where: 'cpu' }]))).toBe(first);
    expect(trial.plan({ round: 0 }, 'b', plan([{ where: 'cpu' }]))).toEqual([{ where: 'cpu' }]);
  });

  it('tells what was tried, and what a plan promised', () => {
    const trial = new Trial();
    const planned = { round: 0 };
    trial.add('cpu', 5, NO_STEPS);
    trial.add('cpu', 4, NO_STEPS);
    trial.add(planned, 3, NO_STEPS);
    trial.plan(planned, 'a', () => ({ placements: [], time: 2.5 }));
    expect(trial.tried).toEqual([
      { split: 'cpu', ms: 4 },
      { split: 'planned 1', ms: 3, predicted: 2.5 },
    ]);
  });
});

describe('prices', () => {
  /** Layers of 100 and of 300 multiply-accumulates a number of their results [1,8,8,16]. */
  const nodes = (): Node[] => {
    const recorder = new Recorder();
    const x = recorder.call(layer(16, 100), { x: given(1, 8, 8, 16), w: given(16, 16) });
    recorder.call(layer(16, 300), { x, w: given(16, 16) });
    return recorder.nodes;
  };
  const AT = [2, 5];

  /** After whole runs: 4 and 8 ms on the CPU, 3 in all on the GPU, whose clock may have told more. */
  const measured = (gpuTimes?: ReadonlyMap<number, number>) => {
    const trial = new Trial();
    const both = new Map([
      [2, 4],
      [5, 8],
    ]);
    for (let i = 0; i < 3; i++) trial.add('cpu', 12, both);
    for (let i = 0; i < 3; i++) trial.add('gpu', 3, new Map([[2, 0.2]]));
    const whole: Placement[] = [{ where: 'gpu' }, { where: 'gpu' }];
    if (gpuTimes) trial.hear('gpu', gpuTimes, nodes(), AT, whole);
    return trial;
  };
  const GPU_TIMES = new Map([
    [2, 1],
    [5, 2],
  ]);

  it('without a run are by work, the same for both processors', () => {
    const prices = new Trial().prices(nodes(), AT, 1);
    expect(prices.cpu(0, 1)).toBe(prices.gpu(0, 1, 'rows'));
    expect(prices.cpu(1, 1)).toBeGreaterThan(prices.cpu(0, 1));
    expect(prices.cpu(1, 0.5)).toBe(prices.cpu(1, 1) / 2);
  });

  it('are what the steps took on the CPU, and on the GPU where its clock tells', () => {
    const prices = measured(GPU_TIMES).prices(nodes(), AT, 1);
    expect([prices.cpu(0, 1), prices.cpu(1, 1), prices.cpu(1, 0.5)]).toEqual([4, 8, 4]);
    expect([prices.gpu(0, 1, 'rows'), prices.gpu(1, 1, 'rows')]).toEqual([1, 2]);
    const untold = measured().prices(nodes(), AT, 1);
    expect(untold.gpu(0, 1, 'rows') + untold.gpu(1, 1, 'rows')).toBeCloseTo(3);
  });

  it('submitting costs the one of the threads that does it', () => {
    expect(measured().prices(nodes(), AT, 1).issue).toBeCloseTo(0.2);
    expect(measured().prices(nodes(), AT, 4).issue).toBeCloseTo(0.05);
  });

  it('learn what half of the rows, or of the channels, takes on the GPU', () => {
    const trial = measured(GPU_TIMES);
    const halves: Placement[] = [
      { where: 'split', axis: 1, cut: 4 },
      { where: 'split', cut: 8 },
    ];
    const parts = new Map([
      [2, 0.8],
      [5, 1],
    ]);
    trial.hear({ round: 0 }, parts, nodes(), AT, halves);
    const prices = trial.prices(nodes(), AT, 1);
    expect(prices.gpu(0, 0.5, 'rows')).toBeCloseTo(0.8);
    expect(prices.gpu(1, 0.5, 'channels')).toBeCloseTo(1);
    // Of what was not tried so: as the others.
    expect(prices.gpu(1, 0.5, 'rows')).toBeCloseTo(1.6);
  });
});
