/**
 * The kernels that move bytes or change their form: wasm/qu8-f32-convert, x8-pad, x8-lookup, x8-clamp,
 * qu8-requantise, qu8-maxpool, qu8-avgpool, qu8-binary. All of them exactly as plain loops.
 */
import { pad } from '../reference/copy';
import { pool } from '../reference/pool';
import { quantiseValue } from '../reference/quantise';
import type { Conv2D } from '../reference/conv2d';
import type { WasmKernels } from '../../wasm/exports';
import { describeWindows, randomWindows, windows } from './images';
import { expectFloats, forRandomProblems, itOnBothBuilds, type Arena } from './instantiate';
import { Random } from './random';

/** About the vectors of 8 and 16. */
const LENGTHS = [0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 300];

describe('qu8ToF32', () => {
  function check(kernels: WasmKernels, arena: Arena, x: Uint8Array, scale: number, zero: number) {
    const n = x.length;
    const y = arena.reserve(n * 4);
    kernels.qu8ToF32(arena.put(x), n, scale, zero, y);
    const wanted = Array.from(x, v => Math.fround((v - zero) * scale));
    expectFloats(arena.f32(y, n), wanted, `${n} bytes, zero ${zero}`);
  }

  itOnBothBuilds('gives (x - zero) * scale, whatever the length', (kernels, arena) => {
    const random = new Random(1);
    for (const n of LENGTHS) {
      for (const zero of [0, 3, 128, 255]) {
        check(kernels, arena, random.bytes(n), Math.fround(0.0371), zero);
      }
    }
  });

  itOnBothBuilds('random problems', (kernels, arena) => {
    forRandomProblems(arena, 12, random => {
      const scale = Math.fround(2 ** (40 * random.next() - 20));
      const x = random.bytes(random.integer(0, 70));
      check(kernels, arena, x, scale, random.integer(0, 255));
    });
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
  function checkLookup(kernels: WasmKernels, arena: Arena, x: Uint8Array, table: Uint8Array) {
    const y = arena.reserve(x.length);
    kernels.x8Lookup(arena.put(x), x.length, arena.put(table), y);
    const wanted = Array.from(x, v => table[v]);
    expectFloats(arena.u8(y, x.length), wanted, `${x.length} bytes`);
  }

  function checkClamp(kernels: WasmKernels, arena: Arena, x: Uint8Array, lo: number, hi: number) {
    const y = arena.reserve(x.length);
    kernels.x8Clamp(arena.put(x), x.length, lo, hi, y);
    const wanted = Array.from(x, v => Math.min(Math.max(v, lo), hi));
    expectFloats(arena.u8(y, x.length), wanted, `${x.length} bytes in ${lo} to ${hi}`);
  }

  itOnBothBuilds('give the entry of each byte, and the byte between bounds', (kernels, arena) => {
    const random = new Random(3);
    const table = random.bytes(256);
    for (const n of [...LENGTHS, 3, 4, 5, 256]) {
      const x = n === 256 ? Uint8Array.from(table.keys()) : random.bytes(n);
      checkLookup(kernels, arena, x, table);
      for (const [lo, hi] of [
        [0, 255],
        [7, 7],
        [100, 180],
      ] as const) {
        checkClamp(kernels, arena, x, lo, hi);
      }
    }
  });

  itOnBothBuilds('random problems', (kernels, arena) => {
    forRandomProblems(arena, 13, random => {
      const x = random.bytes(random.integer(0, 70));
      checkLookup(kernels, arena, x, random.bytes(256));
      const lo = random.integer(0, 255);
      checkClamp(kernels, arena, x, lo, random.integer(lo, 255));
    });
  });
});

describe('qu8Requantise', () => {
  /** x [rows,width] -> y [rows,yPitch] */
  function check(
    kernels: WasmKernels,
    arena: Arena,
    x: Uint8Array,
    width: number,
    yPitch: number,
    factor: number,
    [xZero, yZero]: readonly [number, number],
  ) {
    const rows = x.length / width;
    const f = Math.fround(factor);
    // The last row has no gap behind it: the guard follows at once.
    const length = (rows - 1) * yPitch + width;
    const y = arena.reserve(length);
    kernels.qu8Requantise(arena.put(x), rows, width, f, xZero, yZero, y, yPitch);
    const wanted = Array.from({ length }, (_, i) => {
      const [row, column] = [Math.floor(i / yPitch), i % yPitch];
      return column < width ? quantiseValue(x[row * width + column] - xZero, f, yZero) : 0xff;
    });
    expectFloats(arena.u8(y, length), wanted, `${width} wide, factor ${factor}`);
  }

  itOnBothBuilds('gives the same numbers in another scale', (kernels, arena) => {
    const random = new Random(4);
    for (const width of LENGTHS.filter(n => n > 0)) {
      for (const [factor, ...zeros] of [
        [1, 0, 0],
        [0.37, 12, 200],
        [3.1, 255, 255],
        [1e-9, 3, 77],
        [1e30, 3, 77],
      ] as const) {
        check(kernels, arena, random.bytes(3 * width), width, width + 2, factor, zeros);
      }
    }
  });

  itOnBothBuilds('random problems', (kernels, arena) => {
    forRandomProblems(arena, 11, random => {
      const [rows, width] = [random.integer(1, 5), random.integer(1, 40)];
      const factor = 2 ** (8 * random.next() - 5);
      const zeros = [random.integer(0, 255), random.integer(0, 255)] as const;
      const pitch = width + random.integer(0, 5);
      check(kernels, arena, random.bytes(rows * width), width, pitch, factor, zeros);
    });
  });
});

/** Where a range is noted, nothing seen yet. */
const openSpread = (arena: Arena) =>
  arena.lend(Float32Array.from([1, 1, 1, 1, -1, -1, -1, -1], v => v * Infinity));

/** [least, most] noted there. */
function seenAt(arena: Arena, spread: number): [number, number] {
  const lanes = Array.from(arena.f32(spread, 8));
  return [Math.min(...lanes.slice(0, 4)), Math.max(...lanes.slice(4))];
}

const WIDTHS = [1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33];

/** Windows with no cell inside have no maximum and no mean. */
const haveCells = (p: Conv2D) =>
  pool('max', new Uint8Array(p.h * p.w * p.ci), p).every(Number.isFinite);

function windowArguments(p: Conv2D) {
  const steps = [
    p.strideH,
    p.strideW,
    p.dilationH,
    p.dilationW,
    p.top,
    p.left,
    p.oh,
    p.ow,
  ] as const;
  return [p.h, p.w, p.ci, p.kh, p.kw, ...steps] as const;
}

describe('qu8MaxPool', () => {
  function check(kernels: WasmKernels, arena: Arena, p: Conv2D, x: Uint8Array) {
    const size = p.oh * p.ow * p.ci;
    const y = arena.reserve(size);
    kernels.qu8MaxPool(arena.put(x), ...windowArguments(p), y);
    expectFloats(arena.u8(y, size), pool('max', x, p), describeWindows(p));
  }

  itOnBothBuilds('gives the maximum of the cells inside', (kernels, arena) => {
    const random = new Random(5);
    for (const c of WIDTHS) {
      for (const p of [
        windows([1, 1, c], [1, 1]),
        windows([5, 6, c], [2, 2], { stride: [2, 2], pad: 'valid' }),
        windows([7, 5, c], [3, 3], { stride: [2, 2], pad: [1, 1, 1, 1] }),
        windows([9, 8, c], [3, 2], { dilation: [2, 2], pad: [2, 2, 1, 1] }),
      ]) {
        check(kernels, arena, p, random.bytes(p.h * p.w * c));
      }
    }
  });

  itOnBothBuilds('random problems', (kernels, arena) => {
    forRandomProblems(arena, 8, random => {
      const p = randomWindows(random);
      if (haveCells(p)) check(kernels, arena, p, random.bytes(p.h * p.w * p.ci));
    });
  });
});

describe('qu8AvgPool', () => {
  function check(kernels: WasmKernels, arena: Arena, p: Conv2D, x: Uint8Array) {
    const f = Math.fround;
    const [xZero, xScale, inverse, zero] = [31, f(0.07), f(23.5), 9];
    const size = p.oh * p.ow * p.ci;
    const [y, spread] = [arena.reserve(size), openSpread(arena)];
    kernels.qu8AvgPool(
      arena.put(x),
      ...windowArguments(p),
      xZero,
      xScale,
      y,
      inverse,
      zero,
      spread,
    );
    const exact = Array.from(pool('avg', x, p), v => (v - xZero) * xScale);
    // The kernel's three roundings of at most 16 units each, before one of half a unit.
    const bytes = exact.map(v => Math.min(Math.max(v * inverse + zero, 0), 255));
    const context = describeWindows(p);
    expectFloats(arena.u8(y, size), bytes, context, () => 0.5 + 1e-3);
    const range = [Math.min(...exact), Math.max(...exact)];
    expectFloats(seenAt(arena, spread), range, `${context} spread`, () => 1e-5);
  }

  itOnBothBuilds('gives the mean of the cells inside in another scale', (kernels, arena) => {
    const random = new Random(7);
    for (const c of WIDTHS) {
      for (const p of [
        windows([1, 1, c], [1, 1]),
        windows([5, 6, c], [2, 2], { stride: [2, 2], pad: 'valid' }),
        windows([7, 5, c], [3, 3], { stride: [2, 2], pad: [1, 1, 1, 1] }),
      ]) {
        check(kernels, arena, p, random.bytes(p.h * p.w * c));
      }
      // Sums of whole images, about what fits 16 bits.
      for (const [h, w] of [
        [1, 257],
        [2, 515],
      ] as const) {
        const p = windows([h, w, c], [h, w], { pad: 'valid' });
        check(kernels, arena, p, new Uint8Array(h * w * c).fill(255));
      }
    }
  });

  itOnBothBuilds('random problems', (kernels, arena) => {
    forRandomProblems(arena, 9, random => {
      const p = randomWindows(random);
      if (haveCells(p)) check(kernels, arena, p, random.bytes(p.h * p.w * p.ci));
    });
  });
});

describe('qu8Binary', () => {
  const f = Math.fround;
  const OPS = [
    (a: number, b: number) => a + b,
    (a: number, b: number) => a - b,
    (a: number, b: number) => a * b,
  ];

  /** a [rows,n], b [rows,n] or [n] -> y [rows,n] */
  function check(
    kernels: WasmKernels,
    arena: Arena,
    random: Random,
    op: number,
    rows: number,
    n: number,
    isRow: boolean,
  ) {
    const [aZero, bZero, zero] = [random.integer(0, 255), random.integer(0, 255), 117];
    const [aScale, bScale, inverse] = [f(0.031), f(0.27), f(1.7)];
    const a = random.bytes(rows * n);
    const b = random.bytes(isRow ? n : rows * n);
    const [y, spread] = [arena.reserve(rows * n), openSpread(arena)];
    const [left, right] = [
      [arena.put(a), aZero, aScale],
      [arena.put(b), isRow ? 0 : n, bZero, bScale],
    ] as const;
    kernels.qu8Binary(op, rows, n, ...left, ...right, y, inverse, zero, spread);
    const exact = Array.from(a, (v, i) =>
      f(OPS[op](f((v - aZero) * aScale), f((b[i % b.length] - bZero) * bScale))),
    );
    const name = `${op} of [${rows},${n}]`;
    const bytes = exact.map(v => quantiseValue(v, inverse, zero));
    expectFloats(arena.u8(y, rows * n), bytes, name);
    const range = [Math.min(...exact), Math.max(...exact)];
    expectFloats(seenAt(arena, spread), range, `${name} spread`);
  }

  itOnBothBuilds(
    'gives the sum, difference and product of two scales in a third',
    (kernels, arena) => {
      const random = new Random(6);
      for (const n of LENGTHS.filter(n => n > 0)) {
        for (const op of OPS.keys()) {
          check(kernels, arena, random, op, 1, n, false);
          check(kernels, arena, random, op, 3, n, true);
        }
      }
    },
  );

  itOnBothBuilds('random problems', (kernels, arena) => {
    forRandomProblems(arena, 10, random => {
      const [op, rows, n] = [random.integer(0, 2), random.integer(1, 4), random.integer(1, 70)];
      check(kernels, arena, random, op, rows, n, random.one([false, true]));
    });
  });
});
