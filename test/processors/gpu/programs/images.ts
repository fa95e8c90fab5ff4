/** What the specs of our GPU programs share: the context, images of numbers, and the judge. */
import type { Quantisation } from '../../../../src/processors/cpu/quantisation.js';
import type { GpuContext } from '../../../../src/processors/gpu/context.js';
import type { Image } from '../../../../src/processors/gpu/layout.js';
import { download, upload, uploadBytes } from '../../../../src/processors/gpu/programs/transfer.js';
import { backend } from '../../../support.js';

export const FORMATS = ['float', 'half'] as const;

/** The formats of what is computed. */
export type Computed = (typeof FORMATS)[number];

/** Numbers of a tensor, or bytes. */
export interface Input {
  readonly numbers: ArrayLike<number>;
  readonly shape: readonly number[];
  readonly quantisation?: Quantisation;
}

/** Undefined, and the spec pending, where our programs cannot run. */
export function ownContext(): GpuContext | undefined {
  const context = backend().gpu?.context;
  if (!context) pending('our programs do not run here');
  return context;
}

/** Uploads images for `use`, reads its result and gives all back. */
export function throughImages(
  context: GpuContext,
  inputs: readonly Input[],
  format: Computed,
  use: (images: Image[]) => Image,
): Float32Array {
  const images = inputs.map(({ numbers, shape, quantisation }) =>
    quantisation
      ? uploadBytes(context, Uint8Array.from(numbers), quantisation, shape)
      : upload(context, Float32Array.from(numbers), shape, format),
  );
  const y = use(images);
  const numbers = download(context, y);
  expectZeros(context, y);
  for (const { texture } of [...images, y]) context.give(texture);
  return numbers;
}

/** That all texels of an image which are no number of the tensor are zero, of bytes: its point. */
export function expectZeros(context: GpuContext, { texture, layout, quantisation }: Image): void {
  const { gl } = context;
  const { n, h, w, c, stride, groups, width, height } = layout;
  const framebuffer = gl.createFramebuffer();
  const texels = new (quantisation ? Uint8Array : Float32Array)(width * height * 4);
  const type = quantisation ? gl.UNSIGNED_BYTE : gl.FLOAT;
  const zero = quantisation?.zero ?? 0;
  for (let phase = 0; phase < texture.layers; phase++) {
    gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
    const target = [gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0] as const;
    gl.framebufferTextureLayer(...target, texture.texture, 0, phase);
    gl.readPixels(0, 0, width, height, gl.RGBA, type, texels);
    const wrong = [...texels].findIndex((value, i) => {
      const [texel, k] = [Math.floor(i / 4), i % 4];
      const [row, column] = [Math.floor(texel / width), texel % width];
      const y = 2 * (row % stride) + (phase >> 1);
      const x = 2 * column + (phase & 1);
      const group = Math.floor(row / stride) % groups;
      const isOurs = row < n * groups * stride && row % stride < stride - 1 && y < h && x < w;
      return !(isOurs && 4 * group + k < c) && value !== zero;
    });
    if (wrong >= 0)
      fail(`texel component ${wrong} of phase ${phase}: ${texels[wrong]}, not ${zero}`);
  }
  gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  gl.deleteFramebuffer(framebuffer);
}

/** Root of the mean square of the error, relative to that of what is wanted. */
export function relativeRms(actual: ArrayLike<number>, wanted: ArrayLike<number>): number {
  let [error, size] = [0, 0];
  for (let i = 0; i < wanted.length; i++) {
    error += (actual[i] - wanted[i]) ** 2;
    size += wanted[i] ** 2;
  }
  if (actual.length !== wanted.length) return NaN;
  return error === 0 ? 0 : Math.sqrt(error / size);
}
