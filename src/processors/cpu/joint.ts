/**
 * Room for results that a Concat puts side by side: they are written where it wants them, and it has
 * nothing to move.
 *
 *     bytes [rows, pitch]   ┌──────────┬───────────────┬─────┐
 *                           │ first    │ second result │     │  pitch = channels of the Concat
 *                           └──────────┴───────────────┴─────┘
 *                           0          at
 */
import type { Heap } from './heap.js';

/** Freed by the last of those who hold it; who has made it does. */
export class Joint {
  readonly pointer: number;
  private holders = 1;

  /** @param bytes rows * pitch */
  constructor(
    private readonly heap: Heap,
    readonly bytes: number,
    readonly pitch: number,
  ) {
    this.pointer = heap.allocate(bytes, 'result');
  }

  hold(): this {
    this.holders++;
    return this;
  }

  free(): void {
    if (--this.holders === 0) this.heap.free(this.pointer, this.bytes, 'result');
  }
}

/** Columns of a joint, from `at` on. */
export interface Room {
  readonly joint: Joint;
  readonly at: number;
}
