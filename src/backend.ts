/**
 * MulayerBackend: tfjs's KernelBackend over the graph. Tensors are data ids here, and a data id
 * stands for a value (`graph/value.ts`). Kernels record; reading runs what was recorded.
 *
 * There is at most one run at a time. `read` drives it in short turns; `readSync`, or anything else
 * that needs numbers while one is under way, finishes it on the spot.
 */
import type {
  BackendTimingInfo,
  BackendValues,
  DataToGPUOptions,
  DataType,
  GPUData,
  TensorInfo,
} from '@tensorflow/tfjs-core';
import { DataStorage, engine, KernelBackend, util } from '@tensorflow/tfjs-core';

import { toNumbers } from './delegate/child.js';
import { ArgumentError, DisposedError, UnsupportedError } from './errors.js';
import { settings } from './flags.js';
import type { Node, Use } from './graph/graph.js';
import { Graph } from './graph/graph.js';
import type { Attributes, Named, Rules } from './graph/kernel.js';
import { Value } from './graph/value.js';
import type { CpuBuffer, CpuProcessor } from './processors/cpu/processor.js';
import type { GpuBuffer, GpuProcessor } from './processors/gpu/processor.js';
import type { Kernel } from './processors/kernel.js';
import type { Numbers } from './processors/processor.js';
import { Executor } from './run/executor.js';
import type { Pause } from './run/pipeline.js';
import type { RunReport } from './run/report.js';
import { nextTurn } from './turn.js';

/** Nodes after which a pending graph is run without being asked (an RNN that reads nothing). */
const MAX_PENDING_NODES = 4000;

/** The same for the bytes held by its inputs and needed for its results. */
const MAX_PENDING_BYTES = 1 << 30;

/**
 * A run may keep the main thread this long before the page gets a turn. The last thing it begins may
 * take as long again: a tile takes 4 ms at most. So no task is longer than 8.
 */
const TURN_MS = 4;

/** Multiply-accumulates that make a discarded graph worth running once, as a warm-up. */
const WARM_UP_MACS = 1e6;

/** What {@link MulayerBackend.memory} tells beside tfjs's own fields. */
export interface MulayerMemory {
  unreliable: boolean;
  /** Bytes in use on the wasm heap: the two below, and copies of what a kernel reads. */
  mulayerHeapBytes: number;
  /** Bytes of packed int8 weights on it; given back with their tensors. */
  mulayerPackedBytes: number;
  /** Bytes of results on it: activations during an inference, afterwards tensors not yet disposed. */
  mulayerResultBytes: number;
  /**
   * Bytes kept on it from one inference to the next, and not counted above: where graphs that repeat
   * themselves have their activations. Given back with the weights of the last of them.
   */
  mulayerArenaBytes: number;
  /** Bytes of the wasm memory, which never shrinks. */
  mulayerHeapSize: number;
  /** CPU threads at work, the caller's among them; workers start with the first large layer. */
  mulayerThreads: number;
  /** Bytes of GPU textures, pooled ones included; 0 without WebGL. */
  numBytesInGPU: number;
  /** Number of GPU textures, pooled ones included. */
  mulayerTextures: number;
}

export class MulayerBackend extends KernelBackend {
  private readonly data = new DataStorage<Value>(this, engine());
  private readonly graph = new Graph(node => this.warmUp(node));
  private readonly executor: Executor;
  private run: Generator<Pause, void> | undefined;
  private running = false;
  private pendingBytes = 0;
  private delegated: Record<string, number> = {};
  private delegatedBefore: Record<string, number> = {};

  constructor(
    kernels: ReadonlyMap<string, Kernel>,
    readonly cpu: CpuProcessor,
    readonly gpu: GpuProcessor | undefined,
  ) {
    super();
    this.executor = new Executor(this.graph, kernels, cpu, gpu);
  }

  // Data ids: write, read, dispose.

  /** Copies a typed array: the user may fill it anew before anything that was recorded runs. */
  override write(values: BackendValues | null, shape: number[], dtype: DataType): object {
    return this.adopt(ArrayBuffer.isView(values) ? values.slice() : values, shape, dtype);
  }

  /** The same for numbers that nobody else will change. */
  adopt(values: BackendValues | null, shape: number[], dtype: DataType): object {
    const dataId = {};
    this.data.set(dataId, this.newValue(values, shape, dtype));
    return dataId;
  }

  override move(
    dataId: object,
    values: BackendValues,
    shape: number[],
    dtype: DataType,
    refCount: number,
  ): void {
    const value = this.newValue(values, shape, dtype);
    value.refs = refCount;
    this.data.set(dataId, value);
  }

  override async read(dataId: object): Promise<BackendValues> {
    const value = this.find(dataId);
    // The reader is one more use: it keeps the value alive, whatever becomes of its data id.
    value.uses++;
    try {
      while (value.pending) {
        this.startRun();
        if (!this.run)
          throw new DisposedError('tensor: its backend was disposed before it was computed');
        await this.driveRun();
      }
      if (!value.error && this.executor.onlyOnGpu(value)) await this.gpu!.settled();
      return this.valuesOf(value);
    } finally {
      value.uses--;
      this.graph.release(value);
    }
  }

  override readSync(dataId: object): BackendValues {
    const value = this.find(dataId);
    this.compute(value);
    return this.valuesOf(value);
  }

  override disposeData(dataId: object, force = false): boolean {
    if (!this.data.has(dataId)) return true;
    const value = this.data.get(dataId);
    value.refs--;
    if (!force && value.refs > 0) return false;
    value.refs = Math.min(value.refs, 0);
    this.data.delete(dataId);
    this.graph.release(value);
    return true;
  }

  override refCount(dataId: object): number {
    return this.data.has(dataId) ? this.data.get(dataId).refs : 0;
  }

  override incRef(dataId: object): void {
    this.find(dataId).refs++;
  }

  override numDataIds(): number {
    return this.data.numDataIds();
  }

  override memory(): MulayerMemory {
    return {
      unreliable: false,
      mulayerHeapBytes: this.cpu.memory(),
      mulayerPackedBytes: this.cpu.heap.bytes.packed,
      mulayerResultBytes: this.cpu.heap.bytes.result,
      mulayerArenaBytes: this.cpu.heap.kept,
      mulayerHeapSize: this.cpu.heap.size,
      mulayerThreads: this.cpu.threads,
      numBytesInGPU: this.gpu?.memory() ?? 0,
      mulayerTextures: this.gpu?.textures ?? 0,
    };
  }

  /** 16 where the GPU may take part with its 16-bit textures. */
  override floatPrecision(): 16 | 32 {
    const { split, precision } = settings();
    const gpuMayRun =
      !!this.gpu && split !== 'cpu' && split !== 1 && (split !== 'auto' || !this.gpu.isSoftware);
    return gpuMayRun && precision !== 'float32' ? 16 : 32;
  }

  override async time(f: () => void): Promise<BackendTimingInfo> {
    this.finishAll();
    const start = performance.now();
    f();
    this.finishAll();
    await this.gpu?.settled();
    return { kernelMs: performance.now() - start };
  }

  override timerAvailable(): boolean {
    return true;
  }

  /** @throws UnsupportedError without WebGL. */
  override readToGPU(dataId: object, options?: DataToGPUOptions): GPUData {
    const value = this.find(dataId);
    this.compute(value);
    if (!this.gpu) throw new UnsupportedError('dataToGPU: expected WebGL, this device has none');
    if (value.error) throw value.error;
    // What is on the GPU stays there.
    if (value.gpu) return this.gpu.textureOf(value.gpu as GpuBuffer, options);
    return this.gpu.texture(this.executor.numbers(value), value, options);
  }

  /**
   * @throws UnsupportedError without WebGL.
   * @throws ArgumentError for a texture of another WebGL context.
   */
  override createTensorFromGPUData(
    values: Parameters<KernelBackend['createTensorFromGPUData']>[0],
    shape: number[],
    dtype: DataType,
  ) {
    if (!('texture' in values)) throw new ArgumentError('values: expected a WebGL texture');
    if (!this.gpu) throw new UnsupportedError('texture: expected WebGL, this device has none');
    const buffer = this.gpu.fromTexture(values, { shape, dtype });
    const dataId = {};
    if (dtype === 'float32') {
      const value = new Value(shape, dtype);
      value.gpu = buffer;
      this.data.set(dataId, value);
    } else {
      const numbers = this.gpu.download(buffer).map(Math.round);
      buffer.free();
      this.data.set(dataId, this.newValue(numbers, shape, dtype));
    }
    return engine().makeTensorFromTensorInfo({ dataId, shape, dtype }, this);
  }

  override dispose(): void {
    this.run = undefined;
    this.cpu.dispose();
    this.gpu?.dispose();
  }

  // Kernels: record, or hand to a child.

  /** Records a call of one of our kernels; the results are pending. */
  record(
    kernel: Rules,
    inputs: Named<TensorInfo>,
    isList: boolean,
    attributes: Attributes,
  ): TensorInfo[] {
    const uses: Named<Use> = {};
    for (const [name, { dataId, shape, dtype }] of Object.entries(inputs)) {
      uses[name] = { value: this.find(dataId), shape, dtype };
    }
    const specs = kernel.infer(uses, attributes);
    const node = this.graph.record(kernel, uses, isList, attributes, specs);
    if (this.graph.nodes.size === 1 && !this.run) this.executor.foresee(node, settings());
    const infos = node.outputs.map(value => {
      const dataId = {};
      this.data.set(dataId, value);
      return { dataId, shape: value.shape as number[], dtype: value.dtype };
    });
    for (const spec of [...specs, ...Object.values(uses)]) {
      this.pendingBytes += 4 * util.sizeFromShape(spec.shape as number[]);
    }
    if (this.graph.nodes.size > MAX_PENDING_NODES || this.pendingBytes > MAX_PENDING_BYTES) {
      this.finishAll();
    }
    return infos;
  }

  /** Notes that tfjs's own kernel ran, for the report. */
  countDelegated(name: string): void {
    this.delegated[name] = (this.delegated[name] ?? 0) + 1;
  }

  /** The input's own data under another shape or use: reshape, identity. */
  alias({ dataId, dtype }: TensorInfo, shape: number[]): TensorInfo {
    this.incRef(dataId);
    return { dataId, shape, dtype };
  }

  /** Whether the numbers are there without running anything. */
  isHost(dataId: object): boolean {
    const value = this.find(dataId);
    return !value.pending && !this.executor.onlyOnGpu(value);
  }

  report(): RunReport {
    const { layers, tried, ms } = this.executor;
    const rows = layers.map(row => ({ ...row, fused: [...row.fused] }));
    const programs = this.gpu?.programs ?? [];
    return {
      layers: rows,
      delegated: { ...this.delegatedBefore },
      ms,
      tried: [...tried],
      programs,
    };
  }

  /** Runs what `infer` records and reads, and observes it as a whole: twice where weights are new. */
  async calibrate(infer: () => Promise<void>): Promise<void> {
    const { executor } = this;
    this.finishAll();
    executor.calibrations++;
    try {
      const { news } = executor;
      await infer();
      if (executor.news > news) await infer();
    } finally {
      executor.calibrations--;
    }
  }

  // Runs.

  /** Runs everything that is pending, and finishes what is under way. */
  finishAll(isRehearsal = false): void {
    this.exhaust();
    if (this.graph.nodes.size > 0) {
      this.startRun(isRehearsal);
      this.exhaust();
    }
  }

  private compute(value: Value): void {
    if (value.pending) this.finishAll();
    if (value.pending)
      throw new DisposedError('tensor: its backend was disposed before it was computed');
  }

  private startRun(isRehearsal = false): void {
    if (this.run || this.graph.nodes.size === 0) return;
    this.pendingBytes = 0;
    this.delegatedBefore = this.delegated;
    this.delegated = {};
    this.run = this.executor.run(this.graph.take(), settings(), isRehearsal);
  }

  /** One step of the run; the pause it ends in, or undefined when there is no more. */
  private advance(): Pause | undefined {
    if (!this.run || this.running) return undefined;
    this.running = true;
    try {
      const { value, done } = this.run.next();
      if (done) this.run = undefined;
      return done ? undefined : value;
    } catch (error) {
      this.run = undefined;
      throw error;
    } finally {
      this.running = false;
    }
  }

  private exhaust(): void {
    this.gpu?.resumeRun();
    for (let pause = this.advance(); pause; pause = this.advance()) {
      // The GPU is waited for inside the blocking read-back.
      if (typeof pause === 'object') this.cpu.work(pause.mark, Infinity);
    }
  }

  /** Drives the run under way to its end, a few milliseconds at a time. */
  private async driveRun(): Promise<void> {
    const { run } = this;
    this.gpu?.resumeRun();
    let start = performance.now();
    while (run && this.run === run) {
      const pause = this.advance();
      if (!pause) return;
      if (pause === 'gpu') {
        await this.gpu!.settled();
        start = performance.now();
        continue;
      }
      // Before what takes long as well as after it.
      if (performance.now() - start > (pause === 'turn' ? TURN_MS : TURN_MS / 2)) {
        await nextTurn();
        start = performance.now();
      }
      if (typeof pause === 'object') this.cpu.work(pause.mark, start + TURN_MS);
    }
  }

  /**
   * The result of a graph is thrown away unread. If such a graph has never been seen, that is the
   * usual warm-up (`model.predict(zeros).dispose()`): rehearse it, so that weights are packed and
   * programs compiled. Otherwise nobody misses it.
   */
  private warmUp(node: Node): void {
    if (this.run || !leadsToLayer(node)) return;
    if (!this.executor.knows([...this.graph.nodes])) this.finishAll(true);
  }

  // Values.

  /** @throws DisposedError for a data id of ours that is gone. */
  find(dataId: object): Value {
    // DataStorage asks the engine to move in the data of another backend's tensor.
    const value = this.data.has(dataId) ? this.data.get(dataId) : this.moveIn(dataId);
    return value;
  }

  private moveIn(dataId: object): Value {
    try {
      return this.data.get(dataId);
    } catch (error) {
      if (error instanceof TypeError) {
        throw new DisposedError('tensor: expected one that is in use, got a disposed one');
      }
      throw error;
    }
  }

  private newValue(values: BackendValues | null, shape: number[], dtype: DataType): Value {
    const value = new Value(shape, dtype);
    if (dtype === 'string' || dtype === 'complex64') {
      value.foreign = values as Uint8Array[] | Float32Array;
      return value;
    }
    if (!['float32', 'int32', 'bool'].includes(dtype)) {
      throw new ArgumentError(
        `dtype: expected float32, int32, bool, complex64 or string, got ${dtype as string}`,
      );
    }
    const size = util.sizeFromShape(shape);
    const numbers = toNumbers((values ?? new Array<number>(size).fill(0)) as Numbers, dtype);
    value.cpu = this.cpu.upload(numbers, value);
    return value;
  }

  private valuesOf(value: Value): BackendValues {
    if (value.error) throw value.error;
    if (value.foreign) return value.foreign;
    const numbers = this.executor.numbers(value);
    // Numbers on the heap move when it grows: the reader gets a copy.
    return (value.cpu as CpuBuffer).isOnHeapOnly ? numbers.slice() : numbers;
  }
}

/** Whether a convolution or matrix product of some size is among what the node needs. */
function leadsToLayer(node: Node): boolean {
  const seen = new Set<Node>();
  const open = [node];
  for (let next = open.pop(); next; next = open.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    if ((next.kernel.macs?.(next) ?? 0) >= WARM_UP_MACS) return true;
    for (const { value } of Object.values(next.inputs)) {
      if (value.producer) open.push(value.producer as Node);
    }
  }
  return false;
}
