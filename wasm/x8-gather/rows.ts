/**
 * y [m, rowBytes] = x [n, rowBytes] at rows indices [m]. Indices are not checked: the caller does,
 * since what an index out of range means differs from op to op.
 */
import { copyRun } from '../simd';

export function gatherRows(x: usize, indices: usize, m: i32, rowBytes: i32, y: usize): void {
  assert(m >= 0);
  assert(rowBytes >= 0);
  const bytes = <usize>rowBytes;
  const words = !(rowBytes & 3);
  for (let i = 0; i < m; ++i) {
    const row = x + <usize>load<i32>(indices + ((<usize>i) << 2)) * bytes;
    if (words) copyRun(y, row, bytes);
    else memory.copy(y, row, bytes);
    y += bytes;
  }
}
