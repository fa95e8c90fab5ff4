/**
 * Into our layout and out of it: x [n,h,w,c] as a flat texture, element i in component i & 3 of texel
 * i >> 2, to and from the four phases (`../layout.ts`). One fragment of `enter` makes four channels
 * of four pixels, one of `leave` four neighbouring elements. `relay` is the one after the other: the
 * same numbers under another shape.
 *
 * QUInt8 travels as bytes, a quarter of floats. What comes back as bytes is guarded: behind it comes
 * the range it had before it became bytes, or NaN where there was one, in the same read-back.
 *
 *     texels of bytes   +--------------------------+
 *                       | elements 0 to 3, 4 to 7, |
 *                       | ...               | 0 0  |
 *                       +-----+-----+--------------+
 *                       | min | max |                   floats, least byte first
 *                       +-----+-----+
 */
import { util } from '@tensorflow/tfjs-core';

import type { Quantisation, Range } from '../../cpu/quantisation.js';
import type { Format, GpuContext, Sampled, Source, Texture } from '../context.js';
import type { Image } from '../layout.js';
import { movedFormat, takeImage } from '../layout.js';
import { drawImage } from './draw.js';
import {
  byteFloats,
  defining,
  dequantise,
  HEAD,
  layoutText,
  pixelwise,
  reader,
  readingBytes,
} from './text.js';

/**
 * Where element i of x is, as a function `float number(int i)`; and four elements from i on, a multiple
 * of 4: one texel where the channels are whole ones. A text of its own: llvmpipe runs both branches.
 */
const FROM_FLAT = `${dequantise()}
uniform sampler2D X;
uniform ivec4 Wx;                   // texels in a row
float number(int i) {
  int texel = i >> 2;
  return real(texelFetch(X, ivec2(texel % Wx.x, texel / Wx.x), 0))[i & 3];
}
vec4 four(int i) {
  int texel = i >> 2;
  return real(texelFetch(X, ivec2(texel % Wx.x, texel / Wx.x), 0));
}
`;

const FROM_IMAGE = `${reader()}
float number(int i) {
  int c = i % Dx.w, at = i / Dx.w, x = at % Dx.z;
  at /= Dx.z;
  return read(at / Dx.y, c >> 2, at % Dx.y, x)[c & 3];
}
vec4 four(int i) {
#ifdef WHOLE
  int c = i % Dx.w, at = i / Dx.w, x = at % Dx.z;
  at /= Dx.z;
  return read(at / Dx.y, c >> 2, at % Dx.y, x);
#else
  return vec4(number(i), number(i + 1), number(i + 2), number(i + 3));
#endif
}
`;

const toImage = (from: 'flat' | 'image', format: Format): Source => ({
  name: `enter from ${from}, ${format}`,
  fragment: () =>
    pixelwise(
      format,
      `${from === 'flat' ? FROM_FLAT : FROM_IMAGE}
vec4 pixel(int image, int g, int y, int x) {
  vec4 v = vec4(0);
  if (y >= Dy.y || x >= Dy.z) return v;
  int i = ((image * Dy.y + y) * Dy.z + x) * Dy.w + 4 * g;
#ifdef WHOLE
  return four(i);
#else
  for (int k = 0; k < min(4, Dy.w - 4 * g); ++k) v[k] = number(i + k);
  return v;
#endif
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
#ifdef WHOLE
  if (i < Wy.y) v = four(i);
#else
  for (int k = 0; k < min(4, Wy.y - i); ++k) v[k] = number(i + k);
#endif
  y = v;
}`,
};

/** The same program for shapes whose channels are whole texels. */
function forChannels(source: Source, ...shapes: (readonly number[])[]): Source {
  return shapes.every(shape => shape.at(-1)! % 4 === 0) ? defining(source, 'WHOLE') : source;
}

const channelsOf = ({ layout: { c } }: Image) => [c];

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
  context.draw(forChannels(toImage('flat', format), shape), y.texture, {
    textures: { X },
    ints: { Ty: y.layout.ints, Wx: [width, 0, 0, 0] },
  });
  return y;
}

/** An image as a flat texture, which is the caller's. */
export function leave(context: GpuContext, x: Image, format: Format = 'float'): Texture {
  const { n, h, w, c } = x.layout;
  const [width, height] = flatSize(n * h * w * c);
  const y = context.take(format, width, height);
  context.draw(readingBytes(forChannels(LEAVE, channelsOf(x)), { '': x }), y, {
    textures: { X: x.texture },
    ints: { Tx: x.layout.ints, Wy: [width, n * h * w * c, 0, 0] },
    floats: byteFloats('x', x),
  });
  return y;
}

/** The same numbers under another shape of the same size. */
export function relay(context: GpuContext, x: Image, shape: readonly number[]): Image {
  const program = forChannels(toImage('image', movedFormat([x])), shape, channelsOf(x));
  return drawImage(context, program, { '': x }, shape, {}, x.quantisation);
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

/** The same of bytes, which stay bytes. */
export function uploadBytes(
  context: GpuContext,
  bytes: Uint8Array,
  quantisation: Quantisation,
  shape: readonly number[],
): Image {
  const [width, height] = flatSize(bytes.length);
  const flat = context.take('byte', width, height);
  context.write(flat, bytes);
  const y = takeImage(context, shape, 'byte', quantisation);
  const program = forChannels(toImage('flat', 'byte'), shape);
  context.draw(readingBytes(program, { '': y }), y.texture, {
    textures: { X: flat },
    ints: { Ty: y.layout.ints, Wx: [width, 0, 0, 0] },
    floats: { ...byteFloats('x', y), ...byteFloats('y', y) },
  });
  context.give(flat);
  return y;
}

/** Fragments of the last step but one to a range. */
const RANGE_PARTS = 64;

/** Of four numbers of each texel, NaN where one is: smallest and largest. */
const widenRange = (text: string): string => `
layout(location = 0) out vec4 range;
vec2 least = vec2(0);                                        // smallest, and largest negated
bvec4 nan = bvec4(false);
void see(vec4 v) {
  nan = bvec4(uvec4(nan) | uvec4(isNaN(v)));
  vec4 low = min(v, vec4(0)), high = min(-v, vec4(0));
  least = min(least, vec2(min(min(low.x, low.y), min(low.z, low.w)),
                          min(min(high.x, high.y), min(high.z, high.w))));
}
void main() {
  ivec2 p = ivec2(gl_FragCoord.xy);
${text}
  range = any(nan) ? vec4(uintBitsToFloat(0x7fc00000u)) : vec4(least.x, -least.y, 0, 0);
}`;

/** Of a column of a group: the zeros of the layout are in every range. */
const COLUMN_RANGES: Source = {
  name: 'ranges of columns',
  fragment: () => `${HEAD}${dequantise()}
uniform sampler2DArray X;${layoutText('x')}${widenRange(`  for (int row = p.y * Lx.w; row < p.y * Lx.w + Lx.y; ++row) {
    for (int phase = 0; phase < 4; ++phase) see(real(texelFetch(X, ivec3(p.x, row, phase), 0)));
  }`)}`,
};

const PART_RANGES: Source = {
  name: 'ranges of parts',
  fragment: () => `${HEAD}
uniform sampler2D X;
uniform ivec4 Wx;                   // columns, texels, parts
${widenRange(`  for (int i = p.x; i < Wx.y; i += Wx.z) {
    see(texelFetch(X, ivec2(i % Wx.x, i / Wx.x), 0));
  }`)}`,
};

const PACK: Source = {
  name: 'pack',
  fragment: () => `${HEAD}${FROM_IMAGE}
uniform sampler2D R;
uniform ivec4 Wy;                   // texels in a row, elements, row of the range
uniform vec4 Qy;                    // zero point, 1 / scale
layout(location = 0) out vec4 y;
vec4 bytesOf(float v) {
  return vec4((uvec4(floatBitsToUint(v)) >> uvec4(0, 8, 16, 24)) & 255u);
}
void main() {
  ivec2 p = ivec2(gl_FragCoord.xy);
  vec4 q = vec4(0);
  if (p.y < Wy.z) {
    int i = 4 * (p.y * Wy.x + p.x);
    vec4 v = vec4(0);
#ifdef WHOLE
    if (i < Wy.y) v = four(i);
#else
    for (int k = 0; k < min(4, Wy.y - i); ++k) v[k] = number(i + k);
#endif
    q = clamp(floor(v * Qy.y + Qy.x + .5), 0., 255.);
  } else if (p.x < 2) {
    q = bytesOf(texelFetch(R, ivec2(0), 0)[p.x]);
  }
  y = (q + .25) / 255.;
}`,
};

/** The range of an image, [min, max] in a texture of one texel; NaN where there is one. */
function rangeOf(context: GpuContext, x: Image): Texture {
  const { n, groups, columns } = x.layout;
  const ranges = context.take('float', columns, n * groups);
  context.draw(readingBytes(COLUMN_RANGES, { '': x }), ranges, {
    textures: { X: x.texture },
    ints: { Tx: x.layout.ints },
    floats: byteFloats('x', x),
  });
  const inParts = (X: Texture, parts: number) => {
    const range = context.take('float', parts, 1);
    const ints = { Wx: [X.width, X.width * X.height, parts, 0] };
    context.draw(PART_RANGES, range, { textures: { X }, ints });
    context.give(X);
    return range;
  };
  return inParts(inParts(ranges, RANGE_PARTS), 1);
}

/** Whether all numbers of an image are finite; in halves what they cannot hold is not. Blocks. */
export function isSound(context: GpuContext, x: Image): boolean {
  const range = rangeOf(context, x);
  const [min, max] = context.read(range);
  context.give(range);
  return Number.isFinite(min) && Number.isFinite(max);
}

/** Width and height of the texture so many bytes and their range come in. */
function packedSize(elements: number): [width: number, height: number] {
  const [width, height] = flatSize(elements);
  return [Math.max(width, 2), height + 1];
}

/** Bytes that {@link downloadBytes} writes: those of the tensor, and more. */
export function downloadLength({ layout: { n, h, w, c } }: Image): number {
  const [width, height] = packedSize(n * h * w * c);
  return 4 * width * height;
}

/**
 * The numbers of an image as bytes, to `to`; blocks.
 *
 * @returns the range they had, which includes zero. Bytes of numbers beyond what they can hold are
 *   the nearest they have; both ends are NaN where a number is.
 */
export function downloadBytes(
  context: GpuContext,
  x: Image,
  { scale, zero }: Quantisation,
  to: Uint8Array,
): Range {
  const { n, h, w, c } = x.layout;
  const [width, height] = packedSize(n * h * w * c);
  const range = rangeOf(context, x);
  const packed = context.take('byte', width, height);
  context.draw(readingBytes(forChannels(PACK, channelsOf(x)), { '': x }), packed, {
    textures: { X: x.texture, R: range },
    ints: { Tx: x.layout.ints, Wy: [width, n * h * w * c, height - 1, 0] },
    floats: { ...byteFloats('x', x), Qy: [zero, 1 / scale, 0, 0] },
  });
  context.readBytes(packed, to);
  context.give(range);
  context.give(packed);
  const at = 4 * width * (height - 1);
  const ends = new DataView(to.slice(at, at + 8).buffer);
  return [ends.getFloat32(0, true), ends.getFloat32(4, true)];
}

/**
 * Whether numbers come back from images as they went there: four draw buffers, both formats; and what
 * 16 bits cannot hold as NaN.
 */
export function works(context: GpuContext): boolean {
  const numbers = Float32Array.from({ length: 3 * 5 * 7 }, (_, i) => i / 8);
  const comesBack = (format: Format) => {
    const image = upload(context, numbers, [3, 5, 7], format);
    const back = download(context, image);
    context.give(image.texture);
    return util.arraysEqual([...back], [...numbers]);
  };
  const tellsOverflow = () => {
    const image = upload(context, Float32Array.of(-1e6, 1, -Infinity), [3], 'half');
    const [big, one, lowest] = download(context, image);
    context.give(image.texture);
    // SwiftShader stores an infinity as NaN: the run is repeated in 32 bits where it need not be.
    const isKept = lowest === -Infinity || Number.isNaN(lowest);
    return Number.isNaN(big) && one === 1 && isKept;
  };
  try {
    return comesBack('half') && comesBack('float') && tellsOverflow();
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
