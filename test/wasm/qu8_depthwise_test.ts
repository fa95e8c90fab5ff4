/**
 * wasm/qu8-depthwise/x8c4.ts: sums exactly, in floats and as bytes, on each product a machine may
 * have.
 */
import { LINEAR, type Activation } from '../reference/activation';
import { depthwiseConv2d } from '../reference/conv2d';
import { bytesOfSums, floatsOfSums, quantiseWeights } from '../reference/quantise';
import { DOT_PATHS, WHOLE, type DotOperands } from './dots';
import { expectFloats, forRandomProblems, itOn, type Arena, type Build } from './instantiate';
import { randomActivation, randomSwish } from './patches';
import { Random } from './random';
import type { WasmKernels } from '../../wasm/exports';

interface Path {
  name: string;
  build: Build['name'];
  exact: 0 | 1;
  operands(kernels: WasmKernels): DotOperands;
}

const PATHS: readonly Path[] = [
  { name: '16-bit products', build: 'baseline', exact: 0, operands: () => WHOLE },
  { name: '16-bit products', build: 'relaxed', exact: 1, operands: () => WHOLE },
  ...DOT_PATHS.map(dot => ({ ...dot, exact: 0 as const })),
];

/** A path on an instance of its build. */
type Way = Pick<Path, 'exact'> & DotOperands;

interface Layer {
  /** The padded image. */
  h: number;
  w: number;
  c: number;
  kh: number;
  kw: number;
  stride?: number;
  dilation?: number;
  /** Taps column by column, each of four, instead of row by row. */
  byColumns?: boolean;
}

const LAYERS: readonly Layer[] = [
  { h: 1, w: 1, c: 1, kh: 1, kw: 1 },
  { h: 1, w: 2, c: 7, kh: 1, kw: 2 },
  { h: 2, w: 2, c: 8, kh: 2, kw: 2 },
  { h: 5, w: 6, c: 9, kh: 3, kw: 3 },
  { h: 7, w: 5, c: 15, kh: 3, kw: 3, stride: 2 },
  { h: 9, w: 9, c: 17, kh: 5, kw: 5 },
  { h: 9, w: 8, c: 24, kh: 3, kw: 2, dilation: 2 },
  { h: 8, w: 8, c: 3, kh: 7, kw: 7 },
  ...[1, 2, 3].flatMap(stride =>
    [1, 2].flatMap(dilation => [
      { h: 7, w: 9, c: 9, kh: 3, kw: 3, stride, dilation, byColumns: true },
      { h: 6, w: 5, c: 16, kh: 3, kw: 3, stride, dilation, byColumns: true },
    ]),
  ),
  { h: 4, w: 3, c: 8, kh: 3, kw: 3, byColumns: true },
  { h: 6, w: 7, c: 8, kh: 4, kw: 3, byColumns: true },
  { h: 6, w: 7, c: 8, kh: 2, kw: 4, byColumns: true },
];

function check(
  path: Way,
  kernels: WasmKernels,
  arena: Arena,
  layer: Layer,
  random: Random,
  activation: Activation = LINEAR,
  fill?: (x: Uint8Array, w: Float32Array) => void,
) {
  const { h, w, c, kh, kw, stride = 1, dilation = 1, byColumns = false } = layer;
  const taps = kh * kw;
  const oh = Math.floor((h - (kh - 1) * dilation - 1) / stride) + 1;
  const ow = Math.floor((w - (kw - 1) * dilation - 1) / stride) + 1;
  const x = random.bytes(h * w * c, 0, path.greatest);
  const filter = random.floats(taps * c);
  fill?.(x, filter);
  const bias = random.floats(c);
  const zero = random.integer(0, 255);
  const { q, scale, sum } = quantiseWeights(filter, taps, c, c, path.largest);

  // The order of the taps: the filter's rows, or its columns with what fills them up to four.
  const order: number[] = [];
  if (byColumns) {
    for (let kx = 0; kx < kw; kx++) {
      for (let ky = 0; ky < 4; ky++) order.push(Math.min(ky, kh - 1) * kw + kx);
    }
  } else {
    for (let tap = 0; tap < taps; tap++) order.push(tap);
  }
  const [segments, length] = byColumns ? [kw, kh] : [1, taps];
  const rows = byColumns ? order.filter((_, i) => i % 4 < kh) : order;
  const laid = Float32Array.from({ length: taps * c }, (_, i) => {
    return filter[rows[Math.floor(i / c)] * c + (i % c)];
  });
  const packed = arena.reserve(kernels.qs8PackedBytesTaps(segments, length, c));
  const [scales, sums] = [arena.reserve(4 * c), arena.reserve(4 * c)];
  const weights = arena.put(laid);
  kernels.qs8PackTaps(weights, segments, length, c, c, packed, scales, sums, path.largest);
  const offsets = order.map(tap => {
    const [ky, kx] = [Math.floor(tap / kw), tap % kw];
    return (ky * w + kx) * dilation * c;
  });
  while (offsets.length % 4 !== 0) offsets.push(0);

  const factor = scale.map(v => v * 0.0173);
  const correction = sum.map(v => -(zero - path.xor) * v);
  const head = [
    ...([path.exact, arena.put(x.map(v => v ^ path.xor)), oh, ow] as const),
    ...([stride * c, stride * w * c, order.length, arena.put(Int32Array.from(offsets))] as const),
    ...([packed, c, arena.put(correction), arena.put(factor), arena.put(bias)] as const),
    activation.alpha ? arena.put(Float32Array.from(activation.alpha)) : 0,
    ...([activation.lo, activation.hi] as const),
  ] as const;
  const size = oh * ow * c;
  const name = `[${h},${w},${c}] * [${kh},${kw},${c}] stride ${stride} dilation ${dilation}`;

  const plain = { h, w, ci: c, kh, kw, co: c, oh, ow, top: 0, left: 0 };
  const steps = { strideH: stride, strideW: stride, dilationH: dilation, dilationW: dilation };
  const shifted = Array.from(x, v => v - zero);
  const exact = depthwiseConv2d(shifted, q, c, { ...plain, ...steps }, null, LINEAR);
  const epilogue = { scale: factor, bias, activation };
  const wanted = floatsOfSums(exact, c, epilogue);

  const y = arena.reserve(4 * size);
  kernels.qu8Depthwise(...head, y, 0, 0, 0);
  expectFloats(arena.f32(y, size), wanted, name);

  const inverse = Math.fround(200 / wanted.reduce((most, v) => Math.max(most, Math.abs(v)), 1));
  const spread = arena.lend(Float32Array.from([1, 1, 1, 1, -1, -1, -1, -1], v => v * Infinity));
  const bytes = arena.reserve(size);
  kernels.qu8Depthwise(...head, bytes, inverse, zero, spread);
  const rounded = bytesOfSums(exact, c, epilogue, inverse, zero);
  expectFloats(arena.u8(bytes, size), rounded.bytes, `${name} bytes`);
  const lanes = Array.from(arena.f32(spread, 8));
  const seen = [Math.min(...lanes.slice(0, 4)), Math.max(...lanes.slice(4))];
  expectFloats(seen, rounded.spread, `${name} spread`);
}

/** `it` for each path. */
function itOnAllPaths(what: string, body: (way: Way, kernels: WasmKernels, arena: Arena) => void) {
  for (const { name, build, exact, operands } of PATHS) {
    itOn(build, `${what}: ${name}`, (kernels, arena) => {
      body({ exact, ...operands(kernels) }, kernels, arena);
    });
  }
}

describe('qu8Depthwise', () => {
  itOnAllPaths('sizes about the tile, strides, dilations', (path, kernels, arena) => {
    const random = new Random(1);
    for (const layer of LAYERS) check(path, kernels, arena, layer, random);
  });

  itOnAllPaths('clamping, PReLU, hard swish', (path, kernels, arena) => {
    const random = new Random(2);
    for (const layer of LAYERS.slice(2, 5)) {
      check(path, kernels, arena, layer, random, { lo: 0, hi: 0.5, alpha: null });
      const alpha = random.floats(layer.c);
      check(path, kernels, arena, layer, random, { ...LINEAR, alpha });
      check(path, kernels, arena, layer, random, randomSwish(random, layer.c));
    }
  });

  itOnAllPaths('saturating weights and activations', (path, kernels, arena) => {
    const random = new Random(3);
    for (const sign of [() => 1, () => -1, (i: number) => (i % 2 ? 1 : -1)]) {
      check(path, kernels, arena, LAYERS[5], random, LINEAR, (x, w) => {
        x.fill(path.greatest);
        w.forEach((_, i) => (w[i] = sign(Math.floor(i / 17))));
      });
    }
  });

  itOnAllPaths('random problems', (path, kernels, arena) => {
    forRandomProblems(arena, 4, random => {
      const byColumns = random.next() < 0.5;
      const [kh, kw] = byColumns
        ? [random.integer(1, 4), 3]
        : [random.integer(1, 5), random.integer(1, 5)];
      const dilation = random.integer(1, 2);
      const h = (kh - 1) * dilation + random.integer(1, 4);
      const w = (kw - 1) * dilation + random.integer(1, 4);
      const c = random.integer(1, 20);
      const stride = random.integer(1, 2);
      const layer = { h, w, c, kh, kw, stride, dilation, byColumns };
      check(path, kernels, arena, layer, random, randomActivation(random, c));
    });
  });
});
