/**
 * The oracle for reductions, x [outer,reduce,inner] -> y [outer,inner], and softmax over rows; in
 * doubles, NaN wherever one goes in.
 */

/** Start, step and end of each, in the order of f32Reduce's `op`. */
export const REDUCE: readonly {
  name: string;
  start: number;
  step: (sum: number, x: number) => number;
  end: (sum: number, count: number) => number;
}[] = [
  { name: 'sum', start: 0, step: (sum, x) => sum + x, end: sum => sum },
  { name: 'mean', start: 0, step: (sum, x) => sum + x, end: (sum, count) => sum / count },
  { name: 'max', start: -Infinity, step: (sum, x) => Math.max(sum, x), end: sum => sum },
  { name: 'min', start: Infinity, step: (sum, x) => Math.min(sum, x), end: sum => sum },
  { name: 'prod', start: 1, step: (sum, x) => sum * x, end: sum => sum },
];

export function reduce(
  op: number,
  x: ArrayLike<number>,
  outer: number,
  count: number,
  inner: number,
): Float32Array {
  const { start, step, end } = REDUCE[op];
  const y = new Float32Array(outer * inner);
  for (let o = 0; o < outer; ++o) {
    for (let i = 0; i < inner; ++i) {
      let sum = start;
      for (let r = 0; r < count; ++r) sum = step(sum, x[(o * count + r) * inner + i]);
      y[o * inner + i] = end(sum, count);
    }
  }
  return y;
}

export function softmax(x: ArrayLike<number>, rows: number, c: number): Float32Array {
  const y = new Float32Array(rows * c);
  for (let row = 0; row < rows; ++row) {
    let max = -Infinity;
    for (let k = 0; k < c; ++k) max = Math.max(max, x[row * c + k]);
    let sum = 0;
    for (let k = 0; k < c; ++k) sum += Math.exp(x[row * c + k] - max);
    for (let k = 0; k < c; ++k) y[row * c + k] = Math.exp(x[row * c + k] - max) / sum;
  }
  return y;
}
