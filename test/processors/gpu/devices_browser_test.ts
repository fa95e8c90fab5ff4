/**
 * Devices that lack something, or do what they should not: a small net gives the right numbers on
 * each, on our programs, on tfjs-webgl's, or on the CPU at the last.
 */
import * as tf from '@tensorflow/tfjs-core';

import { explain } from '../../../src/index.js';
import type { GpuContext } from '../../../src/processors/gpu/context.js';
import type { GpuProcessor } from '../../../src/processors/gpu/processor.js';
import { canShareMemory } from '../../../src/processors/cpu/pool.js';
import { backend, expectNear, grid, setFlags, useMulayer } from '../../support.js';

/** Convolutions, a sum, a pool and a product: floats of some size, all of them looked at. */
async function infer(): Promise<Float32Array> {
  const filters = [
    [3, 3, 5, 16],
    [3, 3, 16, 1],
    [1, 1, 16, 24],
    [24, 7],
  ].map((shape, i) => tf.mul(tf.tensor(grid(tf.util.sizeFromShape(shape), i + 3), shape), 1 / 16));
  const [w1, w2, w3, w4] = filters as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D, tf.Tensor2D];
  const y = tf.tidy(() => {
    const x = tf.tensor4d(grid(11 * 9 * 5), [1, 11, 9, 5]);
    const first = tf.relu6<tf.Tensor4D>(tf.conv2d(x, w1, 1, 'same'));
    const deep = tf.depthwiseConv2d<tf.Tensor4D>(first, w2, 2, 'same');
    const wide = tf.conv2d<tf.Tensor4D>(deep, w3, 1, 'valid');
    const pooled = tf.maxPool(tf.add<tf.Tensor4D>(wide, tf.relu(wide)), 2, 2, 'same');
    return tf.matMul(tf.reshape(pooled, [-1, 24]), w4);
  });
  const numbers = await y.data<'float32'>();
  tf.dispose([y, ...filters]);
  return numbers;
}

/** What tfjs-webgl finds out of floats: whether textures of them can be drawn to, and be read. */
const FLAGS = ['WEBGL_RENDER_FLOAT32_CAPABLE', 'WEBGL_DOWNLOAD_FLOAT_ENABLED'];

/** As if the page had just been opened on a device that answers so. */
async function onDevice<T>(
  fake: (gl: WebGL2RenderingContext) => void,
  use: (gpu: GpuProcessor) => Promise<T>,
): Promise<T> {
  const gpu = backend().gpu!;
  const opened = gpu as unknown as {
    made: GpuContext | null | undefined;
    webgl: { gpgpu: { gl: WebGL2RenderingContext } };
  };
  const before = opened.made;
  opened.made = undefined;
  // tfjs-webgl looks at most of a device when it first wants to know, and keeps what it has seen.
  const known = FLAGS.map(flag => [flag, tf.env().getBool(flag)] as const);
  tf.env().getBool('WEBGL_RENDER_FLOAT32_ENABLED');
  fake(opened.webgl.gpgpu.gl);
  try {
    return await use(gpu);
  } finally {
    (opened.made as GpuContext | null | undefined)?.dispose();
    opened.made = before;
    for (const [flag, value] of known) tf.env().set(flag, value);
  }
}

const without =
  (...names: string[]) =>
  (gl: WebGL2RenderingContext) => {
    const getExtension = gl.getExtension.bind(gl);
    spyOn(gl, 'getExtension').and.callFake(((name: string): unknown =>
      names.includes(name) ? null : getExtension(name)) as never);
    for (const flag of FLAGS) tf.env().set(flag, false);
  };

/** Shared memory is refused with what browsers throw. */
function refuseShared(gl: WebGL2RenderingContext, name: 'texSubImage2D' | 'readPixels') {
  const own = gl[name].bind(gl) as (...args: unknown[]) => void;
  let refused = 0;
  spyOn(gl, name).and.callFake((...args: unknown[]) => {
    const isShared = (arg: unknown) =>
      ArrayBuffer.isView(arg) &&
      typeof SharedArrayBuffer === 'function' &&
      arg.buffer instanceof SharedArrayBuffer;
    if (args.some(isShared)) {
      refused++;
      throw new TypeError('The provided ArrayBufferView value must not be shared.');
    }
    own(...args);
  });
  return () => refused;
}

describe('a GPU', () => {
  useMulayer();

  const where = () => new Set(explain().layers.map(row => row.where));

  async function expectRight(split: number | 'gpu', precision: string, tolerance: number) {
    setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'float32' });
    const wanted = await infer();
    const size = Math.max(...wanted.map(Math.abs));
    setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: precision });
    for (let run = 0; run < 3; run++) {
      expectNear(await infer(), wanted, tolerance * size);
    }
  }

  const itHasGpu = (name: string, body: () => Promise<void>) =>
    it(name, async () => {
      if (backend().gpu?.context) await body();
      else pending('no WebGL2 with float textures here');
    });

  it('of the browsers that this is tested in runs our programs', () => {
    // Otherwise most specs of them would be pending, and nobody know why.
    if (backend().gpu) expect(backend().gpu!.context).toBeDefined();
    else pending('no WebGL here');
  });

  for (const [name, fake] of Object.entries({
    'renders to no 32-bit floats': without('EXT_color_buffer_float'),
    'renders to no floats at all': without('EXT_color_buffer_float', 'EXT_color_buffer_half_float'),
  })) {
    itHasGpu(`that ${name} leaves all to the CPU`, () =>
      onDevice(fake, async gpu => {
        await expectRight('gpu', 'float32', 1e-5);
        expect(gpu.context).toBeUndefined();
        expect(where()).toEqual(new Set(['cpu']));
        await expectRight(0.5, 'int8', 0.03);
        expect(where()).toEqual(new Set(['cpu']));
      }),
    );
  }

  const DEVICES: Record<string, (gl: WebGL2RenderingContext) => void> = {
    'has three draw buffers': gl => {
      const getParameter = gl.getParameter.bind(gl);
      spyOn(gl, 'getParameter').and.callFake((name: number): unknown =>
        name === gl.MAX_DRAW_BUFFERS ? 3 : getParameter(name),
      );
    },
    'writes to the first of four draw buffers only': gl => {
      const drawBuffers = gl.drawBuffers.bind(gl);
      spyOn(gl, 'drawBuffers').and.callFake((buffers: number[]) => {
        drawBuffers(buffers.map((buffer, i) => (i === 0 ? buffer : gl.NONE)));
      });
    },
  };

  for (const [name, fake] of Object.entries(DEVICES)) {
    itHasGpu(`that ${name} runs tfjs-webgl's programs`, () =>
      onDevice(fake, async gpu => {
        const warn = spyOn(console, 'warn');
        await expectRight('gpu', 'float32', 1e-5);
        await expectRight('gpu', 'int8', 0.01);
        expect(gpu.context).toBeUndefined();
        expect(where()).toEqual(new Set(['gpu']));
        await expectRight(0.5, 'int8', 0.03);
        expect(warn.calls.count()).toBeLessThanOrEqual(1);
      }),
    );
  }

  itHasGpu('that takes no views of shared memory gets copies', () =>
    onDevice(
      () => undefined,
      async gpu => {
        const { gl } = gpu.context!;
        const refused = [refuseShared(gl, 'texSubImage2D'), refuseShared(gl, 'readPixels')];
        await expectRight(0.5, 'float32', 1e-5);
        await expectRight(0.5, 'int8', 0.03);
        if (canShareMemory()) expect(refused[0]()).toBeGreaterThan(0);
      },
    ),
  );

  itHasGpu('whose programs do not link leaves all to tfjs-webgl and the CPU', () =>
    onDevice(
      gl => {
        const getProgramParameter = gl.getProgramParameter.bind(gl);
        spyOn(gl, 'getProgramParameter').and.callFake(
          (program: WebGLProgram, name: number): unknown =>
            name === gl.LINK_STATUS ? false : getProgramParameter(program, name),
        );
      },
      async () => {
        spyOn(console, 'warn');
        await expectRight('gpu', 'float32', 1e-5);
        await expectRight(0.5, 'int8', 0.03);
      },
    ),
  );
});
