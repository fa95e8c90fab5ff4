/** src/plan/plan.ts: what is kept from one inference to the next. */
import { Plan, Plans } from '../../src/plan/plan.js';

describe('Plan', () => {
  it('places once for the same circumstances, and anew for others', () => {
    const plan = new Plan(1);
    let made = 0;
    const make = () => {
      made++;
      return [{ where: 'cpu' } as const];
    };
    const first = plan.place('cpu, gpu', make);
    expect(plan.place('cpu, gpu', make)).toBe(first);
    expect(made).toBe(1);
    plan.place('0.5, gpu', make);
    expect(made).toBe(2);
  });

  it('knows one layer for each node, and nothing of it at first', () => {
    const plan = new Plan(3);
    expect(plan.runs).toBe(0);
    expect(plan.layers.length).toBe(3);
    expect(plan.layers.map(({ noise, refused }) => [noise, refused])).toEqual([
      [undefined, undefined],
      [undefined, undefined],
      [undefined, undefined],
    ]);
    expect(plan.layers[0]).not.toBe(plan.layers[1]);
  });
});

describe('Plans', () => {
  it('finds the plan of a key again', () => {
    const plans = new Plans();
    expect(plans.has('a')).toBeFalse();
    const plan = plans.get('a', 2);
    expect(plans.has('a')).toBeTrue();
    expect(plans.get('a', 2)).toBe(plan);
    expect(plans.get('b', 2)).not.toBe(plan);
  });

  it('drops the one that was not used for longest', () => {
    const plans = new Plans(2);
    const a = plans.get('a', 1);
    plans.get('b', 1);
    plans.get('a', 1);
    plans.get('c', 1);
    expect(['a', 'b', 'c'].map(key => plans.has(key))).toEqual([true, false, true]);
    expect(plans.get('a', 1)).toBe(a);
  });
});
