/**
 * What the executor asks of a processor. The CPU (`cpu/processor.ts`) and the GPU
 * (`gpu/processor.ts`) implement it method by method in this order; who has read one has read both.
 */
import type { Buffer } from '../graph/value.js';
import type { Spec } from '../graph/kernel.js';
import type { Call, Kernel } from './kernel.js';

/** Numbers as tfjs hands them over. */
export type Numbers = Float32Array | Int32Array | Uint8Array;

export interface Processor<B extends Buffer = Buffer> {
  readonly name: 'cpu' | 'gpu';

  /** Whether this call can run here at all. */
  supports(kernel: Kernel, inputs: Spec[], outputs: readonly Spec[]): boolean;

  /** Numbers of the host become a buffer; the array may be kept, not copied. */
  upload(numbers: Numbers, spec: Spec): B;

  /** The numbers of a buffer; blocks until they are there. The caller must not change them. */
  download(buffer: B): Numbers;

  /** The same numbers under another shape of the same size. */
  reshape(buffer: B, spec: Spec): B;

  /** Elements [from, to) of one axis. */
  slice(buffer: B, spec: Spec, axis: number, from: number, to: number): B;

  /** Parts side by side along an axis. */
  join(parts: readonly B[], specs: readonly Spec[], whole: Spec, axis: number): B;

  /** Runs a call, or submits it: the results may only be there after `settled`. */
  run(kernel: Kernel, call: Call<B>): B[];

  /** Sends off what was submitted, without waiting. */
  flush(): void;

  /** Resolves when everything submitted so far has been computed. Never blocks. */
  settled(): Promise<void>;

  /** Bytes held at the moment. */
  memory(): number;

  dispose(): void;
}
