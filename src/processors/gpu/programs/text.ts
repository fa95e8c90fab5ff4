/**
 * GLSL that programs share: how they begin, which block of 2x2 pixels a fragment makes, and how it is
 * stored. In all of them x is what is read, y what is made; L* and D* of a tensor are the integers
 * of its layout (`../layout.ts`), which come as one uniform T*:
 *
 *     L = columns, rows, groups, stride        D = n, h, w, c
 */
import type { Format, Source } from '../context.js';
import type { Image } from '../layout.js';

/** L* and D* of a tensor. */
export const layoutText = (name: string): string => `
uniform ivec4 T${name}[2];
#define L${name} T${name}[0]
#define D${name} T${name}[1]
`;

export const HEAD = `#version 300 es
precision highp float; precision highp int;
precision highp sampler2D; precision highp sampler2DArray;
// min, max and clamp of a NaN are what the driver likes, and so is isnan() on some.
bvec4 isNaN(vec4 v) { return greaterThan(floatBitsToUint(v) & 0x7fffffffu, uvec4(0x7f800000u)); }
bvec4 isInfinite(vec4 v) { return equal(floatBitsToUint(v) & 0x7fffffffu, uvec4(0x7f800000u)); }
// What is beyond a limit becomes NaN.
vec4 heldBelow(vec4 v, float limit) {
  return mix(vec4(uintBitsToFloat(0x7fc00000u)), v, lessThanEqual(abs(v), vec4(limit)));
}
`;

/**
 * What a tensor holds where it has no number, and how numbers are stored.
 *
 * Halves: rounded to the nearest before the store: the H200 truncates on stores to RGBA16F, a bias of
 * -2e-4 a layer, which would drift through a deep net. Costs nothing measurable. What a half cannot
 * hold becomes NaN: unlike infinity, of which 1 / v and min(v, 6) make numbers again,
 * it reaches every result that depends on it, and who reads that back sees it (`run/transfers.ts`).
 * Only numbers are rounded: SwiftShader's pack spoils infinities, and the neighbour of a NaN.
 *
 * Bytes: as the CPU rounds them, but for ties. A quarter more, so that drivers that truncate store
 * the same.
 */
const STORE: Record<Format, string> = {
  half: `
const vec4 NOTHING = vec4(0);
vec4 store(vec4 v) {
  bvec4 fits = lessThanEqual(abs(v), vec4(65504.));
  vec4 w = mix(vec4(0), v, fits);
  w = vec4(unpackHalf2x16(packHalf2x16(w.xy)), unpackHalf2x16(packHalf2x16(w.zw)));
  return mix(mix(heldBelow(v, 0.), v, isInfinite(v)), w, fits);
}`,
  float: `
const vec4 NOTHING = vec4(0);
vec4 store(vec4 v) { return v; }`,
  byte: `
uniform vec4 Qy;                    // zero point, 1 / scale
#define NOTHING vec4((Qy.x + .25) / 255.)
vec4 store(vec4 v) { return (clamp(floor(v * Qy.y + Qy.x + .5), 0., 255.) + .25) / 255.; }`,
};

/** The uniforms of an image's bytes, as it is read (x*) and made (y). */
export function byteFloats(name: string, { quantisation }: Image): Record<string, number[]> {
  if (!quantisation) return {};
  const { zero, scale } = quantisation;
  return { [`Q${name}`]: [zero, name === 'y' ? 1 / scale : scale, 0, 0] };
}

/** What of a name and a text depends on which of the images it reads, by their names, are bytes. */
export function readingBytes(source: Source, images: Readonly<Record<string, Image>>): Source {
  let words: string[] | undefined;
  for (const name in images) if (images[name].quantisation) (words ??= []).push(`BYTES_${name}`);
  return words ? defining(source, ...words) : source;
}

/** The same program with these defined. */
export const defining = (source: Source, ...words: string[]): Source => ({
  name: `${source.name}, ${words.join()}`,
  fragment: () => source.fragment().replace('\n', `\n${words.map(w => `#define ${w}\n`).join('')}`),
});

/** `vec4 real*(vec4)`: the numbers of a texel of x. */
export const dequantise = (name = ''): string => `
#ifdef BYTES_${name}
uniform vec4 Qx${name};             // zero point, scale
vec4 real${name}(vec4 t) { return (floor(t * 255. + .5) - Qx${name}.x) * Qx${name}.y; }
#else
#define real${name}(t) (t)
#endif
`;

/** The phases of y, and `put`, which keeps the texture's zeros. */
export const result = (format: Format): string => `
${layoutText('y')}layout(location = 0) out vec4 y00; layout(location = 1) out vec4 y01;
layout(location = 2) out vec4 y10; layout(location = 3) out vec4 y11;
struct Place { int column, row, group, image; };
Place place() {
  ivec2 p = ivec2(gl_FragCoord.xy);
  int stack = p.y / Ly.w, image = stack / Ly.z;
  return Place(p.x, p.y - stack * Ly.w, stack - image * Ly.z, image);
}
${STORE[format]}
bool isOutside(Place p) {
  y00 = y01 = y10 = y11 = NOTHING;
  return p.column >= Ly.x || p.row >= Ly.y;
}
void put(Place p, vec4 v00, vec4 v01, vec4 v10, vec4 v11) {
  bvec4 there = lessThan(4 * p.group + ivec4(0, 1, 2, 3), ivec4(Dy.w));
  bool right = 2 * p.column + 1 < Dy.z, below = 2 * p.row + 1 < Dy.y;
  y00 = store(mix(vec4(0), v00, there));
  if (right) y01 = store(mix(vec4(0), v01, there));
  if (below) y10 = store(mix(vec4(0), v10, there));
  if (right && below) y11 = store(mix(vec4(0), v11, there));
}
`;

/** Texel g of a pixel of x; of a place outside: zeros. `name` tells several x apart. */
export const reader = (name = ''): string => `${dequantise(name)}
uniform sampler2DArray X${name};${layoutText(`x${name}`)}vec4 read${name}(int image, int g, int y, int x) {
  if (uint(y) >= uint(Dx${name}.y) || uint(x) >= uint(Dx${name}.z)) return vec4(0);
  int row = (image * Lx${name}.z + g) * Lx${name}.w + (y >> 1);
  return real${name}(texelFetch(X${name}, ivec3(x >> 1, row, (y & 1) * 2 + (x & 1)), 0));
}
`;

/** A program whose text says `vec4 pixel(image, g, y, x)`: texel g of each pixel of y. */
export const pixelwise = (format: Format, text: string): string => `${HEAD}${result(format)}${text}
void main() {
  Place p = place();
  if (isOutside(p)) return;
  int y = 2 * p.row, x = 2 * p.column;
  put(p, pixel(p.image, p.group, y, x), pixel(p.image, p.group, y, x + 1),
      pixel(p.image, p.group, y + 1, x), pixel(p.image, p.group, y + 1, x + 1));
}`;

/** A program whose text says `float element(image, y, x, c)`: each number of y by itself. */
export const elementwise = (format: Format, text: string): string =>
  pixelwise(
    format,
    `${text}
vec4 pixel(int image, int g, int y, int x) {
  vec4 v = vec4(0);
  if (y >= Dy.y || x >= Dy.z) return v;
  for (int k = 0; k < min(4, Dy.w - 4 * g); ++k) v[k] = element(image, y, x, 4 * g + k);
  return v;
}`,
  );

/** Texels in a row of a flat texture, a power of two within every device's limit. */
export const FLAT_WIDTH = 2048;

/** Texel i of a flat texture. */
export const FLAT = `
ivec2 cell(int i) { return ivec2(i & ${FLAT_WIDTH - 1}, i >> ${Math.log2(FLAT_WIDTH)}); }
`;
