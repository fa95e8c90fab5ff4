/**
 * Our own programs on the WebGL2 context of tfjs-webgl: a cache of programs, a pool of textures with
 * their bytes counted, and the draw.
 *
 * tfjs-webgl sets program, vertex array, framebuffer, viewport, scissor and the textures it samples
 * before each of its draws, and assumes the rest to be as it left it. So we set nothing else (culling
 * stays on: our triangle turns counterclockwise; scissoring stays on: we set the box), but for the
 * uniform block, of which it has none; and leave all as it is after a draw, as it does. Nor do we
 * assume more, but from draw to draw of a tape (`tape.ts`, `state.ts`).
 */
import { UnsupportedError } from '../../errors.js';
import type { Buffer } from '../../graph/value.js';
import { PHASES } from './layout.js';
import { State } from './state.js';

/** Texels of four 16-bit floats, four 32-bit ones, or four bytes (QUInt8, `layout.ts`). */
export type Format = 'half' | 'float' | 'byte';

export const BYTES_A_TEXEL: Record<Format, number> = { half: 8, float: 16, byte: 4 };

/** What a texture is filled with, by its format. */
type Texels = Float32Array | Uint16Array | Uint8Array;

/** A texture of the pool. `layers` 1: a plain one. */
export interface Texture {
  readonly texture: WebGLTexture;
  readonly format: Format;
  readonly width: number;
  readonly height: number;
  readonly layers: number;
  readonly bytes: number;
  /** All layers as draw buffers; made on first use. */
  framebuffer: WebGLFramebuffer | null;
}

/** A texture to sample. Those of others than us are plain. */
export type Sampled = Pick<Texture, 'texture'> & Partial<Pick<Texture, 'layers'>>;

/** A fragment shader and its name, under which its program is kept. The same name, the same text. */
export interface Source {
  readonly name: string;
  readonly fragment: () => string;
}

/** Four numbers, or more for an array of them. */
export type Numbers = readonly number[] | Int32Array;

/** What one draw reads: uniforms `sampler*`, `ivec4`, `vec4`. */
export interface Uniforms {
  readonly textures: Readonly<Record<string, Sampled>>;
  readonly ints?: Readonly<Record<string, Numbers>>;
  readonly floats?: Readonly<Record<string, Numbers>>;
}

/** A buffer for the uniform block `Block`, which sees `length` bytes of it at a time. */
export interface Blocks extends Buffer {
  readonly buffer: WebGLBuffer;
  readonly length: number;
}

/** What a form of weights is made of. */
export interface Form extends Buffer {
  readonly texture?: Texture;
  readonly blocks?: Blocks;
}

/** Rows [y, y + height) of the target, and where in the buffer their block begins, in bytes. */
export interface Strip {
  readonly y: number;
  readonly height: number;
  readonly offset: number;
}

/** What a draw sets and draws, but for the textures it samples and its target. */
export interface Draw {
  readonly program: Program;
  /** Of each texture, in the order in which they come. */
  readonly units: readonly number[];
  readonly uniforms: readonly {
    readonly uniform: Uniform;
    readonly values: Numbers;
    readonly areInts: boolean;
  }[];
  /** Of the whole target, or strip by strip, each with a block of its own. */
  readonly blocks?: Blocks | undefined;
  readonly strips?: readonly Strip[] | undefined;
}

/** Hears all that is done to draw. */
export interface Listener {
  took(texture: Texture): void;
  gave(texture: Texture): void;
  drew(draw: Draw, to: Texture, textures: readonly Sampled[]): void;
  /** Something that is no draw. */
  didMore(): void;
}

/** A texture nobody uses, since a run. */
interface Pooled {
  readonly texture: Texture;
  readonly since: number;
}

/** Bytes of a uniform block that are fast everywhere; some drivers allow gigabytes. */
const MAX_BLOCK = 2 ** 16;

/**
 * Draws after which what was submitted is sent to the GPU. Browsers keep commands back until there are
 * many or, in Chromium, for 3.3 ms: as long as it takes to submit a small net. Each sending costs this
 * thread 20 to 80 µs.
 */
const DRAWS_SENT = 16;

/** Runs that an unused texture is kept for: an application's nets may take turns. */
const RUNS_KEPT = 8;

/** A program and what compiling it took, in milliseconds. */
export interface ProgramReport {
  /** What it computes, and in which format: one program serves all shapes. */
  name: string;
  /** From the start of compiling until it was known to be done, which nobody asks before its first draw. */
  ms: number;
  /** Of these, for how long that first draw held the page. */
  waited: number;
}

export interface Program {
  readonly program: WebGLProgram;
  readonly shaders: readonly WebGLShader[];
  /** Undefined until somebody had to know. */
  links?: boolean;
  /** Whether it is known to have compiled: asking that does not wait. */
  isCompiled?: boolean;
  /** When it began to compile, and what that took once it is known. */
  readonly since: number;
  times?: Pick<ProgramReport, 'ms' | 'waited'>;
  /** By name, the unit that a sampler has. */
  readonly units: Map<string, number>;
  readonly uniforms: Map<string, Uniform>;
}

/** A program keeps its uniforms from draw to draw: only what has changed is sent again. */
export interface Uniform {
  readonly location: WebGLUniformLocation | null;
  /** Absent until they were sent. */
  values?: Numbers;
}

/** One triangle over the whole viewport, counterclockwise, without a vertex buffer. */
const VERTEX = `#version 300 es
void main() {
  gl_Position = vec4(gl_VertexID == 1 ? 3. : -1., gl_VertexID == 2 ? 3. : -1., 0., 1.);
}`;

/** 2049 * 1 + 0, which 16 bits cannot hold. The numbers come as a uniform: nothing is to be folded. */
const PROBE: Source = {
  name: 'probe',
  fragment: () => `#version 300 es
precision mediump float;
uniform mediump vec4 V;
layout(location = 0) out highp vec4 o;
void main() {
  mediump float v = V.x * V.y + V.z;
  o = vec4(v);
}`,
};

export class GpuContext {
  private readonly programs = new Map<string, Program>();
  /** By {@link keyOf}. */
  private readonly free = new Map<number, Pooled[]>();
  /** Runs so far. */
  private run = 0;
  /** Draws until the next sending. The first of a run goes at once: it brings the input. */
  private untilSent = 1;
  private readonly taken = new Set<Texture>();
  private readonly buffers = new Set<WebGLBuffer>();
  private readonly state: State;
  /** Who hears what is done; see {@link aside}. */
  listener: Listener | undefined;
  readonly maxTextureSize: number;
  /** Bytes of a uniform block, and what offsets into a buffer of them are multiples of. */
  readonly maxBlock: number;
  readonly blockAlignment: number;
  /** Whether `mediump` is 16 bits. What drivers say of it is not to be trusted: it is tried. */
  readonly isMediumHalf: boolean;
  /** Bytes of all textures and buffers, in use and free. */
  bytes = 0;
  /** Tells whether a program has compiled. */
  private readonly parallel: KHR_parallel_shader_compile | null;
  /** See {@link rehearse}. */
  isRehearsing = false;

  private constructor(readonly gl: WebGL2RenderingContext) {
    this.maxTextureSize = gl.getParameter(gl.MAX_TEXTURE_SIZE) as number;
    this.state = new State(gl, this.maxTextureSize);
    const maxBlock = gl.getParameter(gl.MAX_UNIFORM_BLOCK_SIZE) as number;
    this.maxBlock = Math.min(MAX_BLOCK, maxBlock);
    this.blockAlignment = gl.getParameter(gl.UNIFORM_BUFFER_OFFSET_ALIGNMENT) as number;
    this.parallel = gl.getExtension('KHR_parallel_shader_compile');
    this.isMediumHalf = this.probe();
  }

  /**
   * Undefined where our programs cannot run: WebGL1, no rendering to float textures, or, in spite of
   * the standard, not to four at once.
   */
  static create(gl: WebGLRenderingContext | WebGL2RenderingContext): GpuContext | undefined {
    if (!('fenceSync' in gl) || !gl.getExtension('EXT_color_buffer_float')) return undefined;
    return gl.getParameter(gl.MAX_DRAW_BUFFERS) < PHASES ? undefined : new GpuContext(gl);
  }

  /**
   * Does not draw what `use` draws, nor hold memory for it, but begins to compile the programs: all of
   * a net's at once, by as many threads as the driver has, instead of one after the other as they are
   * come upon. Textures that are taken meanwhile are none.
   */
  rehearse(use: () => void): void {
    this.isRehearsing = true;
    try {
      use();
    } finally {
      this.isRehearsing = false;
    }
  }

  /** What is done meanwhile is not for the listener. */
  aside<T>(use: () => T): T {
    const { listener } = this;
    this.listener = undefined;
    try {
      return use();
    } finally {
      this.listener = listener;
    }
  }

  /** Others have been at the context, or will be. */
  forgetState(): void {
    this.state.forget();
  }

  /** Programs that have been drawn with, in the order in which they began to compile. */
  compiled(): ProgramReport[] {
    return [...this.programs].flatMap(([name, { times }]) => (times ? { name, ...times } : []));
  }

  /** Whether a program that has begun to compile is not ready; false where the browser does not tell. */
  get isCompiling(): boolean {
    const { gl, parallel } = this;
    if (!parallel) return false;
    for (const made of this.programs.values()) {
      if (made.links !== undefined || made.isCompiled) continue;
      made.isCompiled = !!gl.getProgramParameter(made.program, parallel.COMPLETION_STATUS_KHR);
      if (!made.isCompiled) return true;
    }
    return false;
  }

  /** Begins to compile, without waiting: drivers that can do it in parallel. */
  prepare({ name, fragment }: Source): void {
    if (this.programs.has(name)) return;
    const { gl } = this;
    const program = gl.createProgram();
    const texts: [number, string][] = [
      [gl.VERTEX_SHADER, VERTEX],
      [gl.FRAGMENT_SHADER, fragment()],
    ];
    const shaders = texts.map(([type, text]) => {
      const shader = gl.createShader(type)!;
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
      return shader;
    });
    gl.linkProgram(program);
    const known = { units: new Map<string, number>(), uniforms: new Map<string, Uniform>() };
    this.programs.set(name, { program, shaders, ...known, since: performance.now() });
  }

  /**
   * A texture of the pool; what is in it is undefined.
   *
   * @throws UnsupportedError where it is beyond the device's limit.
   */
  take(format: Format, width: number, height: number, layers = 1): Texture {
    const { maxTextureSize } = this;
    if (width > maxTextureSize || height > maxTextureSize) {
      const size = `${width} x ${height}`;
      throw new UnsupportedError(`texture: expected ${maxTextureSize} a side at most, got ${size}`);
    }
    if (this.isRehearsing) return { ...NO_TEXTURE, format, width, height, layers };
    const texture =
      this.free.get(keyOf(format, width, height, layers))?.pop()?.texture ??
      this.make(format, width, height, layers);
    this.taken.add(texture);
    this.listener?.took(texture);
    return texture;
  }

  private make(format: Format, width: number, height: number, layers: number): Texture {
    const { gl } = this;
    const target = this.targetOf(layers);
    const inner = { half: gl.RGBA16F, float: gl.RGBA32F, byte: gl.RGBA8 }[format];
    const texture = gl.createTexture();
    this.state.useTexture(0, texture, layers > 1);
    if (layers === 1) gl.texStorage2D(target, 1, inner, width, height);
    else gl.texStorage3D(target, 1, inner, width, height, layers);
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
      gl.texParameteri(target, filter, gl.NEAREST);
    }
    const bytes = width * height * layers * BYTES_A_TEXEL[format];
    this.bytes += bytes;
    return { texture, format, width, height, layers, bytes, framebuffer: null };
  }

  /** Deletes what has been in the pool for some runs: what nets use that run no longer. */
  beginRun(): void {
    this.run++;
    this.untilSent = 1;
    this.state.forget();
    for (const [key, pooled] of this.free) {
      const kept = pooled.filter(({ since }) => since >= this.run - RUNS_KEPT);
      if (kept.length === pooled.length) continue;
      for (const old of pooled) if (!kept.includes(old)) this.delete(old.texture);
      if (kept.length > 0) this.free.set(key, kept);
      else this.free.delete(key);
    }
  }

  /** For good: a texture that is like no other. */
  drop(texture: Texture): void {
    this.listener?.didMore();
    if (this.taken.delete(texture)) this.delete(texture);
  }

  /** Back to the pool; a second time does nothing. */
  give(texture: Texture): void {
    if (!this.taken.delete(texture)) return;
    this.listener?.gave(texture);
    const { format, width, height, layers } = texture;
    const key = keyOf(format, width, height, layers);
    const pooled = { texture, since: this.run };
    const list = this.free.get(key);
    if (list) list.push(pooled);
    else this.free.set(key, [pooled]);
  }

  /** Whether these have not been given back. */
  holds({ texture, blocks }: Form): boolean {
    return (!texture || this.taken.has(texture)) && (!blocks || this.buffers.has(blocks.buffer));
  }

  /** Textures made, in use and pooled. */
  get textures(): number {
    return this.taken.size + [...this.free.values()].reduce((sum, list) => sum + list.length, 0);
  }

  /**
   * Fills a plain texture from its first texel on, row by row, with floats, halves or bytes. Whole
   * rows go as they lie, from memory that threads share too; only the row that is left is copied.
   */
  write(to: Texture, numbers: Texels): void {
    const { gl } = this;
    if (this.isRehearsing) return;
    this.listener?.didMore();
    const row = to.width * 4;
    const rows = Math.floor(numbers.length / row);
    const rest = numbers.subarray(rows * row);
    const type = { half: gl.HALF_FLOAT, float: gl.FLOAT, byte: gl.UNSIGNED_BYTE }[to.format];
    const put = (y: number, height: number, from: Texels) =>
      gl.texSubImage2D(
        gl.TEXTURE_2D,
        ...([0, 0, y, to.width, height] as const),
        ...([gl.RGBA, type, from] as const),
      );
    this.state.forget();
    this.state.useTexture(0, to.texture, false);
    if (rows > 0) {
      const whole = numbers.subarray(0, rows * row);
      try {
        put(0, rows, whole);
      } catch (error) {
        // A browser that takes no views of shared memory.
        if (!(error instanceof TypeError)) throw error;
        put(0, rows, whole.slice());
      }
    }
    if (rest.length > 0) {
      const padded = new (numbers.constructor as new (length: number) => Texels)(row);
      padded.set(rest);
      put(rows, 1, padded);
    }
  }

  /** The texels of a plain 32-bit texture; blocks. */
  read(from: Texture, rows = from.height): Float32Array {
    const { gl } = this;
    const numbers = new Float32Array(from.width * rows * 4);
    this.beginRead(from);
    gl.readPixels(0, 0, from.width, rows, gl.RGBA, gl.FLOAT, numbers);
    return numbers;
  }

  /** The same of a plain texture of bytes, straight to where they are wanted. */
  readBytes(from: Texture, to: Uint8Array): void {
    const { gl } = this;
    if (this.isRehearsing) return;
    const read = (bytes: Uint8Array) =>
      gl.readPixels(0, 0, from.width, from.height, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
    this.beginRead(from);
    try {
      read(to);
    } catch (error) {
      // A browser that takes no views of shared memory.
      if (!(error instanceof TypeError)) throw error;
      const bytes = new Uint8Array(to.length);
      read(bytes);
      to.set(bytes);
    }
  }

  /** A buffer of uniform blocks of `length` bytes, which may overlap. */
  blocks(data: Uint8Array, length: number): Blocks {
    const { gl } = this;
    this.listener?.didMore();
    const buffer = gl.createBuffer();
    const bytes = data.length;
    gl.bindBuffer(gl.UNIFORM_BUFFER, buffer);
    gl.bufferData(gl.UNIFORM_BUFFER, data, gl.STATIC_DRAW);
    gl.bindBuffer(gl.UNIFORM_BUFFER, null);
    this.buffers.add(buffer);
    this.bytes += bytes;
    const free = () => {
      if (!this.buffers.delete(buffer)) return;
      this.bytes -= bytes;
      gl.deleteBuffer(buffer);
    };
    return { buffer, length, bytes, free };
  }

  /**
   * Runs a program over a texture, which it may not read; strip by strip where there are some.
   *
   * @throws UnsupportedError where the program does not link.
   */
  draw(
    source: Source,
    to: Texture,
    uniforms: Uniforms,
    blocks?: Blocks,
    strips?: readonly Strip[],
  ): void {
    this.prepare(source);
    if (this.isRehearsing) return;
    this.state.forget();
    const textures = Object.values(uniforms.textures);
    const draw = this.drawOf(this.linked(source, to), uniforms, blocks, strips);
    this.listener?.drew(draw, to, textures);
    this.repeat(draw, to, textures);
  }

  /** A draw as it was drawn before. Since then nobody else may have drawn in the same task. */
  repeat(
    { program, units, uniforms, blocks, strips }: Draw,
    to: Texture,
    textures: readonly Sampled[],
  ): void {
    const { gl, state } = this;
    state.useProgram(program.program);
    for (let i = 0; i < units.length; i++) {
      const { texture, layers = 1 } = textures[i];
      state.useTexture(units[i], texture, layers > 1);
    }
    for (const { uniform, values, areInts } of uniforms) {
      if (uniform.values && isSame(uniform.values, values)) continue;
      uniform.values = values;
      if (areInts) gl.uniform4iv(uniform.location, values);
      else gl.uniform4fv(uniform.location, values);
    }
    this.useTarget(to);
    if (!blocks) {
      state.useRows(0, to.width, to.height);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
    }
    let bound = -1;
    for (const { y, height, offset } of strips ?? []) {
      const { buffer, length } = blocks!;
      if (offset !== bound) gl.bindBufferRange(gl.UNIFORM_BUFFER, 0, buffer, offset, length);
      bound = offset;
      state.useRows(y, to.width, height);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
    }
    if (--this.untilSent > 0) return;
    gl.flush();
    this.untilSent = DRAWS_SENT;
  }

  /** Deletes everything made here; the context is not ours. */
  dispose(): void {
    const { gl } = this;
    const pooled = [...this.free.values()].flat().map(({ texture }) => texture);
    for (const texture of [...this.taken, ...pooled]) this.delete(texture);
    for (const buffer of this.buffers) gl.deleteBuffer(buffer);
    for (const { program, shaders } of this.programs.values()) {
      shaders.forEach(shader => gl.deleteShader(shader));
      gl.deleteProgram(program);
    }
    this.state.dispose();
    this.taken.clear();
    this.free.clear();
    this.buffers.clear();
    this.programs.clear();
    this.bytes = 0;
  }

  private delete({ texture, framebuffer, bytes }: Texture): void {
    this.gl.deleteFramebuffer(framebuffer);
    this.gl.deleteTexture(texture);
    this.bytes -= bytes;
  }

  private probe(): boolean {
    const to = this.take('float', 1, 1);
    this.draw(PROBE, to, { textures: {}, floats: { V: [2049, 1, 0, 0] } });
    const [v] = this.read(to);
    this.give(to);
    return v !== 2049;
  }

  private drawOf(
    program: Program,
    { textures, ints = {}, floats = {} }: Uniforms,
    blocks: Blocks | undefined,
    strips: readonly Strip[] | undefined,
  ): Draw {
    this.state.useProgram(program.program);
    const units = Object.keys(textures).map(name => this.unitOf(program, name));
    const uniforms = [ints, floats].flatMap(named =>
      Object.entries(named).map(([name, values]) => ({
        uniform: this.uniformOf(program, name),
        values,
        areInts: named === ints,
      })),
    );
    const used = uniforms.filter(({ uniform: { location } }) => location);
    return { program, units, uniforms: used, blocks, strips };
  }

  /** The unit of a sampler, which it gets when it is first set. */
  private unitOf({ program, units }: Program, name: string): number {
    const { gl } = this;
    let unit = units.get(name);
    if (unit === undefined) {
      units.set(name, (unit = units.size));
      gl.uniform1i(gl.getUniformLocation(program, name), unit);
    }
    return unit;
  }

  private uniformOf({ program, uniforms }: Program, name: string): Uniform {
    let uniform = uniforms.get(name);
    if (!uniform) {
      uniforms.set(name, (uniform = { location: this.gl.getUniformLocation(program, name) }));
    }
    return uniform;
  }

  private targetOf(layers = 1): number {
    return layers === 1 ? this.gl.TEXTURE_2D : this.gl.TEXTURE_2D_ARRAY;
  }

  /** The program, once it has been linked; where that fails the target goes back to the pool. */
  private linked(source: Source, to: Texture): Program {
    const { gl } = this;
    const made = this.programs.get(source.name)!;
    if (made.links === undefined) {
      const asked = performance.now();
      made.links = !!gl.getProgramParameter(made.program, gl.LINK_STATUS);
      const known = performance.now();
      made.times = { ms: known - made.since, waited: known - asked };
      const log = made.shaders.map(shader => gl.getShaderInfoLog(shader)).join('');
      if (!made.links) console.warn(`mulayer: '${source.name}' does not link:`, log);
      const block = made.links ? gl.getUniformBlockIndex(made.program, 'Block') : gl.INVALID_INDEX;
      if (block !== gl.INVALID_INDEX) gl.uniformBlockBinding(made.program, block, 0);
    }
    if (made.links) return made;
    this.give(to);
    throw new UnsupportedError(`program '${source.name}': expected it to link`);
  }

  private beginRead(from: Texture): void {
    this.listener?.didMore();
    this.state.forget();
    this.useTarget(from);
  }

  private useTarget(to: Texture): void {
    const { gl } = this;
    if (to.framebuffer) {
      this.state.useFramebuffer(to.framebuffer);
      return;
    }
    to.framebuffer = gl.createFramebuffer();
    this.state.useFramebuffer(to.framebuffer);
    const buffers = Array.from({ length: to.layers }, (_, layer) => gl.COLOR_ATTACHMENT0 + layer);
    buffers.forEach((buffer, layer) => {
      if (to.layers > 1) {
        gl.framebufferTextureLayer(gl.FRAMEBUFFER, buffer, to.texture, 0, layer);
      } else gl.framebufferTexture2D(gl.FRAMEBUFFER, buffer, gl.TEXTURE_2D, to.texture, 0);
    });
    gl.drawBuffers(buffers);
  }
}

/** Instead of a texture, in a rehearsal. */
export const NO_TEXTURE: Texture = {
  texture: {},
  ...{ format: 'half', width: 0, height: 0, layers: 1, bytes: 0, framebuffer: null },
};

function isSame(a: Numbers, b: Numbers): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false;
  return true;
}

/** The same for textures that are alike: 18 bits for each side, 4 for the layers, the bytes of a texel. */
const keyOf = (format: Format, width: number, height: number, layers: number): number =>
  ((width * 2 ** 18 + height) * 2 ** 4 + layers) * 2 ** 5 + BYTES_A_TEXEL[format];
