/**
 * Functions of two numbers: y [n,h,w,c] = f(a, b), an operand of length 1 along an axis being
 * repeated along it. `affine` is batch normalisation, whose parameters are numbers a channel.
 */
import type { Format, GpuContext, Source } from '../context.js';
import type { Image } from '../layout.js';
import { computedFormat } from '../layout.js';
import { drawImage } from './draw.js';
import { pixelwise, reader } from './text.js';

/** f(a, b) of four channels, by tfjs's names. */
const FUNCTIONS: Readonly<Record<string, string>> = {
  Add: 'a + b',
  Sub: 'a - b',
  Multiply: 'a * b',
  RealDiv: 'a / b',
  Maximum: 'max(a, b)',
  Minimum: 'min(a, b)',
  SquaredDifference: '(a - b) * (a - b)',
  Prelu: 'max(a, 0.) + b * min(a, 0.)',
};

/** Operand i, repeated. Its index is y's or, where its axis has length 1, 0. */
const operand = (i: string): string => `${reader(i)}
vec4 at${i}(int image, int g, int y, int x) {
  ivec4 last = Dx${i} - 1;
  vec4 v = read${i}(min(image, last.x), min(g, last.w >> 2), min(y, last.y), min(x, last.z));
  return last.w == 0 ? v.xxxx : v;
}`;

const source = (name: string, format: Format): Source => ({
  name: `${name}, ${format}`,
  fragment: () =>
    pixelwise(
      format,
      `${operand('0')}${operand('1')}
vec4 pixel(int image, int g, int y, int x) {
  vec4 a = at0(image, g, y, x), b = at1(image, g, y, x);
  return mix(mix(${FUNCTIONS[name]}, b, isNaN(b)), a, isNaN(a));
}`,
    ),
});

/** Undefined where there is no such program. */
export function binaryImage(
  context: GpuContext,
  name: string,
  [a, b]: readonly Image[],
  shape: readonly number[],
): Image | undefined {
  if (!(name in FUNCTIONS)) return undefined;
  return drawImage(context, source(name, computedFormat(a)), { 0: a, 1: b }, shape);
}

const normalise = (format: Format): Source => ({
  name: `batch norm, ${format}`,
  fragment: () =>
    pixelwise(
      format,
      `${['', 'Mean', 'Variance', 'Scale', 'Offset'].map(reader).join('')}
uniform vec4 A;                     // epsilon
vec4 pixel(int image, int g, int y, int x) {
  vec4 factor = readScale(0, g, 0, 0) * inversesqrt(readVariance(0, g, 0, 0) + A.x);
  return (read(image, g, y, x) - readMean(0, g, 0, 0)) * factor + readOffset(0, g, 0, 0);
}`,
    ),
});

/** Batch normalisation with parameters [c]. */
export function normaliseImage(
  context: GpuContext,
  x: Image,
  parameters: Readonly<Record<'Mean' | 'Variance' | 'Scale' | 'Offset', Image>>,
  epsilon: number,
): Image {
  const { n, h, w, c } = x.layout;
  const floats = { A: [epsilon, 0, 0, 0] };
  const source = normalise(computedFormat(x));
  return drawImage(context, source, { '': x, ...parameters }, [n, h, w, c], { floats });
}
