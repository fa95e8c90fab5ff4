/** src/processors/gpu/context.ts: what it needs of a device, what it holds, and programs that fail. */
import * as tf from '@tensorflow/tfjs-core';

import { kernels } from '../../../kernels/table.js';
import { GpuContext } from '../../../src/processors/gpu/context.js';
import { relay, upload } from '../../../src/processors/gpu/programs/transfer.js';
import { explain } from '../../../src/index.js';
import { backend, expectNear, grid, setFlags, useMulayer } from '../../support.js';
import { ownContext } from './programs/images.js';

/** The same WebGL context, but for some answers. */
function butFor(gl: WebGL2RenderingContext, answers: Partial<WebGL2RenderingContext>) {
  return new Proxy(gl, {
    get(target, name: keyof WebGL2RenderingContext) {
      if (name in answers) return answers[name];
      const value: unknown = target[name];
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

describe('GpuContext', () => {
  useMulayer();

  it('is not made where four float textures cannot be rendered to at once', () => {
    const gl = ownContext()?.gl;
    if (!gl) return;
    const noFloat = butFor(gl, { getExtension: () => null });
    expect(GpuContext.create(noFloat)).toBeUndefined();
    const getParameter = (name: number): unknown =>
      name === gl.MAX_DRAW_BUFFERS ? 1 : gl.getParameter(name);
    expect(GpuContext.create(butFor(gl, { getParameter }))).toBeUndefined();
    expect(GpuContext.create({} as WebGLRenderingContext)).toBeUndefined();
  });

  it('gives textures to the pool once, takes them from it, and counts their bytes', () => {
    const context = ownContext();
    if (!context) return;
    const first = context.take('half', 123, 45, 4);
    const { bytes, textures } = context;
    context.give(first);
    context.give(first);
    const second = context.take('half', 123, 45, 4);
    expect(second).toBe(first);
    const third = context.take('half', 123, 45, 4);
    expect(third).not.toBe(first);
    expect(context.bytes - bytes).toBe(123 * 45 * 4 * 8);
    expect(context.textures - textures).toBe(1);
    context.give(second);
    context.give(third);
  });

  it('deletes what nobody has taken from the pool for some runs', () => {
    const context = ownContext();
    if (!context) return;
    const first = context.take('float', 321, 1);
    context.give(first);
    for (let i = 0; i < 3; i++) context.beginRun();
    const kept = context.take('float', 321, 1);
    expect(kept).toBe(first);
    for (let i = 0; i < 9; i++) context.beginRun();
    expect(context.gl.isTexture(kept.texture)).toBeTrue();
    context.give(kept);
    for (let i = 0; i < 9; i++) context.beginRun();
    expect(context.gl.isTexture(kept.texture)).toBeFalse();
    const dropped = context.take('float', 321, 1);
    const before = context.bytes;
    context.drop(dropped);
    context.drop(dropped);
    expect(before - context.bytes).toBe(321 * 16);
  });

  it('sends the first draw of a run at once, then every sixteenth', () => {
    const context = ownContext();
    if (!context) return;
    const image = upload(context, Float32Array.of(1, 2), [2], 'float');
    const flush = spyOn(context.gl, 'flush').and.callThrough();
    const flushes = (draws: number) => {
      flush.calls.reset();
      for (let i = 0; i < draws; i++) context.give(relay(context, image, [2]).texture);
      return flush.calls.count();
    };
    context.beginRun();
    expect(flushes(1)).toBe(1);
    expect(flushes(15)).toBe(0);
    expect(flushes(1)).toBe(1);
    expect(flushes(32)).toBe(2);
    context.give(image.texture);
  });

  it('refuses a texture beyond the limit of the device', () => {
    const context = ownContext();
    if (!context) return;
    expect(() => context.take('half', context.maxTextureSize + 1, 1)).toThrowError(
      /expected \d+ a side at most/,
    );
  });

  it('what is beyond the limit of the device is computed by tfjs-webgl, the rest by us', async () => {
    const context = ownContext();
    if (!context) return;
    const compute = async () => {
      const x = tf.tensor4d(grid(20 * 20 * 8), [1, 20, 20, 8]);
      const filter = tf.tensor4d(grid(8 * 64, 5), [1, 1, 8, 64]);
      const y = tf.tidy(() => tf.mean(tf.relu6(tf.conv2d(x, filter, 1, 'same')), [1, 2]));
      const numbers = await y.data();
      const rows = explain().layers.map(({ where }) => where);
      tf.dispose([x, filter, y]);
      return { numbers, rows };
    };
    setFlags({ MULAYER_SPLIT: 'gpu', MULAYER_PRECISION: 'float32' });
    const wanted = await compute();
    const limit = context.maxTextureSize;
    const writable = context as { maxTextureSize: number };
    try {
      // x has 22 rows; the convolution's result 176, and its weights lie in 2048 columns.
      writable.maxTextureSize = 100;
      const got = await compute();
      expect(got.rows.every(where => where === 'gpu')).toBeTrue();
      expectNear(got.numbers, wanted.numbers, 1e-5);
    } finally {
      writable.maxTextureSize = limit;
    }
  });

  it('sends a uniform again when it has changed, and only then', () => {
    const context = ownContext();
    if (!context) return;
    const { gl } = context;
    const sent = spyOn(gl, 'uniform4fv').and.callThrough();
    const source = {
      name: 'test: uniforms',
      fragment: () => `#version 300 es
precision highp float;
uniform vec4 V;
layout(location = 0) out vec4 o;
void main() { o = V; }`,
    };
    const to = context.take('float', 1, 1);
    const got = [
      [1, 2, 3, 4],
      [1, 2, 3, 4],
      [1, 2, 3, 5],
      [1, 2, 3, 4],
    ].map(V => {
      context.draw(source, to, { textures: {}, floats: { V } });
      return [...context.read(to)];
    });
    context.give(to);
    expect(got.map(([, , , last]) => last)).toEqual([4, 4, 5, 4]);
    expect(sent).toHaveBeenCalledTimes(3);
  });

  it('copies views that the browser does not take because others share their memory', () => {
    const context = ownContext();
    if (!context || typeof SharedArrayBuffer === 'undefined') return;
    const { gl } = context;
    const put = gl.texSubImage2D.bind(gl) as (...args: unknown[]) => void;
    let refused = 0;
    const refuse = (...args: unknown[]) => {
      const view = args.at(-1) as ArrayBufferView;
      if (view.buffer instanceof SharedArrayBuffer) {
        refused++;
        throw new TypeError('shared');
      }
      put(...args);
    };
    spyOn(gl, 'texSubImage2D').and.callFake(refuse);
    const numbers = new Float32Array(new SharedArrayBuffer(4 * 27));
    numbers.set(grid(27));
    // Two whole rows, and one of three floats.
    const to = context.take('float', 3, 3);
    context.write(to, numbers);
    expectNear(context.read(to).subarray(0, 27), numbers, 0);
    context.give(to);
    expect(refused).toBe(1);
  });

  it('compiles in a rehearsal, and neither draws nor holds anything', () => {
    const context = ownContext();
    if (!context) return;
    const gpu = backend().gpu!;
    const { bytes, textures } = context;
    const linked = spyOn(context.gl, 'linkProgram').and.callThrough();
    const drawn = spyOn(context.gl, 'drawArrays').and.callThrough();
    // A window that no other spec has.
    const problem = {
      inputs: {
        x: { shape: [1, 9, 9, 5], dtype: 'float32' as const },
        filter: { shape: [1, 4, 5, 6], dtype: 'float32' as const },
      },
      attributes: { strides: [3, 1], dilations: [1, 1], pad: 'same' },
      outputs: [{ shape: [1, 3, 9, 6], dtype: 'float32' as const }],
      isList: false,
    };
    gpu.prepare(kernels.get('Conv2D')!, problem);
    gpu.prepare(kernels.get('Conv2D')!, problem);
    expect(linked).toHaveBeenCalledTimes(1);
    expect(drawn).not.toHaveBeenCalled();
    expect([context.bytes, context.textures]).toEqual([bytes, textures]);
  });

  it('tells what compiling a program took, once it has run', () => {
    const context = ownContext();
    if (!context) return;
    const source = {
      name: 'red',
      fragment: () =>
        '#version 300 es\nprecision highp float;\nout vec4 o;\nvoid main() { o = vec4(1, 0, 0, 1); }',
    };
    const made = () => context.compiled().filter(({ name }) => name === source.name);
    context.prepare(source);
    expect(made()).toEqual([]);
    const target = context.take('float', 3, 3);
    for (let draw = 0; draw < 2; draw++) {
      context.draw(source, target, { textures: {} });
      expect(made().length).toBe(1);
    }
    context.give(target);
    const [{ ms, waited }] = made();
    expect(waited).toBeGreaterThanOrEqual(0);
    expect(ms).toBeGreaterThanOrEqual(waited);
    expect(explain().programs).toContain(made()[0]);
  });

  it('a program that does not link leaves its call to tfjs-webgl', async () => {
    const context = ownContext();
    if (!context) return;
    const { gl } = context;
    const getProgramParameter = gl.getProgramParameter.bind(gl);
    spyOn(console, 'warn');
    spyOn(gl, 'getProgramParameter').and.callFake(
      (program: WebGLProgram, name: number): unknown => {
        const texts = gl.getAttachedShaders(program)!.map(shader => gl.getShaderSource(shader)!);
        const isOurs = texts.some(text => text.includes('int column(int x)'));
        return isOurs && name === gl.LINK_STATUS ? false : getProgramParameter(program, name);
      },
    );
    setFlags({ MULAYER_SPLIT: 'gpu', MULAYER_PRECISION: 'float32' });
    // A window that no other spec has.
    const x = tf.tensor4d(grid(9 * 9 * 3), [1, 9, 9, 3]);
    const filter = tf.ones<tf.Rank.R4>([1, 5, 3, 2]);
    const y = tf.conv2d(x, filter, [1, 3], 'valid');
    const numbers = await y.data();
    expect(explain().layers.map(({ op, where }) => [op, where])).toEqual([['Conv2D', 'gpu']]);
    expect(console.warn).toHaveBeenCalledTimes(1);
    const values = grid(9 * 9 * 3);
    const wanted = Array.from({ length: 9 * 2 }, (_, i) => {
      const start = ((i >> 1) * 9 + 3 * (i & 1)) * 3;
      return values.subarray(start, start + 15).reduce((a, b) => a + b);
    });
    expectNear(
      numbers,
      wanted.flatMap(v => [v, v]),
      1e-4,
    );
    tf.dispose([x, filter, y]);
  });
});
