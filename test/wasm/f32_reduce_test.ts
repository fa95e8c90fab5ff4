/** wasm/f32-reduce/x4.ts, wasm/f32-softmax/x4.ts, wasm/f32-minmax/x4.ts */
import { REDUCE, reduce, softmax } from '../reference/reduce';
import type { WasmKernels } from '../../wasm/exports';
import type { Arena } from './instantiate';
import { expectFloats, forRandomProblems, itOnBothBuilds } from './instantiate';
import { EPSILON, Random } from './random';

const SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33];

describe('f32Reduce', () => {
  for (const [op, { name }] of REDUCE.entries()) {
    /** x [outer,count,inner] -> y [outer,inner] */
    const check = (
      kernels: WasmKernels,
      arena: Arena,
      random: Random,
      [outer, count, inner]: readonly [number, number, number],
    ) => {
      const x = random.floats(outer * count * inner);
      const y = arena.reserve(outer * inner * 4);
      kernels.f32Reduce(op, arena.put(x), outer, count, inner, y);
      const wanted = reduce(op, x, outer, count, inner);
      // Doubles in another order (relative error count * 2^-53 of the magnitudes, count <= 1000),
      // rounded once: at most one unit of float32, and less than EPSILON of the sum of magnitudes
      // where they cancel.
      const sums = reduce(op, x.map(Math.abs), outer, count, inner);
      const tolerance = (i: number) =>
        op === 2 || op === 3 ? 0 : EPSILON * (2 * Math.abs(wanted[i]) + 1e-6 * sums[i]);
      const context = `${name} [${outer},${count},${inner}]`;
      expectFloats(arena.f32(y, outer * inner), wanted, context, tolerance);
    };

    itOnBothBuilds(name, (kernels, arena) => {
      const random = new Random(op);
      for (const inner of [1, 2, 3, 4, 5, 8, 13]) {
        for (const count of [0, ...SIZES, 1000]) check(kernels, arena, random, [2, count, inner]);
      }
    });

    itOnBothBuilds(`${name}: random problems`, (kernels, arena) => {
      forRandomProblems(arena, op, random => {
        const sizes = [random.integer(1, 4), random.integer(0, 40), random.integer(1, 20)] as const;
        check(kernels, arena, random, sizes);
      });
    });

    itOnBothBuilds(`${name} of NaN and infinities`, (kernels, arena) => {
      const random = new Random(op);
      for (const special of [NaN, Infinity, -Infinity]) {
        for (const inner of [1, 5]) {
          for (const count of SIZES) {
            for (let place = 0; place < count * inner; place += inner + 2) {
              const x = random.floats(count * inner);
              x[place] = special;
              const y = arena.reserve(inner * 4);
              kernels.f32Reduce(op, arena.put(x), 1, count, inner, y);
              const wanted = reduce(op, x, 1, count, inner);
              const tolerance = (i: number) => 2 * EPSILON * Math.abs(wanted[i]) + 1e-12;
              const context = `${name} ${special} at ${place} of [${count},${inner}]`;
              expectFloats(arena.f32(y, inner), wanted, context, tolerance);
            }
          }
        }
      }
    });
  }

  itOnBothBuilds('sums that float32 would lose', (kernels, arena) => {
    const x = new Float32Array(4097).fill(1);
    x[0] = 2 ** 24;
    const y = arena.reserve(4);
    kernels.f32Reduce(0, arena.put(x), 1, 4097, 1, y);
    expectFloats(arena.f32(y, 1), [2 ** 24 + 4096], 'sum');
  });
});

describe('f32Softmax', () => {
  // exp errs by 2 units of 2^-23 relative, x - max is exact or off by half a unit of |x - max|
  // (at most 40 here, so 40 * 2^-24 in the exponent), sum and division round once each.
  const tolerance = (wanted: Float32Array) => (i: number) => 60 * EPSILON * wanted[i];

  itOnBothBuilds('sizes', (kernels, arena) => {
    const random = new Random(1);
    for (const c of [...SIZES, 1000]) {
      for (const rows of [0, 1, 3]) {
        const x = random.floats(rows * c).map(v => v * 20);
        const y = arena.reserve(rows * c * 4);
        kernels.f32Softmax(arena.put(x), rows, c, y);
        const wanted = softmax(x, rows, c);
        expectFloats(arena.f32(y, rows * c), wanted, `[${rows},${c}]`, tolerance(wanted));
      }
    }
  });

  itOnBothBuilds('random problems', (kernels, arena) => {
    forRandomProblems(arena, 2, random => {
      const [rows, c] = [random.integer(1, 4), random.integer(1, 40)];
      const scale = random.one([0, 1, 20]);
      const x = random.floats(rows * c).map(v => v * scale);
      // Over itself too.
      const inPlace = random.one([false, true]);
      const from = inPlace ? arena.lend(x) : arena.put(x);
      const y = inPlace ? from : arena.reserve(rows * c * 4);
      kernels.f32Softmax(from, rows, c, y);
      const wanted = softmax(x, rows, c);
      expectFloats(arena.f32(y, rows * c), wanted, `[${rows},${c}]`, tolerance(wanted));
    });
  });

  itOnBothBuilds('huge, equal, NaN, infinities', (kernels, arena) => {
    for (const row of [
      [1e38, -1e38, 0, 3, 5],
      [3e38, 3e38, 3e38],
      [0, 0, 0, 0, 0, 0, 0],
      [NaN, 1, 2, 3, 4, 5],
      [1, 2, 3, 4, NaN],
      [Infinity, 1, 2, 3, 4],
      [-Infinity, 1, 2, 3, 4],
      [-Infinity, -Infinity],
    ]) {
      const x = Float32Array.from(row);
      const y = arena.reserve(x.length * 4);
      kernels.f32Softmax(arena.put(x), 1, x.length, y);
      const wanted = softmax(x, 1, x.length);
      expectFloats(arena.f32(y, x.length), wanted, `${row}`, tolerance(wanted));
    }
  });
});

/** Where a range is noted, and the range that was. */
function seenBy(arena: Arena): [spread: number, seen: () => number[]] {
  const spread = arena.lend(Float32Array.from([1, 1, 1, 1, -1, -1, -1, -1], v => v * Infinity));
  const seen = () => {
    const lanes = Array.from(arena.f32(spread, 8));
    return [Math.min(...lanes.slice(0, 4)), Math.max(...lanes.slice(4))];
  };
  return [spread, seen];
}

describe('f32MinMax', () => {
  itOnBothBuilds('finds both, wherever they are', (kernels, arena) => {
    const random = new Random(1);
    for (const n of SIZES) {
      for (let place = 0; place < n; ++place) {
        for (const v of [5, -5, Infinity, -Infinity, NaN]) {
          const x = random.floats(n);
          x[place] = v;
          const [spread, seen] = seenBy(arena);
          kernels.f32MinMax(arena.put(x), n, spread);
          const wanted = Number.isNaN(v) ? [-Infinity, Infinity] : [Math.min(...x), Math.max(...x)];
          expectFloats(seen(), wanted, `${v} at ${place}/${n}`);
        }
      }
    }
  });

  itOnBothBuilds('random problems', (kernels, arena) => {
    forRandomProblems(arena, 3, random => {
      const x = random.floats(random.integer(1, 70));
      if (random.integer(0, 4) === 0) {
        x[random.integer(0, x.length - 1)] = random.one([NaN, Infinity, -Infinity]);
      }
      const [spread, seen] = seenBy(arena);
      kernels.f32MinMax(arena.put(x), x.length, spread);
      const wanted = x.some(Number.isNaN)
        ? [-Infinity, Infinity]
        : [Math.min(...x), Math.max(...x)];
      expectFloats(seen(), wanted, `${x.length} numbers`);
    });
  });

  itOnBothBuilds('of nothing leaves what was there', (kernels, arena) => {
    const [spread, seen] = seenBy(arena);
    kernels.f32MinMax(0, 0, spread);
    expectFloats(seen(), [Infinity, -Infinity], 'nothing');
  });
});
