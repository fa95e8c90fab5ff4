/**
 * The oracle for 8-bit numbers: weights to signed bytes with one scale a column, activations to
 * unsigned bytes with one scale and a zero point, and the integer product that uses both. Each
 * rounding to float32 is written out, so results are to be equal, not near.
 */
import { activate, type Activation } from './activation';
import { patchSums, type Patches } from './gemm';

/** To the nearest integer, halves to even. */
export function roundHalfEven(v: number): number {
  const floor = Math.floor(v);
  const rest = v - floor;
  if (rest < 0.5) return floor;
  if (rest > 0.5) return floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/** w [rows,ldw] -> q [rows,n] in ±largest, scale [n] = max|w|/largest (1 for zero), sum [n] of q. */
export function quantiseWeights(
  w: ArrayLike<number>,
  rows: number,
  n: number,
  ldw: number,
  largest = 127,
) {
  const q = new Int8Array(rows * n);
  const scale = new Float32Array(n);
  const sum = new Int32Array(n);
  for (let j = 0; j < n; ++j) {
    let greatest = 0;
    for (let k = 0; k < rows; ++k) greatest = Math.max(greatest, Math.abs(w[k * ldw + j]));
    scale[j] = greatest / largest;
    if (scale[j] === 0) scale[j] = 1;
    for (let k = 0; k < rows; ++k) {
      const v = roundHalfEven(Math.fround(w[k * ldw + j] / scale[j]));
      q[k * n + j] = Math.max(-127, Math.min(127, v));
      sum[j] += q[k * n + j];
    }
  }
  return { q, scale, sum };
}

/** One float to 0..255; a NaN to 0. */
export function quantiseValue(v: number, inverseScale: number, zeroPoint: number): number {
  const scaled = Math.fround(v * inverseScale);
  if (Number.isNaN(scaled)) return 0;
  return Math.max(0, Math.min(255, roundHalfEven(scaled) + zeroPoint));
}

/** What a layer makes of its integer sums [m,n]. */
export interface Epilogue {
  /** [n] */
  scale: ArrayLike<number>;
  /** [n] */
  bias: ArrayLike<number> | null;
  activation: Activation;
}

/** y [m,n] = act(f32(sums) * scale + bias) */
export function floatsOfSums(sums: ArrayLike<number>, n: number, e: Epilogue): Float32Array {
  return Float32Array.from(sums, (sum, i) => {
    const v = Math.fround(Math.fround(sum) * e.scale[i % n]);
    return activate(e.bias ? Math.fround(v + e.bias[i % n]) : v, i % n, e.activation);
  });
}

/**
 * The same as bytes, trunc(y * inverse + zero + 1/2); and [min, max] of y in whole steps, infinite
 * where 16 bits do not hold them. Without `alpha`, scale and bias are in steps before they are used.
 */
export function bytesOfSums(
  sums: ArrayLike<number>,
  n: number,
  e: Epilogue,
  inverse: number,
  zero: number,
): { bytes: number[]; spread: [number, number] } {
  const { fround } = Math;
  const steps = (v: number) => fround(fround(v * inverse) + fround(zero + 0.5));
  const word = (v: number) => Math.trunc(Math.max(-32768, Math.min(32767, v)));
  const { lo, hi, alpha } = e.activation;
  const floats = alpha ? floatsOfSums(sums, n, e) : undefined;
  const words = Array.from(sums, (sum, i) => {
    if (floats) return word(steps(floats[i]));
    const v = fround(fround(sum) * fround(e.scale[i % n] * inverse));
    const y = word(fround(v + steps(e.bias ? e.bias[i % n] : 0)));
    return Math.max(word(steps(lo)), Math.min(word(steps(hi)), y));
  });
  const number = (w: number) =>
    Math.abs(w + 0.5) > 32767 ? w * Infinity : fround((w - zero) / inverse);
  const [least, most] = [Math.min(...words), Math.max(...words)].map(number);
  return { bytes: words.map(w => Math.max(0, Math.min(255, w))), spread: [least, most] };
}

/** i32 [m,n] = x*q + correction; x holds 0..255 or -128..127. */
export function quantisedSums(
  x: ArrayLike<number>,
  patches: Patches,
  q: ArrayLike<number>,
  n: number,
  correction: ArrayLike<number>,
): Int32Array {
  return Int32Array.from(patchSums(x, patches, q, n, n), (sum, i) => sum + correction[i % n]);
}
