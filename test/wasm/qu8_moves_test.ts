/**
 * The kernels that move bytes or change their form: wasm/qu8-f32-convert, x8-pad, x8-lookup, x8-clamp,
 * qu8-requantise, qu8-maxpool, qu8-avgpool, qu8-binary. All of them exactly as plain loops.
 */
import { pad } from '../reference/copy';
import { pool } from '../reference/pool';
import { quantiseValue } from '../reference/quantise';
import { expectFloats, itOnBothBuilds } from './instantiate';
import { Random } from './random';

/** About the vectors of 8 and 16. */
const LENGTHS = [0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 300];

describe('qu8ToF32', () => {
  itOnBothBuilds('gives (x - zero) * scale, whatever the length', (kernels, arena) => {
    const random = new Random(1);
    for (const n of LENGTHS) {
      for (const zero of [0, 3, 128, 255]) {
        const scale = Math.fround(0.0371);
        const x = random.bytes(n, 0, 255);
        const y = arena.reserve(n * 4);
        kernels.qu8ToF32(arena.put(x), n, scale, zero, y);
        const wanted = Array.from(x, v => Math.fround((v - zero) * scale));
        expectFloats(arena.f32(y, n), wanted, `${n} bytes, zero ${zero}`);
      }
    }
  });
});

describe('x8Pad', () => {
  itOnBothBuilds('gives the image with a border, flipped or not', (kernels, arena) => {
    const random = new Random(2);
    for (const [h, w, c] of [
      [1, 1, 1],
      [3, 4, 3],
      [2, 5, 16],
      [5, 3, 33],
    ] as const) {
      for (const [top, bottom, left, right] of [
        [0, 0, 0, 0],
        [1, 2, 3, 4],
        [2, 0, 0, 1],
      ] as const) {
        for (const xor of [0, 0x80]) {
          const [hp, wp] = [h + top + bottom, w + left + right];
          const x = random.bytes(h * w * c, 0, 255);
          const y = arena.reserve(hp * wp * c);
          kernels.x8Pad(arena.put(x), h, w, c, top, left, hp, wp, 200, xor, y);
          const wanted = Array.from(pad(x, h, w, c, top, left, hp, wp, 200), v => v ^ xor);
          expectFloats(arena.u8(y, hp * wp * c), wanted, `[${h},${w},${c}] to [${hp},${wp}]`);
        }
      }
    }
  });
});

describe('x8Lookup and x8Clamp', () => {
  itOnBothBuilds('give the entry of each byte, and the byte between bounds', (kernels, arena) => {
    const random = new Random(3);
    const table = random.bytes(256, 0, 255);
    for (const n of [...LENGTHS, 3, 4, 5, 256]) {
      const x = n === 256 ? Uint8Array.from(table.keys()) : random.bytes(n, 0, 255);
      const [from, y] = [arena.put(x), arena.reserve(n)];
      kernels.x8Lookup(from, n, arena.put(table), y);
      const found = Array.from(x, v => table[v]);
      expectFloats(arena.u8(y, n), found, `${n} bytes`);
      for (const [lo, hi] of [
        [0, 255],
        [7, 7],
        [100, 180],
      ] as const) {
        const clamped = arena.reserve(n);
        kernels.x8Clamp(from, n, lo, hi, clamped);
        const wanted = Array.from(x, v => Math.min(Math.max(v, lo), hi));
        expectFloats(arena.u8(clamped, n), wanted, `${n} bytes in ${lo} to ${hi}`);
      }
    }
  });
});

describe('qu8Requantise', () => {
  itOnBothBuilds('gives the same numbers in another scale', (kernels, arena) => {
    const random = new Random(4);
    for (const width of LENGTHS.filter(n => n > 0)) {
      for (const [factor, xZero, yZero] of [
        [1, 0, 0],
        [0.37, 12, 200],
        [3.1, 255, 255],
        [1e-9, 3, 77],
        [1e30, 3, 77],
      ] as const) {
        const [rows, yPitch] = [3, width + 2];
        const f = Math.fround(factor);
        const x = random.bytes(rows * width, 0, 255);
        const y = arena.reserve(rows * yPitch);
        kernels.qu8Requantise(arena.put(x), rows, width, f, xZero, yZero, y, yPitch);
        const wanted = Array.from({ length: rows * yPitch }, (_, i) => {
          const [row, column] = [Math.floor(i / yPitch), i % yPitch];
          return column < width ? quantiseValue(x[row * width + column] - xZero, f, yZero) : 0xff;
        });
        expectFloats(arena.u8(y, rows * yPitch), wanted, `${width} wide, factor ${factor}`);
      }
    }
  });
});

describe('qu8MaxPool', () => {
  itOnBothBuilds('gives the maximum of the cells inside', (kernels, arena) => {
    const random = new Random(5);
    for (const c of [1, 7, 8, 15, 16, 17, 33]) {
      for (const [h, w, kh, kw, stride, dilation, top, left] of [
        [1, 1, 1, 1, 1, 1, 0, 0],
        [5, 6, 2, 2, 2, 1, 0, 0],
        [7, 5, 3, 3, 2, 1, 1, 1],
        [9, 8, 3, 2, 1, 2, 2, 1],
      ] as const) {
        const [oh, ow] = [
          Math.floor((h + 2 * top - (kh - 1) * dilation - 1) / stride) + 1,
          Math.floor((w + 2 * left - (kw - 1) * dilation - 1) / stride) + 1,
        ];
        const x = random.bytes(h * w * c, 0, 255);
        const y = arena.reserve(oh * ow * c);
        const steps = [stride, stride, dilation, dilation, top, left, oh, ow] as const;
        kernels.qu8MaxPool(arena.put(x), h, w, c, kh, kw, ...steps, y);
        const wanted = pool('max', x, {
          ...{ h, w, ci: c, kh, kw, co: c, oh, ow, top, left },
          ...{ strideH: stride, strideW: stride, dilationH: dilation, dilationW: dilation },
        });
        expectFloats(arena.u8(y, oh * ow * c), wanted, `[${h},${w},${c}] under [${kh},${kw}]`);
      }
    }
  });
});

describe('qu8AvgPool', () => {
  itOnBothBuilds('gives the mean of the cells inside in another scale', (kernels, arena) => {
    const random = new Random(7);
    const f = Math.fround;
    for (const c of [1, 3, 4, 5, 7, 8, 9, 17]) {
      for (const [h, w, kh, kw, stride, top, left, extreme] of [
        [1, 1, 1, 1, 1, 0, 0, false],
        [5, 6, 2, 2, 2, 0, 0, false],
        [7, 5, 3, 3, 2, 1, 1, false],
        // Sums of whole images, about what fits 16 bits.
        [1, 257, 1, 257, 1, 0, 0, true],
        [2, 515, 2, 515, 1, 0, 0, true],
      ] as const) {
        const [oh, ow] = [
          Math.floor((h + 2 * top - kh) / stride) + 1,
          Math.floor((w + 2 * left - kw) / stride) + 1,
        ];
        const [xZero, xScale, inverse, zero] = [31, f(0.07), f(23.5), 9];
        const x = extreme ? new Uint8Array(h * w * c).fill(255) : random.bytes(h * w * c, 0, 255);
        const y = arena.reserve(oh * ow * c);
        const spread = arena.lend(
          Float32Array.from([1, 1, 1, 1, -1, -1, -1, -1], v => v * Infinity),
        );
        const steps = [stride, stride, 1, 1, top, left, oh, ow] as const;
        const rest = [xZero, xScale, y, inverse, zero, spread] as const;
        kernels.qu8AvgPool(arena.put(x), h, w, c, kh, kw, ...steps, ...rest);
        const geometry = {
          ...{ h, w, ci: c, kh, kw, co: c, oh, ow, top, left },
          ...{ strideH: stride, strideW: stride, dilationH: 1, dilationW: 1 },
        };
        // The oracle's mean of a one is 1 where it counts; sums are integers.
        const means = pool('avg', x, geometry);
        const context = `[${h},${w},${c}] under [${kh},${kw}]`;
        // The kernel's three roundings of at most 16 units each, before one of half a unit.
        const exact = Array.from(means, v => (v - xZero) * xScale);
        const bytes = exact.map(v => Math.min(Math.max(v * inverse + zero, 0), 255));
        expectFloats(arena.u8(y, oh * ow * c), bytes, context, () => 0.5 + 1e-3);
        const lanes = Array.from(arena.f32(spread, 8));
        const seen = [Math.min(...lanes.slice(0, 4)), Math.max(...lanes.slice(4))];
        expectFloats(
          seen,
          [Math.min(...exact), Math.max(...exact)],
          `${context} spread`,
          () => 1e-5,
        );
      }
    }
  });
});

describe('qu8Binary', () => {
  itOnBothBuilds(
    'gives the sum, difference and product of two scales in a third',
    (kernels, arena) => {
      const random = new Random(6);
      const f = Math.fround;
      const OPS = [
        (a: number, b: number) => a + b,
        (a: number, b: number) => a - b,
        (a: number, b: number) => a * b,
      ];
      for (const n of LENGTHS.filter(n => n > 0)) {
        for (const [rows, isRow] of [
          [1, false],
          [3, true],
        ] as const) {
          for (const [op, apply] of OPS.entries()) {
            const [aZero, bZero, zero] = [random.integer(0, 255), random.integer(0, 255), 117];
            const [aScale, bScale, inverse] = [f(0.031), f(0.27), f(1.7)];
            const a = random.bytes(rows * n, 0, 255);
            const b = random.bytes(n, 0, 255);
            const y = arena.reserve(rows * n);
            const spread = arena.lend(
              Float32Array.from([1, 1, 1, 1, -1, -1, -1, -1], v => v * Infinity),
            );
            const [pa, pb] = [arena.put(a), arena.put(b)];
            const pitch = isRow ? 0 : n;
            kernels.qu8Binary(
              op,
              rows,
              n,
              pa,
              aZero,
              aScale,
              pb,
              pitch,
              bZero,
              bScale,
              y,
              inverse,
              zero,
              spread,
            );
            const exact = Array.from(a, (v, i) =>
              f(apply(f((v - aZero) * aScale), f((b[i % n] - bZero) * bScale))),
            );
            const name = `${op} of [${rows},${n}]`;
            expectFloats(
              arena.u8(y, rows * n),
              exact.map(v => quantiseValue(v, inverse, zero)),
              name,
            );
            const lanes = Array.from(arena.f32(spread, 8));
            const seen = [Math.min(...lanes.slice(0, 4)), Math.max(...lanes.slice(4))];
            expectFloats(seen, [Math.min(...exact), Math.max(...exact)], `${name} spread`);
          }
        }
      }
    },
  );
});
