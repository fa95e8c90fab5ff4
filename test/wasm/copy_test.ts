/** wasm/x8-copy/strided.ts, wasm/f32-pad/rows.ts, wasm/x8-fill/run.ts, wasm/x8-gather/rows.ts */
import { offsets, pad } from '../reference/copy';
import { expectFloats, forRandomProblems, itOnBothBuilds, type Arena } from './instantiate';
import { Random } from './random';
import type { WasmKernels } from '../../wasm/exports';

interface Copy {
  name: string;
  shape: number[];
  xStrides: number[];
  yStrides: number[];
}

/** Row-major strides. */
function strides(shape: readonly number[]): number[] {
  const all = new Array<number>(shape.length).fill(1);
  for (let d = shape.length - 2; d >= 0; --d) all[d] = all[d + 1] * shape[d + 1];
  return all;
}

/** y = transpose(x [shape], permutation). */
function transposition(shape: number[], permutation: number[]): Copy {
  const from = strides(shape);
  const out = permutation.map(d => shape[d]);
  return {
    name: `transpose [${shape}] by [${permutation}]`,
    shape: out,
    xStrides: permutation.map(d => from[d]),
    yStrides: strides(out),
  };
}

/** x [shape] into a corner of y [larger]: pad and concat; or with x and y changed, slice. */
function part(shape: number[], larger: number[], slice: boolean): Copy {
  const [inner, outer] = [strides(shape), strides(larger)];
  return {
    name: `${slice ? 'slice' : 'place'} [${shape}] in [${larger}]`,
    shape,
    xStrides: slice ? outer : inner,
    yStrides: slice ? inner : outer,
  };
}

/** As many numbers as the kernel has dimensions. */
const six = (numbers: number[], filler: number) =>
  [...numbers, ...new Array<number>(6 - numbers.length).fill(filler)] as [
    ...[number, number, number, number, number, number],
  ];

const COPIES: Copy[] = [
  { name: 'a scalar', shape: [], xStrides: [], yStrides: [] },
  { name: 'nothing', shape: [3, 0, 2], xStrides: [0, 2, 1], yStrides: [0, 2, 1] },
  ...[1, 3, 4, 5, 127, 128, 129].map(n => ({
    name: `a run of ${n}`,
    shape: [n],
    xStrides: [1],
    yStrides: [1],
  })),
  ...[1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 18, 33, 65].flatMap(a =>
    [1, 3, 4, 5, 8, 17].map(b => transposition([a, b], [1, 0])),
  ),
  transposition([2, 5, 6, 7], [0, 3, 1, 2]),
  transposition([2, 5, 6, 7], [0, 2, 3, 1]),
  transposition([3, 4, 5, 6], [3, 2, 1, 0]),
  transposition([3, 4, 5], [1, 0, 2]),
  transposition([2, 3, 2, 3, 2, 3], [5, 0, 4, 1, 3, 2]),
  transposition([2, 2, 2, 2, 2, 2], [5, 4, 3, 2, 1, 0]),
  // Depth to space: [h,w,b,b,c] -> [h,b,w,b,c].
  transposition([3, 4, 2, 2, 5], [0, 2, 1, 3, 4]),
  transposition([1, 7, 1, 5], [3, 2, 1, 0]),
  part([3, 4, 5], [5, 7, 9], false),
  part([3, 4, 5], [5, 7, 9], true),
  part([3, 4, 5], [3, 4, 9], true),
  part([3, 4, 5], [3, 9, 5], true),
  part([3, 4, 130], [3, 4, 200], false),
  { name: 'a step', shape: [5, 4], xStrides: [12, 3], yStrides: [4, 1] },
  { name: 'tile', shape: [3, 2, 4, 5], xStrides: [0, 5, 0, 1], yStrides: [40, 20, 5, 1] },
  { name: 'one value', shape: [4, 9], xStrides: [0, 0], yStrides: [9, 1] },
  { name: 'a column', shape: [4, 9], xStrides: [1, 0], yStrides: [9, 1] },
  { name: 'a row', shape: [4, 9], xStrides: [0, 1], yStrides: [9, 1] },
  { name: 'reverse rows', shape: [4, 9], xStrides: [-9, 1], yStrides: [9, 1] },
  { name: 'reverse columns', shape: [4, 9], xStrides: [9, -1], yStrides: [9, 1] },
  { name: 'reverse both', shape: [4, 9], xStrides: [-9, -1], yStrides: [9, 1] },
  { name: 'reverse transposed', shape: [9, 4], xStrides: [-1, 9], yStrides: [4, 1] },
];

function checkCopy(kernels: WasmKernels, arena: Arena, copy: Copy, random: Random) {
  const pairs = [...offsets(copy.shape, copy.xStrides, copy.yStrides)];
  // Negative strides: x begins where the least offset is.
  const least = pairs.reduce((a, [x]) => Math.min(a, x), 0);
  const size = pairs.reduce((a, [x]) => Math.max(a, x), 0) - least + 1;
  const length = pairs.reduce((a, [, y]) => Math.max(a, y), 0) + 1;
  for (const elementBytes of [1, 4] as const) {
    const x = elementBytes === 1 ? random.bytes(size, 0, 254) : random.floats(size);
    const y = arena.reserve(length * elementBytes);
    const from = arena.put(x) - least * elementBytes;
    const sizes = [six(copy.shape, 1), six(copy.xStrides, 0), six(copy.yStrides, 0)] as const;
    kernels.copyStrided(elementBytes, from, y, ...sizes[0], ...sizes[1], ...sizes[2]);
    // What the copy does not name keeps its 0xff: 255, or as a float a NaN.
    const [got, kept] =
      elementBytes === 1 ? [arena.u8(y, length), 0xff] : [arena.f32(y, length), NaN];
    const wanted = new Float32Array(length).fill(kept);
    for (const [from, to] of pairs) wanted[to] = x[from - least]!;
    expectFloats(got, wanted, `${copy.name}, ${elementBytes} bytes`);
  }
}

describe('copyStrided', () => {
  for (const copy of COPIES) {
    itOnBothBuilds(copy.name, (kernels, arena) => checkCopy(kernels, arena, copy, new Random(1)));
  }

  itOnBothBuilds('random problems', (kernels, arena) => {
    forRandomProblems(arena, 4, random => {
      const rank = random.integer(1, 6);
      // Long ways where there are few axes: runs and tiles have their edges at 8, 16 and 128.
      const longest = [140, 20, 9, 5, 4, 3][rank - 1];
      const shape = Array.from({ length: rank }, () => random.integer(1, longest));
      const axes = shape.map((_, d) => d);
      const order = axes.map(d => [random.next(), d]).sort(([a], [b]) => a - b);
      const copies = [
        transposition(
          shape,
          order.map(([, d]) => d),
        ),
        ...[false, true].map(slice =>
          part(
            shape,
            shape.map(n => n + random.integer(0, 3)),
            slice,
          ),
        ),
      ];
      checkCopy(kernels, arena, random.one(copies), random);
    });
  });
});

describe('f32Pad and x8Pad', () => {
  itOnBothBuilds('random problems', (kernels, arena) => {
    forRandomProblems(arena, 5, random => {
      const [h, w, c] = [random.integer(1, 5), random.integer(1, 5), random.integer(1, 35)];
      const [top, left] = [random.integer(0, 3), random.integer(0, 3)];
      const [hp, wp] = [h + top + random.integer(0, 3), w + left + random.integer(0, 3)];
      const size = hp * wp * c;
      const context = `[${h},${w},${c}] at ${top},${left} in [${hp},${wp}]`;
      const floats = random.floats(h * w * c);
      const y = arena.reserve(size * 4);
      kernels.f32Pad(arena.put(floats), h, w, c, top, left, hp, wp, 0.5, y);
      expectFloats(arena.f32(y, size), pad(floats, h, w, c, top, left, hp, wp, 0.5), context);
      const [bytes, value, xor] = [random.bytes(h * w * c), random.integer(0, 255), 0x80];
      const q = arena.reserve(size);
      kernels.x8Pad(arena.put(bytes), h, w, c, top, left, hp, wp, value, xor, q);
      const wanted = pad(bytes, h, w, c, top, left, hp, wp, value).map(v => v ^ xor);
      expectFloats(arena.u8(q, size), wanted, `bytes ${context}`);
    });
  });
});

describe('f32Pad', () => {
  itOnBothBuilds('borders, none, and images that reach beyond', (kernels, arena) => {
    const random = new Random(2);
    for (const [h, w] of [
      [1, 1],
      [3, 4],
      [5, 2],
    ] as const) {
      for (const c of [1, 3, 4, 130]) {
        for (const [top, left, hp, wp] of [
          [0, 0, h, w],
          [1, 2, h + 3, w + 4],
          [0, 3, h, w + 3],
          [2, 0, h + 2, w],
          [-1, -1, h, w],
          [-9, 0, h, w],
          [0, 9, h, w],
          [1, 1, 1, 1],
        ] as const) {
          for (const value of [0, -Infinity, NaN]) {
            const x = random.floats(h * w * c);
            const y = arena.reserve(hp * wp * c * 4);
            kernels.f32Pad(arena.put(x), h, w, c, top, left, hp, wp, value, y);
            const wanted = pad(x, h, w, c, top, left, hp, wp, value);
            const context = `[${h},${w},${c}] at ${top},${left} in [${hp},${wp}]`;
            expectFloats(arena.f32(y, hp * wp * c), wanted, context);
          }
        }
      }
    }
  });
});

describe('fill', () => {
  itOnBothBuilds('sizes', (kernels, arena) => {
    for (const n of [0, 1, 2, 3, 4, 5, 17, 65]) {
      const y = arena.reserve(n * 4);
      kernels.fill(4, y, n, -123456789);
      expectFloats(arena.i32(y, n), new Array<number>(n).fill(-123456789), `${n}`);
      const bytes = arena.reserve(n);
      kernels.fill(1, bytes, n, 0x1d7);
      expectFloats(arena.u8(bytes, n), new Array<number>(n).fill(0xd7), `${n} bytes`);
    }
  });

  itOnBothBuilds('random problems', (kernels, arena) => {
    forRandomProblems(arena, 6, random => {
      const [n, bits] = [random.integer(0, 70), random.integer(-(2 ** 31), 2 ** 31 - 1)];
      const [words, bytes] = [arena.reserve(n * 4), arena.reserve(n)];
      kernels.fill(4, words, n, bits);
      expectFloats(arena.i32(words, n), new Array<number>(n).fill(bits), `${n} of ${bits}`);
      kernels.fill(1, bytes, n, bits);
      expectFloats(arena.u8(bytes, n), new Array<number>(n).fill(bits & 0xff), `${n} bytes`);
    });
  });
});

describe('gatherRows', () => {
  /** y [indices,rowBytes] = rows of x [rows,rowBytes] */
  function check(
    kernels: WasmKernels,
    arena: Arena,
    random: Random,
    rows: number,
    rowBytes: number,
    indices: readonly number[],
  ) {
    const x = random.bytes(rows * rowBytes);
    const y = arena.reserve(indices.length * rowBytes);
    const at = arena.put(Int32Array.from(indices));
    kernels.gatherRows(arena.put(x), at, indices.length, rowBytes, y);
    const wanted = indices.flatMap(i => [...x.subarray(i * rowBytes, (i + 1) * rowBytes)]);
    expectFloats(arena.u8(y, wanted.length), wanted, `${rowBytes} bytes, rows ${indices}`);
  }

  itOnBothBuilds('rows of any number of bytes, repeated, in any order', (kernels, arena) => {
    const random = new Random(3);
    for (const rowBytes of [1, 3, 4, 8, 20, 60, 64, 600]) {
      for (const indices of [[], [0], [4, 4, 4], [3, 0, 4, 1, 2, 0]]) {
        check(kernels, arena, random, 5, rowBytes, indices);
      }
    }
  });

  itOnBothBuilds('random problems', (kernels, arena) => {
    forRandomProblems(arena, 7, random => {
      const rows = random.integer(1, 6);
      // Short runs, about the vector, and those that are left to memory.copy.
      const rowBytes = random.one([random.integer(0, 70), random.integer(500, 530)]);
      const length = random.integer(0, 8);
      const indices = Array.from({ length }, () => random.integer(0, rows - 1));
      check(kernels, arena, random, rows, rowBytes, indices);
    });
  });
});
