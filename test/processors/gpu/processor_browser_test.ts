/** src/processors/gpu/processor.ts, on its own. Needs WebGL. */
import * as tf from '@tensorflow/tfjs-core';

import { kernels } from '../../../kernels/table.js';
import { ArgumentError } from '../../../src/errors.js';
import type { Spec } from '../../../src/graph/kernel.js';
import type { GpuProcessor } from '../../../src/processors/gpu/processor.js';
import {
  backend,
  expectNear,
  grid,
  hasGpu,
  setFlags,
  signedGrid,
  useMulayer,
} from '../../support.js';

const spec = (...shape: number[]): Spec => ({ shape, dtype: 'float32' });

describe('GpuProcessor', () => {
  useMulayer();
  let gpu: GpuProcessor;
  let wasHalf: boolean;
  beforeEach(() => {
    if (!hasGpu()) {
      pending('there is no WebGL here');
      return;
    }
    gpu = backend().gpu!;
    wasHalf = gpu.half;
  });
  afterEach(() => {
    if (hasGpu()) gpu.half = wasHalf;
  });

  for (const half of [false, true]) {
    const name = half ? '16 bits' : '32 bits';

    it(`gives back what it was given, of every size and rank: ${name}`, () => {
      gpu.half = half;
      for (const shape of [[1], [3], [2, 3], [5, 1, 7], [2, 3, 4, 5], [1, 2, 3, 2, 3]]) {
        const numbers = grid(tf.util.sizeFromShape(shape));
        const buffer = gpu.upload(numbers, spec(...shape));
        // Through a program, so that it really becomes a texture.
        const copy = gpu.slice(buffer, spec(...shape), 0, 0, shape[0]);
        expectNear(gpu.download(copy), numbers);
        expect(buffer.bytes).toBe(numbers.length * (half ? 2 : 4));
        buffer.free();
        copy.free();
      }
    });

    it(`slices, joins, reshapes: ${name}`, () => {
      gpu.half = half;
      const numbers = grid(2 * 3 * 10);
      const whole = gpu.upload(numbers, spec(2, 3, 10));
      const left = gpu.slice(whole, spec(2, 3, 10), 2, 0, 3);
      const right = gpu.slice(whole, spec(2, 3, 10), 2, 3, 10);
      const again = gpu.join([left, right], [spec(2, 3, 3), spec(2, 3, 7)], spec(2, 3, 10), 2);
      expectNear(gpu.download(again), numbers);
      const flat = gpu.reshape(again, spec(60));
      expectNear(gpu.download(flat), numbers);
      for (const buffer of [whole, left, right, again, flat]) buffer.free();
    });
  }

  it('rounds to 16 bits where it is told to, and not elsewhere', () => {
    const fine = 1 + 2 ** -20;
    for (const half of [true, false]) {
      gpu.half = half;
      const buffer = gpu.upload(new Float32Array(4).fill(fine), spec(4));
      const copy = gpu.slice(buffer, spec(4), 0, 0, 4);
      const [value] = gpu.download(copy);
      if (half) expect(value).toBe(1);
      else if (tf.env().getBool('WEBGL_RENDER_FLOAT32_CAPABLE'))
        expect(value).toBe(Math.fround(fine));
      buffer.free();
      copy.free();
    }
  });

  it('keeps no view of memory that may change', () => {
    const memory = new Float32Array(8).fill(1);
    const buffer = gpu.upload(memory.subarray(0, 4), spec(4));
    memory.fill(2);
    const copy = gpu.slice(buffer, spec(4), 0, 0, 4);
    expectNear(gpu.download(copy), [1, 1, 1, 1]);
    buffer.free();
    copy.free();
  });

  it('says what it can run', () => {
    const [relu, topK] = [kernels.get('Relu')!, kernels.get('TopK')!];
    const ints: Spec = { shape: [4], dtype: 'int32' };
    expect(gpu.supports(relu, [spec(4)], [spec(4)])).toBeTrue();
    expect(gpu.supports(topK, [spec(4)], [spec(1), ints]))
      .withContext('no lowering')
      .toBeFalse();
    expect(gpu.supports(relu, [ints], [ints]))
      .withContext('integers')
      .toBeFalse();
    expect(gpu.supports(relu, [spec(0, 4)], [spec(0, 4)]))
      .withContext('empty')
      .toBeFalse();
    const seven = spec(1, 1, 1, 1, 1, 1, 4);
    expect(gpu.supports(relu, [seven], [seven]))
      .withContext('7 axes')
      .toBeFalse();
  });

  it('puts the flags of tfjs-webgl back', () => {
    const flags = () =>
      ['WEBGL_CPU_FORWARD', 'WEBGL_RENDER_FLOAT32_ENABLED'].map(flag => tf.env().getBool(flag));
    const before = flags();
    gpu.half = true;
    // Five axes: no program of ours takes it.
    const five = spec(1, 1, 1, 1, 4);
    const buffer = gpu.upload(grid(4), five);
    expect(flags()).toEqual(before);
    expect(() => gpu.slice(buffer, five, 4, 3, 9)).toThrow();
    expect(flags()).toEqual(before);
    buffer.free();
    expect(flags()).toEqual(before);
  });

  it('gives textures back to the pool, and takes them from it', () => {
    const use = () => {
      const buffer = gpu.upload(grid(64), spec(64));
      const copy = gpu.slice(buffer, spec(64), 0, 0, 64);
      gpu.download(copy);
      buffer.free();
      copy.free();
    };
    use();
    const { textures } = gpu;
    for (let i = 0; i < 10; i++) use();
    expect(gpu.textures).toBe(textures);
  });

  it('settles', async () => {
    const buffer = gpu.upload(grid(64), spec(64));
    const copy = gpu.slice(buffer, spec(64), 0, 0, 32);
    gpu.flush();
    await gpu.settled();
    expectNear(gpu.download(copy), grid(64).slice(0, 32));
    buffer.free();
    copy.free();
  });

  it('knows its name and whether it is one', () => {
    expect(gpu.renderer.length).toBeGreaterThan(0);
    expect(gpu.isSoftware).toBe(/swiftshader|llvmpipe|softpipe|software|basic/i.test(gpu.renderer));
    expect(gpu.isLost).toBeFalse();
  });

  for (const split of ['cpu', 'gpu', 0.5] as const) {
    it(`dataToGPU gives a texture of 32 bits, of which a tensor can be made: ${split}`, async () => {
      if (!hasGpu()) {
        pending('no WebGL here');
        return;
      }
      setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: 'float32' });
      const numbers = signedGrid(2 * 3 * 4);
      const wanted = numbers.map(v => Math.max(v, 0));
      const x = tf.relu(tf.tensor(numbers, [2, 3, 4]));
      const read = spyOn(backend().gpu!, 'download').and.callThrough();
      const { tensorRef, texture, texShape } = x.dataToGPU({ customTexShape: [2, 3] });
      if (split === 'gpu') expect(read).not.toHaveBeenCalled();
      const [height, width] = texShape!;
      const y = tf.tensor({ texture: texture!, height, width, channels: 'RGBA' }, [4, 6]);
      const z = tf.add(y, 1);
      tensorRef.dispose();
      x.dispose();
      expectNear(await y.data(), wanted);
      expectNear(
        await z.data(),
        wanted.map(v => v + 1),
      );
      tf.dispose([y, z]);
    });
  }

  it('integers come from a texture', async () => {
    if (!hasGpu()) {
      pending('no WebGL here');
      return;
    }
    const { tensorRef, texture, texShape } = tf
      .tensor1d([1, -2, 3, 4])
      .dataToGPU({ customTexShape: [1, 1] });
    const [height, width] = texShape!;
    const y = tf.tensor({ texture: texture!, height, width, channels: 'RGBA' }, [4], 'int32');
    expect(y.dtype).toBe('int32');
    expect([...(await y.data())]).toEqual([1, -2, 3, 4]);
    tensorRef.dispose();
  });

  it('a texture of another context is refused, and nothing is lost', () => {
    if (!hasGpu()) {
      pending('no WebGL here');
      return;
    }
    const texture = document.createElement('canvas').getContext('webgl2')!.createTexture();
    const { numTensors } = tf.memory();
    expect(() => tf.tensor({ texture, height: 1, width: 1 }, [4])).toThrowError(
      ArgumentError,
      /texture: expected one of the context/,
    );
    expect(tf.memory().numTensors).toBe(numTensors);
  });
});
