/** src/passes/fold.ts: factors and terms against the stages computed one after the other. */
import type { Use } from '../../src/graph/graph.js';
import { Node } from '../../src/graph/graph.js';
import type { Value } from '../../src/graph/value.js';
import { affineOf, canScale, scaled } from '../../src/passes/fold.js';
import { given, kernel, layer, use } from '../graph/nodes.js';

const CHANNELS = 3;

/** What v becomes, channel by channel, and the node that says so. */
type Stage = [name: string, inputs: (v: Value) => Record<string, Value>, epsilon?: number];

class Numbers extends Map<Value, readonly number[]> {
  row(...numbers: number[]): Value {
    const value = given(numbers.length);
    this.set(value, numbers);
    return value;
  }

  /** [factor, term] of the first channel. */
  fold(bias: Value | undefined, ...stages: Stage[]): [number, number] | undefined {
    const x = given(1, 2, 2, 2);
    const filter = given(1, 1, 2, CHANNELS);
    const inputs = { x: use(x), filter: use(filter), ...(bias ? { bias: use(bias) } : {}) };
    const output = { shape: [1, 2, 2, CHANNELS], dtype: 'float32' as const };
    const base = new Node(layer(CHANNELS), inputs, false, {}, [output]);
    let [v] = base.outputs;
    const nodes = stages.map(([name, make, varianceEpsilon]) => {
      const uses = Object.entries(make(v)).map(([key, value]) => [key, use(value)]);
      const named = Object.fromEntries(uses) as Record<string, Use>;
      const rules = kernel(name);
      const node = new Node(rules, named, false, { varianceEpsilon }, [output]);
      [v] = node.outputs;
      return node;
    });
    const affine = affineOf({ base, stages: nodes, constants: [] }, CHANNELS, value => {
      return this.get(value)!;
    });
    return affine && [affine.factor[0], affine.term[0]];
  }
}

describe('affineOf', () => {
  const numbers = new Numbers();
  const row = (...values: number[]) => numbers.row(...values);
  const c = row(4, 5, 6);
  const bias = row(10, 0, 0);

  it('is nothing for no stages, but for the bias', () => {
    expect(numbers.fold(undefined)).toEqual([1, 0]);
    expect(numbers.fold(bias)).toEqual([1, 10]);
  });

  it('knows the order of operands', () => {
    expect(numbers.fold(bias, ['Add', a => ({ a, b: c })])).toEqual([1, 14]);
    expect(numbers.fold(bias, ['Add', b => ({ a: c, b })])).toEqual([1, 14]);
    expect(numbers.fold(bias, ['Multiply', b => ({ a: c, b })])).toEqual([4, 40]);
    expect(numbers.fold(bias, ['Sub', a => ({ a, b: c })])).toEqual([1, 6]);
    expect(numbers.fold(bias, ['Sub', b => ({ a: c, b })])).toEqual([-1, -6]);
    expect(numbers.fold(bias, ['RealDiv', a => ({ a, b: c })])).toEqual([0.25, 2.5]);
  });

  it('takes a scalar for all channels', () => {
    expect(numbers.fold(bias, ['Multiply', a => ({ a, b: row(2) })])).toEqual([2, 20]);
  });

  it('composes stages in their order', () => {
    const fold = numbers.fold(
      bias,
      ['Multiply', a => ({ a, b: c })],
      ['Sub', b => ({ a: row(1), b })],
      ['RealDiv', a => ({ a, b: row(2) })],
    );
    expect(fold).toEqual([-2, -19.5]);
  });

  it('normalises, with and without scale and offset', () => {
    const [mean, variance] = [row(2, 0, 0), row(15, 1, 1)];
    const [scale, offset] = [row(8, 1, 1), row(3, 0, 0)];
    const norm = (more: Record<string, Value>): Stage => [
      'FusedBatchNorm',
      x => ({ x, ...more, mean, variance }),
      1,
    ];
    expect(numbers.fold(bias, norm({ scale, offset }))).toEqual([2, 19]);
    expect(numbers.fold(bias, norm({ scale }))).toEqual([2, 16]);
    expect(numbers.fold(bias, norm({ offset }))).toEqual([0.25, 5]);
    expect(numbers.fold(bias, norm({}))).toEqual([0.25, 2]);
  });

  it('refuses what would not keep the numbers', () => {
    const by = (name: string, ...values: number[]) =>
      numbers.fold(undefined, [name, a => ({ a, b: row(...values) })]);
    for (const bad of [NaN, Infinity, -Infinity]) {
      expect(by('Multiply', 1, bad, 1)).toBeUndefined();
      expect(by('Add', 1, 1, bad)).toBeUndefined();
    }
    expect(by('RealDiv', 1, 0, 1)).toBeUndefined();
    expect(by('Multiply', 1, 2 ** -61, 1)).toBeUndefined();
    expect(by('Multiply', 1, 2 ** 61, 1)).toBeUndefined();
    expect(by('Multiply', 0, 1, 1)).toEqual([0, 0]);
    const norm = (variance: number, epsilon: number): Stage => [
      'FusedBatchNorm',
      x => ({ x, mean: row(0, 0, 0), variance: row(variance, 1, 1) }),
      epsilon,
    ];
    expect(numbers.fold(undefined, norm(0, 0))).toBeUndefined();
    expect(numbers.fold(undefined, norm(-1, 0.5))).toBeUndefined();
    expect(numbers.fold(undefined, norm(0, 0.25))).toEqual([2, 0]);
  });
});

describe('scaled', () => {
  it('multiplies the last axis, or the rows of a transposed matrix', () => {
    expect([...scaled([1, 2, 3, 4, 5, 6], [1, 10, 100], 1)]).toEqual([1, 20, 300, 4, 50, 600]);
    expect([...scaled([1, 2, 3, 4, 5, 6], [1, 10, 100], 2)]).toEqual([1, 2, 30, 40, 500, 600]);
    expect([...scaled([1, 2, 3, 4], [1, 10], 1)]).toEqual([1, 20, 3, 40]);
    expect(scaled([], [], 1).length).toBe(0);
  });

  it('is for weights that cannot overflow; those that are not finite stay so', () => {
    expect(canScale([1, -(2 ** 60), 0])).toBeTrue();
    expect(canScale([2 ** 61])).toBeFalse();
    expect(canScale([NaN, Infinity])).toBeTrue();
    expect([...scaled([NaN, -Infinity], [2, -2], 1)]).toEqual([NaN, Infinity]);
  });
});
