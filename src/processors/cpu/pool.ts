/**
 * Workers that take tiles from a board. They start by themselves, and until one has reported for
 * work the caller does everything; so one that cannot start (a page whose policy forbids workers
 * from blobs) costs threads, not answers. An error in any of them closes the pool.
 *
 * A pool has its size for life: another number of threads is another pool.
 */
import workerText from '../../../build/worker.txt';
import { Board } from './board.js';
import type { WorkerSetup } from './worker.js';

let workerUrl: string | undefined;

/**
 * Where the worker's script is fetched from, instead of from a blob: for pages whose
 * Content-Security-Policy has no `worker-src blob:`. The script is `dist/worker.js` of this package
 * and must come from the page's own origin. Holds for workers that start afterwards.
 *
 * @param url undefined goes back to the script inside the package.
 * @example
 * ```ts
 * setWorkerUrl('/static/mulayer-worker.js');
 * await tf.setBackend('mulayer');
 * ```
 */
export function setWorkerUrl(url: string | undefined): void {
  workerUrl = url;
}

/**
 * The threads worth having on a machine that tells this many logical processors: all of two, and of
 * more than two the half, since most of those are pairs that share one core's SIMD units (x86), or
 * half of them are slow ones (phones).
 */
export function defaultThreads(logical: number): number {
  return logical <= 2 ? logical : Math.ceil(logical / 2);
}

/** Whether this page (or worker) may share memory with workers. */
export function canShareMemory(): boolean {
  const { crossOriginIsolated, Worker } = globalThis as Partial<typeof globalThis>;
  return (
    crossOriginIsolated === true &&
    typeof Worker === 'function' &&
    typeof SharedArrayBuffer === 'function'
  );
}

export class Pool {
  readonly board = new Board(new SharedArrayBuffer(Board.BYTES));
  private workers: Worker[] = [];
  private blobUrl: string | undefined;

  /**
   * @param scratches a scratch block for each worker.
   */
  constructor({ module, memory }: Omit<WorkerSetup, 'board' | 'scratch'>, scratches: number[]) {
    try {
      const url = workerUrl ?? (this.blobUrl = urlOf(workerText));
      for (const scratch of scratches) {
        const worker = new Worker(url);
        this.workers.push(worker);
        worker.onerror = event => {
          event.preventDefault();
          this.fail(event.message);
        };
        worker.onmessageerror = () => this.fail('the wasm module cannot be posted');
        const setup: WorkerSetup = { module, memory, scratch, board: this.board.memory };
        worker.postMessage(setup);
      }
    } catch (error) {
      this.fail(String(error));
    }
  }

  /** Workers that take tiles. */
  get helpers(): number {
    return this.workers.length === 0 ? 0 : this.board.ready;
  }

  /** Ends all workers for good, and says why. */
  fail(reason: string | undefined): void {
    console.warn(
      `mulayer: one thread from now on, a worker failed: ${reason ?? 'no reason given'}`,
    );
    this.dispose();
  }

  dispose(): void {
    for (const worker of this.workers) worker.terminate();
    this.workers = [];
    if (this.blobUrl) URL.revokeObjectURL(this.blobUrl);
    this.blobUrl = undefined;
  }
}

function urlOf(script: string): string {
  return URL.createObjectURL(new Blob([script], { type: 'text/javascript' }));
}
