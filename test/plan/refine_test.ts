/** src/plan/refine.ts: what a profile learns from the layers of later runs. */
import { profileOf } from '../../src/plan/profile.js';
import type { Profile } from '../../src/plan/profile.js';
import type { Observed, Row } from '../../src/plan/refine.js';
import { isOfThisMachine, observedOf, predicted, refine } from '../../src/plan/refine.js';
import { NETS } from './nets.js';
import { PROFILES } from './profiles.js';

const profile: Profile = PROFILES['2 cores, no GPU'];
const nodes = NETS.mobilenet();

const row: Row = { where: 'cpu', precision: 'float32', quantised: false, ms: 1 };

const present = <T>(all: readonly (T | undefined)[]): T[] =>
  all.filter((one): one is T => one !== undefined);

/** A run of the net in which families take so many times what is predicted. */
function observed(times: (family: string) => number): Observed[] {
  const all = present(
    observedOf(
      nodes,
      nodes.map(() => row),
    ),
  );
  return all.map(one => ({ ...one, ms: predicted(one, profile) * times(one.work.family) }));
}

const isLarge = ({ ms }: Observed) => ms >= 0.05;

describe('a profile that learns', () => {
  it('comes to predict a machine whose families are slower or faster, each by itself', () => {
    const run = observed(family => (family === 'depthwise' ? 2.5 : 0.8));
    let better = profile;
    for (let i = 0; i < 8; i++) better = refine(better, run);
    for (const one of run.filter(isLarge)) {
      const ratio = predicted(one, better) / one.ms;
      expect(Math.abs(ratio - 1))
        .withContext(one.work.family)
        .toBeLessThan(0.1);
    }
    expect(profileOf(JSON.parse(JSON.stringify(better)))).toEqual(better);
  });

  it('goes half of the way at once', () => {
    const run = observed(() => 4);
    const before = profile.cpu.units.pointwise.float32.perUnit[2];
    const after = refine(profile, run).cpu.units.pointwise.float32.perUnit[2];
    expect(after / before).toBeGreaterThan(1.8);
    expect(after / before).toBeLessThan(2.2);
  });

  it('is another one, and the same where nothing was told', () => {
    const before = JSON.stringify(profile);
    expect(
      refine(
        profile,
        observed(() => 2),
      ),
    ).not.toBe(profile);
    expect(JSON.stringify(profile)).toBe(before);
    expect(refine(profile, [])).toBe(profile);
  });

  it('passes over layers that the clock cannot tell, and over accidents', () => {
    const run = observed(() => 1);
    const short = run.map(one => ({ ...one, ms: 0.02 }));
    const stopped = run.map(one => ({ ...one, ms: 1000 * one.ms }));
    expect(refine(profile, short)).toBe(profile);
    expect(refine(profile, stopped)).toBe(profile);
  });

  it('is not of a machine that takes three times as long, but of one that takes half again', () => {
    expect(
      isOfThisMachine(
        profile,
        observed(() => 1.5),
      ),
    ).toBeTrue();
    expect(
      isOfThisMachine(
        profile,
        observed(() => 3),
      ),
    ).toBeFalse();
    expect(
      isOfThisMachine(
        profile,
        observed(() => 0.3),
      ),
    ).toBeFalse();
    expect(isOfThisMachine(profile, [])).toBeTrue();
  });
});

describe('what a run tells of a layer', () => {
  it('is nothing where the GPU had a part in it', () => {
    const rows = nodes.map((_, i): Row => ({ ...row, where: i === 1 ? 'split' : 'cpu' }));
    const all = observedOf(nodes, rows);
    expect(all[1]).toBeUndefined();
    expect(all[0]).toBeDefined();
  });

  it('says whether it read bytes, and that what has no weights is in bytes where its result is', () => {
    const rows = nodes.map((_, i): Row => ({ ...row, precision: 'int8', quantised: i === 0 }));
    const all = observedOf(nodes, rows);
    expect(all[0]!.isOfBytes).toBeFalse();
    expect(all[1]!.isOfBytes).toBeTrue();
    expect(all[2]!.isOfBytes).toBeFalse();
    expect(all[1]!.format).toBe('int8');
    const mean = nodes.findIndex(({ kernel }) => !kernel.macs);
    expect(all[mean]!.format).toBe('float32');
  });
});
