/**
 * src/processors/cpu/queue.ts: a caller cannot tell that a call returns before it is done. One
 * thread, or workers whose every move the spec makes; `pool_browser_test.ts` has real ones.
 */
import { Arena } from '../../../src/processors/cpu/arena.js';
import type { Calls } from '../../../src/processors/cpu/board.js';
import { Board } from '../../../src/processors/cpu/board.js';
import { Heap } from '../../../src/processors/cpu/heap.js';
import type { Pool } from '../../../src/processors/cpu/pool.js';
import { Queue } from '../../../src/processors/cpu/queue.js';
import type { WasmKernels } from '../../../wasm/exports';
import { Random } from '../../wasm/random';

/** Elements that take more than one tile: f32Unary's exp costs 2 ns each. */
const LARGE = 3 << 20;

const EXP = 10;

describe('queue', () => {
  let heap: Heap;
  let x: number;
  let y: number;

  beforeAll(async () => {
    heap = await Heap.create(true, false);
  });
  beforeEach(() => {
    x = heap.allocate(4 * LARGE, 'copy');
    y = heap.allocate(4 * LARGE, 'copy');
    heap.f32(x, LARGE).fill(0);
  });
  afterEach(() => {
    heap.queue.finish();
    heap.free(x, 4 * LARGE, 'copy');
    heap.free(y, 4 * LARGE, 'copy');
    expect(heap.bytesUsed).toBe(0);
  });

  const exp = (from: number, to: number) => {
    heap.kernels.f32Unary(EXP, from, LARGE, 0, 0, to);
  };

  it('a small call is over when it returns', () => {
    heap.kernels.f32Unary(EXP, x, 100, 0, 0, y);
    expect(heap.queue.isBusy).toBeFalse();
    expect(heap.f32(y, 100).every(v => v === 1)).toBeTrue();
  });

  it('a large one may be under way, and who looks waits for it', () => {
    exp(x, y);
    expect(heap.queue.isBusy).toBeTrue();
    expect(heap.f32(y, LARGE).every(v => v === 1)).toBeTrue();
    expect(heap.queue.isBusy).toBeFalse();
  });

  it('is worked off a little at a time', () => {
    exp(x, y);
    let turns = 0;
    while (heap.queue.isBusy) {
      heap.queue.work(heap.queue.mark, 0);
      turns++;
    }
    expect(turns).toBeGreaterThan(0);
    expect(heap.f32(y, LARGE).every(v => v === 1)).toBeTrue();
  });

  it('keeps the order, of small calls behind large ones too', () => {
    exp(x, y);
    heap.kernels.f32Unary(EXP, y, 100, 0, 0, x);
    heap.kernels.fill(4, y, 50, 0);
    expect(heap.queue.isBusy).toBeTrue();
    expect(heap.f32(x, 100).every(v => Math.abs(v - Math.E) < 1e-6)).toBeTrue();
    expect([...heap.f32(y, 100)]).toEqual([
      ...new Array<number>(50).fill(0),
      ...new Array<number>(50).fill(1),
    ]);
  });

  it('a kernel that does not divide waits for what is under way', () => {
    const out = heap.allocate(128, 'copy');
    exp(x, y);
    // The weights of one tap of 8 channels: 1, as all of y.
    heap.kernels.qs8PackTaps(y, 1, 1, 8, 8, out, out + 32, out + 64, 100);
    expect(heap.queue.isBusy).toBeFalse();
    expect([...heap.f32(out + 32, 8)]).toEqual(new Array<number>(8).fill(Math.fround(0.01)));
    heap.free(out, 128, 'copy');
  });

  it('tiles of a large array find its smallest and its largest number together', () => {
    // Too large for one tile, the two at its ends.
    const n = 12 << 20;
    const all = heap.allocate(4 * n, 'copy');
    const spread = heap.allocate(32, 'copy');
    const numbers = heap.f32(all, n).fill(0);
    numbers[1] = -3;
    numbers[n - 2] = 7;
    heap.f32(spread, 8).fill(0);
    heap.kernels.f32MinMax(all, n, spread);
    expect(heap.queue.isBusy).toBeTrue();
    const seen = heap.f32(spread, 8);
    expect(Math.min(...seen.subarray(0, 4))).toBe(-3);
    expect(Math.max(...seen.subarray(4))).toBe(7);
    heap.free(all, 4 * n, 'copy');
    heap.free(spread, 32, 'copy');
  });

  it('tiles note the range of their results together', () => {
    const [m, k, n] = [20_000, 128, 64];
    const random = new Random(3);
    const put = (values: Uint8Array | Float32Array) => {
      const at = heap.allocate(values.byteLength, 'copy');
      heap.u8(at, values.byteLength).set(new Uint8Array(values.buffer));
      return { at, bytes: values.byteLength };
    };
    const { kernels } = heap;
    const packed = put(new Uint8Array(kernels.qs8PackedBytesI16(1, k, n)));
    const [scale, sum] = [put(new Float32Array(n)), put(new Float32Array(n))];
    const [offsets, w] = [put(new Float32Array(1)), put(random.floats(k * n))];
    kernels.qs8PackI16(w.at, 1, k, n, n, packed.at, scale.at, sum.at, 127);
    const a = put(Uint8Array.from({ length: m * k }, (_, i) => (i * 7919) % 251));
    const spread = put(new Float32Array([9, 9, 9, 9, -9, -9, -9, -9]));
    const multiply = (step: number, range: number) => {
      kernels.qu8GemmI16(
        ...([a.at, m, m, k, 0, 1, k, offsets.at, packed.at, n, sum.at, scale.at] as const),
        ...([0, 0, -Infinity, Infinity, y, n, step, 128, range] as const),
      );
    };
    multiply(0, 0);
    expect(heap.queue.isBusy).toBeTrue();
    const floats = heap.f32(y, m * n);
    const [low, high] = [
      floats.reduce((p, v) => Math.min(p, v)),
      floats.reduce((p, v) => Math.max(p, v)),
    ];
    multiply(1 / 16, spread.at);
    let seen: number[] = [];
    heap.queue.afterwards(() => (seen = [...heap.peek(spread.at, 8)]));
    expect(heap.queue.isBusy).toBeTrue();
    expect(seen).toEqual([]);
    heap.queue.finish();
    const inSteps = (v: number) => 16 * (Math.trunc(v / 16 + 128.5) - 128);
    expect(Math.min(...seen.slice(0, 4))).toBe(inSteps(low));
    expect(Math.max(...seen.slice(4))).toBe(inSteps(high));
    for (const { at, bytes } of [packed, scale, sum, offsets, w, a, spread])
      heap.free(at, bytes, 'copy');
  });

  it('blocks freed meanwhile are not given to others before it is over', () => {
    const block = heap.allocate(4 * LARGE, 'copy');
    heap.f32(block, LARGE).fill(-Infinity);
    exp(block, y);
    heap.free(block, 4 * LARGE, 'copy');
    const next = heap.allocate(4 * LARGE, 'copy');
    expect(next).not.toBe(block);
    expect(heap.f32(y, LARGE).every(v => v === 0)).toBeTrue();
    heap.free(next, 4 * LARGE, 'copy');
  });

  it('an error comes to who waits, once, and the queue goes on', () => {
    // Beyond the end of the memory: a trap.
    heap.kernels.f32Unary(EXP, 0xf0000000, LARGE, 0, 0, y);
    expect(() => heap.queue.finish()).toThrowError(WebAssembly.RuntimeError);
    exp(x, y);
    expect(heap.f32(y, LARGE).every(v => v === 1)).toBeTrue();
  });

  it('has one thread where memory is not shared, whatever is wanted', () => {
    heap.queue.threads = 4;
    exp(x, y);
    expect(heap.f32(y, LARGE).every(v => v === 1)).toBeTrue();
    expect(heap.queue.threads).toBe(1);
  });
});

/** A queue whose worker moves when the caller looks at the clock, which it does while it waits. */
describe('queue and a worker', () => {
  const REAL_NOW = performance.now.bind(performance);
  let board: Board;
  let memory: WebAssembly.Memory;
  let arena: Arena;
  let queue: Queue;
  let pools: number;
  let warnings: string[];
  let helpers: number;
  /** Where the tiles begin, by who has made them. */
  let made: { caller: number[]; worker: number[] };
  let worker: Calls;
  /** What happens at the next looks at the clock, one after the other; milliseconds it is ahead. */
  let looks: (() => void)[];
  let ms: number;

  /** f32Unary that notes who was there. */
  const kernelsOf = (list: number[]): Calls => ({
    f32Unary: (_op, x) => list.push(x),
    f32MinMax: (_x, _n, spread) => list.push(spread),
  });

  /** A call in 8 tiles. */
  const call = (x = 0) => queue.kernels.f32Unary(EXP, x, 45_000, 0, 0, 1 << 30);
  const workerTakes = () => new Board(board.memory).take(worker);
  const workerTakesAll = () => {
    while (workerTakes());
  };

  beforeEach(() => {
    [pools, helpers, ms, looks, warnings] = [0, 1, 0, [], []];
    made = { caller: [], worker: [] };
    worker = kernelsOf(made.worker);
    board = new Board(new ArrayBuffer(Board.BYTES));
    const pool = {
      board,
      get helpers() {
        return helpers;
      },
      fail(reason: string) {
        warnings.push(reason);
        helpers = 0;
      },
      dispose: () => (helpers = 0),
    };
    const open = () => {
      pools++;
      return pool as unknown as Pool;
    };
    memory = new WebAssembly.Memory({ initial: 1, maximum: 2 });
    arena = new Arena(memory, 64);
    const raw = kernelsOf(made.caller) as unknown as WasmKernels;
    queue = new Queue(raw, memory, arena, true, open);
    queue.threads = 2;
    let looked = 0;
    spyOn(performance, 'now').and.callFake(() => {
      if (looked++ > 1e6) throw new Error('the caller waits for ever');
      looks.shift()?.();
      return REAL_NOW() + ms;
    });
  });

  const sorted = (list: number[]) => [...list].sort((a, b) => a - b);

  it('takes its share', () => {
    call();
    const tiles = board.pending;
    expect(tiles).toBe(1);
    workerTakes();
    queue.finish();
    expect(made.worker).toEqual([0]);
    expect(new Set(made.caller).size).toBe(made.caller.length);
    expect(made.caller.length).toBe(7);
  });

  it('finishes the last job while the caller finds no room: the next one goes on', () => {
    call();
    const { hasRoom } = Board.prototype;
    let asked = 0;
    spyOn(board, 'hasRoom').and.callFake(tiles => {
      if (asked++ > 0) return hasRoom.call(board, tiles);
      workerTakesAll();
      return false;
    });
    call(1 << 16);
    expect(asked).toBe(2);
    queue.finish();
    expect(warnings).toEqual([]);
    expect(made.worker.length).toBe(8);
    expect(made.caller.length).toBe(8);
    expect(queue.isBusy).toBeFalse();
  });

  it('is not silent because the page had nothing to do, or slept', () => {
    /** The caller makes all but the first tile, and waits for the worker, who was asleep so long. */
    const waitFor = (asleep: number) => {
      call();
      const slow: Calls = {
        ...worker,
        f32Unary: (...args) => {
          const before = made.caller.length;
          while (made.caller.length < before + 7) queue.work(queue.mark, 0);
          queue.work(queue.mark, 0);
          ms += asleep;
          queue.work(queue.mark, 0);
          worker.f32Unary(...args);
        },
      };
      new Board(board.memory).take(slow);
      queue.finish();
    };
    for (const asleep of [0, 60_000, 60_000]) {
      waitFor(asleep);
      ms += 60_000;
    }
    expect(warnings).toEqual([]);
    expect(made.worker.length).toBe(3);
    expect(made.caller.length).toBe(21);
  });

  it('that is silent for long while it is waited for is given up', () => {
    call();
    const gone: Calls = {
      f32Unary: () => {
        looks.push(...Array.from({ length: 200 }, () => () => (ms += 50)));
        queue.finish();
      },
    };
    new Board(board.memory).take(gone);
    expect(warnings.length).toBe(1);
    expect(warnings[0]).toMatch(/silent for \d+ ms/);
    expect(sorted(made.caller)[0]).toBe(0);
    expect(made.caller.length).toBe(8);
  });

  it('that was terminated and lives on for a while changes nothing of what is under way', () => {
    call();
    call(1 << 20);
    const late: Calls = {
      f32Unary: (...args) => {
        worker.f32Unary(...args);
        helpers = 0;
        while (made.caller.length < 8) queue.work(queue.mark, 0);
      },
    };
    new Board(board.memory).take(late);
    workerTakesAll();
    queue.finish();
    expect(made.worker).toEqual([0]);
    // Its tile is made again; those of the second call once each, after those of the first.
    expect(sorted(made.caller.slice(0, 8))[0]).toBe(0);
    const second = made.caller.slice(8);
    expect(second.length).toBe(8);
    expect(second[0]).toBe(1 << 20);
    expect(second).toEqual(sorted([...new Set(second)]));
  });

  it('where there is no memory for the ranges of tiles, there is one tile', () => {
    const spread = arena.alloc(32);
    while (arena.alloc(64) !== 0);
    queue.kernels.f32MinMax(64, 1_000_000, spread);
    queue.finish();
    expect([...made.caller, ...made.worker]).toEqual([spread]);
  });

  it('no worker starts after the end', () => {
    call();
    queue.finish();
    expect(pools).toBe(1);
    queue.dispose();
    queue.threads = 4;
    const before = made.caller.length;
    call();
    queue.finish();
    expect(made.caller.length).toBeGreaterThan(before);
    expect(pools).toBe(1);
    expect(queue.threads).toBe(1);
  });
});
