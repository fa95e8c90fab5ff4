/**
 * The oracle for what follows a sum: clamping to [lo, hi], PReLU with one slope a channel, or where
 * there are slopes and lo is finite, hard swish. A NaN passes all three.
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
  const clamped = v < lo ? lo : v > hi ? hi : v;
  if (!alpha) return clamped;
  // Rounded where the kernels round.
  if (lo > -Infinity) return v * Math.fround(Math.fround(clamped - lo) * alpha[j]);
  return v >= 0 ? v : alpha[j] * v;
}
