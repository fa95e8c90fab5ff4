/** What `explain()` tells: one row for each layer of the last graph that ran. */
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
	/** Relative RMS difference of int8 from float32, where it was measured. */
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
}
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
