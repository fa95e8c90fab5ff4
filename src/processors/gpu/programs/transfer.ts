/**
 * Into our layout and out of it: x [n,h,w,c] as a flat texture, element i in component i & 3 of texel
 * i >> 2, to and from the four phases (`../layout.ts`). One fragment of `enter` makes four channels
 * of four pixels, one of `leave` four neighbouring elements. `relay` is the one after the other: the
 * same numbers under another shape.
 */
import { util } from '@tensorflow/tfjs-core';

import type { Format, GpuContext, Sampled, Source, Texture } from '../context.js';
import type { Image } from '../layout.js';
import { takeImage } from '../layout.js';
import { drawImage } from './draw.js';
import { elementwise, HEAD, layoutInts, reader } from './text.js';

/** Where element i of x is, as a function `float number(int i)`. */
const FROM_FLAT = `
uniform sampler2D X;
uniform ivec4 Wx;                   // texels in a row
float number(int i) {
  int texel = i >> 2;
  return texelFetch(X, ivec2(texel % Wx.x, texel / Wx.x), 0)[i & 3];
}
`;

const FROM_IMAGE = `${reader()}
float number(int i) {
  int c = i % Dx.w, at = i / Dx.w, x = at % Dx.z;
  at /= Dx.z;
  return read(at / Dx.y, c >> 2, at % Dx.y, x)[c & 3];
}
`;

const toImage = (from: 'flat' | 'image', format: Format): Source => ({
  name: `enter from ${from}, ${format}`,
  fragment: () =>
    elementwise(
      format,
      `${from === 'flat' ? FROM_FLAT : FROM_IMAGE}
float element(int image, int y, int x, int c) {
  return number(((image * Dy.y + y) * Dy.z + x) * Dy.w + c);
}`,
    ),
});

const LEAVE: Source = {
  name: 'leave',
  fragment: () => `${HEAD}${FROM_IMAGE}
uniform ivec4 Wy;                   // texels in a row, elements
layout(location = 0) out vec4 y;
void main() {
  ivec2 p = ivec2(gl_FragCoord.xy);
  int i = 4 * (p.y * Wy.x + p.x);
  vec4 v = vec4(0);
  for (int k = 0; k < min(4, Wy.y - i); ++k) v[k] = number(i + k);
  y = v;
}`,
};

/** Texels in a row and rows of a flat texture of so many elements: near a square. */
export function flatSize(elements: number): [width: number, height: number] {
  const texels = Math.ceil(elements / 4);
  const width = Math.ceil(Math.sqrt(texels));
  return [width, Math.ceil(texels / width)];
}

/** A flat texture becomes an image [n,h,w,c]. */
export function enter(
  context: GpuContext,
  X: Sampled,
  width: number,
  shape: readonly number[],
  format: Format,
): Image {
  const y = takeImage(context, shape, format);
  context.draw(toImage('flat', format), y.texture, {
    textures: { X },
    ints: { ...layoutInts('y', y.layout), Wx: [width, 0, 0, 0] },
  });
  return y;
}

/** An image as a flat texture, which is the caller's. */
export function leave(context: GpuContext, x: Image, format: Format = 'float'): Texture {
  const { n, h, w, c } = x.layout;
  const [width, height] = flatSize(n * h * w * c);
  const y = context.take(format, width, height);
  context.draw(LEAVE, y, {
    textures: { X: x.texture },
    ints: { ...layoutInts('x', x.layout), Wy: [width, n * h * w * c, 0, 0] },
  });
  return y;
}

/** The same numbers under another shape of the same size. */
export function relay(context: GpuContext, x: Image, shape: readonly number[]): Image {
  return drawImage(context, toImage('image', x.texture.format), { '': x }, shape);
}

/** Numbers x [n,h,w,c] of the host as an image. Halves are rounded to the nearest. */
export function upload(
  context: GpuContext,
  numbers: Float32Array,
  shape: readonly number[],
  format: Format,
): Image {
  const [width, height] = flatSize(numbers.length);
  const flat = context.take('float', width, height);
  context.write(flat, numbers);
  const image = enter(context, flat, width, shape, format);
  context.give(flat);
  return image;
}

/** Whether numbers come back from images as they went there: four draw buffers, both formats. */
export function works(context: GpuContext): boolean {
  const numbers = Float32Array.from({ length: 3 * 5 * 7 }, (_, i) => i / 8);
  const comesBack = (format: Format) => {
    const image = upload(context, numbers, [3, 5, 7], format);
    const back = download(context, image);
    context.give(image.texture);
    return util.arraysEqual([...back], [...numbers]);
  };
  try {
    return comesBack('half') && comesBack('float');
  } catch (error) {
    console.warn('mulayer: no programs of its own on this GPU:', error);
    return false;
  }
}

/** The numbers of an image; blocks. */
export function download(context: GpuContext, x: Image): Float32Array {
  const { n, h, w, c } = x.layout;
  const flat = leave(context, x);
  const numbers = context.read(flat);
  context.give(flat);
  return numbers.subarray(0, util.sizeFromShape([n, h, w, c]));
}
