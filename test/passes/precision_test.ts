/** src/passes/precision.ts: the relative RMS difference. */
import { roundTripError } from '../../src/passes/precision.js';

describe('roundTripError', () => {
  it('is 0 for equal numbers, zeros included, and for none', () => {
    expect(roundTripError([1, -2], [1, -2])).toBe(0);
    expect(roundTripError([0, 0], [0, 0])).toBe(0);
    expect(roundTripError([], [])).toBe(0);
  });

  it('is relative to the exact numbers', () => {
    expect(roundTripError([3, 4], [3, 4.5])).toBeCloseTo(0.1, 12);
    expect(roundTripError([300, 400], [300, 450])).toBeCloseTo(0.1, 12);
  });

  it('is infinite where there should be nothing', () => {
    expect(roundTripError([0, 0], [0, 1])).toBe(Infinity);
  });

  it('is no number where the numbers are none, which is above any budget', () => {
    for (const special of [NaN, Infinity]) {
      expect(roundTripError([1, special], [1, special]) <= 1e9).toBeFalse();
    }
  });
});
