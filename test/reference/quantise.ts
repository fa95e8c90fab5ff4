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

/** y [m,n] = act(f32(x*q + correction) * scale + bias); x holds 0..255 or -128..127. */
export function quantisedGemm(
  x: ArrayLike<number>,
  patches: Patches,
  q: ArrayLike<number>,
  n: number,
  correction: ArrayLike<number>,
  scale: ArrayLike<number>,
  bias: ArrayLike<number> | null,
  activation: Activation,
): Float32Array {
  const sums = patchSums(x, patches, q, n, n);
  const y = new Float32Array(sums.length);
  for (let i = 0; i < y.length; ++i) {
    const j = i % n;
    let v = Math.fround(Math.fround((sums[i] + correction[j]) | 0) * scale[j]);
    if (bias) v = Math.fround(v + bias[j]);
    y[i] = activate(v, j, activation);
  }
  return y;
}
