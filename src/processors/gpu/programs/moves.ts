/**
 * Slice, concat, and pad with zeros: y [n,h,w,c] is the sum of all x_i, each shifted along its axes,
 * where an x_i is zero outside of itself:
 *
 *     slice      y[i] = x[i + begin]
 *     pad        y[i] = x[i - before]
 *     concat     y[i] = x_0[i] + x_1[i - length of x_0] + ...
 *
 * Bytes of one scale stay bytes. Channels shifted by a multiple of 4 stay together in their texel, others come from two.
 */
import type { Format, GpuContext, Source } from '../context.js';
import type { Image } from '../layout.js';
import { commonQuantisation, computedFormat } from '../layout.js';
import { MAX } from './activation.js';
import { drawImage } from './draw.js';
import { elementwise, pixelwise, reader } from './text.js';

/** Images of one draw: WebGL2 has 16 samplers at least. */
const MAX_IMAGES = 8;

/** x_i at the place of y that is S_i away. */
const shifted = (i: number): string => `${reader(String(i))}
uniform ivec4 S${i};
vec4 group${i}(int image, int g, int y, int x) {
  return uint(g) < uint(Lx${i}.z) ? read${i}(image, g, y, x) : vec4(0);
}
vec4 shifted${i}(int image, int c, int y, int x) {
  image += S${i}.x; y += S${i}.y; x += S${i}.z; c += S${i}.w;
  if (uint(image) >= uint(Dx${i}.x) || c <= -4 || c >= Dx${i}.w) return vec4(0);
  int g = c >> 2, r = c & 3;
  vec4 v = group${i}(image, g, y, x);
  if (r == 0) return v;
  vec4 next = group${i}(image, g + 1, y, x);
  if (r == 1) return vec4(v.yzw, next.x);
  return r == 2 ? vec4(v.zw, next.xy) : vec4(v.w, next.xyz);
}`;

const sum = (images: readonly Image[], format: Format): Source => ({
  name: `sum of ${images.length} shifted, ${format}`,
  fragment: () =>
    pixelwise(
      format,
      `${images.map((_, i) => shifted(i)).join('')}
vec4 pixel(int image, int g, int y, int x) {
  return ${images.map((_, i) => `shifted${i}(image, 4 * g, y, x)`).join(' + ')};
}`,
    ),
});

/** @param shifts of each image, along the axes of `shape`. */
function sumShifted(
  context: GpuContext,
  images: readonly Image[],
  shifts: readonly (readonly number[])[],
  shape: readonly number[],
  quantisation = commonQuantisation(images),
): Image {
  const named = Object.fromEntries(images.map((image, i) => [i, image]));
  const ints = Object.fromEntries(
    shifts.map((shift, i) => [`S${i}`, [0, 0, 0, 0, ...shift].slice(-4)]),
  );
  const program = sum(images, quantisation ? 'byte' : computedFormat(images[0]));
  return drawImage(context, program, named, shape, { ints }, quantisation);
}

/** Elements [begin, begin + size) of each axis. */
export function sliceImage(
  context: GpuContext,
  x: Image,
  begin: readonly number[],
  size: readonly number[],
): Image {
  return sumShifted(context, [x], [begin], size);
}

/** `before` zeros before each axis, and as many after it as make it this shape. */
export function padImage(
  context: GpuContext,
  x: Image,
  before: readonly number[],
  shape: readonly number[],
): Image {
  return sumShifted(context, [x], [before.map(n => -n)], shape);
}

const filled = (format: Format, channels: boolean): Source => ({
  name: `pad with a number, ${channels ? 'channels too, ' : ''}${format}`,
  fragment: () =>
    (channels ? elementwise : pixelwise)(
      format,
      `${reader()}
uniform ivec4 S;
uniform vec4 A;                     // value, sign of an infinity
float value() { return A.y == 0. ? A.x : A.y * uintBitsToFloat(0x7f800000u); }
${
  channels
    ? `float element(int image, int y, int x, int c) {
  ivec4 i = ivec4(image, y, x, c) + S;
  if (any(greaterThanEqual(uvec4(i), uvec4(Dx)))) return value();
  return read(i.x, i.w >> 2, i.y, i.z)[i.w & 3];
}`
    : `vec4 pixel(int image, int g, int y, int x) {
  ivec3 i = ivec3(image, y, x) + S.xyz;
  if (any(greaterThanEqual(uvec3(i), uvec3(Dx.xyz)))) return vec4(value());
  return read(i.x, g, i.y, i.z);
}`
}`,
    ),
});

/**
 * The same with another number than zero. The smallest float, which nets put around an image for a
 * maximum to pass over, does for halves as infinity.
 */
export function fillImage(
  context: GpuContext,
  x: Image,
  before: readonly number[],
  shape: readonly number[],
  value: number,
): Image {
  const ints = { S: [0, 0, 0, 0, ...before.map(n => -n)].slice(-4) };
  const format = computedFormat(x);
  const isInfinite = Math.abs(value) >= (format === 'half' ? MAX : Infinity);
  const floats = { A: [isInfinite ? 0 : value, isInfinite ? Math.sign(value) : 0, 0, 0] };
  const program = filled(format, shape.at(-1) !== x.layout.c);
  return drawImage(context, program, { '': x }, shape, { ints, floats });
}

/**
 * Images side by side along an axis of `shape`, that of the result.
 *
 * @param quantisation of the result, if that shall be bytes, whose range holds all of its numbers.
 */
export function joinImages(
  context: GpuContext,
  images: readonly Image[],
  shape: readonly number[],
  axis: number,
  quantisation = commonQuantisation(images),
): Image {
  const first = images.slice(0, MAX_IMAGES);
  const key = (['n', 'h', 'w', 'c'] as const)[axis + 4 - shape.length];
  let length = 0;
  const shifts = first.map(({ layout }) => {
    const shift = shape.map((_, i) => (i === axis ? -length : 0));
    length += layout[key];
    return shift;
  });
  if (first.length === images.length) {
    return sumShifted(context, images, shifts, shape, quantisation);
  }
  const part = sumShifted(
    context,
    first,
    shifts,
    shape.map((n, i) => (i === axis ? length : n)),
    quantisation,
  );
  const whole = joinImages(context, [part, ...images.slice(MAX_IMAGES)], shape, axis, quantisation);
  context.give(part.texture);
  return whole;
}
