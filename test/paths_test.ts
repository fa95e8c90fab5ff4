/**
 * The same answers without WebGL, without relaxed SIMD, and whatever the page may share.
 */
import * as tf from '@tensorflow/tfjs-core';

import { CpuProcessor } from '../src/processors/cpu/processor.js';
import { backend, expectNear, hasGpu, registerAs, setFlags, useMulayer } from './support.js';
import { Random } from './wasm/random';

registerAs('mulayer-cpu-only', async () => [await CpuProcessor.create(), undefined]);
registerAs('mulayer-baseline', async () => [await CpuProcessor.create(false), undefined]);

/** Three inferences of a small net, of which the later two could be int8. */
async function infer(): Promise<number[][]> {
  const random = new Random(1);
  const tensor = (...shape: number[]) =>
    tf.tensor(random.floats(tf.util.sizeFromShape(shape)), shape);
  const [w1, w2, w3] = [tensor(3, 3, 8, 16), tensor(3, 3, 16, 1), tensor(16, 10)];
  const results = [];
  for (let run = 0; run < 3; run++) {
    const y = tf.tidy(() => {
      const x = tensor(1, 12, 12, 8) as tf.Tensor4D;
      const first = tf.relu6<tf.Tensor4D>(tf.conv2d(x, w1 as tf.Tensor4D, 1, 'same'));
      const second = tf.elu<tf.Tensor4D>(tf.depthwiseConv2d(first, w2 as tf.Tensor4D, 2, 'same'));
      const pooled = tf.mean(second, [1, 2]);
      return tf.concat([tf.softmax(tf.matMul(pooled, w3)), tf.matMul(pooled, w3)], 1);
    });
    results.push([...(await y.data())]);
    y.dispose();
  }
  tf.dispose([w1, w2, w3]);
  return results;
}

describe('a backend with less', () => {
  useMulayer();

  for (const precision of ['float32', 'int8', 'auto'] as const) {
    for (const name of ['mulayer-cpu-only', 'mulayer-baseline']) {
      it(`${name} gives what the whole one gives on the CPU: ${precision}`, async () => {
        setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: precision, MULAYER_DOT: 'i16' });
        const wanted = await infer();
        await tf.setBackend(name);
        const actual = await infer();
        // Additions in another order, and multiply-adds that round once instead of twice.
        // The mean that `auto` takes off is measured in float32 and rounded to a unit of the sums,
        // and a unit may turn a byte.
        const tolerance = precision === 'auto' ? 2e-2 : 1e-5;
        actual.forEach((numbers, run) => expectNear(numbers, wanted[run], tolerance));
      });
    }
  }

  it('takes every split without WebGL', async () => {
    await tf.setBackend('mulayer-cpu-only');
    setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'float32' });
    const wanted = await infer();
    for (const split of ['auto', 'gpu', 'layer', 0, 0.5, 1] as const) {
      setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: 'float32' });
      expect(await infer()).toEqual(wanted);
    }
    const memory = tf.memory() as unknown as Record<string, number>;
    expect([memory.numBytesInGPU, memory.mulayerTextures]).toEqual([0, 0]);
  });

  it('shares memory where the page may', () => {
    const { heap } = backend().cpu;
    const { buffer } = heap.f32(0, 1);
    const isolated = globalThis.crossOriginIsolated && typeof SharedArrayBuffer === 'function';
    expect(buffer).toBeInstanceOf(isolated ? SharedArrayBuffer : ArrayBuffer);
  });

  it('is there whether or not there is WebGL', () => {
    const context =
      typeof OffscreenCanvas === 'undefined'
        ? null
        : new OffscreenCanvas(1, 1).getContext('webgl2');
    if (!context && typeof document === 'undefined') expect(hasGpu()).toBeFalse();
    else expect(hasGpu()).toBe(tf.env().getNumber('WEBGL_VERSION') > 0);
  });
});
