/**
 * src/processors/cpu/pool.ts: several threads give the bits of one, and what goes wrong with a
 * worker costs threads, not answers.
 */
import * as tf from '@tensorflow/tfjs-core';

import baselineBytes from '../../../build/baseline.wasm';
import relaxedBytes from '../../../build/relaxed.wasm';
import { setWorkerUrl } from '../../../src/index.js';
import { Arena } from '../../../src/processors/cpu/arena.js';
import type { Calls } from '../../../src/processors/cpu/board.js';
import { Heap, withSharedMemory } from '../../../src/processors/cpu/heap.js';
import { canShareMemory, defaultThreads, Pool } from '../../../src/processors/cpu/pool.js';
import { CpuProcessor } from '../../../src/processors/cpu/processor.js';
import { tiledKernel } from '../../../src/processors/cpu/queue.js';
import { divide } from '../../../src/processors/cpu/tiles.js';
import type { WasmKernels } from '../../../wasm/exports';
import { backend, registerAs, setFlags, useMulayer } from '../../support.js';
import { Random } from '../../wasm/random';
import { CALLS } from './calls.js';

/** In a page that may not share memory there is nothing to see but the note. */
function itWithThreads(name: string, body: () => Promise<void>) {
  it(
    name,
    async () => {
      if (canShareMemory()) await body();
      else pending('this engine shares no memory');
    },
    60_000,
  );
}

const later = () => new Promise(resolve => setTimeout(resolve, 5));

async function until(condition: () => boolean, what: string, ms = 20_000): Promise<void> {
  const start = performance.now();
  while (!condition()) {
    if (performance.now() - start > ms) throw new Error(`${ms} ms without: ${what}`);
    await later();
  }
}

/** A build on a shared memory, and a pool of workers on it. */
class Workshop {
  private readonly blocks: number[] = [];

  private constructor(
    readonly kernels: WasmKernels,
    readonly memory: WebAssembly.Memory,
    private readonly arena: Arena,
    readonly pool: Pool,
  ) {}

  static async open(bytes: Uint8Array, helpers: number): Promise<Workshop> {
    const memory = new WebAssembly.Memory({ initial: 16, maximum: 65536, shared: true });
    const abort = () => {
      throw new Error('abort');
    };
    const source = withSharedMemory(bytes);
    const { module, instance } = await WebAssembly.instantiate(source, { env: { memory, abort } });
    const kernels = instance.exports as unknown as WasmKernels;
    const arena = new Arena(memory, kernels.heapBase());
    kernels.setScratch(arena.alloc(16384));
    const scratches = Array.from({ length: helpers }, () => arena.alloc(16384));
    const pool = new Pool({ module, memory }, scratches);
    await until(() => pool.helpers === helpers, 'workers');
    return new Workshop(kernels, memory, arena, pool);
  }

  put(values: Float32Array | Int32Array | Uint8Array | Int8Array): number {
    const at = this.reserve(values.byteLength);
    this.bytes(at, values.byteLength).set(
      new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    );
    return at;
  }

  reserve(bytes: number): number {
    const at = this.arena.alloc(bytes);
    this.blocks.push(at);
    return at;
  }

  bytes(at: number, length: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, at, length);
  }

  clear() {
    for (const block of this.blocks.splice(0)) this.arena.free(block);
  }
}

const BUILDS = { baseline: baselineBytes, relaxed: relaxedBytes };

describe('the pool', () => {
  for (const [build, bytes] of Object.entries(BUILDS)) {
    for (const threads of [2, 3]) {
      itWithThreads(`${threads} threads give the bits of one (${build})`, async () => {
        if (!WebAssembly.validate(bytes as Uint8Array<ArrayBuffer>)) {
          pending('this engine has no relaxed SIMD');
          return;
        }
        const workshop = await Workshop.open(bytes, threads - 1);
        const { kernels, pool } = workshop;
        let tiles = 0;
        let own = 0;
        for (const { kernel, name, lay } of CALLS) {
          const space = {
            put: (values: Float32Array) => workshop.put(values),
            reserve: (length: number) => workshop.reserve(length),
          };
          const { args, outputs } = lay(space, kernels);
          const call = (kernels as unknown as Calls)[kernel];
          const result = () => outputs.map(({ at, bytes }) => workshop.bytes(at, bytes).slice());
          const clear = () => {
            for (const { at, bytes } of outputs) workshop.bytes(at, bytes).fill(0xff);
          };
          const counted = (...tile: number[]) => {
            own++;
            return call(...tile);
          };
          clear();
          call(...args);
          const whole = result();
          for (const count of [threads, 4 * threads, 100]) {
            clear();
            const posted = tiledKernel(kernel, build === 'relaxed')!;
            const cut = divide(posted, args)!.cut(count, threads);
            pool.board.post(posted, args, cut);
            // Until the workers' tiles are done as well.
            while (!pool.board.isOver) pool.board.take({ [posted]: counted });
            tiles += cut[0] * cut[1];
            expect(result())
              .withContext(`${name}, cut ${cut.join(' by ')}`)
              .toEqual(whole);
          }
          workshop.clear();
        }
        pool.dispose();
        expect(own).withContext('tiles of the caller').toBeLessThan(tiles);
      });
    }
  }

  it('has threads for all of two logical processors, and for half of more', () => {
    expect([1, 2, 3, 4, 8, 15, 16].map(defaultThreads)).toEqual([1, 2, 2, 2, 4, 8, 8]);
  });
});

/** Elements of an f32Unary that is worth dividing, and takes 4 ms or so. */
const LARGE = 2 << 20;
const EXP = 10;

describe('the pool of a heap', () => {
  afterEach(() => setWorkerUrl(undefined));

  /** exp(0), made by whoever is there. */
  function exponentials(heap: Heap): Float32Array {
    const [x, y] = [heap.allocate(4 * LARGE, 'copy'), heap.allocate(4 * LARGE, 'copy')];
    heap.f32(x, LARGE).fill(0);
    heap.f32(y, LARGE).fill(7);
    heap.kernels.f32Unary(EXP, x, LARGE, 0, 0, y);
    const result = heap.f32(y, LARGE).slice();
    heap.free(x, 4 * LARGE, 'copy');
    heap.free(y, 4 * LARGE, 'copy');
    return result;
  }

  const isRight = (numbers: Float32Array) => numbers.every(v => v === 1);

  /** A heap that wants 3 threads, after it has had work for them. */
  async function heapWithWorkers(): Promise<Heap> {
    const heap = await Heap.create();
    heap.queue.threads = 3;
    expect(isRight(exponentials(heap)))
      .withContext('while workers start')
      .toBeTrue();
    return heap;
  }

  async function withScript(script: string, body: (url: string) => Promise<void>) {
    const url = URL.createObjectURL(new Blob([script], { type: 'text/javascript' }));
    try {
      await body(url);
    } finally {
      URL.revokeObjectURL(url);
    }
  }

  itWithThreads('starts with the first large call, and ends with the heap', async () => {
    const terminate = spyOn(Worker.prototype, 'terminate').and.callThrough();
    const heap = await heapWithWorkers();
    await until(() => heap.queue.threads === 3, '3 threads');
    expect(isRight(exponentials(heap))).toBeTrue();
    heap.queue.dispose();
    expect(terminate).toHaveBeenCalledTimes(2);
    expect(heap.queue.threads).toBe(1);
  });

  itWithThreads('another number of threads is another pool', async () => {
    const terminate = spyOn(Worker.prototype, 'terminate').and.callThrough();
    const heap = await heapWithWorkers();
    for (const threads of [2, 1, 4]) {
      heap.queue.threads = threads;
      expect(heap.queue.threads).toBe(1);
      expect(isRight(exponentials(heap))).toBeTrue();
      await until(() => heap.queue.threads === threads, `${threads} threads`);
      expect(isRight(exponentials(heap))).toBeTrue();
    }
    heap.queue.dispose();
    expect(terminate).toHaveBeenCalledTimes(2 + 1 + 3);
  });

  itWithThreads('a script that is not there costs nothing but threads', async () => {
    const warn = spyOn(console, 'warn');
    setWorkerUrl('/nowhere/worker.js');
    const heap = await heapWithWorkers();
    await until(() => warn.calls.count() > 0, 'a warning');
    expect(warn.calls.mostRecent().args[0]).toMatch(/one thread from now on/);
    expect(isRight(exponentials(heap))).toBeTrue();
    expect(heap.queue.threads).toBe(1);
    heap.queue.dispose();
  });

  itWithThreads('the script of the package may come from a URL', async () => {
    setWorkerUrl('/dist/worker.js');
    const heap = await heapWithWorkers();
    await until(() => heap.queue.threads === 3, '3 threads');
    expect(isRight(exponentials(heap))).toBeTrue();
    heap.queue.dispose();
  });

  itWithThreads('a worker that throws when it starts costs nothing but threads', async () => {
    const warn = spyOn(console, 'warn');
    await withScript('onmessage = () => { throw new Error("no luck"); }', async url => {
      setWorkerUrl(url);
      const heap = await heapWithWorkers();
      await until(() => warn.calls.count() > 0, 'a warning');
      expect(warn.calls.mostRecent().args[0]).toContain('no luck');
      expect(isRight(exponentials(heap))).toBeTrue();
      expect(heap.queue.threads).toBe(1);
      heap.queue.dispose();
    });
  });

  itWithThreads('the tile of a worker that says no more is done by the caller', async () => {
    const warn = spyOn(console, 'warn');
    // It reports (line 6), says that it sleeps (line 5), waits for a job (line 0), takes its own first
    // tile of the one that is open (line 2 knows which; line 8), and is never heard of again.
    const script = `onmessage = ({ data: { board } }) => {
      const words = new Int32Array(board);
      Atomics.add(words, 16 * 5, 1);
      Atomics.add(words, 16 * 6, 1);
      for (let seen = 0; ; seen = Atomics.load(words, 0)) {
        Atomics.wait(words, 0, seen);
        const next = Atomics.load(words, 16 * 8);
        const job = Atomics.load(words, 16 * 2) + 1;
        if (next >> 10 === job) continue;
        while (Atomics.compareExchange(words, 16 * 8, next, (job << 10) | 1) === next);
      }
    };`;
    await withScript(script, async url => {
      setWorkerUrl(url);
      const heap = await Heap.create();
      heap.queue.threads = 2;
      expect(isRight(exponentials(heap))).toBeTrue();
      await until(() => heap.queue.threads === 2, 'the worker');
      // As long as it is not quick enough to get one, it is asked again.
      for (let i = 0; i < 50 && warn.calls.count() === 0; i++) {
        expect(isRight(exponentials(heap))).toBeTrue();
      }
      expect(warn.calls.mostRecent().args[0]).toMatch(/silent for \d+ ms/);
      expect(heap.queue.threads).toBe(1);
      heap.queue.dispose();
    });
  });

  itWithThreads('what a kernel throws comes to the caller, and the workers go on', async () => {
    const heap = await heapWithWorkers();
    await until(() => heap.queue.threads === 3, '3 threads');
    heap.kernels.f32Unary(EXP, 0xf0000000, LARGE, 0, 0, 0xf8000000);
    expect(() => heap.queue.finish()).toThrowError(WebAssembly.RuntimeError);
    expect(isRight(exponentials(heap))).toBeTrue();
    expect(heap.queue.threads).toBe(3);
    heap.queue.dispose();
  });

  it('is not there where memory is not shared', async () => {
    const heap = await Heap.create(true, false);
    heap.queue.threads = 3;
    expect(isRight(exponentials(heap))).toBeTrue();
    await later();
    expect(heap.queue.threads).toBe(1);
    expect(heap.f32(0, 1).buffer).toBeInstanceOf(ArrayBuffer);
  });
});

registerAs('mulayer-unshared', async () => [await CpuProcessor.create(true, false), undefined]);

describe('MULAYER_THREADS', () => {
  useMulayer();

  /** Three inferences of a net with layers large enough for several threads; one after the other. */
  async function infer(read: 'data' | 'dataSync'): Promise<Float32Array> {
    const random = new Random(1);
    const tensor = (...shape: number[]) =>
      tf.tensor(random.floats(tf.util.sizeFromShape(shape)), shape);
    const [w1, w2, w3] = [tensor(3, 3, 16, 40), tensor(3, 3, 40, 1), tensor(40, 300)];
    const results: number[] = [];
    for (let run = 0; run < 3; run++) {
      const y = tf.tidy(() => {
        const x = tensor(1, 45, 47, 16) as tf.Tensor4D;
        const first = tf.relu6<tf.Tensor4D>(tf.conv2d(x, w1 as tf.Tensor4D, 1, 'same'));
        const second = tf.elu<tf.Tensor4D>(tf.depthwiseConv2d(first, w2 as tf.Tensor4D, 1, 'same'));
        const sum = tf.maxPool(tf.add<tf.Tensor4D>(first, second), 3, 2, 'same');
        return tf.softmax(tf.matMul(tf.reshape(sum, [-1, 40]), w3));
      });
      for (const v of read === 'data' ? await y.data() : y.dataSync()) results.push(v);
      y.dispose();
    }
    tf.dispose([w1, w2, w3]);
    return Float32Array.from(results);
  }

  /** Inferences of a chain of layers, each of random numbers up to one of these. */
  async function inferChain(scales: readonly number[]): Promise<Float32Array> {
    const random = new Random(2);
    const filter = tf.tensor4d(random.floats(9 * 24 * 24), [3, 3, 24, 24]);
    const results: number[] = [];
    for (const scale of scales) {
      const y = tf.tidy(() => {
        const numbers = random.floats(50 * 50 * 24).map(v => v * scale);
        let x = tf.tensor4d(numbers, [1, 50, 50, 24]);
        for (let i = 0; i < 7; i++) {
          x = tf.fused.conv2d({ x, filter, strides: 1, pad: 'same', activation: 'relu' });
        }
        return x;
      });
      for (const v of await y.data()) results.push(v);
      y.dispose();
    }
    filter.dispose();
    return Float32Array.from(results);
  }

  /** jasmine takes seconds for this many. */
  function expectSame(actual: Float32Array, wanted: Float32Array, context: string) {
    expect(actual.length).withContext(context).toBe(wanted.length);
    const difference = actual.findIndex((v, i) => !Object.is(v, wanted[i]));
    expect(difference).withContext(`${context}: first different element`).toBe(-1);
  }

  const threadsNow = () => backend().memory().mulayerThreads;

  for (const precision of ['float32', 'int8'] as const) {
    for (const read of ['data', 'dataSync'] as const) {
      it(`1, 2, 3 threads and no shared memory give the same bits: ${precision}, ${read}`, async () => {
        const flags = { MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: precision };
        await tf.setBackend('mulayer-unshared');
        setFlags({ ...flags, MULAYER_THREADS: 3 });
        const wanted = await infer(read);
        await tf.setBackend('mulayer');
        for (const threads of [1, 2, 3, 1]) {
          setFlags({ ...flags, MULAYER_THREADS: threads });
          expectSame(await infer(read), wanted, `${threads} threads, starting`);
          const most = canShareMemory() ? threads : 1;
          await until(() => threadsNow() === most, `${most} threads`);
          expectSame(await infer(read), wanted, `${threads} threads`);
        }
      }, 60_000);
    }
  }

  itWithThreads('numbers that leave their ranges give the bits of one thread', async () => {
    const flags = { MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'int8' };
    const scales = [1, 1, 10, 0.01, 1e30, 1, 3];
    await tf.setBackend('mulayer-unshared');
    setFlags(flags);
    const wanted = await inferChain(scales);
    await tf.setBackend('mulayer');
    setFlags({ ...flags, MULAYER_THREADS: 3 });
    // Another graph, so that nothing is learned before all threads are there.
    await infer('data');
    await until(() => threadsNow() === 3, '3 threads');
    expectSame(await inferChain(scales), wanted, '3 threads');
  });

  for (const threads of [1, 2]) {
    it(`the page lives while one large layer is computed: ${threads} wanted`, async () => {
      setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'float32', MULAYER_THREADS: threads });
      const y = tf.tidy(() => {
        const x = tf.ones<tf.Rank.R4>([4, 112, 112, 64]);
        return tf.conv2d(x, tf.ones<tf.Rank.R4>([3, 3, 64, 64]), 1, 'same');
      });
      let turns = 0;
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        turns++;
        port2.postMessage(null);
      };
      port2.postMessage(null);
      const numbers = await y.data();
      port1.close();
      y.dispose();
      expect(numbers[113 * 64 + 5]).toBe(9 * 64);
      // 1.8 GMAC: 70 ms of one thread, 4 for each turn.
      expect(turns).toBeGreaterThan(2);
    }, 60_000);
  }

  itWithThreads('0 is what suits the machine', async () => {
    setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_THREADS: 0 });
    await infer('data');
    const wanted = defaultThreads(navigator.hardwareConcurrency);
    await until(() => threadsNow() === wanted, `${wanted} threads`);
  });
});
