/** src/passes/branches.ts: fork-join regions. */
import { findRegions } from '../../src/passes/branches.js';
import type { Value } from '../../src/graph/value.js';
import { given, kernel, Recorder } from '../graph/nodes.js';
import { NETS } from '../plan/nets.js';

const step = kernel('Step');
const join = kernel('Join');

/** Regions of what is recorded; only its last results are held. */
function regions(record: (r: Recorder) => void) {
  const recorder = new Recorder();
  record(recorder);
  for (const value of recorder.nodes.flatMap(({ outputs }) => outputs)) value.refs = 0;
  return findRegions(recorder.nodes);
}

const all = (...values: Value[]) =>
  Object.fromEntries(values.map((value, i) => [String(i), value]));

describe('findRegions', () => {
  it('a chain has none, nor has no node at all', () => {
    expect(regions(r => r.call(step, { x: r.call(step, { x: given(4) }) }))).toEqual([]);
    expect(findRegions([])).toEqual([]);
  });

  it('a module: branches of their own lengths', () => {
    const found = regions(r => {
      const x = r.call(step, { x: given(4) });
      const a = r.call(step, { x });
      const b = r.call(step, { x: r.call(step, { x }) });
      r.call(step, { x: r.call(join, all(a, b)) });
    });
    expect(found).toEqual([{ fork: 0, join: 4, branches: [[1], [2, 3]] }]);
  });

  it('a residual: the direct edge is a branch of no nodes', () => {
    const found = regions(r => {
      const x = r.call(step, { x: given(4) });
      r.call(join, all(x, r.call(step, { x })));
    });
    expect(found).toEqual([{ fork: 0, join: 2, branches: [[1], []] }]);
  });

  it('a region in a branch of another, the outer one first', () => {
    const found = regions(r => {
      const x = r.call(step, { x: given(4) });
      const y = r.call(step, { x });
      const inner = r.call(join, all(r.call(step, { x: y }), r.call(step, { x: y })));
      r.call(join, all(inner, r.call(step, { x })));
    });
    expect(found).toEqual([
      { fork: 0, join: 6, branches: [[1, 2, 3, 4], [5]] },
      { fork: 1, join: 4, branches: [[2], [3]] },
    ]);
  });

  it('heads that never join end outside; inputs that join begin there', () => {
    const heads = regions(r => {
      const x = r.call(step, { x: given(4) });
      r.call(step, { x });
      r.call(step, { x });
    });
    expect(heads).toEqual([{ fork: 0, join: 3, branches: [[1], [2]] }]);
    const inputs = regions(r => {
      r.call(join, all(r.call(step, { x: given(4) }), r.call(step, { x: given(4) })));
    });
    expect(inputs).toEqual([{ fork: -1, join: 2, branches: [[0], [1]] }]);
  });

  it('branches that read each other are one, and no region', () => {
    const found = regions(r => {
      const x = r.call(step, { x: given(4) });
      const a = r.call(step, { x });
      r.call(join, all(a, r.call(join, all(a, x))));
    });
    expect(found.filter(({ fork, join }) => fork === 0 && join === 3)).toEqual([]);
  });

  it('GoogLeNet has nine modules of four branches, SqueezeNet eight of two', () => {
    const sizes = (name: 'googlenet' | 'squeezenet') =>
      findRegions(NETS[name]()).map(({ branches }) => branches.length);
    expect(sizes('googlenet')).toEqual(Array<number>(9).fill(4));
    expect(sizes('squeezenet')).toEqual(Array<number>(8).fill(2));
  });

  it('5,000 nodes whose branches never join are one region', () => {
    const found = regions(r => {
      let x = r.call(step, { x: given(4) });
      for (let i = 0; i < 2500; i++) {
        r.call(step, { x });
        x = r.call(step, { x });
      }
    });
    expect(found.length).toBe(1);
  });
});
