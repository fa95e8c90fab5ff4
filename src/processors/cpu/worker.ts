/**
 * A worker of the pool, bundled by itself (build/worker.txt, dist/worker.js): the kernels on the
 * memory of the main thread, and the loop that takes tiles. It never allocates: the allocator
 * belongs to the instance of the main thread, which has set aside a scratch block for this one.
 */
import type { WasmKernels } from '../../../wasm/exports.js';
import type { Calls } from './board.js';
import { Board } from './board.js';

/** The one message that the main thread sends. */
export interface WorkerSetup {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  /** Address of this worker's scratch block. */
  scratch: number;
  board: ArrayBufferLike;
}

addEventListener(
  'message',
  ({ data: { module, memory, scratch, board } }: MessageEvent<WorkerSetup>) => {
    const abort = (): never => {
      throw new Error('mulayer: a kernel gave up');
    };
    const { exports } = new WebAssembly.Instance(module, { env: { memory, abort } });
    (exports as unknown as WasmKernels).setScratch(scratch);
    new Board(board).serve(exports as unknown as Calls);
  },
  { once: true },
);
