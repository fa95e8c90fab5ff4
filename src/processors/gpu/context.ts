/**
 * Our own programs on the WebGL2 context of tfjs-webgl: a cache of programs, a pool of textures with
 * their bytes counted, and the draw.
 *
 * tfjs-webgl sets program, vertex array, framebuffer, viewport, scissor and the textures it samples
 * before each of its draws, and assumes the rest to be as it left it. So we set nothing else (culling
 * stays on: our triangle turns counterclockwise; scissoring stays on: we set the box), and unbind
 * what a later deletion or upload of tfjs-webgl would otherwise meet.
 */
import { UnsupportedError } from '../../errors.js';
import type { Layout } from './layout.js';
import { PHASES } from './layout.js';

/** Formats of a texture: four 16-bit floats, four 32-bit ones, four 32-bit integers a texel. */
export type Format = 'half' | 'float' | 'words';

const BYTES_A_TEXEL: Record<Format, number> = { half: 8, float: 16, words: 16 };

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

/** A fragment shader and its name, under which its program is kept. The same name, the same text. */
export interface Source {
  readonly name: string;
  readonly fragment: string;
}

/** Part of a texture, in texels. */
export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** What one draw reads. */
export interface Uniforms {
  readonly textures: Record<string, Texture>;
  readonly ints?: Record<string, readonly number[]>;
  readonly floats?: Record<string, readonly number[]>;
}

interface Program {
  readonly program: WebGLProgram;
  readonly shaders: readonly WebGLShader[];
  linked: boolean;
  readonly uniforms: Map<string, WebGLUniformLocation | null>;
}

/** One triangle over the whole box, counterclockwise, without a vertex buffer. */
const VERTEX = `#version 300 es
void main() {
  gl_Position = vec4(gl_VertexID == 1 ? 3. : -1., gl_VertexID == 2 ? 3. : -1., 0., 1.);
}`;

export class GpuContext {
  private readonly programs = new Map<string, Program>();
  private readonly free = new Map<string, Texture[]>();
  private readonly taken = new Set<Texture>();
  private readonly corner: WebGLVertexArrayObject;
  readonly maxTextureSize: number;
  /** Bytes of all textures, in use and free. */
  bytes = 0;

  private constructor(readonly gl: WebGL2RenderingContext) {
    this.corner = gl.createVertexArray();
    this.maxTextureSize = gl.getParameter(gl.MAX_TEXTURE_SIZE) as number;
    gl.getExtension('KHR_parallel_shader_compile');
  }

  /** Undefined where our programs cannot run: WebGL1, or no rendering to float textures. */
  static create(gl: WebGLRenderingContext | WebGL2RenderingContext): GpuContext | undefined {
    if (!('fenceSync' in gl) || !gl.getExtension('EXT_color_buffer_float')) return undefined;
    return new GpuContext(gl);
  }

  /** Begins to compile, without waiting: drivers that can do it in parallel. */
  prepare({ name, fragment }: Source): void {
    if (this.programs.has(name)) return;
    const { gl } = this;
    const program = gl.createProgram();
    const shaders = [
      [gl.VERTEX_SHADER, VERTEX],
      [gl.FRAGMENT_SHADER, fragment],
    ].map(([type, text]) => {
      const shader = gl.createShader(type as number)!;
      gl.shaderSource(shader, text as string);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
      return shader;
    });
    gl.linkProgram(program);
    this.programs.set(name, { program, shaders, linked: false, uniforms: new Map() });
  }

  /**
   * A texture of the pool; what is in it is undefined.
   *
   * @throws UnsupportedError where it is beyond the device's limit.
   */
  take(format: Format, width: number, height: number, layers = 1): Texture {
    const { gl, maxTextureSize } = this;
    if (width > maxTextureSize || height > maxTextureSize) {
      const size = `${width} x ${height}`;
      throw new UnsupportedError(`texture: expected ${maxTextureSize} a side at most, got ${size}`);
    }
    const pooled = this.free.get(key(format, width, height, layers))?.pop();
    if (pooled) {
      this.taken.add(pooled);
      return pooled;
    }
    const target = layers === 1 ? gl.TEXTURE_2D : gl.TEXTURE_2D_ARRAY;
    const inner = { half: gl.RGBA16F, float: gl.RGBA32F, words: gl.RGBA32UI }[format];
    const texture = gl.createTexture();
    gl.bindTexture(target, texture);
    if (layers === 1) gl.texStorage2D(target, 1, inner, width, height);
    else gl.texStorage3D(target, 1, inner, width, height, layers);
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
      gl.texParameteri(target, filter, gl.NEAREST);
    }
    gl.bindTexture(target, null);
    const bytes = width * height * layers * BYTES_A_TEXEL[format];
    this.bytes += bytes;
    const made = { texture, format, width, height, layers, bytes, framebuffer: null };
    this.taken.add(made);
    return made;
  }

  /** A texture for a tensor in our layout. */
  takeFor({ width, height }: Layout, format: Format): Texture {
    return this.take(format, width, height, PHASES);
  }

  give(texture: Texture): void {
    if (!this.taken.delete(texture)) return;
    const { format, width, height, layers } = texture;
    const at = key(format, width, height, layers);
    const list = this.free.get(at);
    if (list) list.push(texture);
    else this.free.set(at, [texture]);
  }

  /** Fills a plain texture, row by row. */
  write(to: Texture, numbers: Float32Array | Uint32Array): void {
    const { gl } = this;
    const isWords = to.format === 'words';
    gl.bindTexture(gl.TEXTURE_2D, to.texture);
    gl.texSubImage2D(
      gl.TEXTURE_2D,
      0,
      0,
      0,
      to.width,
      to.height,
      isWords ? gl.RGBA_INTEGER : gl.RGBA,
      isWords ? gl.UNSIGNED_INT : gl.FLOAT,
      numbers,
    );
    gl.bindTexture(gl.TEXTURE_2D, null);
  }

  /** The texels of a plain 32-bit texture; blocks. */
  read(from: Texture): Float32Array {
    const { gl } = this;
    const numbers = new Float32Array(from.width * from.height * 4);
    this.bindTarget(from);
    gl.readPixels(0, 0, from.width, from.height, gl.RGBA, gl.FLOAT, numbers);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    return numbers;
  }

  /**
   * Runs a program over a texture, or a box of it. It may not read the texture.
   *
   * @throws UnsupportedError where the program does not link.
   */
  draw(source: Source, to: Texture, { textures, ints = {}, floats = {} }: Uniforms, box?: Box) {
    const { gl } = this;
    const program = this.linked(source);
    gl.useProgram(program.program);
    const at = (name: string) => {
      if (!program.uniforms.has(name)) {
        program.uniforms.set(name, gl.getUniformLocation(program.program, name));
      }
      return program.uniforms.get(name)!;
    };
    Object.entries(textures).forEach(([name, { texture, layers }], unit) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(layers === 1 ? gl.TEXTURE_2D : gl.TEXTURE_2D_ARRAY, texture);
      gl.uniform1i(at(name), unit);
    });
    for (const [name, values] of Object.entries(ints)) gl.uniform4iv(at(name), pad(values));
    for (const [name, values] of Object.entries(floats)) gl.uniform4fv(at(name), pad(values));
    this.bindTarget(to);
    const { x, y, width, height } = box ?? { x: 0, y: 0, width: to.width, height: to.height };
    gl.viewport(x, y, width, height);
    gl.scissor(x, y, width, height);
    gl.bindVertexArray(this.corner);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    gl.bindVertexArray(null);
    Object.values(textures).forEach(({ layers }, unit) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(layers === 1 ? gl.TEXTURE_2D : gl.TEXTURE_2D_ARRAY, null);
    });
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  }

  /** Deletes everything made here; the context is not ours. */
  dispose(): void {
    const { gl } = this;
    for (const { texture, framebuffer } of [...this.taken, ...[...this.free.values()].flat()]) {
      gl.deleteFramebuffer(framebuffer);
      gl.deleteTexture(texture);
    }
    for (const { program, shaders } of this.programs.values()) {
      shaders.forEach(shader => gl.deleteShader(shader));
      gl.deleteProgram(program);
    }
    gl.deleteVertexArray(this.corner);
    this.taken.clear();
    this.free.clear();
    this.programs.clear();
    this.bytes = 0;
  }

  private linked(source: Source): Program {
    this.prepare(source);
    const { gl } = this;
    const made = this.programs.get(source.name)!;
    if (made.linked) return made;
    if (!gl.getProgramParameter(made.program, gl.LINK_STATUS)) {
      const log = made.shaders.map(shader => gl.getShaderInfoLog(shader)).join('');
      const why = gl.getProgramInfoLog(made.program);
      throw new UnsupportedError(`program '${source.name}': expected it to link: ${why} ${log}`);
    }
    made.linked = true;
    return made;
  }

  private bindTarget(to: Texture): void {
    const { gl } = this;
    if (to.framebuffer) {
      gl.bindFramebuffer(gl.FRAMEBUFFER, to.framebuffer);
      return;
    }
    to.framebuffer = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, to.framebuffer);
    const buffers = Array.from({ length: to.layers }, (_, layer) => gl.COLOR_ATTACHMENT0 + layer);
    buffers.forEach((buffer, layer) => {
      if (to.layers > 1) {
        gl.framebufferTextureLayer(gl.FRAMEBUFFER, buffer, to.texture, 0, layer);
      } else gl.framebufferTexture2D(gl.FRAMEBUFFER, buffer, gl.TEXTURE_2D, to.texture, 0);
    });
    gl.drawBuffers(buffers);
  }
}

const key = (...parts: unknown[]): string => parts.join();

const pad = (values: readonly number[]): number[] => [...values, 0, 0, 0].slice(0, 4);
