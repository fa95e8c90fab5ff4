/** src/run/pipeline.ts: on steps and a CPU that only note what happens to them. */
import type { CpuProcessor } from '../../src/processors/cpu/processor.js';
import type { Issued, Work } from '../../src/run/pipeline.js';
import { pipeline } from '../../src/run/pipeline.js';

interface Plan {
  steps: number;
  threads?: number;
  bytes?: number;
  alone?: number[];
  /** Steps that must be computed again, once. */
  bad?: number[];
  /** Step whose kernel traps. */
  traps?: number;
}

/** Runs steps; each is over when it is waited for. Tells what happened, in its order. */
function run({ steps, threads = 4, bytes = 0, alone = [], bad = [], traps }: Plan) {
  const events: string[] = [];
  let [mark, over, most] = [0, 0, 0];
  const issued = new Set<number>();
  const unkept = new Set(bad);
  let error: Error | undefined;
  const cpu = {
    threads,
    get mark() {
      return mark;
    },
    isDone: (wanted: number) => over >= wanted,
    overAt: () => 0,
    takeError() {
      const taken = error;
      error = undefined;
      return taken;
    },
  } as unknown as CpuProcessor;
  const work: Work = {
    length: steps,
    isAlone: index => alone.includes(index),
    // eslint-disable-next-line require-yield
    *issue(index): Generator<never, Issued> {
      events.push(`issue ${index}`);
      mark++;
      issued.add(index);
      most = Math.max(most, issued.size);
      if (index === traps) error = new Error('trap');
      return { bytes, row: { op: String(index), ms: 0 } as Issued['row'] & object };
    },
    mustRepeat: ({ index }) => unkept.has(index),
    // eslint-disable-next-line require-yield
    *repeat({ index }): Generator<never, void> {
      events.push(`repeat ${index}`);
      unkept.delete(index);
    },
    drop(index) {
      events.push(`drop ${index}`);
      issued.delete(index);
    },
    fail: index => events.push(`fail ${index}`),
    retire(index) {
      events.push(`retire ${index}`);
      issued.delete(index);
    },
  };
  const all = pipeline(cpu, work);
  for (let step = all.next(); ; step = all.next()) {
    if (step.done) {
      const rows = step.value.map(({ op }) => Number(op));
      return { events, rows, most, of: (what: string) => events.filter(e => e.startsWith(what)) };
    }
    // Only as far as it is waited for.
    if (typeof step.value === 'object') over = Math.max(over, step.value.mark);
  }
}

const count = (n: number) => Array.from({ length: n }, (_, i) => i);

describe('the pipeline', () => {
  it('issues and retires all steps in their order, and tells of each once', () => {
    for (const threads of [1, 4]) {
      const { of, rows } = run({ steps: 30, threads });
      expect(of('issue')).toEqual(count(30).map(i => `issue ${i}`));
      expect(of('retire')).toEqual(count(30).map(i => `retire ${i}`));
      expect(rows).toEqual(count(30));
    }
  });

  it('is ahead by a few steps, where there are threads', () => {
    expect(run({ steps: 30 }).most).toBe(8);
    expect(run({ steps: 30, threads: 1 }).most).toBe(1);
    expect(run({ steps: 0 }).events).toEqual([]);
  });

  it('is ahead by fewer steps whose results are large, but by one always', () => {
    expect(run({ steps: 30, bytes: 1.5e6 }).most).toBe(3);
    expect(run({ steps: 30, bytes: 1e9 }).most).toBe(1);
  });

  it('issues some steps only when all before them are retired', () => {
    const { events } = run({ steps: 6, alone: [3] });
    expect(events.indexOf('issue 3')).toBeGreaterThan(events.indexOf('retire 2'));
    expect(events.indexOf('issue 2')).toBeLessThan(events.indexOf('retire 0'));
    expect(events.indexOf('issue 4')).toBeLessThan(events.indexOf('retire 3'));
  });

  it('computes again what may not stay, and all behind it', () => {
    const { events, rows } = run({ steps: 5, bad: [1] });
    expect(events).toEqual([
      ...count(5).map(i => `issue ${i}`),
      'retire 0',
      ...['drop 2', 'drop 3', 'drop 4', 'repeat 1'],
      ...[2, 3, 4].map(i => `issue ${i}`),
      ...[1, 2, 3, 4].map(i => `retire ${i}`),
    ]);
    expect(rows).toEqual(count(5));
  });

  it('computes the last step again, and two in a row', () => {
    const { of, rows } = run({ steps: 5, bad: [2, 3, 4] });
    expect(of('repeat')).toEqual(['repeat 2', 'repeat 3', 'repeat 4']);
    expect(rows).toEqual(count(5));
  });

  it('fails all that is under way when a kernel traps, and goes on', () => {
    const { of, rows } = run({ steps: 12, traps: 2 });
    expect(of('fail')).toEqual(['fail 0', 'fail 1', 'fail 2']);
    expect(rows).toEqual(count(12));
  });
});
