/**
 * A fully connected layer of one row, `x [1,k] * w [k,n] (+ bias [n], activation) -> y [1,n]`: as a
 * convolution it would be n/4 fragments with k/4 steps each, too few and too long for a GPU. So the
 * steps are divided into parts, a fragment each, and a second draw adds the parts.
 *
 *     sums, 32-bit: column = part, row = group of 4 channels of y
 */
import type { GpuContext, Source } from '../context.js';
import type { Format } from '../context.js';
import type { Image } from '../layout.js';
import { computedFormat, takeImage } from '../layout.js';
import type { Epilogue } from './activation.js';
import { epilogueKey, epilogueText, epilogueUniforms } from './activation.js';
import type { Filter } from './conv2d.js';
import { byteFloats, dequantise, FLAT, HEAD, layoutText, pixelwise, readingBytes } from './text.js';

/** Steps of a fragment, and parts of a sum at most. */
const STEPS = 16;
const MAX_PARTS = 64;

const PARTS: Source = {
  name: 'dense, parts',
  fragment: () => `${HEAD}${FLAT}${dequantise()}
uniform sampler2DArray X;
uniform sampler2D W;
${layoutText('x')}
uniform ivec4 N;                    // steps of a part
layout(location = 0) out vec4 sum;
void main() {
  ivec2 p = ivec2(gl_FragCoord.xy);
  int first = p.x * N.x;
  sum = vec4(0);
  for (int ic = first; ic < min(first + N.x, Lx.z); ++ic) {
    ivec2 q = cell(4 * (p.y * Lx.z + ic));
    mat4 w = mat4(texelFetch(W, q, 0), texelFetch(W, q + ivec2(1, 0), 0),
                  texelFetch(W, q + ivec2(2, 0), 0), texelFetch(W, q + ivec2(3, 0), 0));
    sum += w * real(texelFetch(X, ivec3(0, ic * Lx.w, 0), 0));
  }
}`,
};

const total = (format: Format, epilogue: Epilogue): Source => ({
  name: `dense, ${format}, ${epilogueKey(epilogue)}`,
  fragment: () =>
    pixelwise(
      format,
      `${epilogueText(epilogue)}
uniform sampler2D Sums;
uniform ivec4 N;                    // parts
vec4 pixel(int image, int g, int y, int x) {
  vec4 v = biasOf(g);
  for (int part = 0; part < N.x; ++part) v += texelFetch(Sums, ivec2(part, g), 0);
  return act(v, g);
}`,
    ),
});

/** Whether a convolution of 1x1 is one of these: one pixel, and enough channels to divide. */
export const isDense = ({ layout: { n, h, w, groups } }: Image): boolean =>
  n * h * w === 1 && groups > STEPS;

/** @param filter packed as [1,1,k,n], in a texture. */
export function dense(
  context: GpuContext,
  x: Image,
  filter: Filter,
  epilogue: Epilogue,
  shape: readonly number[],
): Image {
  const y = takeImage(context, shape, computedFormat(x));
  const { groups } = x.layout;
  const steps = Math.max(STEPS, Math.ceil(groups / MAX_PARTS));
  const parts = Math.ceil(groups / steps);
  const sums = context.take('float', parts, y.layout.groups);
  context.draw(readingBytes(PARTS, { '': x }), sums, {
    textures: { X: x.texture, W: filter.texture! },
    ints: { Tx: x.layout.ints, N: [steps, 0, 0, 0] },
    floats: byteFloats('x', x),
  });
  const { textures, floats } = epilogueUniforms(epilogue);
  context.draw(total(computedFormat(x), epilogue), y.texture, {
    textures: { Sums: sums, ...textures },
    ints: { Ty: y.layout.ints, N: [parts, 0, 0, 0] },
    floats,
  });
  context.give(sums);
  return y;
}
