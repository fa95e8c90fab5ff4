/**
 * One block of 16 KiB that a kernel may use until it returns: each instance of the module has its
 * own, given by who made the instance, for workers run kernels on one memory at once.
 *
 * The largest user: f32-gemm/x8, a panel of [512][8] floats.
 */
let block: usize = 0;

/** @returns the address of 16 KiB, 16-byte aligned. */
export function scratch(): usize {
  return block;
}

/** Makes `address` (16 KiB, 16-byte aligned) this instance's scratch block. */
export function setScratch(address: usize): void {
  block = address;
}

/** @returns the first address behind static data. */
export function heapBase(): usize {
  return __heap_base;
}
