/** src/passes/precision.ts: what int8 does to a layer, and which layers run in it. */
import {
  chooseInt8,
  meanDifference,
  MIN_ROWS,
  Observation,
  Observations,
  powersOf,
  ratioOf,
  sharesOf,
} from '../../src/passes/precision.js';
import { given, kernel, layer, Recorder } from '../graph/nodes.js';
import { Random } from '../wasm/random';

describe('meanDifference', () => {
  it('is that of each channel', () => {
    expect([...meanDifference([1, 10, 2, 20], [2, 10, 4, 19], 2)]).toEqual([1.5, -0.5]);
  });

  it('is 0 for nothing', () => {
    expect([...meanDifference([], [], 2)]).toEqual([0, 0]);
  });
});

describe('powersOf and ratioOf', () => {
  const noiseOf = (exact: number[], rounded: number[], channels: number) =>
    ratioOf(powersOf(exact, rounded, channels));

  it('give 0 for equal numbers, zeros included, and for none', () => {
    expect(noiseOf([1, -2], [1, -2], 1)).toBe(0);
    expect(noiseOf([0, 0], [0, 0], 2)).toBe(0);
    expect(noiseOf([], [], 1)).toBe(0);
  });

  it('of few rows are relative to the exact numbers', () => {
    expect(noiseOf([3, 4], [3, 4.5], 1)).toBeCloseTo(0.1, 12);
    expect(noiseOf([300, 400], [300, 450], 2)).toBeCloseTo(0.1, 12);
  });

  it('of many rows are relative to what varies in each channel', () => {
    const rows = Array.from({ length: MIN_ROWS }, (_, row) => (row % 2 ? 1 : -1));
    const exact = rows.flatMap(v => [1000 + v, -2000 + 3 * v]);
    const rounded = exact.map(v => v + 0.5);
    expect(noiseOf(exact, rounded, 2)).toBeCloseTo(Math.sqrt(0.5 / 10), 9);
  });

  it('give infinity where nothing varies but the difference', () => {
    expect(noiseOf([0, 0], [0, 1], 1)).toBe(Infinity);
    const blank = new Array<number>(2 * MIN_ROWS).fill(0.1);
    const one = blank.map((v, i) => (i === 0 ? v + 1e-3 : v));
    expect(noiseOf(blank, one, 2)).toBe(Infinity);
  });

  it('give no number where the numbers are none, which is above any budget', () => {
    for (const special of [NaN, Infinity]) {
      expect(noiseOf([1, special], [1, special], 1) <= 1e9).toBeFalse();
    }
  });
});

describe('Observation', () => {
  it('corrects by the mean of all rows, once there are enough of them', () => {
    const observation = new Observation(1);
    observation.addMean(Float64Array.of(1, 2), MIN_ROWS - 1);
    expect(observation.correction).toBeUndefined();
    observation.addMean(Float64Array.of(4, 2), 2 * (MIN_ROWS - 1));
    expect([...observation.correction!]).toEqual([3, 2]);
  });

  it('passes over means that are no numbers', () => {
    const observation = new Observation(1);
    observation.addMean(Float64Array.of(NaN), 2 * MIN_ROWS);
    observation.addMean(Float64Array.of(3), MIN_ROWS);
    expect([...observation.correction!]).toEqual([3]);
  });

  it('tells the noise of all inputs together', () => {
    const observation = new Observation(1);
    observation.addPowers({ noise: 1, signal: 3 });
    observation.addPowers({ noise: 3, signal: 1 });
    expect(observation.noise).toBe(1);
  });

  it('learns next to nothing from a blank input, before or after another one', () => {
    for (const blank of [
      { noise: 0, signal: 0 },
      { noise: 1e-9, signal: 0 },
      { noise: 1e-9, signal: 1e-10 },
    ]) {
      for (const order of [0, 1]) {
        const observation = new Observation(1);
        if (order === 0) observation.addPowers(blank);
        observation.addPowers({ noise: 1, signal: 4 });
        if (order === 1) observation.addPowers(blank);
        expect(observation.noise).toBeCloseTo(0.5, 6);
      }
    }
  });
});

describe('Observations', () => {
  it('give the nearest one of inputs up to twice as large or small', () => {
    const [small, large, zeros] = [new Observation(1), new Observation(8), new Observation(1e-30)];
    const all = new Observations().add(zeros).add(small).add(large);
    expect([0.49, 0.5, 1, 2, 2.1, 3.9, 4, 8, 16, 16.1].map(scale => all.near(scale))).toEqual([
      ...[undefined, small, small, small, undefined, undefined, large, large, large, undefined],
    ]);
    expect(all.near(1e-30)).toBe(zeros);
    expect(new Observations().near(1)).toBeUndefined();
    expect(all.add(new Observation(3)).near(2)?.scale).toBe(3);
  });

  it('remember the last one', () => {
    const [a, b] = [new Observation(1), new Observation(8)];
    const all = new Observations();
    expect(all.last).toBeUndefined();
    expect(all.add(a).add(b).last).toBe(b);
    expect(all.add(a).last).toBe(a);
  });
});

describe('sharesOf', () => {
  const conv = (channels = 4) => layer(channels);

  it('is 1 for all of a chain', () => {
    const recorder = new Recorder();
    const a = recorder.call(conv(), { x: given(1, 4), w: given(4, 4) });
    const b = recorder.call(conv(), { x: a, w: given(4, 4) });
    a.refs = 0;
    expect(b.refs).toBe(1);
    expect(sharesOf(recorder.nodes)).toEqual([1, 1]);
  });

  it('is one half for a residual branch, and 1 for the trunk', () => {
    const recorder = new Recorder();
    const trunk = recorder.call(conv(), { x: given(1, 4), w: given(4, 4) });
    const branch = recorder.call(conv(), { x: trunk, w: given(4, 4) });
    recorder.call(kernel('Add'), { a: trunk, b: branch });
    trunk.refs = branch.refs = 0;
    expect(sharesOf(recorder.nodes)).toEqual([1, 0.5, 1]);
  });

  it('goes by the sizes at a Concat', () => {
    const recorder = new Recorder();
    const [small, large] = [1, 3].map(n =>
      recorder.call(conv(n), { x: given(1, 4), w: given(4, n) }),
    );
    recorder.call(kernel('Concat'), { 0: small, 1: large });
    small.refs = large.refs = 0;
    expect(sharesOf(recorder.nodes)).toEqual([0.25, 0.75, 1]);
  });

  it('is shared by several results, those that the user keeps among them', () => {
    const recorder = new Recorder();
    const a = recorder.call(conv(), { x: given(1, 4), w: given(4, 4) });
    recorder.call(conv(), { x: a, w: given(4, 4) });
    expect(sharesOf(recorder.nodes)).toEqual([1, 0.5]);
  });
});

describe('chooseInt8', () => {
  const one = (macs: number, noise: number, share = 1) => ({ macs, noise, share });

  it('takes all that are within the budget together', () => {
    expect(chooseInt8([one(1, 3), one(1, 4)], 5)).toEqual([true, true]);
    expect(chooseInt8([one(1, 3), one(1, 4)], 4.99)).toEqual([true, false]);
    expect(chooseInt8([], 1)).toEqual([]);
  });

  it('takes the most work for the noise first', () => {
    expect(chooseInt8([one(1, 3), one(10, 4)], 4.5)).toEqual([false, true]);
  });

  it('goes on to what still fits', () => {
    expect(chooseInt8([one(10, 4), one(9, 4), one(1, 3)], 5)).toEqual([true, false, true]);
  });

  it('counts noise by its part of the outputs', () => {
    expect(chooseInt8([one(1, 4, 0.25), one(1, 4)], 4.4)).toEqual([true, false]);
    expect(chooseInt8([one(1, 4, 0.25), one(1, 4)], 4.5)).toEqual([true, true]);
  });

  it('never takes what has not been measured or is no number', () => {
    for (const noise of [NaN, Infinity]) {
      expect(chooseInt8([one(1, noise), one(1, 1)], 1e9)).toEqual([false, true]);
    }
  });

  it('takes what costs nothing under a budget of 0', () => {
    expect(chooseInt8([one(1, 0), one(1, 1e-9), one(0, 0)], 0)).toEqual([true, false, true]);
  });

  it('leaves out what takes ten times as much of the budget as of the work', () => {
    const large = one(1000, 1e-3);
    expect(chooseInt8([large, one(200, 0.99)], 1)).toEqual([true, true]);
    expect(chooseInt8([large, one(99, 0.9)], 1)).toEqual([true, true]);
    expect(chooseInt8([large, one(99, 0.99)], 1)).toEqual([true, false]);
    expect(chooseInt8([large, one(0, 0.1)], 1)).toEqual([true, false]);
  });

  it('stays within the budget, and leaves out nothing else that would fit', () => {
    const random = new Random(1);
    for (let problem = 0; problem < 200; problem++) {
      const numbers = [...random.floats(3 * 12)].map(Math.abs);
      const all = Array.from({ length: 12 }, (_, i) =>
        one(numbers[3 * i], numbers[3 * i + 1], numbers[3 * i + 2]),
      );
      const chosen = chooseInt8(all, 1);
      const cost = ({ share, noise }: (typeof all)[0]) => share * noise * noise;
      const used = all.reduce((sum, item, i) => sum + (chosen[i] ? cost(item) : 0), 0);
      expect(used).toBeLessThanOrEqual(1 + 1e-12);
      const work = all.reduce((sum, { macs }) => sum + macs, 0);
      all.forEach((item, i) => {
        const isDear = cost(item) > (10 * item.macs) / work;
        if (!chosen[i] && !isDear) expect(used + cost(item)).toBeGreaterThan(1 - 1e-12);
      });
    }
  });
});
