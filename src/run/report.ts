/** What `explain()` tells: one row for each layer of the last graph that ran. */
import type { Tried } from '../plan/trial.js';
import type { ProgramReport } from '../processors/gpu/context.js';

export type { ProgramReport, Tried };

/** One layer of the last run: a recorded kernel call, or several fused into one. */
export interface LayerReport {
  /** tfjs's name of the kernel; of the fused kernel, `FusedConv2D` say, where calls were fused. */
  op: string;
  /** tfjs's names of the calls fused into the one before them: `['FusedBatchNorm', 'Relu']`. */
  fused: string[];
  /** Shape of its first output. */
  shape: number[];
  /** Who computed it. */
  where: 'cpu' | 'gpu' | 'split';
  /** The CPU's share of the output channels, 0 to 1. */
  p: number;
  /** Arithmetic: of the CPU's part where it has one, else of the GPU's. */
  precision: 'float32' | 'int8' | 'f16';
  /** Whether the result went on as bytes (QUInt8) to the layers that read it, not as floats. */
  quantised: boolean;
  /** Multiply-accumulates of all its outputs; 0 for what is no convolution or matrix product. */
  macs: number;
  /** Milliseconds from the end of the layer before to its own, turns of the page included. */
  ms: number;
  /** Bytes uploaded for this layer. */
  bytesToGpu: number;
  /** Bytes read back for this layer. */
  bytesFromGpu: number;
  /** Read-backs for this layer; each one blocks. */
  readbacks: number;
  /**
   * Noise to signal of int8, where it was measured: the RMS difference from float32, after what it
   * adds in the mean was taken off, over the deviation of the float32 result from the mean of its
   * channel.
   */
  int8Error?: number;
}

/** The last graph run, as {@link explain} gives it. */
export interface RunReport {
  /**
   * One row for each recorded kernel call, in their order. Calls that were fused into the layer
   * before them are one row with it, where the last of them was.
   */
  layers: LayerReport[];
  /** Calls of kernels that tfjs's own backends ran since the run before this one, by name. */
  delegated: Record<string, number>;
  /** Milliseconds from the start of the run to its end. */
  ms: number;
  /** What `MULAYER_SPLIT=auto` has tried for this graph; the fastest is what runs in the end. */
  tried: Tried[];
  /** The GPU programs of mulayer's own that have run since the backend was set. */
  programs: ProgramReport[];
}
