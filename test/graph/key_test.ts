/** src/graph/key.ts: two graphs have one key if one plan is right for both. */
import { keyOf } from '../../src/graph/key.js';
import type { Value } from '../../src/graph/value.js';
import { given, kernel, Recorder, use } from './nodes.js';

const [relu, neg, add] = [kernel('Relu'), kernel('Neg'), kernel('Add')];

function key(record: (recorder: Recorder) => void): string {
  const recorder = new Recorder();
  record(recorder);
  return keyOf(recorder.nodes);
}

const base = key(r => r.call(neg, { x: r.call(relu, { x: given(2, 3) }, { alpha: 1 }) }));

const DIFFERENT: Record<string, (r: Recorder) => void> = {
  'another kernel': r => r.call(relu, { x: r.call(relu, { x: given(2, 3) }, { alpha: 1 }) }),
  'another order': r => r.call(relu, { x: r.call(neg, { x: given(2, 3) }) }, { alpha: 1 }),
  'another attribute': r => r.call(neg, { x: r.call(relu, { x: given(2, 3) }, { alpha: 2 }) }),
  'an attribute more': r =>
    r.call(neg, { x: r.call(relu, { x: given(2, 3) }, { alpha: 1, b: 0 }) }),
  'no attribute': r => r.call(neg, { x: r.call(relu, { x: given(2, 3) }) }),
  'another shape': r => r.call(neg, { x: r.call(relu, { x: given(3, 2) }, { alpha: 1 }) }),
  'another name of the input': r =>
    r.call(neg, { y: r.call(relu, { x: given(2, 3) }, { alpha: 1 }) }),
  'a node more': r =>
    r.call(neg, { x: r.call(neg, { x: r.call(relu, { x: given(2, 3) }, { alpha: 1 }) }) }),
  'a node less': r => r.call(relu, { x: given(2, 3) }, { alpha: 1 }),
  'other wiring': r => {
    const x = given(2, 3);
    r.call(relu, { x }, { alpha: 1 });
    r.call(neg, { x });
  },
  'a reshape in between': r =>
    r.call(neg, { x: use(r.call(relu, { x: given(2, 3) }, { alpha: 1 }), [6]) }),
};

describe('keyOf', () => {
  it('is the same for two captures of one model', () => {
    const again = key(r => r.call(neg, { x: r.call(relu, { x: given(2, 3) }, { alpha: 1 }) }));
    expect(again).toBe(base);
  });

  for (const [what, record] of Object.entries(DIFFERENT)) {
    it(`tells ${what}`, () => {
      expect(key(record)).not.toBe(base);
    });
  }

  it('tells one operand twice from two', () => {
    const x = given(2);
    expect(key(r => r.call(add, { a: x, b: x }))).not.toBe(
      key(r => r.call(add, { a: given(2), b: given(2) })),
    );
  });

  it('tells the operands of a difference apart', () => {
    const wired = (pick: (a: Value, b: Value) => Record<string, Value>) =>
      key(r => {
        const x = given(2);
        r.call(add, pick(r.call(relu, { x }), r.call(neg, { x })));
      });
    expect(wired((a, b) => ({ a, b }))).not.toBe(wired((a, b) => ({ a: b, b: a })));
  });

  it('knows nothing of the numbers', () => {
    const [x, y] = [given(2), given(2)];
    x.range = [0, 1];
    expect(key(r => r.call(relu, { x }))).toBe(key(r => r.call(relu, { x: y })));
  });

  it('is empty for no nodes', () => {
    expect(keyOf([])).toBe('');
  });
});
