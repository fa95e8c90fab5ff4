/**
 * y [m, rowBytes] = x [n, rowBytes] at rows indices [m]. Indices are not checked: the caller does,
 * since what an index out of range means differs from op to op.
 */
import { copyRun } from '../simd';

export function gatherRows(x: usize, indices: usize, m: i32, rowBytes: i32, y: usize): void {
  assert(m >= 0);
  assert(rowBytes >= 0);
  const bytes = <usize>rowBytes;
  for (let i = 0; i < m; ++i) {
    copyRun(y, x + <usize>load<i32>(indices + ((<usize>i) << 2)) * bytes, bytes);
    y += bytes;
  }
}
