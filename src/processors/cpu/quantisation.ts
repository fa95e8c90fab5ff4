/**
 * QUInt8, the 8-bit form of a tensor: x = (q - zero) * scale, q in 0..255, one scale and one zero
 * point for all of it. Zero is always a number of the form, so that padding is exact (Jacob et al.,
 * CVPR 2018, section 2.1).
 */

/** Smallest and largest number of a tensor. */
export type Range = readonly [min: number, max: number];

export interface Quantisation {
  readonly scale: number;
  readonly zero: number;
}

/** Largest quantised activation. */
const QUINT8_MAX = 255;

/** Any would do for zeros; this one is far from that of anything else (`passes/precision.ts`). */
const SCALE_OF_ZEROS = 2 ** -100;

/** A range this many times as wide as the numbers in it has lost them a bit: it is learned anew. */
const TOO_WIDE = 2;

/** Undefined where the range is not finite: such a tensor cannot be quantised. */
export function quantisationOf([min, max]: Range): Quantisation | undefined {
  const low = Math.min(min, 0);
  const high = Math.max(max, 0);
  const scale = (high - low) / QUINT8_MAX;
  if (!Number.isFinite(scale)) return undefined;
  if (scale === 0) return { scale: SCALE_OF_ZEROS, zero: 0 };
  // A range below the smallest normal float would make 1/scale infinite.
  if (!Number.isFinite(Math.fround(1 / scale))) return undefined;
  return { scale, zero: Math.min(Math.max(Math.round(-low / scale), 0), QUINT8_MAX) };
}

/** The smallest and the largest number that the bytes can stand for. */
export function rangeOf({ scale, zero }: Quantisation): Range {
  return [-zero * scale, (QUINT8_MAX - zero) * scale];
}

/** The smallest range that holds all of these. */
export function unionOf(ranges: readonly Range[]): Range {
  return [Math.min(...ranges.map(([min]) => min)), Math.max(...ranges.map(([, max]) => max))];
}

export const widthOf = ([min, max]: Range): number => max - min;

/** What kernels that note a range widen, f32 [min x4 | max x4], before they do. */
export const NO_SPREAD = Float32Array.from([1, 1, 1, 1, -1, -1, -1, -1], v => v * Infinity);

/** The range that they have noted. */
export function rangeOfSpread(spread: Float32Array): Range {
  const [a, b, c, d, e, f, g, h] = spread;
  return [Math.min(a, b, c, d), Math.max(e, f, g, h)];
}

/**
 * The guard of a learned range. `seen` is what a layer gave before it became bytes: the range that
 * would have held it where this one did not, or was too wide for it; undefined where all is well. A
 * step beyond the range costs as much as rounding may: that is well.
 */
export function betterRange(range: Range, seen: Range): Range | undefined {
  const [min, max] = [Math.min(seen[0], 0), Math.max(seen[1], 0)];
  const [low, high] = [Math.min(range[0], 0), Math.max(range[1], 0)];
  // Kernels tell whole steps, in 32 bits.
  const step = ((high - low) / QUINT8_MAX) * (1 + 2 ** -16);
  if (min < low - step || max > high + step) {
    // What is far beyond the range replaces it: its numbers say nothing of these.
    const isFar = max - min > TOO_WIDE * (high - low);
    return isFar ? [min, max] : [Math.min(min, low), Math.max(max, high)];
  }
  return (max - min) * TOO_WIDE < high - low ? [min, max] : undefined;
}
