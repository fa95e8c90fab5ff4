/**
 * src/run/replay.ts, src/processors/cpu/tape.ts: a graph that repeats itself gives the same numbers
 * from its tape as without, whatever happens to what the tape reads.
 *
 *     x ──► conv ─► pool ─┬─► conv 1x1 ─┐
 *                         └─► conv 3x3 ─┴─► concat ─► depthwise ─► sigmoid ─► conv 3x3 ──► y
 */
import * as tf from '@tensorflow/tfjs-core';

import { explain } from '../../src/index.js';
import { Heap } from '../../src/processors/cpu/heap.js';
import { Recorder, Tape } from '../../src/processors/cpu/tape.js';
import { Replay, Takes } from '../../src/run/replay.js';
import { backend, setFlags, useMulayer } from '../support.js';
import { Random } from '../wasm/random';

/** A forced product makes depthwise layers int8 on every machine. */
const FLAGS = { MULAYER_SPLIT: 'cpu', MULAYER_DOT: 'i16' } as const;

type Image = tf.Tensor4D;

const SHAPE: [number, number, number, number] = [1, 40, 48, 8];
const SIZE = tf.util.sizeFromShape(SHAPE);

const picture = (seed: number, scale = 1): Image =>
  tf.tensor4d(
    new Random(seed).floats(SIZE).map(v => scale * v),
    SHAPE,
  );

/** Channels of the last result: each spec's nets are graphs of their own, with a plan of their own. */
let channels = 8;

/** A net with weights of its own. */
function netOf(seed = 1) {
  const random = new Random(seed);
  const weights = (...shape: [number, number, number, number]): Image => {
    const limit = 2 / Math.sqrt(shape[0] * shape[1] * shape[2]);
    return tf.tensor4d(
      random.floats(tf.util.sizeFromShape(shape)).map(v => limit * v),
      shape,
    );
  };
  const [first, left, right, last] = [
    weights(3, 3, 8, 32),
    weights(1, 1, 32, 32),
    weights(3, 3, 32, 32),
    weights(3, 3, 64, channels),
  ];
  const taps = weights(3, 3, 64, 1);
  const bias = tf.tensor1d(random.floats(32));
  const conv = (x: Image, filter: Image) =>
    tf.fused.conv2d({ x, filter, strides: 1, pad: 'same', bias, activation: 'relu' });
  const run = (x: Image) => {
    const pooled = tf.maxPool(conv(x, first), 2, 2, 'same');
    const joined = tf.concat([conv(pooled, left), conv(pooled, right)], 3);
    const middle = tf.sigmoid(tf.depthwiseConv2d(joined, taps, 1, 'same'));
    return { pooled, middle, y: tf.conv2d(middle, last, 1, 'same') };
  };
  const dispose = () => tf.dispose([first, left, right, last, taps, bias]);
  /** Only the first layer. */
  const begin = (x: Image) => conv(x, first);
  return { run, begin, dispose };
}

type Net = ReturnType<typeof netOf>;

/** y of a picture. */
async function infer({ run }: Net, x: Image): Promise<Float32Array> {
  const y = tf.tidy(() => run(x).y);
  const numbers = await y.data<'float32'>();
  y.dispose();
  return numbers;
}

const heap = () => backend().cpu.heap;

/** Bytes that tapes have for themselves. */
const ofTapes = () => heap().kept - (heap().region?.bytes ?? 0);

/** Jobs that were posted from tapes while something was done. */
async function played(work: () => Promise<unknown>): Promise<number> {
  const { queue } = heap();
  const { post } = queue;
  let jobs = 0;
  queue.post = job => {
    jobs++;
    post.call(queue, job);
  };
  await work();
  queue.post = post;
  return jobs;
}

/** What the net gives without a tape, once it has learned the ranges of these pictures. */
async function plainly(net: Net, pictures: Image[]): Promise<Float32Array[]> {
  const { match, begin } = Takes.prototype;
  Takes.prototype.match = Takes.prototype.begin = () => undefined;
  try {
    const results = [];
    for (let round = 0; round < 4; round++) {
      for (const x of pictures) results.push(await infer(net, x));
    }
    return results.slice(-pictures.length);
  } finally {
    Object.assign(Takes.prototype, { match, begin });
  }
}

/** Runs a net until it plays, on these pictures in turn. */
async function rehearse(net: Net, pictures = [1, 2, 3].map(seed => picture(seed))): Promise<void> {
  let jobs = 0;
  for (let i = 0; i < 20 && jobs === 0; i++) {
    jobs = await played(() => infer(net, pictures[i % pictures.length]));
  }
  expect(jobs).withContext('from the tape').toBeGreaterThan(3);
}

function error(wanted: Float32Array, got: Float32Array): number {
  const square = (values: Float32Array) => values.reduce((sum, v) => sum + v * v, 0);
  return Math.sqrt(square(got.map((v, i) => v - wanted[i])) / square(wanted));
}

/** What float32 gives. */
async function exact(net: Net, x: Image): Promise<Float32Array> {
  setFlags({ ...FLAGS, MULAYER_PRECISION: 'float32' });
  return infer(net, x);
}

for (const precision of ['float32', 'int8', 'auto'] as const) {
  describe(`a graph that repeats itself, in ${precision},`, () => {
    useMulayer();
    beforeEach(() => {
      channels++;
      setFlags({ ...FLAGS, MULAYER_PRECISION: precision });
    });

    it('gives the same bits, for other pictures each time', async () => {
      const net = netOf();
      const pictures = [1, 2, 3].map(seed => picture(seed));
      const wanted = await plainly(net, pictures);
      await rehearse(net, pictures);
      for (let round = 0; round < 3; round++) {
        for (const [i, x] of pictures.entries()) {
          let got: Float32Array | undefined;
          const jobs = await played(async () => (got = await infer(net, x)));
          expect(jobs).toBeGreaterThan(3);
          expect(error(wanted[i], got!)).toBe(0);
        }
      }
    });

    it('does so too with one thread, and with two', async () => {
      const net = netOf();
      const x = picture(1);
      const [wanted] = await plainly(net, [x]);
      for (const threads of [1, 2, 1]) {
        setFlags({
          ...{ ...FLAGS, MULAYER_PRECISION: precision },
          MULAYER_THREADS: threads,
        });
        await rehearse(net, [x]);
        expect(error(wanted, await infer(net, x))).toBe(0);
      }
    });

    it('is as near to float32 with a picture of another scale', async () => {
      const net = netOf();
      await rehearse(net);
      for (const scale of [10, 0.01, 1000, 0, 1]) {
        const x = picture(5, scale);
        const got = await infer(net, x);
        const again = await infer(net, x);
        const wanted = await exact(net, x);
        setFlags({ ...FLAGS, MULAYER_PRECISION: precision });
        for (const result of [got, again]) {
          expect(error(wanted, result)).withContext(`times ${scale}`).toBeLessThan(0.06);
        }
      }
    });

    it('keeps what the user holds: results of inferences before, and of layers inside', async () => {
      const net = netOf();
      const held: { kept: tf.Tensor[]; numbers: Float32Array[] }[] = [];
      for (let i = 0; i < 8; i++) {
        const x = picture(i);
        const { pooled, middle, y } = net.run(x);
        await y.data();
        const later = tf.add(pooled, 1);
        const numbers = [];
        for (const tensor of [pooled, middle, y]) {
          numbers.push((await tensor.data<'float32'>()).slice());
        }
        held.push({ kept: [pooled, middle, y, later], numbers });
      }
      for (const { kept, numbers } of held) {
        const [pooled, middle, y, later] = kept;
        expect(error(numbers[0], await pooled.data<'float32'>())).toBe(0);
        expect(error(numbers[1], await middle.data<'float32'>())).toBe(0);
        expect(error(numbers[2], await y.data<'float32'>())).toBe(0);
        expect(
          error(
            numbers[0].map(v => v + 1),
            await later.data<'float32'>(),
          ),
        ).toBe(0);
      }
    });
  });
}

describe('a tape', () => {
  useMulayer();
  beforeEach(() => {
    channels++;
    setFlags({ ...FLAGS, MULAYER_PRECISION: 'int8' });
  });

  it('is given back with the weights it reads', async () => {
    const before = ofTapes();
    const [a, b] = [netOf(1), netOf(2)];
    await rehearse(a);
    expect(ofTapes()).toBeGreaterThan(before);
    a.dispose();
    expect(ofTapes()).toBe(before);
    await rehearse(b);
    b.dispose();
    expect(ofTapes()).toBe(before);
  });

  it('is dropped when a layer on it leaves its range, and the answer is right', async () => {
    const net = netOf();
    const x = picture(7);
    await plainly(net, [x]);
    await rehearse(net, [x]);
    const wanted = await exact(net, x);
    setFlags({ ...FLAGS, MULAYER_PRECISION: 'int8' });
    await rehearse(net, [x]);
    const { spreadOf } = Tape.prototype;
    const spy = spyOn(Tape.prototype, 'spreadOf').and.callFake(function (this: Tape, step) {
      const seen = spreadOf.call(this, step);
      return seen && [3 * seen[0], 3 * seen[1]];
    });
    const dispose = spyOn(Tape.prototype, 'dispose').and.callThrough();
    expect(error(wanted, await infer(net, x))).toBeLessThan(0.03);
    expect(spy).toHaveBeenCalled();
    expect(dispose).toHaveBeenCalled();
  });

  it('is not played with other weights', async () => {
    const nets = [netOf(1), netOf(2)];
    const x = picture(3);
    await rehearse(nets[0]);
    await infer(nets[1], x);
    for (let i = 0; i < 6; i++) {
      for (const net of nets) {
        const got = await infer(net, x);
        expect(error(await exact(net, x), got)).toBeLessThan(0.03);
        setFlags({ ...FLAGS, MULAYER_PRECISION: 'int8' });
      }
    }
  });

  it('takes turns with those of other graphs, in the same memory', async () => {
    const net = netOf(1);
    const terms = [0, 1, 2, 3, 4].map(i => tf.scalar(1.5 - i));
    const other = (x: Image) => {
      let y: Image = x;
      for (const term of terms) y = tf.leakyRelu(tf.sub(tf.mul(y, terms[1]), term));
      return y;
    };
    const x = picture(3);
    const [wanted] = await plainly(net, [x]);
    const otherWanted = await tf.tidy(() => other(x)).data<'float32'>();
    await rehearse(net, [x]);
    for (let i = 0; i < 8; i++) {
      const y = tf.tidy(() => other(x));
      expect(error(otherWanted, await y.data<'float32'>())).toBe(0);
      expect(error(wanted, await infer(net, x))).toBe(0);
      y.dispose();
    }
    expect(await played(() => infer(net, x))).toBeGreaterThan(3);
    const y = tf.tidy(() => other(x));
    expect(await played(() => y.data())).toBeGreaterThan(3);
  });

  it('is read at once or in turns, and by two readers at a time', async () => {
    const net = netOf();
    const x = picture(7);
    const [wanted] = await plainly(net, [x]);
    await rehearse(net, [x]);
    const y = () => tf.tidy(() => net.run(x).y);
    expect(error(wanted, y().dataSync<'float32'>())).toBe(0);
    expect(error(wanted, await y().data<'float32'>())).toBe(0);
    const pending = tf.tidy(() => net.run(x).y);
    const [a, b] = await Promise.all([
      pending.data<'float32'>(),
      // In the middle of it, or nearly: somebody wants numbers now.
      Promise.resolve().then(() => tf.tidy(() => tf.add(pending, 1).dataSync<'float32'>())),
    ]);
    expect(error(wanted, a)).toBe(0);
    expect(
      error(
        wanted.map(v => v + 1),
        b,
      ),
    ).toBe(0);
  });

  it('the last one takes the room for results with it', async () => {
    const own = await Heap.create(true, false);
    const tapes = [1, 2].map(() => {
      const recorder = new Recorder(own.regionOf(1000)!);
      own.useSource(recorder, recorder);
      recorder.begin(false);
      recorder.isOn = true;
      const pointer = own.allocate(400, 'result');
      own.kernels.fill(4, pointer, 100, 1);
      recorder.isOn = false;
      own.free(pointer, 400, 'result');
      own.useSource(undefined);
      return recorder.tape(own, 0, 1)!;
    });
    expect(own.kept).toBeGreaterThan(0);
    tapes[0].dispose();
    expect(own.region).toBeDefined();
    tapes[1].dispose();
    expect(own.region).toBeUndefined();
    expect(own.kept).toBe(0);
  });

  it('comes to an end when its model is disposed in the middle of it', async () => {
    const before = ofTapes();
    const net = netOf();
    const x = picture(7);
    const [wanted] = await plainly(net, [x]);
    await rehearse(net, [x]);
    const y = tf.tidy(() => net.run(x).y);
    const numbers = y.data<'float32'>();
    net.dispose();
    expect(error(wanted, await numbers)).toBe(0);
    expect(ofTapes()).toBe(before);
  });

  it('whose kernel traps is not the last word: the graph runs as ever', async () => {
    const net = netOf();
    const x = picture(7);
    const [wanted] = await plainly(net, [x]);
    await rehearse(net, [x]);
    const { queue } = heap();
    const post = queue.post.bind(queue);
    const spy = spyOn(queue, 'post').and.callFake(job => {
      const { args } = job;
      post(job.kernel.endsWith('Gemm') ? { ...job, args: [0xfff00000, ...args.slice(1)] } : job);
    });
    expect(error(wanted, await infer(net, x))).toBe(0);
    expect(spy).toHaveBeenCalled();
    spy.and.callFake(job => post(job));
    for (let i = 0; i < 4; i++) expect(error(wanted, await infer(net, x))).toBe(0);
  });

  it('tells the layers like any other run', async () => {
    const net = netOf();
    const x = picture(7);
    await plainly(net, [x]);
    const rows = () => explain().layers.map(row => ({ ...row, ms: 0 }));
    const wanted = rows();
    await rehearse(net, [x]);
    await infer(net, x);
    expect(rows()).toEqual(wanted);
    const { layers, ms } = explain();
    for (const row of layers) expect(row.ms).toBeGreaterThanOrEqual(0);
    const sum = layers.reduce((total, row) => total + row.ms, 0);
    expect(sum).toBeGreaterThan(0);
    expect(sum).toBeLessThanOrEqual(ms + 0.1);
  });

  it('leaves bytes on the heap and tensors as they were, however often', async () => {
    const net = netOf();
    await rehearse(net);
    const { mulayerHeapBytes, numTensors } = tf.memory() as unknown as Record<string, number>;
    const { kept, size } = heap();
    for (let i = 0; i < 100; i++) {
      const x = picture(i);
      await infer(net, x);
      x.dispose();
    }
    expect(tf.memory() as unknown as Record<string, number>).toEqual(
      jasmine.objectContaining({ mulayerHeapBytes, numTensors }),
    );
    expect(heap().kept).toBe(kept);
    expect(heap().size).toBe(size);
  });
});

describe('a graph that begins like the last one', () => {
  useMulayer();
  beforeEach(() => {
    channels++;
    setFlags({ ...FLAGS, MULAYER_PRECISION: 'int8', MULAYER_THREADS: 2 });
  });

  const hasThreads = () => backend().cpu.threads > 1;

  /** How many replays were under way before their graph was complete, and how many ran. */
  async function begunIn(work: () => Promise<unknown>): Promise<[number, number]> {
    const { play } = Replay.prototype;
    let [early, all] = [0, 0];
    Replay.prototype.play = function (this: Replay<unknown>, ...args) {
      all++;
      if (args[3]) early++;
      return play.apply(this, args);
    };
    await work();
    Replay.prototype.play = play;
    return [early, all];
  }

  it('is under way before it is complete, with the same bits as without', async () => {
    const net = netOf();
    const pictures = [1, 2, 3].map(seed => picture(seed));
    const wanted = await plainly(net, pictures);
    await rehearse(net, pictures);
    const [early, all] = await begunIn(async () => {
      for (let round = 0; round < 3; round++) {
        for (const [i, x] of pictures.entries()) {
          expect(error(wanted[i], await infer(net, x))).toBe(0);
        }
      }
    });
    expect(all).toBe(9);
    expect(early).toBe(hasThreads() ? 9 : 0);
  });

  it('and has the same input is, too', async () => {
    const net = netOf();
    const [x, other] = [picture(1), picture(2)];
    const [wanted, otherWanted] = await plainly(net, [x, other]);
    await rehearse(net, [x]);
    const [early, all] = await begunIn(async () => {
      for (let i = 0; i < 3; i++) expect(error(wanted, await infer(net, x))).toBe(0);
    });
    expect([early, all]).toEqual([hasThreads() ? 3 : 0, 3]);
    expect(error(otherWanted, await infer(net, other))).toBe(0);
    expect(error(wanted, await infer(net, x))).toBe(0);
  });

  it('with one thread is complete first', async () => {
    setFlags({ ...FLAGS, MULAYER_PRECISION: 'int8', MULAYER_THREADS: 1 });
    const net = netOf();
    await rehearse(net);
    expect(await begunIn(() => infer(net, picture(1)))).toEqual([0, 1]);
  });

  const mistakes: Record<string, (net: Net, x: Image, first: Float32Array) => Promise<void>> = {
    'goes on in another way': async ({ begin }, x, first) => {
      const y = tf.tidy(() => tf.add(begin(x), 1));
      const numbers = await y.data<'float32'>();
      const wanted = first.map(v => v + 1);
      expect(error(wanted, numbers)).toBeLessThan(0.03);
    },
    'ends there': async ({ begin }, x, first) => {
      expect(error(first, await begin(x).data<'float32'>())).toBeLessThan(0.03);
    },
    'is disposed of before anybody reads it': ({ run }, x) => {
      tf.tidy(() => {
        run(x);
      });
      return Promise.resolve();
    },
    'is read in the middle': async ({ run }, x, first) => {
      const { pooled } = tf.tidy(() => run(x));
      const wanted = tf.maxPool(tf.tensor4d(first, [1, 40, 48, 32]), 2, 2, 'same');
      const [numbers, exact] = [await pooled.data<'float32'>(), await wanted.data<'float32'>()];
      expect(error(exact, numbers)).toBeLessThan(0.03);
    },
    'has another input soon after': async (net, x) => {
      const pictures = [x, picture(9)];
      const results = pictures.map(each => tf.tidy(() => net.run(each).y));
      const numbers = await Promise.all(results.map(y => y.data<'float32'>()));
      for (const [i, each] of pictures.entries()) {
        expect(error(await infer(net, each), numbers[i])).toBeLessThan(0.015);
      }
      expect(error(numbers[0], numbers[1])).toBeGreaterThan(0);
    },
  };
  for (const [name, make] of Object.entries(mistakes)) {
    it(`and ${name} gives the right numbers, and so does the old one after it`, async () => {
      const net = netOf();
      const x = picture(7);
      const [wanted] = await plainly(net, [x, picture(9)]);
      const first = tf.tidy(() => net.begin(x));
      for (let i = 0; i < 4; i++) await tf.tidy(() => net.begin(x)).data();
      const numbers = await first.data<'float32'>();
      await rehearse(net, [x]);
      await infer(net, x);
      await make(net, picture(7), numbers);
      for (let i = 0; i < 6; i++) expect(error(wanted, await infer(net, x))).toBe(0);
    });
  }

  it('once mistaken, is waited for from then on', async () => {
    if (!hasThreads()) pending('there is one thread here');
    const net = netOf();
    await rehearse(net);
    expect(await begunIn(() => infer(net, picture(1)))).toEqual([1, 1]);
    const { y } = tf.tidy(() => ({ y: tf.neg(net.begin(picture(2))) }));
    await y.data();
    await infer(net, picture(3));
    expect(await begunIn(() => infer(net, picture(4)))).toEqual([0, 1]);
  });

  it('with other weights behind its first layer gives their numbers', async () => {
    const net = netOf();
    await rehearse(net);
    const filter = tf.randomNormal<tf.Rank.R4>([1, 1, 32, 8], 0, 0.1, 'float32', 4);
    const other = (x: Image) => tf.tidy(() => tf.conv2d(net.begin(x), filter, 1, 'same'));
    for (let i = 0; i < 6; i++) {
      const x = picture(i);
      const got = await other(x).data<'float32'>();
      setFlags({ ...FLAGS, MULAYER_PRECISION: 'float32' });
      const wanted = await other(x).data<'float32'>();
      setFlags({ ...FLAGS, MULAYER_PRECISION: 'int8', MULAYER_THREADS: 2 });
      expect(error(wanted, got)).toBeLessThan(0.03);
      await infer(net, x);
    }
  });
});
