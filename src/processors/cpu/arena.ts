/**
 * The allocator of the wasm heap: best fit, joined with its neighbours when given back. What it knows
 * lies in JavaScript, not between the blocks, so that a block is all its owner's until the last
 * kernel is done with it.
 *
 *     ┌─────────────┬─────────┬────────┬─────────┬──────────┬─ ─ ─
 *     │ static data │ block   │ free   │ block   │ free     │ memory not asked for yet
 *     └─────────────┴─────────┴────────┴─────────┴──────────┴─ ─ ─
 *     0             from      64-byte steps: two threads never write one cache line
 *
 * Lifetimes are those of the tensors of a run, given back in the order of the steps, so the heap's
 * peak is that of the live tensors and what best fit loses in gaps. Memory grows by what is missing
 * and an eighth; AssemblyScript's allocator, here before, doubles it. MB of memory for nets in int8
 * on one thread, and MB live at most:
 *
 *               live    then    now             live    then    now
 *     CenterNet 36      89      41    GoogLeNet 30      36      34
 *     faceres   20      44      25    MobileNet 23      44      28
 */

const UNIT = 64;
const PAGE_BYTES = 65536;
const MAXIMUM_PAGES = 65536;

/** Kernels may read (never write) this many bytes beyond the end of their operands. */
const SLACK_BYTES = 64;

export class Arena {
  /** Free ranges: where each begins, in order, and its bytes. No two touch. */
  private readonly starts: number[] = [];
  private readonly sizes: number[] = [];
  /** Bytes of the blocks that are handed out, by address. */
  private readonly blocks = new Map<number, number>();
  /** End of what has been asked of the memory. */
  private end: number;

  /**
   * @param from the first address that may be handed out
   * @param to the end of what may be, where that is not all memory there can be.
   */
  constructor(
    private readonly memory: WebAssembly.Memory,
    from: number,
    private readonly to = Infinity,
  ) {
    // Never 0, which means absent.
    const start = Math.max(roundUp(from, UNIT), UNIT);
    this.end = Math.max(start, Math.min(to, memory.buffer.byteLength - SLACK_BYTES));
    this.give(start, this.end - start);
  }

  /** Whether this is the address of a block that is handed out. */
  holds(at: number): boolean {
    return this.blocks.has(at);
  }

  /** Whether no block is handed out. */
  get isEmpty(): boolean {
    return this.blocks.size === 0;
  }

  /** Addresses of the blocks that hold these. */
  blocksOf(addresses: readonly number[]): number[] {
    const blocks = [...this.blocks].sort(([a], [b]) => a - b);
    const found = new Set<number>();
    let i = 0;
    for (const address of [...addresses].sort((a, b) => a - b)) {
      while (i < blocks.length && blocks[i][0] + blocks[i][1] <= address) i++;
      if (i < blocks.length && blocks[i][0] <= address) found.add(blocks[i][0]);
    }
    return [...found];
  }

  /** The address of so many bytes, not cleared, a multiple of 64; 0 where memory cannot grow so far. */
  alloc(bytes: number): number {
    const wanted = Math.max(roundUp(bytes, UNIT), UNIT);
    let best = this.bestFit(wanted);
    if (best < 0 && this.grow(wanted)) best = this.bestFit(wanted);
    if (best < 0) return 0;
    const at = this.starts[best];
    if (this.sizes[best] === wanted) {
      remove(this.starts, this.sizes, best);
    } else {
      this.starts[best] += wanted;
      this.sizes[best] -= wanted;
    }
    this.blocks.set(at, wanted);
    return at;
  }

  /** Gives a block back. */
  free(at: number): void {
    const bytes = this.blocks.get(at);
    if (bytes === undefined) throw new Error(`arena: expected a block's address, got ${at}`);
    this.blocks.delete(at);
    this.give(at, bytes);
  }

  /** Index of the smallest free range with so many bytes; of these the first. */
  private bestFit(wanted: number): number {
    const { sizes } = this;
    let best = -1;
    for (let i = 0; i < sizes.length; i++) {
      if (sizes[i] >= wanted && (best < 0 || sizes[i] < sizes[best])) best = i;
    }
    return best;
  }

  private give(at: number, bytes: number): void {
    if (bytes <= 0) return;
    const { starts, sizes } = this;
    let [low, high] = [0, starts.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (starts[middle] < at) low = middle + 1;
      else high = middle;
    }
    const touchesNext = starts[low] === at + bytes;
    if (low > 0 && starts[low - 1] + sizes[low - 1] === at) {
      sizes[low - 1] += bytes + (touchesNext ? sizes[low] : 0);
      if (touchesNext) remove(starts, sizes, low);
    } else if (touchesNext) {
      starts[low] = at;
      sizes[low] += bytes;
    } else {
      starts.splice(low, 0, at);
      sizes.splice(low, 0, bytes);
    }
  }

  /** Makes memory for a range of so many bytes at the end; false where it cannot. */
  private grow(wanted: number): boolean {
    if (this.to < Infinity) return false;
    const last = this.starts.length - 1;
    const isAtEnd = last >= 0 && this.starts[last] + this.sizes[last] === this.end;
    const missing = wanted - (isAtEnd ? this.sizes[last] : 0);
    const pages = this.memory.buffer.byteLength / PAGE_BYTES;
    const needed = Math.ceil(missing / PAGE_BYTES);
    const most = MAXIMUM_PAGES - pages;
    if (needed > most) return false;
    const ample = Math.min(Math.max(needed, pages >> 3), most);
    if (!this.growBy(ample) && !this.growBy(needed)) return false;
    const end = this.memory.buffer.byteLength - SLACK_BYTES;
    this.give(this.end, end - this.end);
    this.end = end;
    return true;
  }

  private growBy(pages: number): boolean {
    try {
      this.memory.grow(pages);
      return true;
    } catch {
      return false; // The browser has no more.
    }
  }
}

function remove(starts: number[], sizes: number[], at: number): void {
  starts.splice(at, 1);
  sizes.splice(at, 1);
}

const roundUp = (bytes: number, unit: number): number => Math.ceil(bytes / unit) * unit;
