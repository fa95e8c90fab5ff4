/**
 * What is set in the WebGL context, so that nothing is set twice: a call costs this thread a part of a
 * microsecond, and the browser's GPU process another.
 *
 *     run begins ──► draw  draw  draw ──► the thread does something else ──► draw  ...
 *        forgotten     remembered              forgotten (microtask)         set anew
 *
 * tfjs-webgl and the user draw in the context too. They can do so before a run, where it pauses (in the
 * same task too: a read goes on with it), or where we call tfjs: then all is forgotten, and set anew
 * when it is wanted.
 */
export class State {
  private program: WebGLProgram | undefined;
  private framebuffer: WebGLFramebuffer | undefined;
  private unit = -1;
  /** At 2 * unit plain textures, at 2 * unit + 1 arrays of them. */
  private readonly textures: (WebGLTexture | undefined)[] = [];
  /** Rows and columns drawn to. */
  private y = -1;
  private width = -1;
  private height = -1;
  private isReady = false;
  private willForget = false;
  private readonly noVertices: WebGLVertexArrayObject;

  constructor(
    private readonly gl: WebGL2RenderingContext,
    /** A box that holds every target. */
    private readonly size: number,
  ) {
    this.noVertices = gl.createVertexArray();
  }

  forget(): void {
    this.program = this.framebuffer = undefined;
    this.height = -1;
    this.textures.length = 0;
    this.unit = -1;
    this.isReady = false;
  }

  /** What all our draws have in common. */
  useProgram(program: WebGLProgram): void {
    const { gl } = this;
    if (!this.isReady) {
      gl.bindVertexArray(this.noVertices);
      gl.scissor(0, 0, this.size, this.size);
      this.isReady = true;
    }
    if (this.program === program) return;
    gl.useProgram(program);
    this.program = program;
    this.forgetSoon();
  }

  useTexture(unit: number, texture: WebGLTexture, isArray: boolean): void {
    const at = 2 * unit + (isArray ? 1 : 0);
    if (this.textures[at] === texture) return;
    const { gl } = this;
    if (this.unit !== unit) gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(isArray ? gl.TEXTURE_2D_ARRAY : gl.TEXTURE_2D, texture);
    this.unit = unit;
    this.textures[at] = texture;
    this.forgetSoon();
  }

  useFramebuffer(framebuffer: WebGLFramebuffer): void {
    if (this.framebuffer === framebuffer) return;
    this.gl.bindFramebuffer(this.gl.FRAMEBUFFER, framebuffer);
    this.framebuffer = framebuffer;
    this.forgetSoon();
  }

  /** Rows [y, y + height) of the target. */
  useRows(y: number, width: number, height: number): void {
    if (this.height === height && this.y === y && this.width === width) return;
    this.gl.viewport(0, y, width, height);
    [this.y, this.width, this.height] = [y, width, height];
    this.forgetSoon();
  }

  dispose(): void {
    this.gl.deleteVertexArray(this.noVertices);
  }

  private forgetSoon(): void {
    if (this.willForget) return;
    this.willForget = true;
    queueMicrotask(() => {
      this.willForget = false;
      this.forget();
    });
  }
}
