/**
 * kernels/binary.ts: element-wise operations of two operands, with broadcasting.
 *
 * One operation, rounded once, or exact choices. A GPU divides by way of a reciprocal: 4 units.
 */
import * as tf from '@tensorflow/tfjs-core';

import { binaries } from '../../kernels/binary.js';
import { BINARY } from '../reference/elementwise';
import { at, build } from '../reference/tensor';
import type { Problem } from '../support.js';
import {
  CPU_FLOAT_WAY,
  EPSILON16,
  EPSILON32,
  expectNear,
  FLOAT_WAYS,
  floats,
  itInWays,
  setFlags,
  signedGrid,
  SOME_FLOAT_WAYS,
  TINY16,
  useMulayer,
} from '../support.js';

interface Operation {
  call: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor;
  f: (a: number, b: number) => number;
  /** Computed by tfjs-cpu whatever the split is. */
  rare?: boolean;
}

const oracle = (name: string) => BINARY.find(([wanted]) => wanted === name)![1];

/** Rounds towards minus infinity, as Python does; its sign is the divisor's. */
const mod = (a: number, b: number) => a - b * Math.floor(a / b);

const ARITHMETIC: Record<string, Operation> = {
  Add: { call: tf.add, f: oracle('add') },
  Sub: { call: tf.sub, f: oracle('sub') },
  Multiply: { call: tf.mul, f: oracle('mul') },
  RealDiv: { call: tf.div, f: oracle('div') },
  Maximum: { call: tf.maximum, f: oracle('max') },
  Minimum: { call: tf.minimum, f: oracle('min') },
  SquaredDifference: { call: tf.squaredDifference, f: oracle('squaredDifference') },
  Prelu: { call: tf.prelu, f: oracle('prelu') },
  FloorDiv: { call: tf.floorDiv, f: (a, b) => Math.floor(a / b), rare: true },
  Mod: { call: tf.mod, f: mod, rare: true },
  Pow: { call: (a, b) => tf.pow(a, tf.round(b)), f: (a, b) => a ** roundHalfEven(b), rare: true },
  Atan2: { call: tf.atan2, f: Math.atan2, rare: true },
};

const COMPARISON: Record<string, Operation> = {
  Equal: { call: tf.equal, f: (a, b) => Number(a === b), rare: true },
  NotEqual: { call: tf.notEqual, f: (a, b) => Number(a !== b), rare: true },
  Greater: { call: tf.greater, f: (a, b) => Number(a > b), rare: true },
  GreaterEqual: { call: tf.greaterEqual, f: (a, b) => Number(a >= b), rare: true },
  Less: { call: tf.less, f: (a, b) => Number(a < b), rare: true },
  LessEqual: { call: tf.lessEqual, f: (a, b) => Number(a <= b), rare: true },
};

const LOGIC: Record<string, Operation> = {
  LogicalAnd: { call: tf.logicalAnd, f: (a, b) => Number(a !== 0 && b !== 0) },
  LogicalOr: { call: tf.logicalOr, f: (a, b) => Number(a !== 0 || b !== 0) },
};

function roundHalfEven(v: number): number {
  const floor = Math.floor(v);
  return v - floor === 0.5 ? floor + (Math.abs(floor) % 2) : Math.round(v);
}

function problem(op: string, operation: Operation, aShape: number[], bShape: number[]): Problem {
  const as = signedGrid(tf.util.sizeFromShape(aShape), 3);
  // No zero to divide by, and some numbers that are equal.
  const bs = signedGrid(tf.util.sizeFromShape(bShape), 200).map(v => v || 1);
  as.forEach((_, i) => i % 5 === 0 && (as[i] = bs[i % bs.length]));
  const shape = tf.broadcast_util.assertAndGetBroadcastShape(aShape, bShape);
  const values = build(shape, index => operation.f(at(as, aShape, index), at(bs, bShape, index)));
  const float32 = (i: number) => EPSILON32 * Math.abs(values[i]);
  return {
    op,
    onGpu: !operation.rare,
    calls: op === 'Pow' ? 2 : 1,
    setUp() {
      const a = tf.tensor(as, aShape);
      const b = tf.tensor(bs, bShape);
      return () => operation.call(a, b);
    },
    ...floats(values, float32, i => 4 * float32(i) + EPSILON16 * Math.abs(values[i]) + TINY16),
    gpu32: { values, tolerance: i => 8 * EPSILON32 * Math.abs(values[i]) },
  };
}

/** Shapes of the operands: who is repeated along which axes. */
const SHAPES: [number[], number[]][] = [
  [[], []],
  [[1], [1]],
  [[17], [17]],
  [[5, 17], []],
  [[], [5, 17]],
  [[5, 17], [1]],
  [[5, 17], [17]],
  [[17], [5, 17]],
  [
    [5, 17],
    [5, 1],
  ],
  [
    [5, 1],
    [1, 17],
  ],
  [
    [2, 1, 1, 17],
    [2, 3, 4, 17],
  ],
  [
    [2, 3, 4, 17],
    [3, 1, 17],
  ],
  [
    [2, 3, 4, 9],
    [1, 3, 1, 9],
  ],
  [
    [3, 1, 5, 1],
    [1, 4, 1, 9],
  ],
  [
    [2, 1, 3, 1, 2],
    [1, 2, 1, 3, 1],
  ],
  [
    [2, 1, 2, 1, 2, 9],
    [1, 2, 1, 2, 1, 9],
  ],
];

const nameOf = (shapes: number[][]) => shapes.map(shape => `[${shape.join()}]`).join(' and ');

describe('element-wise operations of two operands', () => {
  useMulayer();

  it('are all in these tables', () => {
    const tables = [...Object.keys(ARITHMETIC), ...Object.keys(COMPARISON), ...Object.keys(LOGIC)];
    expect(tables.sort()).toEqual(binaries.map(({ name }) => name).sort());
  });

  for (const [op, operation] of Object.entries(ARITHMETIC)) {
    const ways = operation.rare ? CPU_FLOAT_WAY : SOME_FLOAT_WAYS;
    itInWays(op, ways, () => problem(op, operation, [2, 3, 17], [2, 3, 17]));
    itInWays(`${op} by channel`, ways, () => problem(op, operation, [2, 3, 17], [17]));
  }
  for (const shapes of SHAPES) {
    itInWays(`of shapes ${nameOf(shapes)}`, SOME_FLOAT_WAYS, () =>
      problem('Sub', ARITHMETIC.Sub, ...shapes),
    );
  }
  itInWays('in every way', FLOAT_WAYS, () =>
    problem('RealDiv', ARITHMETIC.RealDiv, [2, 3, 4, 17], [2, 1, 1, 17]),
  );
  itInWays('of rank 7, on the CPU', FLOAT_WAYS, () => ({
    ...problem('Add', ARITHMETIC.Add, [1, 2, 1, 2, 1, 2, 9], [9]),
    onGpu: false,
  }));

  for (const [op, operation] of Object.entries(COMPARISON)) {
    itInWays(op, CPU_FLOAT_WAY, () => problem(op, operation, [5, 17], [5, 17]));
    itInWays(`${op} by channel`, CPU_FLOAT_WAY, () => problem(op, operation, [5, 17], [17]));

    it(`${op} is false of NaN, but for NotEqual`, async () => {
      const a = tf.tensor1d([NaN, 1, NaN]);
      const b = tf.tensor1d([NaN, NaN, 1]);
      const wanted = Number(op === 'NotEqual');
      expectNear(await operation.call(a, b).data(), [wanted, wanted, wanted]);
    });
  }

  for (const [op, { call, f }] of Object.entries(LOGIC)) {
    it(op, async () => {
      const as = Array.from({ length: 200 }, (_, i) => i % 2);
      const bs = Array.from({ length: 200 }, (_, i) => Math.floor(i / 2) % 2);
      const a = tf.tensor1d(as, 'bool');
      const y = call(a, tf.tensor1d(bs, 'bool'));
      expect(y.dtype).toBe('bool');
      expectNear(
        await y.data(),
        as.map((v, i) => f(v, bs[i])),
      );
    });
  }

  it('of integers stay exact above 2^24, in every way', async () => {
    const numbers = Int32Array.from({ length: 300 }, (_, i) => 2 ** 24 + i);
    for (const split of ['cpu', 'gpu', 0.5]) {
      setFlags({ MULAYER_SPLIT: split });
      const y = tf.add(tf.tensor2d(numbers, [30, 10], 'int32'), tf.scalar(1, 'int32'));
      expect(y.dtype).toBe('int32');
      expectNear(
        await y.data(),
        numbers.map(v => v + 1),
      );
    }
  });

  it('of special numbers give what tfjs-cpu gives', async () => {
    const specials = [0, -0, NaN, Infinity, -Infinity, 1, -1, 1e-45, 3e38];
    const a = tf.tensor2d(specials, [9, 1]);
    const b = tf.tensor2d(specials, [1, 9]);
    setFlags({ MULAYER_SPLIT: 'cpu' });
    for (const [op, { call, f }] of Object.entries(ARITHMETIC)) {
      if (['Pow', 'Mod', 'FloorDiv'].includes(op)) continue;
      const wanted = build([9, 9], ([i, j]) =>
        Math.fround(f(Math.fround(specials[i]), Math.fround(specials[j]))),
      );
      expectNear(await call(a, b).data(), wanted, i => EPSILON32 * Math.abs(wanted[i]));
    }
  });
});
