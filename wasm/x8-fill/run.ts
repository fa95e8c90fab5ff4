/**
 * y [n] = value, elements of 1 or 4 bytes: the lowest byte of `valueBits`, or the 32 bits of a float
 * or an integer.
 */
import { fillRun } from '../simd';

export function fill(elementBytes: i32, y: usize, n: i32, valueBits: i32): void {
  assert(elementBytes == 1 || elementBytes == 4);
  if (elementBytes == 1) memory.fill(y, <u8>valueBits, n);
  else fillRun(y, n, valueBits);
}
