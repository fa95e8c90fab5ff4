/**
 * The problems of the GEMM specs: products of patches, as convolutions and matrix products give
 * them. Sizes are about the tiles (4 x 8, 2 x 4, depth 4 and 8), the pair unrolling and the blocks.
 */
import { LINEAR, type Activation } from '../reference/activation';
import type { Patches } from '../reference/gemm';
import type { Random } from './random';

export interface PatchProblem extends Patches {
  name: string;
  /** Elements of x. */
  size: number;
  n: number;
}

/** [m,k] * [k,n]. */
export function product(m: number, k: number, n: number): PatchProblem {
  return {
    name: `[${m},${k}]*[${k},${n}]`,
    m,
    n,
    ow: m,
    pixelStride: k,
    rowStride: 0,
    segmentLength: k,
    segmentOffsets: [0],
    size: m * k,
  };
}

/** A convolution over an image that is already padded. */
export function convolution(
  hp: number,
  wp: number,
  ci: number,
  kh: number,
  kw: number,
  co: number,
  stride = 1,
  dilation = 1,
): PatchProblem {
  const oh = Math.floor((hp - (kh - 1) * dilation - 1) / stride) + 1;
  const ow = Math.floor((wp - (kw - 1) * dilation - 1) / stride) + 1;
  const segmentOffsets: number[] = [];
  for (let y = 0; y < kh; ++y) {
    const row = y * dilation * wp * ci;
    if (dilation === 1) segmentOffsets.push(row);
    else for (let x = 0; x < kw; ++x) segmentOffsets.push(row + x * dilation * ci);
  }
  return {
    name: `[${hp},${wp},${ci}]*[${kh},${kw},${ci},${co}] stride ${stride} dilation ${dilation}`,
    m: oh * ow,
    n: co,
    ow,
    pixelStride: stride * ci,
    rowStride: stride * wp * ci,
    segmentLength: dilation === 1 ? kw * ci : ci,
    segmentOffsets,
    size: hp * wp * ci,
  };
}

/** A product or a convolution of sizes about the tiles of 2, 4, 6 pixels by 4 or 8 columns. */
export function randomPatches(random: Random): PatchProblem {
  const n = random.integer(1, 26);
  if (random.integer(0, 1)) return product(random.integer(1, 30), random.integer(1, 70), n);
  const [kh, kw, dilation] = [random.integer(1, 4), random.integer(1, 4), random.integer(1, 2)];
  const hp = (kh - 1) * dilation + random.integer(1, 6);
  const wp = (kw - 1) * dilation + random.integer(1, 6);
  return convolution(hp, wp, random.integer(1, 13), kh, kw, n, random.integer(1, 3), dilation);
}

/** None, a clamp or a PReLU. */
export function randomActivation(random: Random, n: number): Activation {
  return random.one([
    LINEAR,
    { lo: 0, hi: 6, alpha: null },
    { lo: -0.25, hi: 0.5, alpha: null },
    { ...LINEAR, alpha: random.floats(n) },
    randomSwish(random, n),
  ]);
}

/** A hard swish nowhere steeper than 1: its slope is (2v + 3) * alpha up to 3, then 6 * alpha. */
export function randomSwish(random: Random, n: number): Activation {
  return { lo: -3, hi: 3, alpha: random.floats(n).map(v => v / 9) };
}

export const PROBLEMS: readonly PatchProblem[] = [
  ...[1, 2, 3, 4, 5, 7, 8, 9].map(m => product(m, 16, 8)),
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17].map(k => product(5, k, 9)),
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17].map(n => product(6, 10, n)),
  product(1, 1, 1),
  product(1, 37, 1030),
  product(3, 1, 17),
  // Above 24 pixels the panel of w is copied; above 512 rows it is cut.
  product(23, 9, 10),
  product(24, 9, 10),
  product(25, 513, 11),
  product(29, 1025, 8),
  // More than one block of pixels (BLOCK_BYTES / pixelStride, at least 64 or 256).
  product(301, 2100, 3),
  convolution(3, 3, 1, 3, 3, 1),
  convolution(6, 5, 3, 3, 3, 16),
  convolution(8, 9, 4, 3, 3, 12),
  convolution(9, 9, 3, 3, 3, 8, 2),
  convolution(9, 11, 5, 3, 2, 7, 2, 2),
  convolution(7, 7, 8, 1, 1, 9),
  convolution(12, 11, 7, 5, 5, 10, 1, 2),
  convolution(10, 21, 64, 3, 3, 20),
  // A panel of w that ends inside a segment, with more than one pixel row.
  convolution(9, 9, 60, 3, 3, 10),
];
