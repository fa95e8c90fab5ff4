/**
 * The GPU: programs of our own (`programs/`) on textures of our own layout (`layout.ts`), and for what
 * they do not do tfjs-webgl's, called below the engine, all on one WebGL context. Textures hold 16-bit
 * floats, or bytes (`layout.ts`), or 32-bit floats where the user asked for float32 or 16 bits were
 * not enough.
 *
 * A buffer is an image of ours, a tensor of tfjs-webgl, or both: the other form is made, on the GPU,
 * when a program asks for it.
 *
 * tfjs-webgl chooses its texture format by the flag WEBGL_RENDER_FLOAT32_ENABLED whenever a texture
 * is taken from or given back to its pool, so every use of it here happens inside `within()`, which
 * sets the flag and restores it: a user's own tensors on tfjs-webgl keep their format. A buffer
 * must be given back in the format it was made in, and is only used in that one.
 */
import type {
  DataToGPUOptions,
  DataType,
  GPUData,
  KernelBackend,
  TensorInfo,
} from '@tensorflow/tfjs-core';
import { engine, env, getKernel, util } from '@tensorflow/tfjs-core';

import { dropResult, findChild, runKernel } from '../../delegate/child.js';
import { ArgumentError, UnsupportedError } from '../../errors.js';
import type { Attributes, Named, Problem, Spec } from '../../graph/kernel.js';
import type { Buffer } from '../../graph/value.js';
import { nextTurn } from '../../turn.js';
import type { Quantisation, Range } from '../cpu/quantisation.js';
import type { Argument, Call, Kernel } from '../kernel.js';
import type { Numbers, Processor } from '../processor.js';
import type { Format, ProgramReport } from './context.js';
import { GpuContext } from './context.js';
import type { Image } from './layout.js';
import { fits, takeImage } from './layout.js';
import { activationOf } from './programs/activation.js';
import { joinImages, sliceImage } from './programs/moves.js';
import * as transfer from './programs/transfer.js';
import { activateImage } from './programs/unary.js';
import { Timers } from './timers.js';

/** What we use of tfjs-webgl's backend class beyond its public interface. */
interface WebglBackend extends KernelBackend {
  gpgpu: { gl: WebGL2RenderingContext };
  texData: {
    get(dataId: object): { texture: { texture: WebGLTexture } | null; values: Numbers | null };
  };
  /** A tensor as a flat texture: element i in component i & 3 of texel i >> 2. */
  decode(dataId: object, size: [height: number, width: number]): TensorInfo;
  disposeIntermediateTensorInfo(info: TensorInfo): void;
  /** A tensor from such a texture, which it does not keep. */
  writeTexture(
    texture: WebGLTexture,
    shape: number[],
    dtype: DataType,
    height: number,
    width: number,
    channels: string,
  ): object;
  /** A read-back that leaves the texture where it is; `readSync` would release it. */
  getValuesFromTexture(dataId: object): Float32Array;
  uploadToGPU(dataId: object): void;
  memory(): { unreliable: boolean; numBytesInGPU: number; numBytesInGPUAllocated: number };
  getTextureManager(): { getNumUsedTextures(): number; getNumFreeTextures(): number };
}

/** The same numbers in one form or both. `GpuProcessor` makes them, and gives them back. */
export class GpuBuffer implements Buffer {
  image: Image | undefined;
  tensor: TensorInfo | undefined;

  constructor(
    private readonly gpu: GpuProcessor,
    readonly spec: Spec,
    /** Whether its textures hold 16-bit floats, or bytes. */
    readonly half: boolean,
    form: Image | TensorInfo,
  ) {
    if ('layout' in form) this.image = form;
    else this.tensor = form;
  }

  get bytes(): number {
    const bytesPerNumber = this.image?.quantisation ? 1 : this.half ? 2 : 4;
    return bytesPerNumber * util.sizeFromShape(this.spec.shape as number[]);
  }

  free(): void {
    this.gpu.release(this);
  }
}

/** A texture that the user has filled, with numbers row by row in these channels: `'RGBA'`, `'R'`, ... */
export interface UserTexture {
  texture: WebGLTexture;
  height: number;
  width: number;
  channels?: string;
}

/** Renderers that are programs on the CPU: right, but never faster than it. */
const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;

/** tfjs-webgl has samplers for tensors of this rank at most. */
const MAX_RANK = 6;

export class GpuProcessor implements Processor<GpuBuffer> {
  readonly name = 'gpu';
  /** What has been made and not been given back. */
  private readonly live = new Set<GpuBuffer>();
  /** The format of the textures made from now on: 16-bit floats, or 32-bit ones. */
  half = true;
  /** The renderer's name, for people. */
  readonly renderer: string;
  /** What calls take, by what they are calls of. Absent where the GPU does not tell. */
  readonly timers: Timers<object> | undefined;
  /** Null where our programs cannot run; undefined until they were wanted. */
  private made: GpuContext | null | undefined;

  private constructor(private readonly webgl: WebglBackend) {
    const { gl } = webgl.gpgpu;
    this.timers = Timers.create(gl);
    const debug = gl.getExtension('WEBGL_debug_renderer_info');
    this.renderer = String(gl.getParameter(debug ? debug.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
  }

  /** Undefined where there is no WebGL. */
  static create(): GpuProcessor | undefined {
    const webgl = findChild('webgl') as WebglBackend | undefined;
    return webgl && new GpuProcessor(webgl);
  }

  /**
   * Whether numbers can be had from textures. Where floats cannot be read, tfjs-webgl packs them into
   * bytes; below our runs that gave zeros, in three browsers.
   */
  private get isReadable(): boolean {
    return !!this.context || env().getBool('WEBGL_DOWNLOAD_FLOAT_ENABLED');
  }

  /** Whether the renderer is the CPU in disguise. */
  get isSoftware(): boolean {
    return SOFTWARE.test(this.renderer);
  }

  get isLost(): boolean {
    return this.webgl.gpgpu.gl.isContextLost();
  }

  supports(kernel: Kernel, inputs: Spec[], outputs: readonly Spec[]): boolean {
    const { name } = kernel;
    if (!kernel.gpu || !this.isReadable) return false;
    const fits = ({ shape, dtype }: Spec) =>
      dtype === 'float32' && shape.length <= MAX_RANK && util.sizeFromShape(shape as number[]) > 0;
    return !this.isLost && !!getKernel(name, 'webgl') && inputs.every(fits) && outputs.every(fits);
  }

  /** @param quantisation of bytes; they stay bytes. */
  upload(numbers: Numbers, spec: Spec, quantisation?: Quantisation): GpuBuffer {
    if (quantisation) {
      const bytes = numbers as Uint8Array;
      return this.keep(transfer.uploadBytes(this.context!, bytes, quantisation, spec.shape), spec);
    }
    if (this.context && this.hasImage(spec)) {
      return this.keep(
        transfer.upload(this.context, numbers as Float32Array, spec.shape, this.format),
        spec,
      );
    }
    // tfjs-webgl keeps the array until the first program reads it: a view on a heap that may grow
    // or be overwritten by then must be copied.
    const kept = numbers.byteLength === numbers.buffer.byteLength ? numbers : numbers.slice();
    return this.within(() => this.wrap(this.webgl.write(kept, ...unpack(spec)), spec));
  }

  download({ image, tensor }: GpuBuffer): Numbers {
    if (image) return transfer.download(this.context!, image);
    const { dataId } = tensor!;
    const data = this.webgl.texData.get(dataId);
    if (!data.texture) return data.values!;
    return this.within(() => this.webgl.getValuesFromTexture(dataId));
  }

  /** Whether such a tensor can come as bytes, and go as such. */
  takesBytes(spec: Spec): boolean {
    return this.half && this.hasImage(spec);
  }

  /** Whether all numbers of an image are finite; undefined where there is no image to look at. Blocks. */
  isSound({ image }: GpuBuffer): boolean | undefined {
    return image && transfer.isSound(this.context!, image);
  }

  /** Bytes that {@link downloadBytes} writes; undefined where the buffer cannot be read so. */
  downloadLength({ image }: GpuBuffer): number | undefined {
    return image && transfer.downloadLength(image);
  }

  /** The numbers as bytes, to `to`; blocks. The range they had: see `transfer.downloadBytes`. */
  downloadBytes({ image }: GpuBuffer, quantisation: Quantisation, to: Uint8Array): Range {
    return transfer.downloadBytes(this.context!, image!, quantisation, to);
  }

  reshape(buffer: GpuBuffer, spec: Spec): GpuBuffer {
    if (buffer.image && this.hasImage(spec)) {
      return this.keep(transfer.relay(this.context!, buffer.image, spec.shape), spec);
    }
    return this.one('Reshape', { x: this.tensorOf(buffer) }, { shape: spec.shape });
  }

  slice(
    buffer: GpuBuffer,
    { shape, dtype }: Spec,
    axis: number,
    from: number,
    to: number,
  ): GpuBuffer {
    const begin = shape.map((_, i) => (i === axis ? from : 0));
    const size = shape.map((length, i) => (i === axis ? to - from : length));
    if (buffer.image) {
      const image = sliceImage(this.context!, buffer.image, begin, size);
      return this.keep(image, { shape: size, dtype });
    }
    return this.one('Slice', { x: this.tensorOf(buffer) }, { begin, size });
  }

  /** @param quantisation where the result shall be bytes, whose range holds all of its numbers. */
  join(
    parts: readonly GpuBuffer[],
    _specs: readonly Spec[],
    whole: Spec,
    axis: number,
    quantisation?: Quantisation,
  ): GpuBuffer {
    const images = this.images(parts);
    if (images && this.hasImage(whole)) {
      return this.keep(joinImages(this.context!, images, whole.shape, axis, quantisation), whole);
    }
    const inputs = Object.fromEntries(parts.map((part, i) => [i, this.tensorOf(part)]));
    return this.one('Concat', inputs, { axis }, true);
  }

  run(kernel: Kernel, call: Call<GpuBuffer>): GpuBuffer[] {
    return kernel.gpu!(this, call);
  }

  flush(): void {
    this.webgl.gpgpu.gl.flush();
  }

  /**
   * Polls a fence: turn by turn at first, where one costs 11 µs and adds no latency,
   * then with a timer, which leaves the processor to others. After {@link PATIENCE_MS} it gives up:
   * the read-back that follows waits as well, though it blocks.
   */
  async settled(): Promise<void> {
    const { gl } = this.webgl.gpgpu;
    const fence = 'fenceSync' in gl ? gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0) : null;
    if (!fence) return;
    gl.flush();
    const start = performance.now();
    while (gl.getSyncParameter(fence, gl.SYNC_STATUS) === gl.UNSIGNALED && !gl.isContextLost()) {
      const ms = performance.now() - start;
      if (ms > PATIENCE_MS) {
        console.warn(`mulayer: no word from the GPU for ${PATIENCE_MS} ms`);
        break;
      }
      await (ms < EAGER_MS ? nextTurn() : new Promise(resolve => setTimeout(resolve, 1)));
    }
    gl.deleteSync(fence);
  }

  memory(): number {
    return this.webgl.memory().numBytesInGPUAllocated + (this.made?.bytes ?? 0);
  }

  /** The context belongs to tfjs-webgl; what we hold in it goes. */
  dispose(): void {
    for (const buffer of this.live) this.release(buffer);
    this.made?.dispose();
  }

  /** Textures that tfjs-webgl and we have made, in use and pooled. */
  get textures(): number {
    const manager = this.webgl.getTextureManager();
    const theirs = manager.getNumUsedTextures() + manager.getNumFreeTextures();
    return theirs + (this.made?.textures ?? 0);
  }

  /** Whether programs that were prepared are not ready; false where the browser does not tell. */
  get isCompiling(): boolean {
    return !!this.made?.isCompiling;
  }

  /** Programs of our own that have run, and what compiling them took. */
  get programs(): ProgramReport[] {
    return this.made?.compiled() ?? [];
  }

  /** A run begins, on textures of this format. */
  beginRun(half: boolean): void {
    this.half = half;
    this.made?.beginRun();
  }

  /** A run goes on; others may have drawn since it paused. */
  resumeRun(): void {
    this.made?.forgetState();
  }

  /** Undefined where our programs cannot run, of which drivers have been known to say the contrary. */
  get context(): GpuContext | undefined {
    if (this.made === undefined) {
      this.made = null;
      try {
        const context = GpuContext.create(this.webgl.gpgpu.gl);
        if (context && transfer.works(context)) this.made = context;
        else context?.dispose();
      } catch (error) {
        if (!(error instanceof UnsupportedError)) throw error;
        console.warn('mulayer: no programs of its own on this GPU:', error);
      }
    }
    return this.made ?? undefined;
  }

  /** Of the textures made from now on. */
  get format(): Format {
    return this.half ? 'half' : 'float';
  }

  /** Whether such a tensor can be an image of ours. */
  hasImage({ shape, dtype }: Spec): boolean {
    return dtype === 'float32' && !!this.context && fits(shape, this.context.maxTextureSize);
  }

  /** The images of buffers, made where they are not yet there; undefined where one cannot be. */
  images(buffers: readonly GpuBuffer[]): Image[] | undefined {
    const images: Image[] = [];
    for (const buffer of buffers) {
      const image = this.image(buffer);
      if (!image) return undefined;
      images.push(image);
    }
    return images;
  }

  /** The same of one. */
  image(buffer: GpuBuffer): Image | undefined {
    if (buffer.image) return buffer.image;
    if (!this.hasImage(buffer.spec)) return undefined;
    return (buffer.image = this.context!.aside(() => this.enter(buffer)));
  }

  /** A call as a program of ours; undefined where there is none for it. */
  own(
    { inputs, outputs }: Call<GpuBuffer>,
    draw: (context: GpuContext, images: Image[]) => Image | undefined,
  ): GpuBuffer[] | undefined {
    const all = Object.values(inputs);
    if (!outputs.every(y => this.hasImage(y)) || !all.every(x => this.hasImage(x)))
      return undefined;
    const images = this.images(all.map(({ buffer }) => buffer))!;
    return this.drawn(outputs[0], context => draw(context, images));
  }

  /** What a program of ours draws; undefined where it does not link, or is beyond the device. */
  drawn(spec: Spec, draw: (context: GpuContext) => Image | undefined): GpuBuffer[] | undefined {
    try {
      const image = draw(this.context!);
      return image && [this.keep(image, spec)];
    } catch (error) {
      if (error instanceof UnsupportedError) return undefined;
      throw error;
    }
  }

  /**
   * The activation of a fused kernel by itself.
   *
   * @throws UnsupportedError where our programs cannot.
   */
  activate(buffer: GpuBuffer, attributes: Attributes): GpuBuffer {
    const activation = activationOf(attributes);
    const image = this.image(buffer);
    if (!activation || !image) throw new UnsupportedError('activation: expected an image of ours');
    return this.keep(activateImage(this.context!, image, activation), buffer.spec);
  }

  /**
   * Begins to compile what a call will need, if that is a program of ours. Never throws.
   *
   * @param comesAsBytes of an input, by its name.
   */
  prepare(
    kernel: Kernel,
    { inputs, outputs, ...call }: Problem & { isList: boolean },
    comesAsBytes: (name: string) => boolean = () => false,
  ): void {
    const { context } = this;
    if (!context || !Object.values(inputs).every(spec => this.hasImage(spec))) return;
    const imagine = ({ shape, dtype }: Spec, bytes?: Quantisation): Argument<GpuBuffer> => ({
      ...{ shape, dtype },
      buffer: new GpuBuffer(
        this,
        { shape, dtype },
        this.half,
        takeImage(context, shape, this.format, bytes),
      ),
      range: () => [0, 0],
      host: () => new Float32Array(0),
      derived: (_, make) => make(),
    });
    context.rehearse(() => {
      const imagined: Named<Argument<GpuBuffer>> = {};
      for (const [name, spec] of Object.entries(inputs)) {
        imagined[name] = imagine(spec, comesAsBytes(name) ? { scale: 1, zero: 0 } : undefined);
      }
      const own = { name: kernel.name, inputs: imagined, outputs, int8: false };
      try {
        for (const buffer of kernel.gpu!(this, { ...call, ...own })) buffer.free();
      } catch {
        // What it refuses now it refuses again in earnest.
      }
    });
  }

  /** Begins to compile what bytes need on their way. Never throws. */
  prepareWire(): void {
    const { context } = this;
    context?.rehearse(() => {
      const bytes = { scale: 1, zero: 0 };
      const left = transfer.uploadBytes(context, new Uint8Array(4), bytes, [4]);
      const right = takeImage(context, [4], this.format);
      joinImages(context, [left, right], [8], 0, bytes);
      transfer.downloadBytes(context, right, bytes, new Uint8Array(transfer.downloadLength(right)));
    });
  }

  /** A buffer of what a program of ours has made. */
  keep(image: Image, spec: Spec): GpuBuffer {
    const buffer = new GpuBuffer(this, spec, this.half, image);
    this.live.add(buffer);
    return buffer;
  }

  /** The call on tfjs-webgl. */
  tfjs({ name, inputs, isList, attributes, outputs }: Call<GpuBuffer>): GpuBuffer[] {
    if (this.context?.isRehearsing) return [];
    const infos: Named<TensorInfo> = {};
    for (const [key, { buffer }] of Object.entries(inputs)) infos[key] = this.tensorOf(buffer);
    return this.within(() => {
      const results = runKernel('webgl', name, infos, isList, attributes);
      return results.map((result, i) => this.wrap(result.dataId, outputs[i]));
    });
  }

  /** Numbers as a texture the user may keep: 32-bit, and disposed by the user with its tensor. */
  texture(numbers: Numbers, spec: Spec, options?: DataToGPUOptions): GPUData {
    const dataId = this.webgl.write(numbers, ...unpack(spec));
    try {
      this.webgl.uploadToGPU(dataId);
      return this.lend(dataId, options);
    } finally {
      this.webgl.disposeData(dataId);
    }
  }

  /** The same of what is here already; nothing is read back. */
  textureOf(buffer: GpuBuffer, options?: DataToGPUOptions): GPUData {
    this.half = buffer.half;
    return this.lend(this.tensorOf(buffer).dataId, options);
  }

  private lend(dataId: object, options?: DataToGPUOptions): GPUData {
    const data = this.webgl.readToGPU(dataId, options);
    // It books its tensor to the backend that is set; disposing it has to reach the texture.
    engine().state.tensorInfo.get(data.tensorRef.dataId)!.backend = this.webgl;
    return data;
  }

  /**
   * Numbers of a user's texture, which stays the user's: a copy in 32 bits.
   *
   * @throws ArgumentError for a texture of another context.
   */
  fromTexture({ texture, height, width, channels = 'RGBA' }: UserTexture, spec: Spec): GpuBuffer {
    if (!this.webgl.gpgpu.gl.isTexture(texture)) {
      throw new ArgumentError(
        "texture: expected one of the context that tfjs's backend 'webgl' has, got another",
      );
    }
    const dataId = this.webgl.writeTexture(texture, ...unpack(spec), height, width, channels);
    return this.wrap(dataId, spec, false);
  }

  /** Gives textures back to their pools. */
  release(buffer: GpuBuffer): void {
    if (!this.live.delete(buffer)) return;
    const { image, tensor, half } = buffer;
    if (image) this.context!.give(image.texture);
    if (tensor) this.within(() => dropResult('webgl', tensor), half);
  }

  /** The tensor of a buffer, from its image where it is not yet there. */
  private tensorOf(buffer: GpuBuffer): TensorInfo {
    if (buffer.tensor) return buffer.tensor;
    const [shape, dtype] = unpack(buffer.spec);
    const flat = transfer.leave(this.context!, buffer.image!, this.format);
    const { texture, width, height } = flat;
    const dataId = this.within(() =>
      this.webgl.writeTexture(texture, shape, dtype, height, width, 'RGBA'),
    );
    this.context!.give(flat);
    return (buffer.tensor = { dataId, shape, dtype });
  }

  /** The image of a buffer, from its tensor. */
  private enter({ tensor, spec }: GpuBuffer): Image {
    const [width, height] = transfer.flatSize(util.sizeFromShape(spec.shape as number[]));
    const flat = this.within(() => this.webgl.decode(tensor!.dataId, [height, width]));
    const { texture } = this.webgl.texData.get(flat.dataId).texture!;
    const image = transfer.enter(this.context!, { texture }, width, spec.shape, this.format);
    this.within(() => this.webgl.disposeIntermediateTensorInfo(flat));
    return image;
  }

  private one(name: string, infos: Named<TensorInfo>, attributes: Attributes, isList = false) {
    return this.within(() => {
      const [result] = runKernel('webgl', name, infos, isList, attributes);
      return this.wrap(result.dataId, result);
    });
  }

  private wrap(dataId: object, { shape, dtype }: Spec, half = this.half): GpuBuffer {
    const tensor = { dataId, shape: shape as number[], dtype };
    const buffer = new GpuBuffer(this, tensor, half, tensor);
    this.live.add(buffer);
    return buffer;
  }

  /** Runs `use` in one texture format, and without tfjs-webgl handing small work to the CPU. */
  private within<T>(use: () => T, half = this.half): T {
    const flags: Record<string, boolean> = { WEBGL_CPU_FORWARD: false };
    if (half) flags.WEBGL_RENDER_FLOAT32_ENABLED = false;
    const before = Object.keys(flags).map(flag => [flag, env().getBool(flag)] as const);
    for (const [flag, value] of Object.entries(flags)) env().set(flag, value);
    this.made?.listener?.didMore();
    try {
      return use();
    } finally {
      for (const [flag, value] of before) env().set(flag, value);
      this.made?.forgetState();
    }
  }
}

/** Milliseconds in which a fence is asked for as often as possible. */
const EAGER_MS = 20;

/** Milliseconds after which a fence is taken for one the browser has forgotten. */
const PATIENCE_MS = 2000;

const unpack = ({ shape, dtype }: Spec): [number[], DataType] => [shape as number[], dtype];
