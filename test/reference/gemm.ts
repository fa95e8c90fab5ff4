/**
 * The oracle for products of patches and for matrix products.
 *
 * `x` is an image [hp,wp,ci] already padded; pixel m reads, for each segment s, segmentLength
 * elements from (m / ow)*rowStride + (m % ow)*pixelStride + segmentOffsets[s]. w is [K,ldw],
 * K = segments * segmentLength, y [m,ldy]. Sums are in doubles; integers in them are exact.
 */
import { activate, type Activation } from './activation';

/** Which elements of x the pixels read. */
export interface Patches {
  m: number;
  ow: number;
  pixelStride: number;
  rowStride: number;
  segmentLength: number;
  segmentOffsets: ArrayLike<number>;
}

/** sum over k of x(patch m)[k] * w[k*ldw + j], for each m and j: [m,n], in doubles. */
export function patchSums(
  x: ArrayLike<number>,
  patches: Patches,
  w: ArrayLike<number>,
  n: number,
  ldw: number,
): Float64Array {
  const { m, ow, pixelStride, rowStride, segmentLength, segmentOffsets } = patches;
  const y = new Float64Array(m * n);
  for (let i = 0; i < m; ++i) {
    const pixel = Math.floor(i / ow) * rowStride + (i % ow) * pixelStride;
    for (let j = 0; j < n; ++j) {
      let sum = 0;
      for (let s = 0; s < segmentOffsets.length; ++s) {
        for (let k = 0; k < segmentLength; ++k) {
          sum += x[pixel + segmentOffsets[s] + k] * w[(s * segmentLength + k) * ldw + j];
        }
      }
      y[i * n + j] = sum;
    }
  }
  return y;
}

/** y [m,n] = act(patches * w + bias). */
export function patchGemm(
  x: ArrayLike<number>,
  patches: Patches,
  w: ArrayLike<number>,
  n: number,
  ldw: number,
  bias: ArrayLike<number> | null,
  activation: Activation,
): Float32Array {
  const sums = patchSums(x, patches, w, n, ldw);
  const y = new Float32Array(sums.length);
  for (let i = 0; i < y.length; ++i) {
    const j = i % n;
    y[i] = activate(sums[i] + (bias ? bias[j] : 0), j, activation);
  }
  return y;
}

/** y [m,n] = a [m,k] * b [k,n]. */
export function matMul(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  m: number,
  k: number,
  n: number,
): Float32Array {
  const y = new Float32Array(m * n);
  for (let i = 0; i < m; ++i) {
    for (let j = 0; j < n; ++j) {
      let sum = 0;
      for (let l = 0; l < k; ++l) sum += a[i * k + l] * b[l * n + j];
      y[i * n + j] = sum;
    }
  }
  return y;
}
