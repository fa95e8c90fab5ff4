/** src/processors/gpu/timers.ts: when the GPU's clock is asked, and when it is believed. */
import { Timers } from '../../../src/processors/gpu/timers.js';

/** A GPU that takes a millisecond for each command, and answers when it is told to. */
class Clock {
  isDone = false;
  isDisjoint = false;
  queries = 0;
  private current: { ns: number } | undefined;

  draw(): void {
    if (this.current) this.current.ns += 1e6;
  }

  readonly gl = {
    QUERY_RESULT_AVAILABLE: 1,
    QUERY_RESULT: 2,
    getExtension: () => ({ TIME_ELAPSED_EXT: 3, GPU_DISJOINT_EXT: 4 }),
    createQuery: () => {
      this.queries++;
      return { ns: 0 };
    },
    deleteQuery: () => this.queries--,
    beginQuery: (_: number, query: { ns: number }) => {
      if (this.current) throw new Error('a query within a query');
      this.current = query;
    },
    endQuery: () => (this.current = undefined),
    getQueryParameter: (query: { ns: number }, name: number) =>
      name === 1 ? this.isDone : query.ns,
    getParameter: () => this.isDisjoint,
  } as unknown as WebGL2RenderingContext;
}

describe('Timers', () => {
  let clock: Clock;
  let timers: Timers<string>;
  beforeEach(() => {
    clock = new Clock();
    timers = Timers.create<string>(clock.gl)!;
  });
  afterEach(() => {
    expect(clock.queries).withContext('queries left').toBe(0);
  });

  const draw = (key: string, draws: number) =>
    timers.time(key, () => {
      for (let i = 0; i < draws; i++) clock.draw();
      return draws;
    });

  it('add up what was submitted under a key, and give what that returns', () => {
    timers.start();
    expect([draw('a', 2), draw('b', 3), draw('a', 1)]).toEqual([2, 3, 1]);
    timers.stop();
    clock.isDone = true;
    expect(timers.take()).toEqual(
      new Map([
        ['a', 3],
        ['b', 3],
      ]),
    );
    expect(timers.take()).toBeUndefined();
  });

  it('say nothing until all is known, or while they are on', () => {
    timers.start();
    draw('a', 1);
    clock.isDone = true;
    expect(timers.take()).toBeUndefined();
    timers.stop();
    clock.isDone = false;
    expect(timers.take()).toBeUndefined();
    clock.isDone = true;
    expect(timers.take()?.get('a')).toBe(1);
  });

  it('ask nothing when they are off', () => {
    expect(draw('a', 1)).toBe(1);
    clock.isDone = true;
    expect(timers.take()).toBeUndefined();
  });

  it('believe no clock that has jumped', () => {
    timers.start();
    draw('a', 1);
    timers.stop();
    clock.isDone = clock.isDisjoint = true;
    expect(timers.take()).toBeUndefined();
  });

  it('end a query whose commands fail', () => {
    timers.start();
    const fail = () =>
      timers.time('a', () => {
        throw new Error('no');
      });
    expect(fail).toThrowError('no');
    expect(draw('b', 1)).toBe(1);
    timers.start();
    timers.stop();
  });

  it('forget the times of a run that nobody took', () => {
    timers.start();
    draw('a', 1);
    timers.start();
    draw('b', 1);
    timers.stop();
    clock.isDone = true;
    expect([...timers.take()!.keys()]).toEqual(['b']);
  });

  it('are none where the browser has none', () => {
    expect(Timers.create({ getExtension: () => null } as never)).toBeUndefined();
  });
});
