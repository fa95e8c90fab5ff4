/**
 * The oracle for what follows a sum: clamping to [lo, hi], or PReLU with one slope a channel. A NaN
 * passes both.
 */
export interface Activation {
  lo: number;
  hi: number;
  /** Slopes; null to clamp. */
  alpha: ArrayLike<number> | null;
}

/** No activation. */
export const LINEAR: Activation = { lo: -Infinity, hi: Infinity, alpha: null };

/** act(v) for channel j. */
export function activate(v: number, j: number, { lo, hi, alpha }: Activation): number {
  if (alpha) return v >= 0 ? v : alpha[j] * v;
  if (v < lo) return lo;
  if (v > hi) return hi;
  return v;
}
