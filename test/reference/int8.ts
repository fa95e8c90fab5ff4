/**
 * The oracle for what quantisation makes of a tensor: each number as the value its byte stands for.
 * A product of such numbers, in doubles, is what the int8 kernels must give but for the rounding of
 * their last float operations.
 */
import { quantiseValue, quantiseWeights } from './quantise';

/**
 * x under one scale and zero point, from its smallest to its largest number, both with zero:
 * scale = (max - min) / 255, zero point = round(-min / scale).
 */
export function roundActivations(x: ArrayLike<number>): Float64Array {
  let min = 0;
  let max = 0;
  for (const v of Array.from(x)) {
    min = Math.min(min, v);
    max = Math.max(max, v);
  }
  const scale = (max - min) / 255;
  if (scale === 0) return new Float64Array(x.length);
  const zero = Math.max(0, Math.min(255, Math.round(-min / scale)));
  const inverse = Math.fround(1 / scale);
  return Float64Array.from(x, v => (quantiseValue(v, inverse, zero) - zero) * scale);
}

/** w [rows,n] under one scale a column, max|w| / largest. */
export function roundWeights(w: ArrayLike<number>, n: number, largest: number): Float64Array {
  const { q, scale } = quantiseWeights(w, w.length / n, n, n, largest);
  return Float64Array.from(q, (v, i) => v * scale[i % n]);
}
