/**
 * src/processors/gpu/tape.ts, state.ts: what the GPU has drawn for a step it draws again, with the
 * tensors of the run, as long as nothing has changed that the drawing was made of. Needs WebGL.
 */
import * as tf from '@tensorflow/tfjs-core';

import { kernels } from '../../../kernels/table.js';
import type { Attributes } from '../../../src/graph/kernel.js';
import type { Buffer } from '../../../src/graph/value.js';
import { GpuContext } from '../../../src/processors/gpu/context.js';
import { download, relay, upload } from '../../../src/processors/gpu/programs/transfer.js';
import type { GpuBuffer, GpuProcessor } from '../../../src/processors/gpu/processor.js';
import { Repeat } from '../../../src/processors/gpu/tape.js';
import type { Argument, Call } from '../../../src/processors/kernel.js';
import { explain } from '../../../src/index.js';
import { backend, expectNear, grid, setFlags, signedGrid, useMulayer } from '../../support.js';
import { Random } from '../../wasm/random';
import { ownContext } from './programs/images.js';

type Image = tf.Tensor4D;

/** Channels of the last result: each spec's net is a graph of its own, with a plan of its own. */
let channels = 3;

/** Weights in blocks and in textures, a pool of two draws, branches, a fully connected layer. */
function netOf(seed: number, top = 6) {
  const random = new Random(seed);
  const weights = (...shape: [number, number, number, number]): Image =>
    tf.tensor4d(
      random.floats(tf.util.sizeFromShape(shape)).map(v => v / Math.sqrt(shape[2])),
      shape,
    );
  const [w1, w2, w3] = [weights(3, 3, 8, 16), weights(1, 1, 16, 8), weights(3, 3, 16, 8)];
  const taps = weights(3, 3, 16, 1);
  const last = tf.tensor2d(random.floats(16 * channels), [16, channels]);
  const bias = tf.tensor1d(random.floats(16));
  const run = (x: Image) => {
    const first = tf.fused.conv2d({ x, filter: w1, strides: 1, pad: 'same', bias });
    const deep = tf.clipByValue<Image>(tf.depthwiseConv2d(first, taps, 1, 'same'), -1, top);
    const [left, right] = [tf.conv2d(deep, w2, 1, 'same'), tf.conv2d(deep, w3, 1, 'same')];
    const mean = tf.mean<tf.Tensor2D>(tf.concat([left, right], 3), [1, 2]);
    return tf.matMul(tf.sigmoid(mean), last);
  };
  const dispose = () => tf.dispose([w1, w2, w3, taps, last, bias]);
  return { run, dispose };
}

const picture = (seed: number, scale = 1): Image =>
  tf.tensor4d(
    new Random(seed).floats(20 * 18 * 8).map(v => scale * v),
    [1, 20, 18, 8],
  );

async function infer({ run }: ReturnType<typeof netOf>, x: Image): Promise<Float32Array> {
  const y = tf.tidy(() => run(x));
  const numbers = await y.data<'float32'>();
  y.dispose();
  return numbers;
}

/** Everything that a draw sets, otherwise. */
function spoil({ gl }: GpuContext) {
  gl.useProgram(null);
  gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  gl.viewport(0, 0, 1, 1);
  gl.scissor(0, 0, 1, 1);
  gl.activeTexture(gl.TEXTURE0);
  gl.bindTexture(gl.TEXTURE_2D, null);
  gl.bindTexture(gl.TEXTURE_2D_ARRAY, null);
  gl.activeTexture(gl.TEXTURE7);
}

describe('GPU tapes', () => {
  useMulayer();
  let context: GpuContext;
  let gpu: GpuProcessor;
  beforeEach(() => {
    const own = ownContext();
    if (!own) return;
    context = own;
    gpu = backend().gpu!;
    channels++;
    // Workers that come up change the plan.
    setFlags({ MULAYER_SPLIT: 'gpu', MULAYER_PRECISION: 'int8', MULAYER_THREADS: 1 });
  });

  /** Draws by programs that were named, and draws from tapes. */
  async function drawn<T>(work: () => Promise<T>) {
    const [draw, repeat] = (['draw', 'repeat'] as const).map(name =>
      spyOn(context, name).and.callThrough(),
    );
    const result = await work();
    const [named, all] = [draw, repeat].map(({ calls }) => calls.count());
    context.draw = GpuContext.prototype.draw;
    context.repeat = GpuContext.prototype.repeat;
    return { result, named, taped: all - named };
  }

  const exact = async (net: ReturnType<typeof netOf>, x: Image) => {
    setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'float32' });
    const wanted = await infer(net, x);
    setFlags({ MULAYER_SPLIT: 'gpu', MULAYER_PRECISION: 'int8' });
    return wanted;
  };

  it('draw all of a run but its ends, and give what lowered steps gave', async () => {
    if (!context) return;
    const net = netOf(1);
    const pictures = [0, 1, 2, 3, 4].map(seed => picture(seed));
    const all = [];
    for (const x of pictures) all.push(await exact(net, x));
    for (const [seed, x] of pictures.entries()) {
      const wanted = all[seed];
      const { result, named, taped } = await drawn(() => infer(net, x));
      expectNear(result, wanted, 5e-3);
      expect(explain().layers.every(({ where }) => where === 'gpu')).toBeTrue();
      // x enters, y leaves.
      if (seed > 1) expect([named, taped > 8]).toEqual([2, true]);
      x.dispose();
    }
    net.dispose();
  });

  it('hold no texture that the run itself would not', async () => {
    if (!context) return;
    const [net, x] = [netOf(2), picture(1)];
    for (let run = 0; run < 3; run++) await infer(net, x);
    const { textures, bytes } = context;
    for (let run = 0; run < 5; run++) await infer(net, x);
    expect([context.textures, context.bytes]).toEqual([textures, bytes]);
    tf.dispose(x);
    net.dispose();
  });

  it('are of the weights they were recorded with: two nets of one structure in turn', async () => {
    if (!context) return;
    const [a, b, x] = [netOf(3), netOf(4), picture(1)];
    const wanted = [await exact(a, x), await exact(b, x)];
    for (let run = 0; run < 3; run++) {
      expectNear(await infer(a, x), wanted[0], 5e-3);
      expectNear(await infer(b, x), wanted[1], 5e-3);
    }
    a.dispose();
    expectNear(await infer(b, x), wanted[1], 5e-3);
    tf.dispose(x);
    b.dispose();
  });

  it('are of the numbers that fused kernels end in: another clip, the same structure', async () => {
    if (!context) return;
    const x = picture(1, 8);
    const limits = [0.5, 2, 0.5, 2].map(top => {
      const limit = tf.scalar(top);
      const filter = tf.tensor4d(
        grid(3 * 3 * 8 * channels).map(v => v / 64),
        [3, 3, 8, channels],
      );
      const run = () => tf.minimum(tf.maximum(tf.conv2d(x, filter, 1, 'same'), -0.25), limit);
      return { run, top };
    });
    for (const { run, top } of limits) {
      for (let i = 0; i < 3; i++) {
        const y = tf.tidy(run);
        const numbers = await y.data();
        expect([Math.max(...numbers), explain().layers.length]).toEqual([top, 1]);
        y.dispose();
      }
    }
  });

  it('change with the precision: halves, 32 bits, and halves that have overflowed', async () => {
    if (!context) return;
    const net = netOf(5);
    for (const [precision, scale, bound] of [
      ['int8', 1, 5e-3],
      ['float32', 1, 1e-5],
      ['int8', 1, 5e-3],
      ['int8', 1e6, 1e-5],
    ] as const) {
      const x = picture(2, scale);
      const wanted = await exact(net, x);
      setFlags({ MULAYER_SPLIT: 'gpu', MULAYER_PRECISION: precision });
      for (let run = 0; run < 3; run++) {
        const { result, named } = await drawn(() => infer(net, x));
        expectNear(result, wanted, bound);
        // Kept on the GPU, x does not enter again.
        if (run === 2) expect(named).toBe(1);
      }
      x.dispose();
    }
    net.dispose();
  });

  it('are of the scale of bytes: it changes with the inputs of a split net', async () => {
    if (!context) return;
    const net = netOf(6);
    for (const scale of [1, 1, 1, 1, 4, 4, 4]) {
      const x = picture(3, scale);
      const wanted = await exact(net, x);
      setFlags({ MULAYER_SPLIT: 0.5, MULAYER_PRECISION: 'int8' });
      expectNear(await infer(net, x), wanted, 0.05);
      x.dispose();
    }
    net.dispose();
  });

  it('do not mind what tfjs-webgl draws between runs, nor in them', async () => {
    if (!context) return;
    const [net, x] = [netOf(7), picture(1)];
    const wanted = await exact(net, x);
    const five = tf.tensor5d(signedGrid(32), [2, 2, 2, 2, 2]);
    for (let run = 0; run < 4; run++) {
      const other = tf.tidy(() => tf.relu(five));
      const [y, again] = tf.tidy(() => [net.run(x), net.run(x)]);
      expectNear(
        other.dataSync(),
        signedGrid(32).map(v => Math.max(v, 0)),
        0,
      );
      expectNear(y.dataSync(), wanted, 5e-3);
      await tf.setBackend('webgl');
      const theirs = tf.tidy(() => tf.add(tf.relu(tf.tensor1d([-1, 2])), 1));
      expectNear(theirs.dataSync(), [1, 3], 0);
      await tf.setBackend('mulayer');
      expectNear(again.dataSync(), wanted, 5e-3);
      tf.dispose([other, y, again, theirs]);
    }
    tf.dispose([x, five]);
    net.dispose();
  });

  it('do not mind what is drawn where a run pauses, in the same task', async () => {
    if (!context) return;
    // Textures that are not drawn to keep numbers of another input, far from those wanted.
    const [net, other, x] = [netOf(8), picture(2, -30), picture(1)];
    const [stale, wanted] = [await exact(net, other), await exact(net, x)];
    expect(Math.max(...wanted.map((v, i) => Math.abs(v - stale[i])))).toBeGreaterThan(0.05);
    for (let run = 0; run < 3; run++) await infer(net, other);
    const y = tf.tidy(() => net.run(x));
    const paused = backend() as unknown as { startRun(): void; run: Generator };
    paused.startRun();
    // x enters, half of the steps are drawn.
    for (let step = 0; step < 8; step++) paused.run.next();
    spoil(context);
    const { result, taped } = await drawn(() => Promise.resolve(y.dataSync()));
    expectNear(result, wanted, 5e-3);
    expect(taped).toBeGreaterThan(0);
    tf.dispose([x, other, y]);
    net.dispose();
  });

  describe('of one step', () => {
    const SHAPE = [1, 5, 4, 6];
    const spec = { shape: SHAPE, dtype: 'float32' as const };

    /** A depthwise convolution by `repeat`, whose weights are 2 and its bytes what `scale` says. */
    function stepOf(repeat: Repeat) {
      const weights = { shape: [1, 1, 6, 1], dtype: 'float32' as const };
      let forms = new Map<string, Buffer>();
      const filter = {};
      let lowered = 0;
      const run = (x: GpuBuffer, attributes: Attributes = {}, of: object = filter, w = 2) => {
        lowered = 0;
        const all = { strides: 1, dilations: 1, pad: 'same', activation: 'linear', ...attributes };
        const inputs: Record<string, Argument<GpuBuffer>> = {
          x: { ...spec, buffer: x, of: x, range: () => [0, 0], derived: (_, make) => make() },
          filter: {
            ...weights,
            of,
            get buffer(): GpuBuffer {
              throw new Error('never asked for');
            },
            range: () => [0, 0],
            host: () => new Float32Array(6).fill(w),
            derived: <D extends Buffer>(name: string, make: () => D) => {
              const form = (forms.get(name) ?? make()) as D;
              forms.set(name, form);
              return form;
            },
          },
        };
        const call = { inputs, isList: false, attributes: all, outputs: [spec], int8: false };
        const kernel = kernels.get('FusedDepthwiseConv2D')!;
        const [y] = repeat.run(
          gpu,
          { attributes: all, inputs: { x: { value: x }, filter: { value: of } } },
          () => x,
          () => ({ ...call, name: kernel.name }),
          taped => {
            lowered++;
            return gpu.run(kernel, taped);
          },
        );
        const numbers = gpu.download(y);
        y.free();
        return { numbers, isLowered: lowered > 0 };
      };
      const free = () => {
        for (const form of forms.values()) form.free();
        forms = new Map();
      };
      return { run, free };
    }

    let wasHalf: boolean;
    beforeEach(() => {
      if (!context) return;
      wasHalf = gpu.half;
      gpu.beginRun(true);
    });
    afterEach(() => {
      if (context) gpu.half = wasHalf;
    });

    const sent = (numbers: Float32Array) => gpu.upload(numbers, spec);
    const doubled = grid(120).map(v => 2 * v);

    it('is lowered once', () => {
      if (!context) return;
      const { run, free } = stepOf(new Repeat());
      const [a, b] = [sent(grid(120)), sent(grid(120, 7))];
      expect(run(a)).toEqual({ numbers: doubled, isLowered: true });
      expect(run(a)).toEqual({ numbers: doubled, isLowered: false });
      expect(run(b)).toEqual({ numbers: grid(120, 7).map(v => 2 * v), isLowered: false });
      [a, b].forEach(buffer => buffer.free());
      free();
    });

    for (const [name, change] of Object.entries({
      'other weights': ({ run }, x) => run(x, {}, {}, 2),
      'weights that were given back': ({ run, free }, x) => {
        free();
        return run(x);
      },
      'another activation': ({ run }, x) => run(x, { activation: 'relu' }),
      'another number in it': ({ run }, x) =>
        run(x, { activation: 'clip', clipMin: -1, clipMax: 99 }),
      'an input of bytes': ({ run }) => {
        const bytes = Uint8Array.from(grid(120), v => v * 16);
        const x = gpu.upload(bytes, spec, { scale: 1 / 16, zero: 0 });
        const result = run(x);
        x.free();
        return {
          ...result,
          numbers: result.numbers.map((v, i) => (v === 2 * (bytes[i] / 16) ? doubled[i] : NaN)),
        };
      },
      'bytes of another scale': ({ run }) => {
        const bytes = Uint8Array.from(grid(120), v => v * 16);
        const [coarse, fine] = [1 / 8, 1 / 16].map(scale =>
          gpu.upload(bytes, spec, { scale, zero: 0 }),
        );
        run(coarse);
        const result = run(fine);
        coarse.free();
        fine.free();
        return {
          ...result,
          numbers: result.numbers.map((v, i) => (v === 2 * (bytes[i] / 16) ? doubled[i] : NaN)),
        };
      },
      'textures of 32 bits': ({ run, free }) => {
        free();
        gpu.beginRun(false);
        const x = sent(grid(120));
        const result = run(x);
        x.free();
        return result;
      },
    } as Record<
      string,
      (
        step: ReturnType<typeof stepOf>,
        x: GpuBuffer,
      ) => ReturnType<ReturnType<typeof stepOf>['run']>
    >)) {
      it(`is lowered again for ${name}`, () => {
        if (!context) return;
        const step = stepOf(new Repeat());
        const x = sent(grid(120));
        step.run(x);
        expect(step.run(x).isLowered).toBeFalse();
        expect(change(step, x)).toEqual({ numbers: doubled, isLowered: true });
        x.free();
        step.free();
      });
    }

    /** Relu of a buffer, lowered so. */
    function relu(repeat: Repeat, x: GpuBuffer, lower: (call: Call<GpuBuffer>) => GpuBuffer[]) {
      const argument = { ...spec, buffer: x, range: () => [0, 0], derived: () => x };
      const call = {
        ...{ name: 'Relu', inputs: { x: argument }, attributes: {} },
        ...{ outputs: [spec], isList: false, int8: false },
      } as unknown as Call<GpuBuffer>;
      const spy = jasmine.createSpy('lower').and.callFake(lower);
      const step = { attributes: {}, inputs: { x: { value: x } } };
      const input = () => x;
      const [y] = repeat.run(gpu, step, input, () => call, spy);
      // tfjs-webgl makes -0 of some.
      const numbers = gpu.download(y).map(v => v + 0);
      y.free();
      return { numbers, isLowered: spy.calls.count() > 0 };
    }

    const positive = signedGrid(120).map(v => Math.max(v, 0));
    const own = (call: Call<GpuBuffer>) => gpu.run(kernels.get('Relu')!, call);

    it('is lowered again in another context', () => {
      if (!context) return;
      const repeat = new Repeat();
      const x = sent(signedGrid(120));
      relu(repeat, x, own);
      expect(relu(repeat, x, own).isLowered).toBeFalse();
      const other = GpuContext.create(context.gl)!;
      const property = spyOnProperty(gpu, 'context').and.returnValue(other);
      expect(relu(repeat, x, own)).toEqual({ numbers: positive, isLowered: true });
      expect(relu(repeat, x, own).isLowered).toBeFalse();
      other.dispose();
      property.and.returnValue(context);
      x.free();
    });

    for (const [name, lower] of Object.entries({
      'runs a program of tfjs-webgl': call => gpu.tfjs(call),
      'looks at numbers': call => {
        call.inputs.x.range();
        return own(call);
      },
      'sends numbers': call => {
        gpu.upload(Float32Array.of(1), { shape: [1], dtype: 'float32' }).free();
        return own(call);
      },
    } as Record<string, (call: Call<GpuBuffer>) => GpuBuffer[]>)) {
      it(`is lowered each time where it ${name}`, () => {
        if (!context) return;
        const repeat = new Repeat();
        const x = sent(signedGrid(120));
        for (let run = 0; run < 6; run++) {
          expect(relu(repeat, x, lower)).toEqual({ numbers: positive, isLowered: true });
        }
        x.free();
      });
    }
  });

  describe('know what is set', () => {
    /** A copy of an image, and how it is drawn again. */
    function copyOf(numbers: Float32Array) {
      const x = upload(context, numbers, [numbers.length], 'float');
      let again = (): void => undefined;
      context.listener = {
        ...{ took: () => undefined, gave: () => undefined, didMore: () => undefined },
        drew: (draw, to, textures) => (again = () => context.repeat(draw, to, textures)),
      };
      const y = relay(context, x, [numbers.length]);
      context.listener = undefined;
      const read = () => download(context, y);
      return { again, read, free: () => [x, y].forEach(({ texture }) => context.give(texture)) };
    }

    it('from draw to draw', () => {
      if (!context) return;
      const { again, read, free } = copyOf(grid(9));
      const { gl } = context;
      again();
      const set = (['useProgram', 'bindTexture', 'bindFramebuffer', 'viewport'] as const).map(
        name => spyOn(gl, name).and.callThrough(),
      );
      again();
      expect(set.map(({ calls }) => calls.count())).toEqual([0, 0, 0, 0]);
      expect([...read()]).toEqual([...grid(9)]);
      free();
    });

    for (const [name, wait] of Object.entries({
      'after the thread did something else': () => Promise.resolve(),
      'after a run has begun': () => context.beginRun(),
      'after programs of tfjs-webgl': () => {
        const five = { shape: [1, 1, 1, 1, 4], dtype: 'float32' as const };
        const x = gpu.upload(grid(4), five);
        gpu.slice(x, five, 4, 1, 3).free();
        x.free();
      },
    })) {
      it(`but not ${name}`, async () => {
        if (!context) return;
        const { again, read, free } = copyOf(grid(9));
        again();
        const { gl } = context;
        for (let phase = 0; phase < 4; phase++) gl.clearBufferfv(gl.COLOR, phase, [7, 7, 7, 7]);
        spoil(context);
        const waited = wait();
        if (waited) await waited;
        again();
        expect([...read()]).toEqual([...grid(9)]);
        free();
      });
    }
  });
});
