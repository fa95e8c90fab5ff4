/**
 * The heap: AssemblyScript's two-level segregated fit allocator over the imported memory.
 *
 *     ┌─────────────┬───────────┬────────────┬────
 *     │ static data │ allocator │ block      │ ...
 *     └─────────────┴───────────┴────────────┴────
 *     0                         16-byte aligned
 *
 * Every block has SLACK bytes behind it that belong to nobody, so that a kernel may read past the
 * end of its last operand even at the end of memory.
 */

/** Readable bytes behind each block. */
const SLACK: usize = 64;

/**
 * @returns the address of `bytes` bytes, 16-byte aligned, not cleared. Traps when memory cannot
 * grow; the largest block is 1 GiB less the slack.
 */
export function alloc(bytes: usize): usize {
  return heap.alloc(bytes + SLACK);
}

/** Gives a block back; 0 is allowed. */
export function free(block: usize): void {
  if (block) heap.free(block);
}
