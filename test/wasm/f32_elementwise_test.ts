/** wasm/f32-binary/x4.ts, wasm/f32-unary/*, wasm/f32-affine/x4.ts */
import { affine, BINARY, binary, UNARY } from '../reference/elementwise';
import type { WasmKernels } from '../../wasm/exports';
import { expectFloats, forRandomProblems, itOnBothBuilds, type Arena } from './instantiate';
import { Random } from './random';

/** Signed zeros, NaN, infinities, halves, subnormals, the ends of the float32 range. */
const SPECIALS = [
  0,
  -0,
  NaN,
  Infinity,
  -Infinity,
  0.5,
  -0.5,
  1.5,
  -1.5,
  2.5,
  -2.5,
  3.5,
  1e-45,
  -1e-45,
  1e-40,
  1.1754943508222875e-38,
  3.4028234663852886e38,
  -3.4028234663852886e38,
  8388607.5,
  -8388608,
  16777216,
  1,
  -1,
  6,
  7,
  88.7,
  88.73,
  -87.3,
  -88,
  -103.9,
  -104,
  104,
  13.9,
  -13.9,
  1e-8,
  -1e-8,
];

/** Sizes about the vector. */
const SIZES = [0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33];

/** The size of a unit in the last place of a float32 near v, subnormals included. */
function unit(v: number): number {
  if (v === 0 || !Number.isFinite(v)) return 2 ** -149;
  return Math.max(2 ** -149, 2 ** (Math.floor(Math.log2(Math.abs(v))) - 23));
}

describe('f32Binary', () => {
  // One correctly rounded operation each (doubles round to the same float32: +, -, *, / of floats
  // have no double rounding in 53 bits), or an exact choice; squaredDifference's oracle rounds in
  // between as the kernel does.
  for (const [op, [name, f]] of BINARY.entries()) {
    itOnBothBuilds(name, (kernels, arena) => {
      const random = new Random(op);
      for (const inner of SIZES) {
        for (const [aOuter, aInner, bOuter, bInner] of [
          [inner, 1, inner, 1],
          [inner, 1, 0, 1],
          [0, 1, inner, 1],
          [inner, 1, 1, 0],
          [1, 0, inner, 1],
          [inner, 1, 0, 0],
          [0, 0, inner, 1],
          [1, 0, 0, 0],
          [1, 0, 1, 0],
        ] as [number, 0 | 1, number, 0 | 1][]) {
          const outer = 3;
          const a = random.floats(outer * inner + outer);
          const b = random.floats(outer * inner + outer);
          const y = arena.reserve(outer * inner * 4);
          kernels.f32Binary(
            op,
            outer,
            inner,
            arena.put(a),
            aOuter,
            aInner,
            arena.put(b),
            bOuter,
            bInner,
            y,
          );
          const wanted = binary(f, outer, inner, a, aOuter, aInner, b, bOuter, bInner);
          const context = `${name} [${outer},${inner}] ${aOuter},${aInner} ${bOuter},${bInner}`;
          expectFloats(arena.f32(y, outer * inner), wanted, context);
        }
      }
    });

    itOnBothBuilds(`${name} of special values`, (kernels, arena) => {
      const n = SPECIALS.length;
      const a = Float32Array.from({ length: n * n }, (_, i) => SPECIALS[Math.floor(i / n)]);
      const b = Float32Array.from({ length: n * n }, (_, i) => SPECIALS[i % n]);
      const y = arena.reserve(n * n * 4);
      kernels.f32Binary(op, 1, n * n, arena.put(a), 0, 1, arena.put(b), 0, 1, y);
      expectFloats(arena.f32(y, n * n), binary(f, 1, n * n, a, 0, 1, b, 0, 1), name);
    });
  }

  itOnBothBuilds('random problems', (kernels, arena) => {
    forRandomProblems(arena, 21, random => {
      const [outer, inner] = [random.integer(1, 5), random.integer(1, 40)];
      const op = random.integer(0, BINARY.length - 1);
      const strides = () =>
        random.one<[outer: number, inner: 0 | 1]>([
          [inner, 1],
          [0, 1],
          [1, 0],
          [0, 0],
        ]);
      const [aStrides, bStrides] = [strides(), strides()];
      const [a, b] = [random.floats(outer * inner + outer), random.floats(outer * inner + outer)];
      const y = arena.reserve(outer * inner * 4);
      const [left, right] = [arena.put(a), arena.put(b)];
      kernels.f32Binary(op, outer, inner, left, ...aStrides, right, ...bStrides, y);
      const [name, f] = BINARY[op];
      const wanted = binary(f, outer, inner, a, ...aStrides, b, ...bStrides);
      expectFloats(arena.f32(y, outer * inner), wanted, `${name} ${aStrides} ${bStrides}`);
    });
  });

  itOnBothBuilds('writes over its first operand', (kernels, arena) => {
    const random = new Random(20);
    const a = random.floats(13);
    const b = random.floats(13);
    const y = arena.reserve(13 * 4);
    kernels.f32Binary(0, 1, 13, arena.put(a), 0, 1, arena.put(b), 0, 1, y);
    kernels.f32Binary(2, 1, 13, y, 0, 1, arena.put(b), 0, 1, y);
    const sum = binary((p, q) => p + q, 1, 13, a, 0, 1, b, 0, 1);
    const wanted = binary((p, q) => p * q, 1, 13, sum, 0, 1, b, 0, 1);
    expectFloats(arena.f32(y, 13), wanted, 'in place');
  });
});

describe('f32Unary', () => {
  /**
   * Units in the last place. 0: one correctly rounded operation. rsqrt rounds twice; the others are
   * polynomials, measured over the samples below (and Node, Chromium, Firefox: all the same but for
   * fused multiply-adds).
   */
  const ULPS: Record<string, number> = {
    rsqrt: 1,
    exp: 2,
    log: 2,
    sigmoid: 3,
    tanh: 4,
    elu: 3,
    softplus: 3,
  };
  const P0 = 0.3;
  const P1 = 0.7;

  for (const [op, [name, f]] of UNARY.entries()) {
    const p0 = Math.fround(P0);
    const p1 = Math.fround(P1);
    const ulps = ULPS[name] ?? 0;

    itOnBothBuilds(name, (kernels, arena) => {
      const random = new Random(op);
      // Every exponent of float32, both signs, and where the functions bend.
      const x = new Float32Array(40000 + SPECIALS.length);
      const bits = new Uint32Array(x.buffer);
      for (let i = 0; i < 20000; ++i) bits[i] = random.next() * 2 ** 32;
      for (let i = 20000; i < 40000; ++i) x[i] = (random.next() * 2 - 1) * [1, 10, 110][i % 3];
      x.set(SPECIALS, 40000);
      const y = arena.reserve(x.length * 4);
      kernels.f32Unary(op, arena.put(x), x.length, p0, p1, y);
      const wanted = Float32Array.from(x, v => f(v, p0, p1));
      expectFloats(arena.f32(y, x.length), wanted, name, i => ulps * unit(wanted[i]));
    });

    itOnBothBuilds(`${name}: sizes`, (kernels, arena) => {
      const random = new Random(op);
      for (const n of SIZES) {
        const x = random.floats(n);
        const y = arena.reserve(n * 4);
        kernels.f32Unary(op, arena.put(x), n, p0, p1, y);
        const wanted = Float32Array.from(x, v => f(v, p0, p1));
        expectFloats(arena.f32(y, n), wanted, `${name} ${n}`, i => ulps * unit(wanted[i]));
      }
    });
  }

  itOnBothBuilds('random problems', (kernels, arena) => {
    forRandomProblems(arena, 22, random => {
      const op = random.integer(0, UNARY.length - 1);
      const [name, f] = UNARY[op];
      const [p0, p1] = [random.next() - 1, random.next()].map(Math.fround);
      const reach = random.one([1, 10, 110]);
      const x = random.floats(random.integer(0, 40)).map(v => v * reach);
      // Over itself too.
      const inPlace = random.one([false, true]);
      const from = inPlace ? arena.lend(x) : arena.put(x);
      const y = inPlace ? from : arena.reserve(x.length * 4);
      kernels.f32Unary(op, from, x.length, p0, p1, y);
      const wanted = x.map(v => f(v, p0, p1));
      const ulps = ULPS[name] ?? 0;
      const context = `${name} of ${x.length} up to ${reach}`;
      expectFloats(arena.f32(y, x.length), wanted, context, i => ulps * unit(wanted[i]));
    });
  });
});

describe('f32Affine', () => {
  function check(kernels: WasmKernels, arena: Arena, random: Random, rows: number, c: number) {
    const x = random.floats(rows * c);
    const scale = random.floats(c);
    const offset = random.floats(c);
    const y = arena.reserve(rows * c * 4);
    kernels.f32Affine(arena.put(x), rows, c, arena.put(scale), arena.put(offset), y);
    expectFloats(arena.f32(y, rows * c), affine(x, c, scale, offset), `[${rows},${c}]`);
  }

  itOnBothBuilds('exactly, for sizes about the vector', (kernels, arena) => {
    const random = new Random(1);
    for (const c of SIZES.slice(1)) {
      for (const rows of [0, 1, 2, 5]) check(kernels, arena, random, rows, c);
    }
  });

  itOnBothBuilds('random problems', (kernels, arena) => {
    forRandomProblems(arena, 2, random => {
      check(kernels, arena, random, random.integer(0, 6), random.integer(1, 40));
    });
  });

  itOnBothBuilds('special values', (kernels, arena) => {
    const n = SPECIALS.length;
    const x = Float32Array.from({ length: n * n }, (_, i) => SPECIALS[Math.floor(i / n)]);
    const offset = Float32Array.from({ length: n }, (_, i) => i);
    const y = arena.reserve(n * n * 4);
    const scale = Float32Array.from(SPECIALS);
    kernels.f32Affine(arena.put(x), n, n, arena.put(scale), arena.put(offset), y);
    expectFloats(arena.f32(y, n * n), affine(x, n, scale, offset), 'special');
  });
});
