/**
 * The CPU: our wasm kernels on one heap, and tfjs-cpu for what is rare. It is always there, so it
 * supports every call.
 */
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { util } from '@tensorflow/tfjs-core';

import { child, dropResult, runKernel, takeNumbers } from '../../delegate/child.js';
import type { Named, Spec } from '../../graph/kernel.js';
import type { Call, Kernel } from '../kernel.js';
import type { Numbers, Processor } from '../processor.js';
import { Block, CpuBuffer } from './buffer.js';
import type { Quantised } from './buffer.js';
import type { Purpose } from './heap.js';
import { Heap } from './heap.js';
import type { Room } from './joint.js';
import { copyStrided, moveElements } from './moves.js';
import { defaultThreads } from './pool.js';
import { NO_SPREAD, rangeOfSpread } from './quantisation.js';
import type { Quantisation, Range } from './quantisation.js';

export { Block, CpuBuffer };

export class CpuProcessor implements Processor<CpuBuffer> {
  readonly name = 'cpu';

  private constructor(readonly heap: Heap) {}

  /**
   * @param allowRelaxed false forces the build without relaxed SIMD.
   * @param allowShared false forces one thread.
   */
  static async create(allowRelaxed = true, allowShared = true): Promise<CpuProcessor> {
    return new CpuProcessor(await Heap.create(allowRelaxed, allowShared));
  }

  supports(): boolean {
    return true;
  }

  upload(numbers: Numbers, { dtype }: Spec): CpuBuffer {
    return CpuBuffer.ofNumbers(this.heap, dtype, numbers);
  }

  download(buffer: CpuBuffer): Numbers {
    return buffer.numbers();
  }

  /** Of several buffers: where the heap grows for one, the numbers of those before it would be gone. */
  downloadAll(buffers: readonly CpuBuffer[]): Numbers[] {
    for (const buffer of buffers) buffer.widen();
    return buffers.map(buffer => buffer.numbers());
  }

  reshape(buffer: CpuBuffer): CpuBuffer {
    return buffer; // Row-major numbers have no shape of their own.
  }

  /** A view where the axis is the last one or the numbers are the user's, else a copy. */
  slice(
    buffer: CpuBuffer,
    { shape, dtype }: Spec,
    axis: number,
    from: number,
    to: number,
  ): CpuBuffer {
    const inner = util.sizeFromShape(shape.slice(axis + 1));
    const [pitch, first, width] = [shape[axis] * inner, from * inner, (to - from) * inner];
    const view = CpuBuffer.view(buffer, pitch, first, first + width);
    if (axis === shape.length - 1 || view.size === 0) return view;
    if (!buffer.isOnHeapOnly) return CpuBuffer.ofNumbers(this.heap, dtype, view.numbers());
    const part = { shape: shape.map((n, i) => (i === axis ? to - from : n)), dtype };
    return moveElements(this, buffer, part, (x, y, bytes) =>
      copyStrided(
        this,
        bytes,
        x + first * bytes,
        [pitch, 1],
        y,
        [width, 1],
        [view.size / width, width],
      ),
    );
  }

  join(parts: readonly CpuBuffer[], specs: readonly Spec[], whole: Spec, axis: number): CpuBuffer {
    const result = this.make(whole);
    const rowOf = ({ shape }: Spec) => util.sizeFromShape(shape.slice(axis));
    let at = 0;
    parts.forEach((part, i) => {
      const width = rowOf(specs[i]);
      this.copyColumns(part, width, result, rowOf(whole), at);
      at += width;
    });
    return result;
  }

  run(kernel: Kernel, call: Call<CpuBuffer>): CpuBuffer[] {
    const empty = call.outputs.every(({ shape }) => shape.includes(0));
    return empty ? call.outputs.map(spec => this.make(spec)) : kernel.cpu(this, call);
  }

  flush(): void {
    // What can be under way without the caller already is.
  }

  settled(): Promise<void> {
    this.heap.queue.finish();
    return Promise.resolve();
  }

  /** All kernels called so far, for `isDone`. */
  get mark(): number {
    return this.heap.queue.mark;
  }

  /** Whether the kernels up to a mark are over. */
  isDone(mark: number): boolean {
    return this.heap.queue.isDone(mark);
  }

  /** When they were, in milliseconds of the epoch, as far as that is known; else 0. */
  overAt(mark: number): number {
    return this.heap.queue.overAt(mark);
  }

  /** How often numbers have been looked at, which waits for all kernels under way. */
  get waits(): number {
    return this.heap.queue.waits;
  }

  /** Says that large kernels are about to come. */
  wake(): void {
    this.heap.queue.wake();
  }

  /** Helps until the kernels up to a mark are over, or until the clock says `until`. */
  work(mark: number, until: number): void {
    this.heap.queue.work(mark, until);
  }

  /** What a kernel has thrown since this was asked last, and nobody has been told. */
  takeError(): Error | undefined {
    return this.heap.queue.takeError();
  }

  /**
   * Does all that is under way.
   *
   * @throws what a kernel has thrown.
   */
  finish(): void {
    this.heap.queue.finish();
  }

  /** Threads at work. */
  get threads(): number {
    return this.heap.queue.threads;
  }

  /** Threads wanted from now on, this one among them; 0: what suits the machine. */
  useThreads(wanted: number): void {
    const { hardwareConcurrency } = globalThis.navigator ?? {};
    this.heap.queue.threads = wanted || defaultThreads(hardwareConcurrency || 1);
  }

  memory(): number {
    return this.heap.bytesUsed;
  }

  /** Ends the workers; the heap goes with its WebAssembly.Memory. */
  dispose(): void {
    this.heap.queue.dispose();
  }

  /** An uninitialised buffer on the heap. */
  make({ shape, dtype }: Spec): CpuBuffer {
    return CpuBuffer.onHeap(this.heap, dtype, util.sizeFromShape(shape as number[]));
  }

  /** Uninitialised bytes on the heap. */
  block(bytes: number, purpose: Purpose = 'scratch'): Block {
    return new Block(this.heap, bytes, purpose);
  }

  /** Lends bytes that nobody needs afterwards. */
  withScratch<T>(bytes: number, use: (pointer: number) => T): T {
    const scratch = this.block(bytes);
    try {
      return use(scratch.pointer);
    } finally {
      scratch.free();
    }
  }

  /** Lends numbers on the heap. */
  withNumbers<T>(numbers: Float32Array | Int32Array | Uint8Array, use: (pointer: number) => T): T {
    return this.withScratch(numbers.byteLength, pointer => {
      this.heap.put(pointer, numbers);
      return use(pointer);
    });
  }

  /** Runs `use` with the buffer as dense numbers on the heap, wherever it lies now. */
  withDense<T>(buffer: CpuBuffer, use: (pointer: number) => T): T {
    const dense = buffer.dense();
    try {
      return use(dense.address());
    } finally {
      if (dense !== buffer) dense.free();
    }
  }

  /** [min, max] of a float32 buffer; both infinities where there is a NaN; [0, 0] when it is empty. */
  range(buffer: CpuBuffer): Range {
    if (buffer.size === 0) return [0, 0];
    return this.withNumbers(NO_SPREAD, spread =>
      this.withDense(buffer, pointer => {
        this.heap.kernels.f32MinMax(pointer, buffer.size, spread);
        return rangeOfSpread(this.heap.f32(spread, 8));
      }),
    );
  }

  /** A result of our own wasm kernels: made, filled, and freed again if the filling fails. */
  fill(spec: Spec, write: (y: CpuBuffer) => void): CpuBuffer {
    const y = this.make(spec);
    try {
      write(y);
      return y;
    } catch (error) {
      y.free();
      throw error;
    }
  }

  /** The same of a kernel that writes bytes. */
  fillBytes(
    { shape }: Spec,
    quantisation: Quantisation,
    write: (to: Quantised) => void,
    room?: Room,
  ): CpuBuffer {
    const size = util.sizeFromShape(shape as number[]);
    const y = room
      ? CpuBuffer.inRoom(this.heap, size, quantisation, room, shape.at(-1)!)
      : CpuBuffer.asBytes(this.heap, size, quantisation);
    try {
      write(y.written!);
      return y;
    } catch (error) {
      y.free();
      throw error;
    }
  }

  /** The call on tfjs-cpu, for kernels and types that are too rare for wasm. */
  tfjs({ name, inputs, isList, attributes, outputs }: Call<CpuBuffer>): CpuBuffer[] {
    const cpu = child('cpu');
    const infos: Named<TensorInfo> = {};
    const all = this.downloadAll(Object.values(inputs).map(({ buffer }) => buffer));
    for (const [i, [key, { shape, dtype }]] of Object.entries(inputs).entries()) {
      const dataId = cpu.write(all[i], shape as number[], dtype);
      infos[key] = { dataId, shape: shape as number[], dtype };
    }
    try {
      const results = runKernel('cpu', name, infos, isList, attributes);
      return results.map((result, i) => {
        // A kernel may hand an input's own numbers through, which may lie on the heap: copy.
        const numbers = takeNumbers('cpu', result) as Numbers;
        const lent = all.some(input => input.buffer === numbers.buffer);
        return this.upload(lent ? numbers.slice() : numbers, outputs[i]);
      });
    } finally {
      for (const info of Object.values(infos)) dropResult('cpu', info);
    }
  }

  private copyColumns(
    from: CpuBuffer,
    width: number,
    to: CpuBuffer,
    toPitch: number,
    at: number,
  ): void {
    const [source, target] = this.downloadAll([from, to]);
    for (let row = 0, i = 0; i < source.length; row++, i += width) {
      target.set(source.subarray(i, i + width), row * toPitch + at);
    }
  }
}
