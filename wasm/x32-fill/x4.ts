/**
 * y [n] = value, given as the 32 bits of a float or an integer.
 */
import { fillRun } from '../simd';

export function fill(y: usize, n: i32, valueBits: i32): void {
  fillRun(y, n, valueBits);
}
