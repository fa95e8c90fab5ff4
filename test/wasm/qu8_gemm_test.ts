/** wasm/qs8-pack/*, wasm/qu8-gemm/*, wasm/relaxed-dot-kind/probe.ts */
import { LINEAR, type Activation } from '../reference/activation';
import { bytesOfSums, floatsOfSums, quantisedSums, quantiseWeights } from '../reference/quantise';
import {
  expectFloats,
  forRandomProblems,
  itOn,
  itOnBothBuilds,
  type Arena,
  type Build,
} from './instantiate';
import { DOT_PATHS, WHOLE, type DotOperands } from './dots';
import {
  PROBLEMS,
  product,
  randomActivation,
  randomPatches,
  randomSwish,
  type PatchProblem,
} from './patches';
import { Random } from './random';
import type { WasmKernels } from '../../wasm/exports';

/** A way to multiply bytes. */
interface Path {
  name: string;
  build: Build['name'];
  i16: boolean;
  /** Rows of the tile that is forced; 0: the kernels choose. */
  rows: 0 | 4 | 6;
  operands(kernels: WasmKernels): DotOperands;
}

const EXACT = { rows: 0, operands: () => WHOLE } as const;
const PATHS: readonly Path[] = [
  { ...EXACT, name: 'i16', build: 'baseline', i16: true },
  { ...EXACT, name: 'i16', build: 'relaxed', i16: true },
  { ...EXACT, name: 'default', build: 'baseline', i16: false },
  ...([0, 4, 6] as const).flatMap(rows =>
    DOT_PATHS.map(dot => ({
      ...dot,
      name: `${dot.name}, ${rows || 'any'} rows`,
      i16: false,
      rows,
    })),
  ),
];

/** A path on an instance of its build. */
type Way = Pick<Path, 'i16'> & DotOperands;

/** `it` for each path. */
function itOnAllPaths(what: string, body: (way: Way, kernels: WasmKernels, arena: Arena) => void) {
  for (const { name, build, i16, rows, operands } of PATHS) {
    itOn(build, `${what}: ${name}`, (kernels, arena) => {
      kernels.setTileRows(rows);
      try {
        body({ i16, ...operands(kernels) }, kernels, arena);
      } finally {
        kernels.setTileRows(0);
      }
    });
  }
}

interface Operands {
  x: Uint8Array;
  w: Float32Array;
  ldw: number;
  zeroPoint: number;
  bias: Float32Array | null;
  activation: Activation;
  gap: number;
}

/** Packs, multiplies, and compares everything with the oracle: bytes, sums and floats exactly. */
function check(path: Way, kernels: WasmKernels, arena: Arena, p: PatchProblem, o: Operands) {
  const segments = p.segmentOffsets.length;
  const K = segments * p.segmentLength;
  const { largest } = path;
  const wanted = quantiseWeights(o.w, K, p.n, o.ldw, largest);

  const pack = path.i16 ? kernels.qs8PackI16 : kernels.qs8Pack;
  const packedBytes = path.i16 ? kernels.qs8PackedBytesI16 : kernels.qs8PackedBytes;
  const gemm = path.i16 ? kernels.qu8GemmI16 : kernels.qu8Gemm;
  const packed = arena.reserve(packedBytes(segments, p.segmentLength, p.n));
  const scale = arena.reserve(p.n * 4);
  const sum = arena.reserve(p.n * 4);
  pack(arena.put(o.w), segments, p.segmentLength, p.n, o.ldw, packed, scale, sum, largest);
  expectFloats(arena.f32(scale, p.n), wanted.scale, `${p.name} scale`);
  expectFloats(arena.i32(sum, p.n), wanted.sum, `${p.name} sum`);

  // sum((x - zeroPoint) * q) = sum(x * q) - zeroPoint * sum(q); signed bytes are x - 128.
  const shift = o.zeroPoint - path.xor;
  const correction = wanted.sum.map(v => -shift * v);
  const factor = wanted.scale.map(v => v * 0.0173);
  const stored = o.x.map(v => v ^ path.xor);

  const ldy = p.n + o.gap;
  const length = (p.m - 1) * ldy + p.n;
  const y = arena.reserve(length * 4);
  const tail = [
    ...[arena.put(stored), p.m, p.ow, p.pixelStride, p.rowStride, segments, p.segmentLength],
    ...[arena.put(Int32Array.from(p.segmentOffsets)), packed, p.n],
    ...[arena.put(correction), arena.put(factor), o.bias ? arena.put(o.bias) : 0],
    o.activation.alpha ? arena.put(Float32Array.from(o.activation.alpha)) : 0,
    ...[o.activation.lo, o.activation.hi],
  ] as unknown as Head;
  gemm(...tail, y, ldy, 0, 0, 0);
  const bytes = arena.u8(y, length * 4);
  const floats = new Float32Array(bytes.buffer);
  const rows = new Float32Array(p.m * p.n);
  for (let i = 0; i < p.m; ++i) {
    rows.set(floats.subarray(i * ldy, i * ldy + p.n), i * p.n);
    const between = bytes.subarray((i * ldy + p.n) * 4, (i + 1) * ldy * 4);
    if (!between.every(v => v === 0xff)) fail(`${p.name}: written between the rows of y`);
  }
  // The oracle in terms of the values: whatever was stored, the result is that of x - zeroPoint.
  const plain = wanted.sum.map(v => -o.zeroPoint * v);
  const sums = quantisedSums(o.x, p, wanted.q, p.n, plain);
  const epilogue = { scale: factor, bias: o.bias, activation: o.activation };
  const oracle = floatsOfSums(sums, p.n, epilogue);
  expectFloats(rows, oracle, p.name);

  // The same as bytes, in a range that clamps some of them, and what the range should have been. No
  // range holds infinity.
  if (!oracle.every(Number.isFinite)) return;
  const inverse = Math.fround(200 / oracle.reduce((most, v) => Math.max(most, Math.abs(v)), 1));
  const exact = bytesOfSums(sums, p.n, epilogue, inverse, o.zeroPoint);
  const spread = arena.lend(Float32Array.from([1, 1, 1, 1, -1, -1, -1, -1], v => v * Infinity));
  const q = arena.reserve(length);
  gemm(...tail, q, ldy, inverse, o.zeroPoint, spread);
  const row = (i: number) => arena.u8(q + i * ldy, p.n);
  for (let i = 0; i < p.m; ++i) {
    expectFloats(row(i), exact.bytes.slice(i * p.n, (i + 1) * p.n), `${p.name} bytes of row ${i}`);
    const gap = i + 1 < p.m ? arena.u8(q + i * ldy + p.n, o.gap) : [];
    if (!gap.every(v => v === 0xff)) fail(`${p.name}: written between the rows of bytes`);
  }
  const lanes = Array.from(arena.f32(spread, 8));
  const seen = [Math.min(...lanes.slice(0, 4)), Math.max(...lanes.slice(4))];
  expectFloats(seen, exact.spread, `${p.name} spread`);
}

/** The arguments that come before the result. */
type Head =
  Parameters<WasmKernels['qu8Gemm']> extends [...infer H, number, number, number, number, number]
    ? H
    : never;

function operands(path: Way, p: PatchProblem, random: Random, ldw = p.n): Operands {
  const K = p.segmentOffsets.length * p.segmentLength;
  return {
    x: random.bytes(p.size, 0, path.greatest),
    w: random.floats((K - 1) * ldw + p.n),
    ldw,
    zeroPoint: random.integer(0, 255),
    bias: null,
    activation: LINEAR,
    gap: 0,
  };
}

describe('relaxedDotKind', () => {
  itOn('baseline', 'is 0 without relaxed SIMD', kernels => {
    expect(kernels.relaxedDotKind()).toBe(0);
  });
  itOn('relaxed', 'is 0, 1, 2 or 3', kernels => {
    expect([0, 1, 2, 3]).toContain(kernels.relaxedDotKind());
  });
  for (const [kind, name] of (['i16', 'usdot', 'sdot', 'usdot7'] as const).entries()) {
    itOn(name, `is ${kind} for an emulated dot`, kernels => {
      expect<number>(kernels.relaxedDotKind()).toBe(kind);
    });
  }
});

describe('qu8Gemm', () => {
  for (const p of PROBLEMS) {
    itOnAllPaths(p.name, (path, kernels, arena) => {
      check(path, kernels, arena, p, operands(path, p, new Random(1)));
    });
  }

  itOnAllPaths('slices of w and y: ldw and ldy above n', (path, kernels, arena) => {
    const random = new Random(2);
    for (const p of PROBLEMS) {
      if (p.m * p.n * p.segmentLength > 1e5) continue;
      const ldw = p.n + random.integer(1, 9);
      check(path, kernels, arena, p, { ...operands(path, p, random, ldw), gap: 5 });
    }
  });

  itOnAllPaths('bias, clamping, PReLU, hard swish', (path, kernels, arena) => {
    const random = new Random(3);
    for (const m of [1, 4, 6]) {
      for (const n of [1, 3, 4, 7, 8, 13]) {
        const p = product(m, 11, n);
        const o = { ...operands(path, p, random), bias: random.floats(n) };
        check(path, kernels, arena, p, o);
        check(path, kernels, arena, p, { ...o, activation: { lo: 0, hi: 6, alpha: null } });
        check(path, kernels, arena, p, { ...o, activation: { lo: -1, hi: 0.5, alpha: null } });
        const alpha = random.floats(n);
        // The kernel adds max(v, 0) and alpha * min(v, 0), the oracle picks one: -0 aside equal.
        check(path, kernels, arena, p, { ...o, activation: { ...LINEAR, alpha } });
        check(path, kernels, arena, p, { ...o, activation: randomSwish(random, n) });
      }
    }
  });

  // 255 * +-127 in every place: 16-bit pair sums would saturate, 32-bit sums do not.
  itOnAllPaths('saturating weights and activations', (path, kernels, arena) => {
    const random = new Random(4);
    for (const p of [product(5, 64, 9), product(4, 4608, 8), product(1, 33, 1)]) {
      const o = operands(path, p, random);
      const x = o.x.fill(path.greatest);
      for (const weights of [
        o.w.map(() => 1),
        o.w.map(() => -1),
        o.w.map((_, i) => (Math.floor(i / p.n) % 2 ? 1 : -1)),
        o.w.map((_, i) => (Math.floor(i / p.n) % 4 < 2 ? 1 : -1)),
      ]) {
        for (const zeroPoint of [0, 128, 255]) {
          check(path, kernels, arena, p, { ...o, x, w: weights, zeroPoint });
        }
      }
    }
  });

  itOnAllPaths('zeros: activations, weights, a column', (path, kernels, arena) => {
    const random = new Random(5);
    const p = product(6, 9, 11);
    const o = operands(path, p, random);
    check(path, kernels, arena, p, { ...o, x: new Uint8Array(p.size) });
    check(path, kernels, arena, p, { ...o, w: o.w.map(() => 0) });
    check(path, kernels, arena, p, { ...o, w: o.w.map((v, i) => (i % 11 === 8 ? 0 : v)) });
  });

  itOnAllPaths('tiny and huge weights', (path, kernels, arena) => {
    const random = new Random(6);
    const p = product(3, 6, 9);
    const o = operands(path, p, random);
    for (const magnitude of [1e-45, 1e-42, 1e-38, 1e-20, 1e30, 3e38]) {
      check(path, kernels, arena, p, { ...o, w: o.w.map(v => v * magnitude) });
    }
  });

  itOnAllPaths('random problems', (path, kernels, arena) => {
    forRandomProblems(arena, 8, random => {
      const p = randomPatches(random);
      const o = {
        ...operands(path, p, random, p.n + random.one([0, 0, 5])),
        bias: random.one([null, random.floats(p.n)]),
        activation: randomActivation(random, p.n),
        gap: random.one([0, 0, 3]),
      };
      // Most ordinary, some with every product at its greatest, some with none.
      const kind = random.integer(0, 9);
      if (kind === 0) o.x.fill(path.greatest);
      if (kind <= 1) o.w.forEach((v, i) => (o.w[i] = Math.sign(v)));
      if (kind === 2) o.w.fill(0);
      check(path, kernels, arena, p, o);
    });
  });

  itOnBothBuilds('weights that are not finite give a scale that is not', (kernels, arena) => {
    for (const special of [NaN, Infinity, -Infinity]) {
      for (const j of [0, 5, 8]) {
        const w = new Random(7).floats(27);
        w[9 + j] = special;
        const scale = arena.reserve(36);
        const packed = arena.reserve(kernels.qs8PackedBytes(1, 3, 9));
        kernels.qs8Pack(arena.put(w), 1, 3, 9, 9, packed, scale, arena.reserve(36), 127);
        const finite = Array.from(arena.f32(scale, 9), Number.isFinite);
        expect(finite).toEqual(Array.from({ length: 9 }, (_, i) => i !== j));
      }
    }
  });
});
