/**
 * The measure by which a layer is kept in float32: the relative RMS difference
 *
 *     sqrt( sum (rounded - exact)^2 / sum exact^2 )
 *
 * of its int8 result from its own float32 result on the same input.
 */

/** 0 for equal arrays; infinite where the exact result is zero and the rounded one is not. */
export function roundTripError(exact: ArrayLike<number>, rounded: ArrayLike<number>): number {
  let error = 0;
  let power = 0;
  for (let i = 0; i < exact.length; i++) {
    const difference = rounded[i] - exact[i];
    error += difference * difference;
    power += exact[i] * exact[i];
  }
  if (error === 0) return 0;
  return Math.sqrt(error / power);
}
