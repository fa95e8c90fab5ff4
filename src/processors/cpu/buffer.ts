/**
 * A buffer of the CPU: a dense tensor in JavaScript memory (as the user wrote it), on the wasm
 * heap, or both; or on the heap as QUInt8 (`quantisation.ts`), from which the floats are made when
 * somebody asks for them; or a view on columns [from, to) of another one:
 *
 *     base [rows, pitch]   ┌──────────┬───────────────┬─────┐
 *                          │          │ view          │     │  pitch = elements from row to row
 *                          └──────────┴───────────────┴─────┘
 *                          0          from            to    pitch
 *
 * A view is how a convolution reads its slice of the filters in place. Kernels that cannot take a
 * pitch ask for `dense()`. The other way round, bytes may be written where a Concat wants them
 * (`joint.ts`).
 */
import type { DataType } from '@tensorflow/tfjs-core';

import type { Buffer } from '../../graph/value.js';
import type { Numbers } from '../processor.js';
import type { Heap, Purpose } from './heap.js';
import type { Joint, Room } from './joint.js';
import type { Quantisation, Range } from './quantisation.js';

/** A tensor as bytes on the heap, without gaps unless it is in a room. */
export interface Quantised extends Quantisation {
  readonly pointer: number;
  /** The numbers' range before they became bytes, where the kernel that wrote them has noted it. */
  spread?: Range;
}

/** Where a result lies on the heap: floats, or bytes of this scale. */
export interface Place extends Partial<Quantisation> {
  readonly pointer: number;
}

/** Bytes of one number: bool is kept in bytes, everything else in four. */
export const bytesPerNumber = (dtype: DataType): 1 | 4 => (dtype === 'bool' ? 1 : 4);

export class CpuBuffer implements Buffer {
  private pointer = 0;
  private bytesForm: Quantised | undefined;
  private joint: Joint | undefined;
  /** Where in the joint the bytes are, if not everywhere. */
  private part: { room: Room; width: number } | undefined;
  private finite: boolean | undefined;

  private constructor(
    private readonly heap: Heap,
    readonly dtype: DataType,
    /** Elements. */
    readonly size: number,
    private host: Numbers | undefined,
    private readonly base:
      { buffer: CpuBuffer; from: number; width: number; pitch: number } | undefined,
    private make?: () => Numbers,
  ) {}

  /** Numbers in JavaScript memory; they go to the heap when a wasm kernel wants them. */
  static ofNumbers(heap: Heap, dtype: DataType, numbers: Numbers): CpuBuffer {
    return new CpuBuffer(heap, dtype, numbers.length, numbers, undefined);
  }

  /**
   * Numbers that follow from others, and are computed again whenever they are asked for: on the
   * heap they lie only until `evict()`, in JavaScript memory not at all.
   */
  static ofRecipe(heap: Heap, dtype: DataType, size: number, make: () => Numbers): CpuBuffer {
    return new CpuBuffer(heap, dtype, size, undefined, undefined, make);
  }

  /** Uninitialised numbers on the heap. */
  static onHeap(heap: Heap, dtype: DataType, size: number): CpuBuffer {
    const buffer = new CpuBuffer(heap, dtype, size, undefined, undefined);
    buffer.pointer = heap.allocate(size * bytesPerNumber(dtype), buffer.purpose);
    return buffer;
  }

  /** Uninitialised bytes on the heap that stand for float32 numbers. */
  static asBytes(heap: Heap, size: number, quantisation: Quantisation): CpuBuffer {
    const buffer = new CpuBuffer(heap, 'float32', size, undefined, undefined);
    buffer.bytesForm = { ...quantisation, pointer: heap.allocate(size, 'result') };
    return buffer;
  }

  /** Uninitialised bytes in a room, rows of `width`; without gaps where that is all of its joint. */
  static inRoom(
    heap: Heap,
    size: number,
    quantisation: Quantisation,
    room: Room,
    width: number,
  ): CpuBuffer {
    const buffer = new CpuBuffer(heap, 'float32', size, undefined, undefined);
    buffer.joint = room.joint.hold();
    if (width < room.joint.pitch) buffer.part = { room, width };
    buffer.bytesForm = { ...quantisation, pointer: room.joint.pointer + room.at };
    return buffer;
  }

  /** A result where a tape has written it; the memory is its region's. */
  static ofTape(heap: Heap, dtype: DataType, size: number, at: Place): CpuBuffer {
    const buffer = new CpuBuffer(heap, dtype, size, undefined, undefined);
    if (at.scale === undefined) buffer.pointer = at.pointer;
    else buffer.bytesForm = { pointer: at.pointer, scale: at.scale, zero: at.zero! };
    heap.bytes.result += buffer.bytes;
    return buffer;
  }

  /** Columns [from, to) of `buffer [rows, pitch]`, not copied; `buffer` must outlive the view. */
  static view(buffer: CpuBuffer, pitch: number, from: number, to: number): CpuBuffer {
    const size = (buffer.size / pitch) * (to - from);
    const base = { buffer, from, width: to - from, pitch };
    return new CpuBuffer(buffer.heap, buffer.dtype, size, undefined, base);
  }

  /** Heap bytes owned. */
  get bytes(): number {
    return this.floatBytes + (this.bytesForm ? this.size : 0);
  }

  /** The same numbers as bytes, where they lie on the heap like that, without gaps. */
  get quantised(): Quantised | undefined {
    return this.part ? undefined : this.bytesForm;
  }

  /** The bytes, in a room or not. */
  get written(): Quantised | undefined {
    return this.bytesForm;
  }

  /** Where the numbers lie on the heap, if they lie there alone, in one form and without gaps. */
  get place(): Place | undefined {
    const { pointer, bytesForm } = this;
    if (this.host || this.make || this.base || this.part || (pointer > 0 && bytesForm))
      return undefined;
    if (pointer > 0) return { pointer };
    return (
      bytesForm && { pointer: bytesForm.pointer, scale: bytesForm.scale, zero: bytesForm.zero }
    );
  }

  /** Where the bytes are written, if that is where a Concat wants them. */
  get room(): Room | undefined {
    return this.part?.room;
  }

  /** Whether the numbers lie on the heap alone, where growing it would take views away. */
  get isOnHeapOnly(): boolean {
    return !this.host;
  }

  /** Whether all numbers are. Of a result waits for it, the first time. */
  get isFinite(): boolean {
    return (this.finite ??= this.numbers().every(Number.isFinite));
  }

  /** Elements from one row to the next, for a kernel that walks rows of `width` elements. */
  pitch(width: number): number {
    return this.base && !this.isContiguous ? this.base.pitch : width;
  }

  /** Whether the elements follow each other without gaps; a view on one row does that too. */
  get isContiguous(): boolean {
    return !this.base || this.base.width === this.size;
  }

  /** Byte address on the heap; copies the numbers there if they are not. */
  address(): number {
    if (this.base) {
      return this.base.buffer.address() + this.base.from * bytesPerNumber(this.dtype);
    }
    if (this.pointer === 0) {
      const { bytesForm } = this;
      const numbers = this.host ?? this.make?.();
      if (!numbers && !bytesForm) throw new Error('a CPU buffer was used after it was freed');
      this.pointer = this.heap.allocate(this.size * bytesPerNumber(this.dtype), this.purpose);
      if (numbers) this.heap.put(this.pointer, numbers);
      else if (bytesForm) {
        const { pointer, scale, zero } = bytesForm;
        const width = this.part?.width ?? this.size;
        const pitch = this.part?.room.joint.pitch ?? width;
        for (let row = 0; row * width < this.size; row++) {
          const to = this.pointer + 4 * row * width;
          this.heap.kernels.qu8ToF32(pointer + row * pitch, width, scale, zero, to);
        }
      }
    }
    return this.pointer;
  }

  /** The numbers, row by row without gaps. Valid until the next allocation; not to be changed. */
  numbers(): Numbers {
    if (this.host) return this.host;
    if (this.make && this.pointer === 0) return this.make();
    if (!this.base) {
      this.address();
      return this.heapView();
    }
    const { buffer, from, width, pitch } = this.base;
    const all = buffer.numbers();
    if (this.isContiguous) return all.subarray(from, from + width);
    const part = new (all.constructor as Float32ArrayConstructor)(this.size);
    for (let row = 0, at = from; row * width < this.size; row++, at += pitch) {
      part.set(all.subarray(at, at + width), row * width);
    }
    return part;
  }

  /** Makes floats of bytes, so that `numbers` asks for no memory. */
  widen(): void {
    if (this.base) this.base.buffer.widen();
    else if (this.bytesForm) this.address();
  }

  /** A buffer without gaps: this one, or a copy the caller must free. */
  dense(): CpuBuffer {
    return this.isContiguous ? this : CpuBuffer.ofNumbers(this.heap, this.dtype, this.numbers());
  }

  /** Takes the numbers from the heap to JavaScript memory. */
  leaveHeap(): void {
    if (this.host) return;
    const numbers = this.numbers().slice();
    this.free();
    this.host = numbers;
  }

  /** Gives the heap copy of numbers that can be had again back. */
  evict(): void {
    if ((this.host || this.make) && this.pointer !== 0) {
      this.heap.free(this.pointer, this.floatBytes, this.purpose);
      this.pointer = 0;
    }
  }

  free(): void {
    if (this.pointer !== 0) this.heap.free(this.pointer, this.floatBytes, this.purpose);
    if (this.joint) this.joint.free();
    else if (this.bytesForm) this.heap.free(this.bytesForm.pointer, this.size, 'result');
    this.pointer = 0;
    this.host = this.make = this.bytesForm = this.joint = this.part = undefined;
  }

  private get purpose(): Purpose {
    return this.host || this.make ? 'copy' : 'result';
  }

  private get floatBytes(): number {
    return this.pointer === 0 ? 0 : this.size * bytesPerNumber(this.dtype);
  }

  private heapView(): Numbers {
    if (this.dtype === 'float32') return this.heap.f32(this.pointer, this.size);
    if (this.dtype === 'bool') return this.heap.u8(this.pointer, this.size);
    return this.heap.i32(this.pointer, this.size);
  }
}

/** Plain bytes on the heap with a purpose of their own: packed weights, scales, tables. */
export class Block implements Buffer {
  constructor(
    private readonly heap: Heap,
    readonly bytes: number,
    private readonly purpose: Purpose,
    readonly pointer = heap.allocate(bytes, purpose),
  ) {}

  free(): void {
    this.heap.free(this.pointer, this.bytes, this.purpose);
  }
}
