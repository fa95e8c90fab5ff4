import { NamedTensorMap, Tensor } from '@tensorflow/tfjs-core';

/** What `auto` has tried for a graph. */
export interface Tried {
	/** `cpu` or `gpu`: all on it; `planned`: both, for the first, second, ... time. */
	split: string;
	/** Milliseconds of its quickest inference. */
	ms: number;
	/** Milliseconds that the plan promised. */
	predicted?: number;
}
/** A program and what compiling it took, in milliseconds. */
export interface ProgramReport {
	/** What it computes, and in which format: one program serves all shapes. */
	name: string;
	/** From the start of compiling until it was known to be done, which nobody asks before its first draw. */
	ms: number;
	/** Of these, for how long that first draw held the page. */
	waited: number;
}
/** One layer of the last run: a recorded kernel call, or several fused into one. */
export interface LayerReport {
	/** tfjs's name of the kernel; of the fused kernel, `FusedConv2D` say, where calls were fused. */
	op: string;
	/** tfjs's names of the calls fused into the one before them: `['FusedBatchNorm', 'Relu']`. */
	fused: string[];
	/** Shape of its first output. */
	shape: number[];
	/** Who computed it. */
	where: "cpu" | "gpu" | "split";
	/** The CPU's share of the output channels, 0 to 1. */
	p: number;
	/** Arithmetic: of the CPU's part where it has one, else of the GPU's. */
	precision: "float32" | "int8" | "f16";
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
/** What a model takes or gives: one tensor, several, or several by name. */
export type Tensors = Tensor | Tensor[] | NamedTensorMap;
/** A GraphModel, a LayersModel, whatever has their `predict`, or a function in its place. */
export type Predictor<T extends Tensors> = {
	/** One inference: from inputs to outputs. */
	predict(inputs: T): Tensors;
} | ((inputs: T) => Tensors | Promise<Tensors>);
/**
 * Settles the plan of a model before the first real inference: runs it on each of the inputs, in
 * float32 on the CPU, and learns ranges and int8 errors from all of them. The next prediction on an
 * input of the same shape uses int8 where the flags allow it. Without it mulayer learns the same from
 * the first inference or two alone, so it pays where a single input would not be typical: a blank
 * frame, or a warm-up on zeros. A plan is that of all that is recorded up to the reading: where the
 * input of the real inference is not read before (`model.predict(tf.div(picture, 255))`), give a
 * function that prepares it in the same way.
 *
 * A few typical inputs are enough (4 to 16). Each takes as long as some five inferences in float32;
 * the first of each shape twice that. Under `MULAYER_PRECISION=int8` ranges alone are learned, under
 * `float32` nothing. Other graphs that run meanwhile are observed too.
 *
 * @param model with a `predict`; or a function from inputs to tensors, for `execute`, for control flow
 *   (`x => model.executeAsync(x)`) or with the preparation of the inputs in it.
 * @param inputs one at least, one after the other; of any shapes that the model takes, with the
 *   numbers it takes when used: a picture `[1,h,w,3]` scaled as it will be. They stay the caller's;
 *   what the model gives is disposed.
 * @returns when all have been run.
 * @throws ArgumentError when there is no model, no input, something that is no tensor among the
 *   inputs, or none in what the model gives; UnsupportedError when the backend is not `mulayer`; and
 *   what the model throws. What was learned until then stays.
 * @example
 * ```ts
 * await tf.setBackend('mulayer');
 * const model = await tf.loadGraphModel(url);
 * const frames = [0, 1, 2, 3].map(i => tf.randomUniform([1, 224, 224, 3], 0, 255, 'float32', i));
 * await calibrate(model, frames);
 * tf.dispose(frames);
 * ```
 */
export declare function calibrate<T extends Tensors>(model: Predictor<T>, inputs: Iterable<T> | AsyncIterable<T>): Promise<void>;
/**
 * One class per kind of failure, so that a caller can tell a wrong argument from a full memory.
 *
 * Messages name the argument, what was wanted and what came:
 * `filter: expected rank 4 [kh,kw,ci,co], got [3,3,8]`.
 */
/** The base of every error thrown by this backend. */
export declare class MulayerError extends Error {
	/** The class's own, so that a message shows the kind of failure. */
	name: string;
}
/** A `MULAYER_*` flag was given a value it does not have. */
export declare class FlagError extends MulayerError {
	name: string;
}
/** An argument of a kernel has a shape, rank or dtype the kernel is not defined for. */
export declare class ArgumentError extends MulayerError {
	name: string;
}
/** A tensor was used after it was disposed. */
export declare class DisposedError extends MulayerError {
	name: string;
}
/** Neither processor has room for a value. Everything allocated for it has been freed. */
export declare class MemoryError extends MulayerError {
	name: string;
}
/** The device or browser lacks what was asked for, for example a GPU texture without WebGL. */
export declare class UnsupportedError extends MulayerError {
	name: string;
}
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
export declare function setWorkerUrl(url: string | undefined): void;
/**
 * Tells where each layer of the last graph ran, in which share and precision, how long it took (in
 * milliseconds) and what was moved for it (in bytes).
 *
 * @returns one row for each recorded kernel call, in the order of the calls; calls that were fused
 *   into the layer before them (batch normalisation, bias, activation) share its row, which names
 *   them in `fused`. No rows before the first run.
 * @throws UnsupportedError when the backend `mulayer` has not been initialised.
 * @example
 * ```ts
 * await tf.setBackend('mulayer');
 * await model.predict(picture).data();
 * console.table(explain().layers);
 * ```
 */
export declare function explain(): RunReport;

export {};
