/**
 * A kernel of ours: the rules the planner reads and a lowering for each processor.
 */
import type { Attributes, Named, Problem, Rules, Spec, WritesBytes } from '../graph/kernel.js';
import type { Buffer } from '../graph/value.js';
import type { CpuBuffer, CpuProcessor } from './cpu/processor.js';
import type { Room } from './cpu/joint.js';
import type { Range } from './cpu/quantisation.js';
import type { GpuBuffer, GpuProcessor } from './gpu/processor.js';
import type { Numbers } from './processor.js';

/** One input of a call, lying on the processor that runs it. */
export interface Argument<B> extends Spec {
  readonly buffer: B;
  /** Whose numbers they are: the same object, the same numbers. */
  readonly of?: object;
  /** [min, max] of the numbers; measured when first asked for. */
  range(): readonly [number, number];
  /** On the GPU: the numbers on the host; absent where only a read-back would bring them there. */
  host?(): Numbers;
  /** A form of the same numbers (packed, quantised), made on first use and kept with the value. */
  derived<D extends Buffer>(name: string, make: () => D): D;
}

/** One call of a kernel, or of a slice of it, on one processor. */
export interface Call<B> {
  readonly name: string;
  readonly inputs: Named<Argument<B>>;
  readonly isList: boolean;
  readonly attributes: Attributes;
  readonly outputs: readonly Spec[];
  /** The arithmetic the plan wants of the CPU. */
  readonly int8: boolean;
  /**
   * Where the CPU's result shall be bytes: the range of its numbers. A kernel that cannot may give
   * floats; one that can notes the range it saw (`Quantised.spread`).
   */
  readonly range?: Range;
  /** Where those bytes are wanted. A kernel that cannot write there may write elsewhere. */
  readonly room?: Room;
  /**
   * Taken off a result in int8: what int8 adds to each channel in the mean, before the activation.
   * [channels] of the whole layer, of which a slice has the first ones.
   */
  readonly correction?: Float32Array;
}

export interface Kernel extends Rules {
  /** Whether the CPU lowering has an int8 path for this call. */
  quantises?(
    call: { inputs: Named<Spec>; outputs: readonly Spec[]; attributes: Attributes },
    cpu: CpuProcessor,
  ): boolean;
  /** How the CPU lowering writes bytes; absent: it writes floats. */
  writesBytes?(call: {
    inputs: Named<Spec>;
    attributes: Attributes;
    outputs: readonly Spec[];
  }): WritesBytes | undefined;
  /** False for calls that tfjs-webgl refuses in the middle, leaving its textures behind. */
  gpuTakes?(problem: Problem, gpu: GpuProcessor): boolean;
  cpu(cpu: CpuProcessor, call: Call<CpuBuffer>): CpuBuffer[];
  /** Absent where 16-bit floats would change more than a rounding: such calls stay on the CPU. */
  gpu?(gpu: GpuProcessor, call: Call<GpuBuffer>): GpuBuffer[];
}

/** The slope of tf.leakyRelu, for a fused one that names none. tfjs-webgl would make it NaN. */
export const LEAKY_ALPHA = 0.2;

/** Activations that tfjs-webgl does not have. */
const NOT_OF_TFJS = ['tanh', 'softplus', 'hardswish', 'clip'];

const isOfTfjs = (activation: unknown): boolean => !NOT_OF_TFJS.includes(activation as string);

/** Whether the GPU has an activation: our programs have all. */
export const isGpuActivation = (activation: unknown, gpu: GpuProcessor): boolean =>
  isOfTfjs(activation) || !!gpu.context;

/** Whether the GPU has the activation of a fused kernel. */
export function hasGpuActivation({ attributes }: Problem, gpu: GpuProcessor): boolean {
  return isGpuActivation(attributes.activation, gpu);
}

/** Kernels with an activation on tfjs-webgl. One that it does not have follows. */
export function fusedOnGpu(gpu: GpuProcessor, call: Call<GpuBuffer>): GpuBuffer[] {
  const { attributes } = call;
  const leakyreluAlpha = attributes.leakyreluAlpha ?? LEAKY_ALPHA;
  if (isOfTfjs(attributes.activation)) {
    return gpu.tfjs({ ...call, attributes: { ...attributes, leakyreluAlpha } });
  }
  const [sums] = gpu.tfjs({ ...call, attributes: { ...attributes, activation: 'linear' } });
  try {
    return [gpu.activate(sums, attributes)];
  } finally {
    sums.free();
  }
}
