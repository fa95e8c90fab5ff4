/**
 * The oracle for element-wise ops: tfjs-cpu's formulas, in doubles.
 */

/** Functions of two numbers, in the order of f32Binary's `op`. */
export const BINARY: readonly [name: string, f: (a: number, b: number) => number][] = [
  ['add', (a, b) => a + b],
  ['sub', (a, b) => a - b],
  ['mul', (a, b) => a * b],
  ['div', (a, b) => a / b],
  ['max', (a, b) => Math.max(a, b)],
  ['min', (a, b) => Math.min(a, b)],
  ['squaredDifference', (a, b) => Math.fround(a - b) ** 2],
  ['prelu', (a, b) => (a < 0 ? a * b : a)],
];

/** Functions of one number and two parameters, in the order of f32Unary's `op`. */
export const UNARY: readonly [name: string, f: (x: number, p0: number, p1: number) => number][] = [
  ['relu', x => Math.max(0, x)],
  ['relu6', x => Math.min(Math.max(0, x), 6)],
  ['leakyRelu', (x, p0) => (x < 0 ? p0 * x : x)],
  ['clip', (x, p0, p1) => (x > p1 ? p1 : x < p0 ? p0 : x)],
  ['neg', x => -x],
  ['abs', x => Math.abs(x)],
  ['square', x => x * x],
  ['sqrt', x => Math.sqrt(x)],
  ['rsqrt', x => 1 / Math.sqrt(x)],
  ['reciprocal', x => 1 / x],
  ['exp', x => Math.exp(x)],
  ['log', x => Math.log(x)],
  ['sigmoid', x => 1 / (1 + Math.exp(-x))],
  ['tanh', x => Math.tanh(x)],
  ['elu', x => (x >= 0 ? x : Math.expm1(x))],
  ['softplus', x => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))],
  ['step', (x, p0) => (Number.isNaN(x) ? NaN : x > 0 ? 1 : p0)],
  ['floor', x => Math.floor(x)],
  ['ceil', x => Math.ceil(x)],
  ['round', x => roundHalfEven(x)],
];

function roundHalfEven(x: number): number {
  const base = Math.floor(x);
  if (x - base < 0.5) return Math.floor(x);
  if (x - base > 0.5) return Math.ceil(x);
  return base % 2 === 0 ? base : base + 1;
}

/** y[o*inner + i] = f(a[o*aOuter + i*aInner], b[o*bOuter + i*bInner]). */
export function binary(
  f: (a: number, b: number) => number,
  outer: number,
  inner: number,
  a: ArrayLike<number>,
  aOuter: number,
  aInner: number,
  b: ArrayLike<number>,
  bOuter: number,
  bInner: number,
): Float32Array {
  const y = new Float32Array(outer * inner);
  for (let o = 0; o < outer; ++o) {
    for (let i = 0; i < inner; ++i) {
      y[o * inner + i] = f(a[o * aOuter + i * aInner], b[o * bOuter + i * bInner]);
    }
  }
  return y;
}

/** y [rows,c] = x * scale [c] + offset [c], rounded after each. */
export function affine(
  x: ArrayLike<number>,
  c: number,
  scale: ArrayLike<number>,
  offset: ArrayLike<number>,
): Float32Array {
  return Float32Array.from(x, (v, i) => Math.fround(v * scale[i % c]) + offset[i % c]);
}
