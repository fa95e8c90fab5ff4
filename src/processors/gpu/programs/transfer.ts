/**
 * Into our layout and out of it: x [n,h,w,c] as a flat texture, element i in component i & 3 of texel
 * i >> 2, to and from the four phases (`../layout.ts`). One fragment of `enter` makes four channels
 * of four pixels; one of `leave` four neighbouring elements.
 */
import type { GpuContext, Source, Texture } from '../context.js';
import type { Layout } from '../layout.js';
import { ROUND_HALF, layoutInts } from './text.js';

/** Texels in a row of a flat texture. Within every device's limit. */
const FLAT_WIDTH = 1024;

const FLAT = `
uniform highp sampler2D X;
uniform ivec4 S, D;               // layout: columns, rows, groups, stride; n, h, w, c
float flatAt(int i) { return texelFetch(X, ivec2((i >> 2) % ${FLAT_WIDTH}, (i >> 2) / ${FLAT_WIDTH}), 0)[i & 3]; }
`;

const enter = (half: boolean): Source => ({
  name: `enter-${half ? 'half' : 'float'}`,
  fragment: `#version 300 es
precision highp float; precision highp int;
layout(location = 0) out vec4 o0; layout(location = 1) out vec4 o1;
layout(location = 2) out vec4 o2; layout(location = 3) out vec4 o3;
${FLAT}${half ? ROUND_HALF : '#define store(v) (v)'}
vec4 pixel(int image, int g, int y, int x, bool inside) {
  vec4 v = vec4(0);
  if (!inside || y >= D.y || x >= D.z) return v;
  int i = ((image * D.y + y) * D.z + x) * D.w + g * 4;
  for (int k = 0; k < 4; ++k) if (g * 4 + k < D.w) v[k] = flatAt(i + k);
  return store(v);
}
void main() {
  ivec2 p = ivec2(gl_FragCoord.xy);
  int stack = p.y / S.w, Y = p.y - stack * S.w, image = stack / S.z, g = stack - image * S.z;
  bool inside = p.x < S.x && Y < S.y;
  o0 = pixel(image, g, Y * 2, p.x * 2, inside);     o1 = pixel(image, g, Y * 2, p.x * 2 + 1, inside);
  o2 = pixel(image, g, Y * 2 + 1, p.x * 2, inside); o3 = pixel(image, g, Y * 2 + 1, p.x * 2 + 1, inside);
}`,
});

const LEAVE: Source = {
  name: 'leave',
  fragment: `#version 300 es
precision highp float; precision highp int;
uniform highp sampler2DArray X;
uniform ivec4 S, D;               // layout: columns, rows, groups, stride; n, h, w, c
layout(location = 0) out vec4 o;
void main() {
  ivec2 p = ivec2(gl_FragCoord.xy);
  int first = (p.y * ${FLAT_WIDTH} + p.x) * 4;
  for (int k = 0; k < 4; ++k) {
    int i = first + k, c = i % D.w, at = i / D.w, x = at % D.z;
    at /= D.z;
    int y = at % D.y, image = at / D.y;
    if (image >= D.x) { o[k] = 0.; continue; }
    int row = (image * S.z + (c >> 2)) * S.w + (y >> 1);
    o[k] = texelFetch(X, ivec3(x >> 1, row, (y & 1) * 2 + (x & 1)), 0)[c & 3];
  }
}`,
};

/** Texels and rows of the flat texture. */
const flatHeight = ({ n, h, w, c }: Layout) => Math.ceil((n * h * w * c) / 4 / FLAT_WIDTH);

/** Numbers x [n,h,w,c] of the host into a texture of the layout. Halves are rounded to nearest. */
export function upload(context: GpuContext, numbers: Float32Array, layout: Layout, half: boolean) {
  const height = flatHeight(layout);
  const padded = new Float32Array(FLAT_WIDTH * height * 4);
  padded.set(numbers);
  const X = context.take('float', FLAT_WIDTH, height);
  const to = context.takeFor(layout, half ? 'half' : 'float');
  context.write(X, padded);
  context.draw(enter(half), to, { textures: { X }, ints: layoutInts(layout) });
  context.give(X);
  return to;
}

/** The numbers x [n,h,w,c] of a texture of the layout; blocks. */
export function download(context: GpuContext, X: Texture, layout: Layout): Float32Array {
  const flat = context.take('float', FLAT_WIDTH, flatHeight(layout));
  context.draw(LEAVE, flat, { textures: { X }, ints: layoutInts(layout) });
  const numbers = context.read(flat);
  context.give(flat);
  return numbers.subarray(0, layout.n * layout.h * layout.w * layout.c);
}
