/**
 * Convolution, `x [n,h,w,ci] * filter [kh,kw,ci,co] (+ bias [co], activation) -> y [n,oh,ow,co]`, and
 * depthwise, `filter [kh,kw,c]`.
 *
 * A fragment makes a tile of 2x2 pixels and 4 channels of y. The text is written for one window: its
 * offsets say which phase and which neighbouring texel each input pixel of the tile is, so every
 * pixel is fetched once and every weight used four times. For a filter of 3x3, stride 1, of which all
 * four outputs of a tile need a part of 4x4 input pixels:
 *
 *      column   X-1    X           X+1      of the phases
 *     row Y-1  | L3 | L2  | L3  | L2 |
 *     row Y    | L1 | L0  | L1  | L0 |
 *              | L3 | L2  | L3  | L2 |      L0 at X, Y is the first pixel of the tile
 *     row Y+1  | L1 | L0  | L1  | L0 |
 *
 * Weights lie as [co/4][ci/4][kh*kw][4 ci][4 co], in a texture or, where 4 channels of y are work
 * enough to pay for a draw of their own, in uniform blocks, one for each. Measured on an H200: 3x3
 * with blocks of packed halves 1.2 to 1.5 TFLOP/s, in a texture 5 to 15 % less but 1.4 times as fast
 * on maps of 7x7; 1x1 gains a fifth by blocks.
 *
 * In halves, products of up to 9 taps and 4 channels (36) are summed in `mediump`, twice as fast where
 * it is 16 bits, and those sums in float32: a relative error of 7e-4 a layer where 4.5e-4 is the
 * rounding of inputs and result. A whole sum in 16 bits has 4e-3.
 *
 * What 16 bits cannot hold of such a sum becomes NaN, as at a store (`text.ts`).
 *
 * Of bytes the products are of (q - zero) / 256, which 16 bits hold exactly; the scale comes last.
 *
 * Windows of many taps would make long texts: `any` loops over the taps of any window.
 */
import type { Form, Format, GpuContext, Source, Strip } from '../context.js';
import { NO_TEXTURE } from '../context.js';
import type { Image } from '../layout.js';
import { computedFormat, takeImage } from '../layout.js';
import type { Epilogue } from './activation.js';
import { epilogueKey, epilogueText, epilogueUniforms } from './activation.js';
import { toHalves } from './halves.js';
import {
  byteFloats,
  FLAT,
  FLAT_WIDTH,
  HEAD,
  layoutText,
  reader,
  readingBytes,
  result,
} from './text.js';

/** In pixels. Pixel (y, x) of the result begins at (y * strideH - top, x * strideW - left). */
export interface Window {
  readonly kh: number;
  readonly kw: number;
  readonly strideH: number;
  readonly strideW: number;
  readonly dilationH: number;
  readonly dilationW: number;
  readonly top: number;
  readonly left: number;
}

/** Where weights are: 32-bit in a block, packed halves in a block, or a texture. */
type Place = 'block' | 'packed' | 'texture';

/** Weights in the order the programs want them. */
export interface Filter extends Form {
  readonly place: Place;
  readonly isDepthwise: boolean;
  readonly format: Format;
  /** Bytes from one block to the next. */
  readonly pitch: number;
}

/** Texts of more taps grow long, and slow to compile. The first layers of many nets have 7x7. */
const MAX_TAPS = 49;

/** Taps that are summed in 16 bits, with 4 channels. */
const MAX_CHUNK = 9;

/**
 * Multiply-accumulates of 4 channels of y from which on they get a draw of their own: some 3 µs of an
 * H200. What a draw costs has to be less: 0.4 µs of this thread and 1.3 to 2 of the browser's GPU
 * process, where GoogLeNet had 1,232 of them for 1.6e9 multiply-accumulates.
 */
const MIN_BLOCK_MACS = 1.5e6;

const taps = ({ kh, kw }: Window): number => kh * kw;

/** Whether the products of so many taps are, in halves. 1x1 gains nothing by it. */
const isSummedInHalves = (taps: number): boolean => taps > 1 && taps <= MAX_CHUNK;

/** Where the weights [kh,kw,ci,co] of a layer with this result are best. */
export function placeFor(
  context: GpuContext,
  filter: readonly number[],
  [, oh, ow]: readonly number[],
  format: Format,
): Place {
  const [kh, kw, ci] = filter;
  // Packed weights have to be unpacked, which only pays where sums are of 16 bits.
  const isPacked = format === 'half' && context.isMediumHalf && isSummedInHalves(kh * kw);
  const place = isPacked ? 'packed' : 'block';
  const pays = oh * ow * kh * kw * ci * 4 >= MIN_BLOCK_MACS;
  return pays && fitsBlock(context, filter, place) ? place : 'texture';
}

/** Whether the weights of 4 channels of y can be a uniform block. */
export function fitsBlock(
  { maxBlock }: GpuContext,
  [kh, kw, ci]: readonly number[],
  place: Place,
): boolean {
  return kh * kw <= MAX_TAPS && Math.ceil(ci / 4) * groupBytes(place, kh * kw) <= maxBlock;
}

/** Bytes of the weights of 4 channels of x and 4 of y. */
const groupBytes = (place: Place, taps: number) => taps * (place === 'packed' ? 32 : 64);

/** Packs filter [kh,kw,ci,co]. */
export function packFilter(
  context: GpuContext,
  numbers: ArrayLike<number>,
  shape: readonly number[],
  place: Place,
  format: Format,
): Filter {
  if (context.isRehearsing) return nothing(place, format, false);
  const [kh, kw, ci, co] = shape;
  const outGroups = Math.ceil(co / 4);
  const block = Math.ceil(ci / 4) * kh * kw * 16;
  const pack = () => {
    const packed = new Float32Array(outGroups * block);
    for (let tap = 0; tap < kh * kw; tap++) {
      for (let i = 0; i < ci; i++) {
        const row = (tap * ci + i) * co;
        const at = ((i >> 2) * kh * kw + tap) * 16 + (i & 3) * 4;
        for (let o = 0; o < co; o++) packed[(o >> 2) * block + at + (o & 3)] = numbers[row + o];
      }
    }
    return packed;
  };
  if (place === 'texture') return inTexture(context, outGroups * block, pack, format, false);
  const packed = pack();
  const words = place === 'packed' ? toHalves(packed) : packed;
  const bytes = words.byteLength / outGroups;
  const pitch = Math.ceil(bytes / context.blockAlignment) * context.blockAlignment;
  const length = blockLength(context, place, kh * kw) * groupBytes(place, kh * kw);
  const data = new Uint8Array((outGroups - 1) * pitch + length);
  for (let g = 0; g < outGroups; g++) {
    data.set(new Uint8Array(words.buffer, g * bytes, bytes), g * pitch);
  }
  const blocks = context.blocks(data, length);
  const free = () => blocks.free();
  return { place, isDepthwise: false, format, blocks, pitch, bytes: blocks.bytes, free };
}

/** Packs filter [kh,kw,c] of a depthwise convolution, as [c/4][kh*kw][4]. */
export function packDepthwise(
  context: GpuContext,
  numbers: ArrayLike<number>,
  [kh, kw, c]: readonly number[],
  format: Format,
): Filter {
  if (context.isRehearsing) return nothing('texture', format, true);
  const size = Math.ceil(c / 4) * kh * kw * 4;
  const pack = () => {
    const packed = new Float32Array(size);
    for (let tap = 0; tap < kh * kw; tap++) {
      for (let i = 0; i < c; i++) {
        packed[((i >> 2) * kh * kw + tap) * 4 + (i & 3)] = numbers[tap * c + i];
      }
    }
    return packed;
  };
  return inTexture(context, size, pack, format, true);
}

/** A filter for a rehearsal. */
function nothing(place: Place, format: Format, isDepthwise: boolean): Filter {
  const free = () => undefined;
  const texture = place === 'texture' ? { texture: NO_TEXTURE } : {};
  return { place, isDepthwise, format, pitch: 0, bytes: 0, free, ...texture };
}

/** @throws UnsupportedError, before there is anything to pack, where the device's are too small. */
function inTexture(
  context: GpuContext,
  size: number,
  pack: () => Float32Array,
  format: Format,
  isDepthwise: boolean,
): Filter {
  const texture = context.take(format, FLAT_WIDTH, Math.ceil(size / 4 / FLAT_WIDTH));
  context.write(texture, format === 'half' ? toHalves(pack()) : pack());
  const free = () => context.drop(texture);
  return { place: 'texture', isDepthwise, format, texture, pitch: 0, bytes: texture.bytes, free };
}

/** Groups of 4 channels of x in a block, always as many as there is room for: one text for all. */
const blockLength = ({ maxBlock }: GpuContext, place: Place, taps: number) =>
  Math.floor(maxBlock / groupBytes(place, taps));

/** @param shape of the result. */
export function conv2d(
  context: GpuContext,
  x: Image,
  filter: Filter,
  window: Window,
  epilogue: Epilogue,
  shape: readonly number[],
): Image {
  const y = takeImage(context, shape, computedFormat(x));
  const program =
    taps(window) > MAX_TAPS
      ? any(filter, epilogue)
      : written(window, filter, epilogue, blockLength(context, filter.place, taps(window)));
  const source = readingBytes(program, { '': x });
  const { textures, floats } = epilogueUniforms(epilogue);
  const { kh, kw, strideH, strideW, dilationH, dilationW, top, left } = window;
  const uniforms = {
    textures: { X: x.texture, ...(filter.texture && { W: filter.texture }), ...textures },
    ints: {
      Tx: x.layout.ints,
      Ty: y.layout.ints,
      ...(taps(window) > MAX_TAPS && {
        K: [kh, kw, strideH, strideW],
        O: [dilationH, dilationW, top, left],
      }),
    },
    floats: { ...floats, ...byteFloats('x', x) },
  };
  const { blocks, pitch } = filter;
  context.draw(source, y.texture, uniforms, blocks, blocks && strips(y, pitch));
  return y;
}

/** Each group of channels of y in each image, those of one block together. */
function strips({ layout: { n, groups, stride } }: Image, pitch: number): Strip[] {
  const all: Strip[] = [];
  for (let g = 0; g < groups; g++) {
    for (let image = 0; image < n; image++) {
      all.push({ y: (image * groups + g) * stride, height: stride, offset: g * pitch });
    }
  }
  return all;
}

/** What the text for a window depends on. */
interface Kind {
  readonly window: Window;
  readonly place: Place;
  readonly isDepthwise: boolean;
  /** Whether the products with 4 channels of x are summed by themselves, in 16 bits. */
  readonly isChunked: boolean;
  /** Of pixels, weights and their products. */
  readonly precision: 'mediump' | 'highp';
}

/** The program written for a window. */
function written(
  window: Window,
  { place, isDepthwise, format }: Filter,
  epilogue: Epilogue,
  length: number,
): Source {
  const { kh, kw, strideH, strideW, dilationH, dilationW, top, left } = window;
  const size = `${kh}x${kw}/${strideH}x${strideW}*${dilationH}x${dilationW}-${top},${left}`;
  const kind = `${isDepthwise ? 'depthwise' : 'conv2d'} ${size}`;
  return {
    name: `${kind}, ${place} ${length}, ${format}, ${epilogueKey(epilogue)}`,
    fragment: () => {
      const n = taps(window);
      const isChunked = format === 'half' && !isDepthwise && isSummedInHalves(n);
      const precision = isChunked ? 'mediump' : 'highp';
      const kind: Kind = { window, place, isDepthwise, isChunked, precision };
      return `${HEAD}${result(format)}${epilogueText(epilogue)}${FLAT}${writtenText(kind, length)}`;
    },
  };
}

function writtenText(kind: Kind, length: number): string {
  const { window, place, isDepthwise, isChunked, precision } = kind;
  const { strideH, strideW } = window;
  const n = taps(window);
  const groupTexels = isDepthwise ? n : 4 * n;
  const [rows, columns] = [rowsOf(window), columnsOf(window)].map(texelsOf);
  return `
uniform ${precision} sampler2DArray X;
${layoutText('x')}#ifdef BYTES_
uniform vec4 Qx;                    // zero point, scale
${precision} vec4 real(${precision} vec4 t) {
  ${precision} float zero = Qx.x;
  return (floor(t * 255. + .5) - zero) * (1. / 256.);
}
#define SCALE (256. * Qx.y)
#else
#define real(t) (t)
#define SCALE 1.
#endif
vec4 summed(vec4 v, int group) {
  return ${isChunked ? 'heldBelow(v, 3.4028234e38)' : 'v'} * SCALE + biasOf(group);
}
${place === 'texture' ? `uniform ${precision} sampler2D W;` : blockText(place, n, length)}
int row(int y) { return uint(y) < uint(Lx.y) ? y : Lx.y; }            // that of zeros
int column(int x) { return uint(x) < uint(Lx.x) ? x : Lx.x; }
void main() {
  Place p = place();
  if (isOutside(p)) return;
  ${rows.map((d, i) => `int r${i} = row(${strideH} * p.row + ${d});`).join(' ')}
  ${columns.map((d, i) => `int x${i} = column(${strideW} * p.column + ${d});`).join(' ')}
  vec4 a00 = vec4(0), a01 = a00, a10 = a00, a11 = a00;
  ${isDepthwise ? `{ int ic = p.group;` : `for (int ic = 0; ic < Lx.z; ++ic) {`}
    int b = (p.image * Lx.z + ic) * Lx.w;
    ${isDepthwise ? `int t = ic * ${groupTexels};` : `int t = (p.group * Lx.z + ic) * ${groupTexels};`}
    ${isChunked ? 'mediump vec4 c00, c01, c10, c11;' : ''}
${products(kind)}
    ${isChunked ? 'a00 += c00; a01 += c01; a10 += c10; a11 += c11;' : ''}
  }
  int group = p.group;
  a00 = summed(a00, group); a01 = summed(a01, group);
  a10 = summed(a10, group); a11 = summed(a11, group);
  put(p, act(a00, group), act(a01, group), act(a10, group), act(a11, group));
}`;
}

/** The weights of one group of channels of y: `g[ic].a`, in the order of the texture. */
const blockText = (place: Place, taps: number, length: number): string => `
struct Group { highp ${place === 'packed' ? `uvec4 a[${2 * taps}]` : `vec4 a[${4 * taps}]`}; };
layout(std140) uniform Block { Group g[${length}]; };`;

/** Offset of an output pixel of the tile at one of its taps, in pixels along one axis. */
const offset = (pixel: number, tap: number, stride: number, dilation: number, before: number) =>
  pixel * stride - before + tap * dilation;

const ascending = (numbers: Iterable<number>): number[] =>
  [...new Set(numbers)].sort((a, b) => a - b);

/** The different offsets of a tile along one axis, in pixels. */
function offsetsOf(k: number, stride: number, dilation: number, before: number): number[] {
  const all = [0, 1].flatMap(pixel =>
    Array.from({ length: k }, (_, tap) => offset(pixel, tap, stride, dilation, before)),
  );
  return ascending(all);
}

const rowsOf = ({ kh, strideH, dilationH, top }: Window) => offsetsOf(kh, strideH, dilationH, top);

const columnsOf = ({ kw, strideW, dilationW, left }: Window) =>
  offsetsOf(kw, strideW, dilationW, left);

/** The same in texels of a phase. */
const texelsOf = (offsets: readonly number[]): number[] => ascending(offsets.map(o => o >> 1));

/** All products of a tile with 4 channels of x: input row by input row, each pixel fetched once. */
function products(kind: Kind): string {
  const { window, isDepthwise, isChunked, precision } = kind;
  const { kh, kw, strideH, strideW, dilationH, dilationW, top, left } = window;
  const [ys, xs] = [rowsOf(window), columnsOf(window)];
  const [rows, columns] = [ys, xs].map(texelsOf);
  const sum = isChunked ? 'c' : 'a';
  const lines: string[] = [];
  const loaded = new Set<number>();
  const begun = new Set<string>();
  const add = (pixel: string, product: string) => {
    const begins = isChunked && !begun.has(pixel);
    begun.add(pixel);
    lines.push(`${sum}${pixel} ${begins ? '=' : '+='} ${product};`);
  };
  ys.forEach((oy, i) => {
    xs.forEach((ox, j) => {
      const texel = `x${columns.indexOf(ox >> 1)}, b + r${rows.indexOf(oy >> 1)}`;
      const layer = (oy & 1) * 2 + (ox & 1);
      lines.push(
        `${precision} vec4 v${i}_${j} = real(texelFetch(X, ivec3(${texel}, ${layer}), 0));`,
      );
    });
    for (const py of [0, 1]) {
      for (let ky = 0; ky < kh; ky++) {
        if (offset(py, ky, strideH, dilationH, top) !== oy) continue;
        for (let kx = 0; kx < kw; kx++) {
          const tap = ky * kw + kx;
          if (!loaded.has(tap)) lines.push(weights(tap, kind));
          loaded.add(tap);
          const v = [0, 1].map(
            px => `v${i}_${xs.indexOf(offset(px, kx, strideW, dilationW, left))}`,
          );
          if (isDepthwise) [0, 1].forEach(px => add(`${py}${px}`, `w${tap} * ${v[px]}`));
          else {
            ['x', 'y', 'z', 'w'].forEach((k, row) =>
              [0, 1].forEach(px => add(`${py}${px}`, `w${tap}_${row} * ${v[px]}.${k}`)),
            );
          }
        }
      }
    }
  });
  return lines.map(line => `    ${line}`).join('\n');
}

/** Loads the weights of a tap: w, or w_0 to w_3 for each of the 4 channels of x. */
function weights(tap: number, { place, isDepthwise, precision }: Kind): string {
  const name = (row: number) => `w${tap}_${row}`;
  if (isDepthwise) return `${precision} vec4 w${tap} = texelFetch(W, cell(t + ${tap}), 0);`;
  if (place === 'texture') {
    const texels = [0, 1, 2, 3].map(
      row => `${name(row)} = texelFetch(W, q${tap} + ivec2(${row}, 0), 0)`,
    );
    return `ivec2 q${tap} = cell(t + ${4 * tap}); ${precision} vec4 ${texels.join(', ')};`;
  }
  if (place === 'block') {
    const vectors = [0, 1, 2, 3].map(row => `${name(row)} = g[ic].a[${4 * tap + row}]`);
    return `${precision} vec4 ${vectors.join(', ')};`;
  }
  const half = (i: number) => {
    const unpacked = (a: string, b: string) =>
      `vec4(unpackHalf2x16(u${tap}_${i}.${a}), unpackHalf2x16(u${tap}_${i}.${b}))`;
    const pair = `${name(2 * i)} = ${unpacked('x', 'y')}, ${name(2 * i + 1)} = ${unpacked('z', 'w')}`;
    return `highp uvec4 u${tap}_${i} = g[ic].a[${2 * tap + i}]; ${precision} vec4 ${pair};`;
  };
  return `${half(0)} ${half(1)}`;
}

/** The program for any window. */
function any({ isDepthwise, format }: Filter, epilogue: Epilogue): Source {
  return {
    name: `${isDepthwise ? 'depthwise' : 'conv2d'} any, ${format}, ${epilogueKey(epilogue)}`,
    fragment: () => `${HEAD}${result(format)}${epilogueText(epilogue)}${FLAT}${reader()}
uniform sampler2D W;
uniform ivec4 K, O;                 // kh, kw, strides; dilations, top, left
void main() {
  Place p = place();
  if (isOutside(p)) return;
  vec4 bias = biasOf(p.group), a00 = bias, a01 = bias, a10 = bias, a11 = bias;
  for (int tap = 0; tap < K.x * K.y; ++tap) {
    int ky = tap / K.y, y0 = 2 * p.row * K.z - O.z + ky * O.x, y1 = y0 + K.z;
    int kx = tap - ky * K.y, x0 = 2 * p.column * K.w - O.w + kx * O.y, x1 = x0 + K.w;
    ${isDepthwise ? `{ int ic = p.group;` : `for (int ic = 0; ic < Lx.z; ++ic) {`}
      vec4 v00 = read(p.image, ic, y0, x0), v01 = read(p.image, ic, y0, x1);
      vec4 v10 = read(p.image, ic, y1, x0), v11 = read(p.image, ic, y1, x1);
      ${
        isDepthwise
          ? `vec4 w = texelFetch(W, cell(ic * K.x * K.y + tap), 0);
      a00 += w * v00; a01 += w * v01; a10 += w * v10; a11 += w * v11;`
          : `ivec2 q = cell(4 * ((p.group * Lx.z + ic) * K.x * K.y + tap));
      mat4 w = mat4(texelFetch(W, q, 0), texelFetch(W, q + ivec2(1, 0), 0),
                    texelFetch(W, q + ivec2(2, 0), 0), texelFetch(W, q + ivec2(3, 0), 0));
      a00 += w * v00; a01 += w * v01; a10 += w * v10; a11 += w * v11;`
      }
    }
  }
  put(p, act(a00, p.group), act(a01, p.group), act(a10, p.group), act(a11, p.group));
}`,
  };
}
