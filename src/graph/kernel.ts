/**
 * What the graph and the planner must know of a kernel without knowing any processor: the shapes
 * it gives, how it may be cut, and how much work it is. A file of `kernels/` implements this and
 * adds the two lowerings (`processors/kernel.ts`).
 */
import type { DataType } from '@tensorflow/tfjs-core';

/** Values by tfjs's name of the input; a list (Concat) has the names '0', '1', ... */
export type Named<T> = Record<string, T>;

export type Attributes = Record<string, unknown>;

/** Shape and type of one tensor. */
export interface Spec {
  readonly shape: readonly number[];
  readonly dtype: DataType;
}

/** A kernel call: all that shape, split and cost rules may look at. */
export interface Problem {
  readonly inputs: Named<Spec>;
  readonly attributes: Attributes;
  readonly outputs: readonly Spec[];
}

/** Elements [from, to) of one axis. */
export interface Range {
  readonly axis: number;
  readonly from: number;
  readonly to: number;
}

/** What a slice of the output needs of one input: all of it, a range of one axis, or nothing. */
export type Need = 'whole' | 'nothing' | Range;

/** What a part of the output of a call needs. */
export interface SliceRule {
  readonly inputs: Named<Need>;
  /** The attributes of the smaller call, where they differ. */
  readonly attributes?: Attributes;
}

/**
 * How a kernel can write its result as bytes (QUInt8). `range`: of the range it is given, when it
 * runs in int8; `blend`: the same, when all of its inputs are bytes, single numbers apart; `same`: of
 * the scale of its inputs, which it only moves.
 */
export type WritesBytes = 'range' | 'blend' | 'same';

export interface Rules {
  /** tfjs's name of the kernel. */
  readonly name: string;
  /**
   * `layer`: weighed by the planner, cut anew (convolution, matrix product). `channelwise`: channel
   * c of the result needs only channel c of its input, so slices stay where they are. `mover`:
   * touches bytes, computes nothing.
   */
  readonly kind: 'layer' | 'channelwise' | 'mover';
  /** False for calls that tfjs's own kernel shall run (an NCHW convolution, say). */
  accepts?(inputs: Named<Spec>, attributes: Attributes): boolean;
  /** The shape rule, and the guards: throws ArgumentError. */
  infer(inputs: Named<Spec>, attributes: Attributes): Spec[];
  /** How output channels (the last axis) can be computed alone; absent or undefined: they cannot. */
  slice?(problem: Problem, from: number, to: number): SliceRule | undefined;
  /**
   * How images (axis 0) or rows (axis 1) of the result can be computed alone: with those of its
   * inputs that they look at. Absent or undefined: they cannot.
   */
  band?(problem: Problem, range: Range): SliceRule | undefined;
  /** A cut of the output channels must be a multiple of this; 1 when absent. */
  grain?(problem: Problem): number;
  /** Whether the result is the inputs, side by side along the last axis. */
  putsSideBySide?(problem: Problem): boolean;
  /** Multiply-accumulates. */
  macs?(problem: Problem): number;
  /** Whether tfjs wants the results as a list even when there is one. */
  readonly returnsList?: boolean;
  /** The input with the weights, which may be quantised and packed once when it is constant. */
  readonly weights?: string;
}
