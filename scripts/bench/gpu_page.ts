/**
 * The page of `scripts/bench/gpu.mjs`: our convolution programs, and whole nets on mulayer's GPU,
 * against tfjs-webgl, as shipped and with textures of 16-bit floats, in turn on one WebGL context.
 *
 * A time is that of {@link CHAINED} layers, each on the result of the one before, until one texel of
 * the last has been read: what is only submitted has not been computed. VGG's convolutions are run one
 * after the other on images of their own, without the pools between them. A net's time is that until
 * its result has been read.
 *
 * `bench.run(plan)` is called by the script; or the result is POSTed to /result, for a browser that
 * nobody drives: `gpu.html?rounds=7`, with
 * `only=` part of a shape's name, `nets=vgg16,mobilenet` or none.
 */
import '@tensorflow/tfjs-backend-webgl';
import * as tf from '@tensorflow/tfjs-core';

import type { Format } from '../../src/processors/gpu/context.js';
import { GpuContext } from '../../src/processors/gpu/context.js';
import type { Image } from '../../src/processors/gpu/layout.js';
import { activationOf } from '../../src/processors/gpu/programs/activation.js';
import type { Filter, Window } from '../../src/processors/gpu/programs/conv2d.js';
import {
  conv2d,
  fitsBlock,
  packDepthwise,
  packFilter,
  placeFor,
} from '../../src/processors/gpu/programs/conv2d.js';
import { download, upload } from '../../src/processors/gpu/programs/transfer.js';
import '../../src/index.js';
import { Random } from '../../test/wasm/random.js';
import { TfjsNet } from './nets_tfjs.js';
import { inputOf, macsOf, topology, type TopologyName } from './topologies.js';

interface Plan {
  rounds: number;
  /** Part of the names of the shapes wanted. */
  only: string;
  nets: TopologyName[];
}

interface Shape {
  name: string;
  /** Rows and columns of x. */
  size: number;
  ci: number;
  co: number;
  k: number;
  isDepthwise?: boolean;
}

interface Row {
  shape: string;
  contestant: string;
  /** Milliseconds of one layer: the median of the rounds, and the first time, programs compiled. */
  ms: number;
  first: number;
  /** Milliseconds of `ms` in which this thread is busy submitting; not of nets. */
  issue?: number;
  gflops: number;
  /** Of a net: of textures and buffers, weights included; and the greatest error over the greatest number. */
  bytes?: number;
  error?: number;
}

const CHAINED = 10;

const SHAPES: readonly Shape[] = [
  ...[
    [224, 64],
    [112, 128],
    [56, 256],
    [28, 512],
    [14, 512],
    [7, 512],
  ].map(([size, c]) => ({ name: `3x3 ${size} ${c}`, size, ci: c, co: c, k: 3 })),
  { name: '1x1 28 512', size: 28, ci: 512, co: 512, k: 1 },
  { name: '1x1 14 1024', size: 14, ci: 1024, co: 1024, k: 1 },
  { name: 'depthwise 56 128', size: 56, ci: 128, co: 128, k: 3, isDepthwise: true },
  { name: 'depthwise 28 256', size: 28, ci: 256, co: 256, k: 3, isDepthwise: true },
];

const VGG: readonly Shape[] = [
  [224, 3, 64],
  [224, 64, 64],
  [112, 64, 128],
  [112, 128, 128],
  [56, 128, 256],
  [56, 256, 256],
  [56, 256, 256],
  [28, 256, 512],
  [28, 512, 512],
  [28, 512, 512],
  [14, 512, 512],
  [14, 512, 512],
  [14, 512, 512],
].map(([size, ci, co], i) => ({ name: `vgg ${i}`, size, ci, co, k: 3 }));

const flops = ({ size, ci, co, k, isDepthwise }: Shape) =>
  2 * size * size * k * k * co * (isDepthwise ? 1 : ci);

/** Something that can be timed: layers submitted, and what it holds given back. */
interface Contestant {
  name: string;
  submit(): void;
  free(): void;
}

type Place = Filter['place'];

const PLACES: readonly Place[] = ['block', 'packed', 'texture'];

const random = new Random(7);
const RELU = activationOf({ activation: 'relu' })!;

const windowOf = ({ k }: Shape): Window => ({
  ...{ kh: k, kw: k, strideH: 1, strideW: 1, dilationH: 1, dilationW: 1 },
  ...{ top: (k - 1) >> 1, left: (k - 1) >> 1 },
});

/** Ours: the layers one after the other, each of them so often. */
function ours(
  context: GpuContext,
  shapes: readonly Shape[],
  times: number,
  format: Format,
  place?: Place,
): Contestant {
  const layers = shapes.map(shape => {
    const { size, ci, co, k, isDepthwise } = shape;
    const x = upload(context, random.floats(size * size * ci), [1, size, size, ci], format);
    const bias = upload(context, random.floats(co), [co], format);
    const outShape = [1, size, size, co];
    const filterShape = [k, k, ci, co];
    const at = place ?? placeFor(context, filterShape, outShape, format);
    const weights = random.floats(k * k * co * (isDepthwise ? 1 : ci)).map(w => w / 64);
    const filter = isDepthwise
      ? packDepthwise(context, weights, [k, k, ci], format)
      : packFilter(context, weights, filterShape, at, format);
    return { x, filter, bias, outShape, window: windowOf(shape) };
  });
  return {
    name: `ours ${format}${place ? ` ${place}` : ''}`,
    submit() {
      for (const { x, filter, bias, window, outShape } of layers) {
        let image = x;
        for (let i = 0; i < times; i++) {
          const y = conv2d(context, image, filter, window, { bias, activation: RELU }, outShape);
          if (image !== x) context.give(image.texture);
          image = y;
        }
        context.give(image.texture);
      }
    },
    free() {
      for (const { x, filter, bias } of layers) {
        filter.free();
        for (const { texture } of [x, bias]) context.give(texture);
      }
    },
  };
}

/** tfjs-webgl. Its textures are made and given back under the same flag. */
function theirs(shapes: readonly Shape[], times: number, half: boolean): Contestant {
  const use = <T>(f: () => T): T => {
    tf.env().set('WEBGL_RENDER_FLOAT32_ENABLED', !half);
    return f();
  };
  const layers = shapes.map(({ size, ci, co, k, isDepthwise }) =>
    use(() => ({
      x: tf.tensor4d(random.floats(size * size * ci), [1, size, size, ci]),
      filter: tf.tensor4d(
        random.floats(k * k * co * (isDepthwise ? 1 : ci)).map(w => w / 64),
        isDepthwise ? [k, k, ci, 1] : [k, k, ci, co],
      ),
      bias: tf.tensor1d(random.floats(co)),
      layer: isDepthwise ? tf.fused.depthwiseConv2d : tf.fused.conv2d,
    })),
  );
  return {
    name: half ? 'webgl f16' : 'webgl',
    submit: () =>
      use(() => {
        for (const { x, filter, bias, layer } of layers) {
          tf.tidy(() => {
            let y = x;
            for (let i = 0; i < times; i++) {
              y = layer({ x: y, filter, bias, strides: 1, pad: 'same', activation: 'relu' });
            }
          });
        }
      }),
    free: () => use(() => tf.dispose(layers.flatMap(({ x, filter, bias }) => [x, filter, bias]))),
  };
}

const median = (numbers: number[]) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];

/** The contestants in turn. */
function compare(
  context: GpuContext,
  shape: string,
  work: number,
  layers: number,
  makers: (() => Contestant)[],
  rounds: number,
): Row[] {
  const texel = upload(context, Float32Array.of(1), [1], 'float');
  const time = ({ submit }: Contestant) => {
    download(context, texel);
    const start = performance.now();
    submit();
    const issue = (performance.now() - start) / layers;
    download(context, texel);
    return { issue, ms: (performance.now() - start) / layers };
  };
  const all = makers.map(make => {
    const contestant = make();
    return { contestant, first: time(contestant).ms, times: [] as ReturnType<typeof time>[] };
  });
  for (let round = 0; round < rounds; round++) {
    for (const { contestant, times } of all) times.push(time(contestant));
  }
  context.give(texel.texture);
  return all.map(({ contestant, first, times }) => {
    contestant.free();
    const ms = median(times.map(time => time.ms));
    const issue = median(times.map(time => time.issue));
    return { shape, contestant: contestant.name, ms, first, issue, gflops: work / ms / 1e6 };
  });
}

/** Relative RMS of a layer in halves against the same in float32, whose weights are rounded alike. */
function accuracy(context: GpuContext, place: Place): number {
  const shape: Shape = { name: '', size: 29, ci: 130, co: 66, k: 3 };
  const { size, ci, co, k } = shape;
  const seeded = new Random(3);
  const numbers = seeded.floats(size * size * ci);
  const weights = seeded.floats(k * k * ci * co);
  const run = (format: Format, at: Place): Float32Array => {
    const x = upload(context, numbers, [1, size, size, ci], format);
    const filter = packFilter(context, weights, [k, k, ci, co], at, format);
    const epilogue = { activation: activationOf({ activation: 'linear' })! };
    const y: Image = conv2d(context, x, filter, windowOf(shape), epilogue, [1, size, size, co]);
    const result = download(context, y);
    filter.free();
    for (const { texture } of [x, y]) context.give(texture);
    return result;
  };
  const [wanted, got] = [run('float', 'texture'), run('half', place)];
  const square = (values: Float32Array) => values.reduce((sum, v) => sum + v * v, 0);
  return Math.sqrt(square(got.map((v, i) => v - wanted[i])) / square(wanted));
}

/** Ways to run a net: the backend, and whether its textures are of 16 bits. */
const BACKENDS = [
  ['webgl', false],
  ['webgl', true],
  ['mulayer', true],
] as const;

/** Sets a backend and its texture format for as long as `use` takes. */
async function on<T>(backend: string, half: boolean, use: () => T): Promise<Awaited<T>> {
  await tf.setBackend(backend);
  tf.env().set('WEBGL_RENDER_FLOAT32_ENABLED', backend === 'webgl' ? !half : true);
  tf.env().set('MULAYER_SPLIT', 'gpu');
  tf.env().set('MULAYER_PRECISION', 'int8');
  return await use();
}

async function compareNet(name: TopologyName, rounds: number): Promise<Row[]> {
  const net = topology(name);
  const [h, w, c] = net.layers[0].shape;
  const numbers = inputOf(net);
  const bytesOfAll = async () => {
    await tf.setBackend('mulayer');
    return (tf.memory() as unknown as { numBytesInGPU: number }).numBytesInGPU;
  };
  const all = [];
  for (const [backend, half] of BACKENDS) {
    const before = await bytesOfAll();
    const made = await on(backend, half, () => new TfjsNet(net));
    const inference = () =>
      on(backend, half, async () => {
        const x = tf.tensor4d(numbers, [1, h, w, c]);
        const start = performance.now();
        const y = made.run(x);
        const result = await y.data<'float32'>();
        const ms = performance.now() - start;
        tf.dispose([x, y]);
        return { ms, result };
      });
    const { ms: first, result } = await inference();
    // The second has other plans than the first, and compiles their programs.
    await inference();
    const bytes = (await bytesOfAll()) - before;
    const name = `${backend}${half ? ' f16' : ''}`;
    all.push({ name, backend, half, made, inference, first, result, bytes, times: [] as number[] });
  }
  for (let round = 0; round < rounds; round++) {
    for (const { inference, times } of all) {
      for (let i = 0; i < 3; i++) times.push((await inference()).ms);
    }
  }
  const rows: Row[] = [];
  const largest = (values: Float32Array) => values.reduce((a, v) => Math.max(a, Math.abs(v)), 0);
  const wanted = all[0].result;
  for (const { name: contestant, backend, half, made, first, result, bytes, times } of all) {
    await on(backend, half, () => made.dispose());
    const ms = median(times);
    const error = largest(result.map((v, i) => v - wanted[i])) / largest(wanted);
    const gflops = (2 * macsOf(net)) / ms / 1e6;
    rows.push({ shape: name, contestant, ms, first, gflops, bytes, error });
  }
  return rows;
}

async function run({ rounds, only, nets }: Plan, report: (rows: Row[]) => void) {
  await tf.setBackend('webgl');
  const { gl } = (tf.backend() as unknown as { gpgpu: { gl: WebGL2RenderingContext } }).gpgpu;
  const context = GpuContext.create(gl)!;
  const debug = gl.getExtension('WEBGL_debug_renderer_info');
  const rows: Row[] = [];
  for (const shape of SHAPES.filter(({ name }) => name.includes(only))) {
    const places = PLACES.filter(
      place =>
        !shape.isDepthwise &&
        (place === 'texture' || fitsBlock(context, [shape.k, shape.k, shape.ci], place)),
    );
    const contestants = [
      () => ours(context, [shape], CHAINED, 'half'),
      ...places.map(place => () => ours(context, [shape], CHAINED, 'half', place)),
      () => ours(context, [shape], CHAINED, 'float'),
      () => theirs([shape], CHAINED, false),
      () => theirs([shape], CHAINED, true),
    ];
    rows.push(...compare(context, shape.name, flops(shape), CHAINED, contestants, rounds));
    report(rows);
    await new Promise(resolve => setTimeout(resolve));
  }
  if ('vgg 13'.includes(only)) {
    const work = VGG.reduce((sum, shape) => sum + flops(shape), 0);
    const contestants = [
      () => ours(context, VGG, 1, 'half'),
      () => ours(context, VGG, 1, 'float'),
      () => theirs(VGG, 1, false),
      () => theirs(VGG, 1, true),
    ];
    rows.push(...compare(context, 'vgg 13', work, 1, contestants, rounds));
  }
  const errors = Object.fromEntries(PLACES.map(place => [place, accuracy(context, place)]));
  const { isMediumHalf } = context;
  context.dispose();
  for (const net of nets) {
    report(rows);
    rows.push(...(await compareNet(net, rounds)));
  }
  const renderer = gl.getParameter(debug ? debug.UNMASKED_RENDERER_WEBGL : gl.RENDERER) as string;
  return { renderer, isMediumHalf, errors, rows };
}

const post = (body: unknown) => fetch('/result', { method: 'POST', body: JSON.stringify(body) });

const query = new URLSearchParams(location.search);
if (query.has('rounds')) {
  const plan: Plan = {
    rounds: Number(query.get('rounds')),
    only: query.get('only') ?? '',
    nets: (query.get('nets')?.split(',').filter(Boolean) ?? []) as TopologyName[],
  };
  run(plan, rows => void post({ rows })).then(
    result => post({ ...result, done: true }),
    (error: unknown) => post({ fatal: String((error as Error)?.stack ?? error) }),
  );
}

export type GpuResult = Awaited<ReturnType<typeof run>>;
(globalThis as { bench?: unknown }).bench = { run: (plan: Plan) => run(plan, () => undefined) };
