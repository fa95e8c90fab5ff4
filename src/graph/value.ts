/**
 * A value is what a tensor's data id stands for: not yet computed (it has a producer), or lying
 * somewhere: whole on the CPU, whole on the GPU, both, or one slice of it on each.
 *
 *            refs: tensors of the user        uses: recorded nodes still to run
 *                       \                      /
 *                        ▼                    ▼
 *     producer ──►  Value { cpu?, gpu?, slices?, derived }  ──► freed when refs = uses = 0
 *
 * A shape belongs to the *use* of a value, not to the value: reshape and identity give back the
 * same value. `shape` here is the one it was made with, and the one its buffers have.
 */
import type { DataType } from '@tensorflow/tfjs-core';

/** Memory of one processor that holds one value or a part of it. */
export interface Buffer {
  readonly bytes: number;
  free(): void;
}

/**
 * A value cut along an axis: [0, to) on the CPU, [from, length) on the GPU. Of channels nothing is on
 * both; of rows there may be some, which layers to come will look at from either side.
 *
 *     rows  0 ──────────── from ──── to ──────────── h
 *           CPU ─────────────────────┤
 *                          ├───────────────────── GPU
 */
export interface Slices {
  readonly axis: number;
  readonly to: number;
  readonly from: number;
  /** Absent as long as only the GPU's has been submitted. */
  readonly cpu?: Buffer;
  readonly gpu: Buffer;
  /** Of a CPU's slice of bytes: told the range of both where the GPU's has left that of the bytes. */
  readonly learn?: ((seen: readonly [number, number]) => void) | undefined;
  /** The range of both, once they were joined as bytes and where the CPU's was noted. */
  spread?: readonly [number, number];
}

/** Strings and complex numbers, which no processor of ours computes on. */
export type Foreign = Uint8Array[] | Float32Array;

export class Value {
  refs = 1;
  uses = 0;
  /** Why there is no value: the run of its producer failed, and reading it throws this. */
  error: Error | undefined;
  foreign: Foreign | undefined;
  cpu: Buffer | undefined;
  gpu: Buffer | undefined;
  slices: Slices | undefined;
  /** Other forms of the same numbers, by name: packed weights, a slice of them, QUInt8. */
  readonly derived = new Map<string, Buffer>();
  /** [min, max] of the numbers, once somebody has asked. */
  range: readonly [number, number] | undefined;

  constructor(
    readonly shape: readonly number[],
    readonly dtype: DataType,
    /** The node that will compute it; undefined once it has. */
    public producer?: { readonly outputs: readonly Value[] } | undefined,
  ) {}

  get pending(): boolean {
    return this.producer !== undefined;
  }

  /** Whether anybody still wants the numbers. */
  get wanted(): boolean {
    return this.refs > 0 || this.uses > 0;
  }

  /** Gives all memory back. */
  free(): void {
    this.cpu?.free();
    this.gpu?.free();
    this.slices?.cpu?.free();
    this.slices?.gpu.free();
    for (const buffer of this.derived.values()) buffer.free();
    this.derived.clear();
    this.cpu = this.gpu = this.slices = this.foreign = this.range = undefined;
  }
}
