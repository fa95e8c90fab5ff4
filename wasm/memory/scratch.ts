/**
 * One block of SCRATCH_BYTES that a kernel may use until it returns. It comes from the heap when
 * it is first asked for. An instance in a worker must not touch the heap, which belongs to the
 * instance that made it: there, setScratch hands in a block of the worker's own.
 */
import { alloc } from './heap';

/** The largest user: f32-gemm/4x8, a panel of [512][8] floats. */
const SCRATCH_BYTES: usize = 512 * 8 * 4;

let block: usize = 0;

/** @returns the address of SCRATCH_BYTES bytes, 16-byte aligned. */
export function scratch(): usize {
  if (!block) block = alloc(SCRATCH_BYTES);
  return block;
}

/** Makes `address` (16 KiB, 16-byte aligned) this instance's scratch block. */
export function setScratch(address: usize): void {
  block = address;
}
