/**
 * Calls of every kernel that divides into tiles, on hard sizes: 1, odd, around the tiles of the
 * kernels and of `tiles.ts`. Random numbers, and one call is compared with itself in pieces, so no
 * oracle is needed.
 */
import type { TiledKernel } from '../../../src/processors/cpu/board.js';
import { convolution, product } from '../../wasm/patches';
import type { PatchProblem } from '../../wasm/patches';
import { Random } from '../../wasm/random';
import { WINDOWS, windows } from '../../wasm/images';
import type { WasmKernels } from '../../../wasm/exports';

/** Where operands go. */
export interface Space {
  put(values: Float32Array | Int32Array | Uint8Array | Int8Array): number;
  reserve(bytes: number): number;
}

export interface Call {
  kernel: TiledKernel;
  name: string;
  /** Lays the operands out; `outputs` are what the call writes. */
  lay(space: Space, kernels: WasmKernels): { args: number[]; outputs: Output[] };
}

export interface Output {
  at: number;
  bytes: number;
}

const random = new Random(7);

function call(
  kernel: TiledKernel,
  name: string,
  make: (
    floats: (length: number) => number,
    output: (bytes: number) => number,
    space: Space,
    kernels: WasmKernels,
  ) => number[],
): Call {
  return {
    kernel,
    name: `${kernel} ${name}`,
    lay(space, kernels) {
      const outputs: Output[] = [];
      const floats = (length: number) => space.put(random.floats(length));
      const output = (bytes: number) => {
        const at = space.reserve(bytes);
        outputs.push({ at, bytes });
        return at;
      };
      const args = make(floats, output, space, kernels);
      return { args, outputs };
    },
  };
}

const PRODUCTS: readonly PatchProblem[] = [
  product(1, 1, 1),
  product(1, 70, 1030),
  product(3, 5, 300),
  product(5, 3, 9),
  product(47, 9, 65),
  product(97, 7, 33),
  product(200, 13, 31),
  product(300, 600, 11),
  product(50, 20, 150),
  convolution(3, 3, 1, 3, 3, 1),
  convolution(9, 11, 5, 3, 2, 7, 2, 2),
  convolution(20, 21, 6, 3, 3, 70),
  convolution(20, 7, 6, 1, 1, 40),
  convolution(31, 60, 3, 3, 3, 9, 2),
  convolution(9, 9, 60, 3, 3, 10),
];

function patches({ m, ow, pixelStride, rowStride, segmentOffsets, segmentLength }: PatchProblem) {
  return { m, ow, pixelStride, rowStride, segmentOffsets, segmentLength };
}

/** With columns left over in w and y, and every second one with bias and a slope. */
const float = (p: PatchProblem, i: number) =>
  call('f32Gemm', p.name, (floats, output, { put }) => {
    const { m, ow, pixelStride, rowStride, segmentOffsets, segmentLength } = patches(p);
    const depth = segmentOffsets.length * segmentLength;
    const [ldw, ldy] = [p.n + (i % 3), p.n + (i % 2)];
    return [
      ...[floats(p.size), m, ow, pixelStride, rowStride],
      ...[segmentOffsets.length, segmentLength, put(Int32Array.from(segmentOffsets))],
      ...[floats(depth * ldw), p.n, ldw],
      ...(i % 2 ? [floats(p.n), floats(p.n)] : [0, 0]),
      ...[-0.5, Infinity, output(4 * m * ldy), ldy],
    ];
  });

/** To floats, or to bytes and a note of their range, which is the queue's matter. */
const int8 = (kernel: 'qu8Gemm' | 'qu8GemmI16', toBytes: boolean) => (p: PatchProblem, i: number) =>
  call(
    kernel,
    `${p.name}${toBytes ? ' to bytes' : ''}`,
    (floats, output, { put, reserve }, kernels) => {
      const { m, ow, pixelStride, rowStride, segmentOffsets, segmentLength } = patches(p);
      const [segments, n, ldy] = [segmentOffsets.length, p.n, p.n + (i % 2)];
      const i16 = kernel === 'qu8GemmI16';
      const bytesOf = i16 ? kernels.qs8PackedBytesI16 : kernels.qs8PackedBytes;
      const pack = i16 ? kernels.qs8PackI16 : kernels.qs8Pack;
      const packed = reserve(bytesOf(segments, segmentLength, n));
      const [scale, sum] = [reserve(4 * n), reserve(4 * n)];
      const w = floats(segments * segmentLength * n);
      pack(w, segments, segmentLength, n, n, packed, scale, sum, 64);
      return [
        ...[put(random.bytes(p.size)), m, ow, pixelStride, rowStride],
        ...[segments, segmentLength, put(Int32Array.from(segmentOffsets))],
        ...[packed, n, sum, scale],
        ...(i % 2 ? [floats(n), floats(n)] : [0, 0]),
        ...[-Infinity, 900, output((toBytes ? 1 : 4) * m * ldy), ldy],
        ...(toBytes ? [0.2, 100, reserve(32)] : [0, 0, 0]),
      ];
    },
  );

const packing = (kernel: 'qs8Pack' | 'qs8PackI16') =>
  [
    [1, 1, 1],
    [3, 5, 130],
    [9, 7, 300],
    [1, 40, 129],
  ].map(([segments, segmentLength, n]) =>
    call(kernel, `[${segments},${segmentLength},${n}]`, (floats, output, _, kernels) => {
      const bytesOf = kernel === 'qs8Pack' ? kernels.qs8PackedBytes : kernels.qs8PackedBytesI16;
      return [
        ...[floats(segments * segmentLength * (n + 1)), segments, segmentLength, n, n + 1],
        output(bytesOf(segments, segmentLength, n)),
        ...[output(4 * n), output(4 * n), 127],
      ];
    }),
  );

/** h, w, c, top, left, hp, wp. */
const IMAGES = [
  [1, 1, 1, 0, 0, 1, 1],
  [1, 1, 3, 2, 1, 4, 5],
  [5, 7, 3, 0, 0, 5, 7],
  [5, 7, 17, 1, 1, 7, 9],
  [9, 4, 5, 3, 0, 14, 4],
  [2, 3, 8, 5, 2, 13, 5],
  [0, 3, 2, 1, 1, 4, 5],
];

/** Runs, rows into wider ones, a transpose, a step of 2, and axes of depth to space. */
const COPIES = [
  { shape: [1, 1, 1, 1, 1, 300], xStrides: [0, 0, 0, 0, 0, 1], yStrides: [0, 0, 0, 0, 0, 1] },
  { shape: [1, 1, 1, 1, 9, 13], xStrides: [0, 0, 0, 0, 13, 1], yStrides: [0, 0, 0, 0, 20, 1] },
  { shape: [1, 1, 1, 2, 19, 37], xStrides: [0, 0, 0, 703, 1, 19], yStrides: [0, 0, 0, 703, 37, 1] },
  { shape: [1, 1, 1, 5, 7, 3], xStrides: [0, 0, 0, 90, 6, 2], yStrides: [0, 0, 0, 21, 3, 1] },
  {
    shape: [1, 1, 4, 2, 6, 10],
    xStrides: [0, 0, 120, 10, 20, 1],
    yStrides: [0, 0, 120, 60, 10, 1],
  },
];

const nameOf = (sizes: number[]) => `[${sizes.join()}]`;

export const CALLS: readonly Call[] = [
  ...PRODUCTS.map(float),
  ...[false, true].flatMap(toBytes => PRODUCTS.map(int8('qu8Gemm', toBytes))),
  ...[false, true].flatMap(toBytes => PRODUCTS.map(int8('qu8GemmI16', toBytes))),
  ...packing('qs8Pack'),
  ...packing('qs8PackI16'),
  ...IMAGES.map(sizes => {
    const [h, w, c, top, left, hp, wp] = sizes;
    return call('f32ToQu8', nameOf(sizes), (floats, output) => [
      ...[floats(h * w * c), h, w, c, top, left, hp, wp, 100, 120, 0x80, output(hp * wp * c)],
    ]);
  }),
  ...IMAGES.map(sizes => {
    const [h, w, c, top, left, hp, wp] = sizes;
    return call('x8Pad', nameOf(sizes), (_, output, { put }) => [
      ...[put(random.bytes(h * w * c)), h, w, c, top, left, hp, wp, 9, hp % 2 ? 0x80 : 0],
      output(hp * wp * c),
    ]);
  }),
  ...[1, 63, 65, 300].map(n =>
    call('f32MinMax', nameOf([n]), (floats, _, { reserve }) => [floats(n), n, reserve(32)]),
  ),
  ...[1, 63, 200].map(n =>
    call('qu8ToF32', nameOf([n]), (_, output, { put }) => [
      ...[put(random.bytes(n)), n, 0.3, 17, output(4 * n)],
    ]),
  ),
  ...[
    [1, 1],
    [9, 13],
    [20, 300],
  ].map(sizes => {
    const [rows, width] = sizes;
    const pitch = width + 3;
    return call('qu8Requantise', nameOf(sizes), (_, output, { put }) => [
      ...[put(random.bytes(rows * width)), rows, width, 0.7, 100, 20],
      ...[output(rows * pitch), pitch],
    ]);
  }),
  ...[
    [1, 1, 1, 1],
    [5, 7, 3, 3],
    [9, 4, 17, 3],
    [6, 9, 8, 5],
  ].flatMap(sizes =>
    [0, 1].map(toBytes =>
      call('qu8Depthwise', `${nameOf(sizes)} ${toBytes}`, (floats, output, space, kernels) => {
        const [oh, ow, c, k] = sizes;
        const { put, reserve } = space;
        const [taps, wp] = [k * k, ow + k - 1];
        const at = (i: number) => (i < taps ? (Math.floor(i / k) * wp + (i % k)) * c : 0);
        const tap = Int32Array.from({ length: 4 * Math.ceil(taps / 4) }, (_, i) => at(i));
        const packed = reserve(kernels.qs8PackedBytesTaps(1, taps, c));
        const [scale, sum] = [reserve(4 * c), reserve(4 * c)];
        kernels.qs8PackTaps(floats(taps * c), 1, taps, c, c, packed, scale, sum, 64);
        return [
          ...[toBytes, put(random.bytes((oh + k - 1) * wp * c)), oh, ow, c, wp * c, taps],
          ...[put(tap), packed, c, sum, scale, floats(c), 0, -300, Infinity],
          ...[output((toBytes ? 1 : 4) * oh * ow * c)],
          ...(toBytes ? [0.2, 100, reserve(32)] : [0, 0, 0]),
        ];
      }),
    ),
  ),
  ...[...IMAGES, [6, 6, 2, -1, -2, 4, 5], [3, 3, 2, 6, 0, 5, 5]].map(sizes => {
    const [h, w, c, top, left, hp, wp] = sizes;
    return call('f32Pad', nameOf(sizes), (floats, output) => [
      ...[floats(h * w * c), h, w, c, top, left, hp, wp, -1.5, output(4 * hp * wp * c)],
    ]);
  }),
  ...[...WINDOWS, windows([6, 7, 3], [3, 3], {}, 2)].flatMap((p, i) => {
    const { h, w, ci, kh, kw, co, strideH, strideW, dilationH, dilationW, top, left, oh, ow } = p;
    const steps = [strideH, strideW, dilationH, dilationW, top, left, oh, ow];
    const name = nameOf([h, w, ci, kh, kw, co, ...steps]);
    const depthwise = call('f32Depthwise', name, (floats, output) => [
      ...[floats(h * w * ci), h, w, ci, floats(kh * kw * co), co, kh, kw, co / ci, ...steps],
      ...(i % 2 ? [floats(co), floats(co)] : [0, 0]),
      ...[0, 6, output(4 * oh * ow * co)],
    ]);
    if (co !== ci) return [depthwise];
    const pool = call('f32Pool', name, (floats, output) => [
      ...[i % 2, floats(h * w * ci), h, w, ci, kh, kw, ...steps, output(4 * oh * ow * ci)],
    ]);
    const maxPool = call('qu8MaxPool', name, (_, output, { put }) => [
      ...[put(random.bytes(h * w * ci)), h, w, ci, kh, kw, ...steps, output(oh * ow * ci)],
    ]);
    const avgPool = call('qu8AvgPool', name, (_, output, { put, reserve }) => [
      ...[put(random.bytes(h * w * ci)), h, w, ci, kh, kw, ...steps, 100, 0.1],
      ...[output(oh * ow * ci), 3, 90, reserve(32)],
    ]);
    return [depthwise, pool, maxPool, avgPool];
  }),
  ...[
    [1, 1, 1, 1, 1, 1],
    [1, 1000, 1, 1, 0, 0],
    [1, 131, 0, 1, 0, 1],
    [7, 33, 33, 1, 0, 1],
    [3, 200, 200, 1, 1, 0],
    [2, 65, 0, 1, 65, 1],
    [40, 5, 5, 1, 5, 1],
    [0, 5, 5, 1, 5, 1],
  ].map(sizes => {
    const [outer, inner, aOuter, aInner, bOuter, bInner] = sizes;
    return call('f32Binary', nameOf(sizes), (floats, output) => {
      const of = (o: number, i: number) => floats((outer - 1) * o + (inner - 1) * i + 1);
      return [
        ...[outer % 8, outer, inner, of(aOuter, aInner), aOuter, aInner],
        ...[of(bOuter, bInner), bOuter, bInner, output(4 * outer * inner)],
      ];
    });
  }),
  ...[
    [1, 1, 1],
    [1, 1001, 1001],
    [1, 130, 0],
    [9, 13, 0],
    [20, 33, 33],
  ].flatMap(sizes =>
    [0, 1, 2].map(op => {
      const [rows, n, bPitch] = sizes;
      return call('qu8Binary', `${op} ${nameOf(sizes)}`, (_, output, { put, reserve }) => [
        ...[op, rows, n, put(random.bytes(rows * n)), 100, 0.1],
        ...[put(random.bytes(n + (rows - 1) * bPitch)), bPitch, 20, 0.2],
        ...[output(rows * n), 3, 90, reserve(32)],
      ]);
    }),
  ),
  ...[1, 63, 65, 200].flatMap(n => [
    call('x8Lookup', nameOf([n]), (_, output, { put }) => [
      ...[put(random.bytes(n, 0, 255)), n, put(random.bytes(256, 0, 255)), output(n)],
    ]),
    call('x8Clamp', nameOf([n]), (_, output, { put }) => [
      ...[put(random.bytes(n, 0, 255)), n, 20, 200, output(n)],
    ]),
  ]),
  ...[1, 3, 64, 65, 1001].flatMap(n =>
    [1, 10, 12, 13].map(op =>
      call('f32Unary', `${op} [${n}]`, (floats, output) => [
        ...[op, floats(n), n, 0.1, 0.5, output(4 * n)],
      ]),
    ),
  ),
  ...[
    [1, 1],
    [5, 3],
    [33, 17],
  ].map(sizes => {
    const [rows, c] = sizes;
    return call('f32Affine', nameOf(sizes), (floats, output) => [
      ...[floats(rows * c), rows, c, floats(c), floats(c), output(4 * rows * c)],
    ]);
  }),
  ...[
    [1, 1, 1],
    [5, 7, 1],
    [17, 9, 5],
    [3, 1, 9],
  ].flatMap(sizes =>
    [0, 1, 2, 3, 4].map(op => {
      const [outer, reduce, inner] = sizes;
      return call('f32Reduce', `${op} ${nameOf(sizes)}`, (floats, output) => [
        ...[op, floats(outer * reduce * inner), outer, reduce, inner, output(4 * outer * inner)],
      ]);
    }),
  ),
  ...[
    [1, 1],
    [7, 5],
    [20, 33],
  ].map(sizes => {
    const [rows, c] = sizes;
    return call('f32Softmax', nameOf(sizes), (floats, output) => [
      ...[floats(rows * c), rows, c, output(4 * rows * c)],
    ]);
  }),
  ...[
    [1, 1, 1, 1, 1],
    [4, 5, 3, 8, 10],
    [9, 7, 17, 5, 9],
  ].flatMap(sizes =>
    [0, 1].flatMap(half => {
      const [h, w, c, oh, ow] = sizes;
      const rest = [oh, ow, 0, half, 0, oh];
      const name = `${nameOf(sizes)} ${half}`;
      return [
        call('f32Resize', name, (floats, output) => [
          ...[floats(h * w * c), h, w, c, ...rest, output(4 * oh * ow * c)],
        ]),
        ...(['qu8Resize', 'x8ResizeNearest'] as const).map(kernel =>
          call(kernel, name, (_, output, { put }) => [
            ...[put(random.bytes(h * w * c)), h, w, c, ...rest, output(oh * ow * c)],
          ]),
        ),
      ];
    }),
  ),
  ...[1, 63, 200].flatMap(n =>
    ([1, 4] as const).map(unit =>
      call('fill', `${unit} [${n}]`, (_, output) => [unit, output(unit * n), n, 0x3f800000]),
    ),
  ),
  ...COPIES.flatMap(({ shape, xStrides, yStrides }) =>
    ([1, 4] as const).map(unit =>
      call(
        'copyStrided',
        `${unit} [${shape.join()}] by [${xStrides.join()}]`,
        (_, output, { put }) => {
          const sizeOf = (strides: number[]) =>
            unit * shape.reduce((last, n, axis) => last + (n - 1) * strides[axis], 1);
          const x = put(random.bytes(sizeOf(xStrides)));
          return [unit, x, output(sizeOf(yStrides)), ...shape, ...xStrides, ...yStrides];
        },
      ),
    ),
  ),
  ...[
    [1, 4],
    [9, 7],
    [30, 36],
  ].map(sizes => {
    const [m, rowBytes] = sizes;
    return call('gatherRows', nameOf(sizes), (_, output, { put }) => {
      const indices = Int32Array.from({ length: m }, () => random.integer(0, 4));
      return [put(random.bytes(5 * rowBytes)), put(indices), m, rowBytes, output(m * rowBytes)];
    });
  }),
];
