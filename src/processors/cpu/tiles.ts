/**
 * How the work of each kernel divides: into calls of the same kernel on parts of its operands, found
 * by arithmetic on its arguments alone. Each number of the result is made in one tile, by the same
 * operations in the same order as in the whole call, so that the bits do not depend on how many
 * tiles there are:
 *
 *     products        output pixels (whole rows of the image, or a run of pixels where those follow
 *                     each other evenly) by columns; sums go on in the order of k wherever one cuts
 *     depthwise,      output rows; `top` moves along
 *     pools, pads
 *     element-wise    runs of elements or rows
 *     reductions      the outer dimension
 *
 * What reads its own output (in place) is not divided: a tile whose worker died is done again.
 *
 * The cost, in nanoseconds of one thread, decides whether a call is worth dividing; it has to be
 * right within a factor of 3.
 */
import type { TiledKernel } from './board.js';

/** Tiles of one job at most. */
export const MAX_TILES = 512;

/**
 * How often a call is cut: [one way, the other]. Tiles: the product, MAX_TILES at most. It is found by
 * who posts the call; who takes a tile finds the tile's arguments.
 */
export type Cut = readonly [number, number];

export interface Division {
  /** What the whole call takes on one thread; nanoseconds. */
  ns: number;
  /** Index of a pointer to the range of the result, which tiles must not share; 0 where absent. */
  spread?: number;
  /**
   * At most `count` tiles, or where a product is cut both ways about as many, of much the same size:
   * for so many threads.
   */
  cut(count: number, threads: number): Cut;
  /** Arguments of one tile's call. All of them together do what the whole does. */
  part(tile: number, cut: Cut): number[];
}

/** Nanoseconds for a multiply-accumulate: 20, 40 and 33 GMAC/s; depthwise reads as much as it adds. */
const F32_MAC = 0.05;
const DOT_MAC = 0.025;
const I16_MAC = 0.03;
const DEPTHWISE_MAC = 0.12;
/** For a byte that is moved, an element that is loaded and stored, and one that takes a polynomial besides. */
const BYTE = 0.1;
const ELEMENT = 0.4;
const POLYNOMIAL = 2;
/** For a byte of a product's operand, which each tile reads anew, from L2; and for taking a tile. */
const READ = 0.03;
const TAKE = 500;
/** For a weight that is quantised, in two passes. */
const PACK = 2;

/** Codes of f32Unary from here on, but for the last four, are polynomials. */
const FIRST_POLYNOMIAL = 10;
const LAST_POLYNOMIAL = 15;

/**
 * Pixels of a product's tile at least: fewer pay for copying panels of w, and for odd edges. The dot
 * copies none.
 */
const PIXELS = 48;
const DOT_PIXELS = 24;
/** For these many pixels the edges of tiles of 4 and of 6 fall together. */
const PIXEL_GRAIN = 12;
/** Columns of a product's tile at least; of a matrix-vector product's. */
const COLUMNS = 32;
const VECTOR_COLUMNS = 128;
/** Columns are cut between cache lines, which two threads would take from each other at each write. */
const LINE_BYTES = 64;
/** Elements between two cuts of a run: whole vectors and whole cache lines. */
const RUN_GRAIN = 64;

/** What a product reads besides its patches, and how wide an element of the patches is. */
interface Operands {
  /** Bytes of an element of x. */
  xBytes: number;
  /** Columns in one panel of w, and bytes from one panel to the next. */
  panel: number;
  panelBytes: (segments: number, segmentLength: number) => number;
  /** Index of `n`; w is before it. */
  n: number;
  /** Indices of pointers to one 32-bit number a column; 0 where absent. */
  vectors: number[];
  /** Index of y; ldy is after it. */
  y: number;
  /** Index of `spread`, or 0; where that is given, y is bytes. */
  spread: number;
  macNs: number;
  /** Pixels of a tile at least. */
  pixels: number;
}

const RULES: Record<TiledKernel, (args: readonly number[]) => Division | undefined> = {
  f32Gemm: args => product(args, FLOAT),
  qu8Gemm: args => product(args, DOT),
  qu8GemmI16: args => product(args, I16),
  qs8Pack: args => packing(args, true),
  qs8PackI16: args => packing(args, false),

  f32MinMax: ([x, n, spread]) => ({
    ns: n * ELEMENT,
    spread: 2,
    ...along(n, RUN_GRAIN, (from, to) => [x + 4 * from, to - from, spread]),
  }),

  f32ToQu8(args) {
    const [, , w, c, , left, hp, wp, inverseScale, zero, xor, y] = args;
    return {
      ns: hp * wp * c * ELEMENT,
      ...along(hp, 1, (from, to) => {
        const { source, rows, above } = padded(args, 4, from, to);
        const target = y + from * wp * c;
        return [source, rows, w, c, above, left, to - from, wp, inverseScale, zero, xor, target];
      }),
    };
  },

  qu8ToF32: ([x, n, scale, zero, y]) => ({
    ns: n * ELEMENT,
    ...along(n, RUN_GRAIN, (from, to) => [x + from, to - from, scale, zero, y + 4 * from]),
  }),

  qu8Requantise([x, rows, width, factor, xZero, yZero, y, yPitch]) {
    return {
      ns: rows * width * ELEMENT,
      ...along(rows, 1, (from, to) => [
        ...[x + from * width, to - from, width, factor, xZero, yZero, y + from * yPitch, yPitch],
      ]),
    };
  },

  x8Pad(args) {
    const [, , w, c, , left, hp, wp, value, xor, y] = args;
    return {
      ns: hp * wp * c * BYTE,
      ...along(hp, 1, (from, to) => {
        const { source, rows, above } = padded(args, 1, from, to);
        const target = y + from * wp * c;
        return [source, rows, w, c, above, left, to - from, wp, value, xor, target];
      }),
    };
  },

  copyStrided(args) {
    const [elementBytes, x, y] = args;
    const sizes = args.slice(3, 9);
    const elements = sizes.reduce((product, n) => product * n, 1);
    return {
      ns: elements * (elementBytes === 1 ? BYTE : ELEMENT),
      cut: count => [Math.min(count, sizes[longEnough(sizes, count)]), 1],
      part(tile, [count]) {
        const at = longEnough(sizes, count);
        const [from, to] = range(sizes[at], 1, count, tile);
        const [xStep, yStep] = [args[9 + at] * elementBytes, args[15 + at] * elementBytes];
        return replaced(args, { 1: x + from * xStep, 2: y + from * yStep, [3 + at]: to - from });
      },
    };
  },

  f32Pad(args) {
    const [x, h, w, c, top, left, hp, wp, value, y] = args;
    return {
      ns: hp * wp * c * ELEMENT,
      ...along(hp, 1, (from, to) => {
        const target = y + 4 * from * wp * c;
        return [x, h, w, c, top - from, left, to - from, wp, value, target];
      }),
    };
  },

  f32Depthwise(args) {
    const [, , , c, , , kh, kw, multiplier, strideH] = args;
    const [top, , oh, ow] = args.slice(13);
    const rowSize = ow * c * multiplier;
    return {
      ns: oh * rowSize * (kh * kw * DEPTHWISE_MAC + ELEMENT),
      ...along(oh, 1, (from, to) =>
        replaced(args, {
          13: top - from * strideH,
          15: to - from,
          21: args[21] + 4 * from * rowSize,
        }),
      ),
    };
  },

  qu8Depthwise(args) {
    const [, x, oh, ow, , rowStride, taps] = args;
    const c = args[9];
    const unit = args[19] === 0 ? 4 : 1;
    return {
      ns: oh * ow * c * (taps * DEPTHWISE_MAC + ELEMENT),
      spread: 19,
      ...along(oh, 1, (from, to) =>
        replaced(args, {
          1: x + from * rowStride,
          2: to - from,
          16: args[16] + unit * from * ow * c,
        }),
      ),
    };
  },

  qu8MaxPool(args) {
    const [, , , c, kh, kw, strideH] = args;
    const [top, , oh, ow, y] = args.slice(10);
    return {
      ns: oh * ow * c * kh * kw * BYTE,
      ...along(oh, 1, (from, to) =>
        replaced(args, { 10: top - from * strideH, 12: to - from, 14: y + from * ow * c }),
      ),
    };
  },

  qu8AvgPool(args) {
    const [, , , c, kh, kw, strideH] = args;
    const [top, , oh, ow] = args.slice(10);
    return {
      ns: oh * ow * c * (kh * kw * BYTE + ELEMENT),
      spread: 19,
      ...along(oh, 1, (from, to) =>
        replaced(args, { 10: top - from * strideH, 12: to - from, 16: args[16] + from * ow * c }),
      ),
    };
  },

  f32Pool(args) {
    const [, , , , c, kh, kw, strideH] = args;
    const [top, , oh, ow, y] = args.slice(11);
    return {
      ns: oh * ow * c * kh * kw * ELEMENT,
      ...along(oh, 1, (from, to) =>
        replaced(args, {
          11: top - from * strideH,
          13: to - from,
          15: y + 4 * from * ow * c,
        }),
      ),
    };
  },

  f32Binary(args) {
    const [op, outer, inner, a, aOuter, aInner, b, bOuter, bInner, y] = args;
    if (a === y || b === y) return undefined;
    return {
      ns: outer * inner * ELEMENT,
      cut(count) {
        const rows = cuts(outer, 1, count);
        return [rows, cuts(inner, RUN_GRAIN, Math.floor(count / rows))];
      },
      // Rows are only cut into runs when each tile has one row.
      part(tile, [rows, runs]) {
        const [first, end] = range(outer, 1, rows, Math.floor(tile / runs));
        const [from, to] = range(inner, RUN_GRAIN, runs, tile % runs);
        const at = (pointer: number, outerStride: number, innerStride: number) =>
          pointer + 4 * (first * outerStride + from * innerStride);
        const [pa, pb] = [at(a, aOuter, aInner), at(b, bOuter, bInner)];
        const target = at(y, inner, 1);
        return [op, end - first, to - from, pa, aOuter, aInner, pb, bOuter, bInner, target];
      },
    };
  },

  qu8Binary(args) {
    const [, rows, n, a, , , b, bPitch, , , y] = args;
    return {
      ns: rows * n * ELEMENT,
      spread: 13,
      ...(rows === 1
        ? along(n, RUN_GRAIN, (from, to) =>
            replaced(args, { 2: to - from, 3: a + from, 6: b + from, 10: y + from }),
          )
        : along(rows, 1, (from, to) =>
            replaced(args, {
              1: to - from,
              3: a + from * n,
              6: b + from * bPitch,
              10: y + from * n,
            }),
          )),
    };
  },

  f32Unary([op, x, n, p0, p1, y]) {
    if (x === y) return undefined;
    return {
      ns: n * (op >= FIRST_POLYNOMIAL && op <= LAST_POLYNOMIAL ? POLYNOMIAL : ELEMENT),
      ...along(n, RUN_GRAIN, (from, to) => [
        ...[op, x + 4 * from, to - from, p0, p1, y + 4 * from],
      ]),
    };
  },

  x8Lookup: ([x, n, table, y]) => ({
    ns: n * ELEMENT,
    ...along(n, RUN_GRAIN, (from, to) => [x + from, to - from, table, y + from]),
  }),

  x8Clamp: ([x, n, lo, hi, y]) => ({
    ns: n * BYTE,
    ...along(n, RUN_GRAIN, (from, to) => [x + from, to - from, lo, hi, y + from]),
  }),

  f32Affine([x, rows, c, scale, offset, y]) {
    if (x === y) return undefined;
    return {
      ns: rows * c * ELEMENT,
      ...along(rows, 1, (from, to) => [
        ...[x + 4 * from * c, to - from, c, scale, offset, y + 4 * from * c],
      ]),
    };
  },

  f32Reduce: ([op, x, outer, reduce, inner, y]) => ({
    ns: outer * reduce * inner * ELEMENT,
    ...along(outer, 1, (from, to) => [
      ...[op, x + 4 * from * reduce * inner, to - from, reduce, inner, y + 4 * from * inner],
    ]),
  }),

  f32Softmax([x, rows, c, y]) {
    if (x === y) return undefined;
    return {
      ns: rows * c * POLYNOMIAL,
      ...along(rows, 1, (from, to) => [...[x + 4 * from * c, to - from, c, y + 4 * from * c]]),
    };
  },

  f32Resize: args => resizing(args, 4, 4 * ELEMENT),
  qu8Resize: args => resizing(args, 1, ELEMENT),
  x8ResizeNearest: args => resizing(args, 1, BYTE),

  fill: ([elementBytes, y, n, bits]) => ({
    ns: n * (elementBytes === 1 ? BYTE : ELEMENT),
    ...along(n, RUN_GRAIN, (from, to) => [
      ...[elementBytes, y + elementBytes * from, to - from, bits],
    ]),
  }),

  gatherRows: ([x, indices, m, rowBytes, y]) => ({
    ns: (m * rowBytes * ELEMENT) / 4,
    ...along(m, 1, (from, to) => [
      ...[x, indices + 4 * from, to - from, rowBytes, y + from * rowBytes],
    ]),
  }),
};

/** Undefined for a call that must not be divided. */
export function divide(kernel: TiledKernel, args: readonly number[]): Division | undefined {
  return RULES[kernel](args);
}

const bytesOfDotPanel = (segments: number, segmentLength: number): number =>
  segments * 32 * Math.ceil(segmentLength / 4);
const bytesOfI16Panel = (segments: number, segmentLength: number): number =>
  segments * 64 * Math.ceil(segmentLength / 8);

const FLOAT: Operands = {
  ...{ macNs: F32_MAC, pixels: PIXELS, xBytes: 4, panel: 8, panelBytes: () => 32 },
  ...{ n: 9, vectors: [11, 12], y: 15, spread: 0 },
};
const BYTES = { xBytes: 1, n: 9, vectors: [10, 11, 12, 13], y: 16, spread: 20 };
const DOT: Operands = {
  ...{ ...BYTES, macNs: DOT_MAC, pixels: DOT_PIXELS, panel: 8, panelBytes: bytesOfDotPanel },
};
const I16: Operands = {
  ...{ ...BYTES, macNs: I16_MAC, pixels: PIXELS, panel: 4, panelBytes: bytesOfI16Panel },
};

function product(args: readonly number[], operands: Operands): Division {
  const { macNs, xBytes, spread } = operands;
  const [, m, ow, pixelStride, rowStride, segments, segmentLength] = args;
  const n = args[operands.n];
  const depth = segments * segmentLength;
  // Pixels that follow each other evenly, from row to row too, may be cut anywhere.
  const isEven = ow >= m || rowStride === ow * pixelStride;
  const rowGrain = isEven ? PIXEL_GRAIN : ow;
  const columnGrain = LINE_BYTES / (spread && args[spread] ? 1 : 4);
  return {
    ns: m * n * depth * macNs,
    spread,
    cut(count, threads) {
      const fewest = Math.max(columnGrain, m < PIXELS ? VECTOR_COLUMNS : COLUMNS);
      const mostColumns = Math.max(1, Math.floor(n / fewest));
      const mostPixels = Math.max(1, Math.floor(m / Math.max(operands.pixels, rowGrain)));
      let best: Cut = [1, 1];
      let least = Infinity;
      for (let columns = 1; columns <= Math.min(mostColumns, count); columns++) {
        for (const more of [0, 1]) {
          const rows = Math.min(mostPixels, Math.ceil(count / columns) + more);
          if (rows * columns > MAX_TILES) continue;
          // What the largest tile computes and reads, as often as somebody has one.
          const height = longest(m, rowGrain, rows);
          const width = longest(n, columnGrain, columns);
          const ns = height * width * macNs + (height * xBytes + width) * READ;
          const total = Math.ceil((rows * columns) / threads) * (ns * depth + TAKE);
          if (total >= least) continue;
          best = [rows, columns];
          least = total;
        }
      }
      return best;
    },
    part(tile, [rows, columns]) {
      const [firstPixel, endPixel] = range(m, rowGrain, rows, Math.floor(tile / columns));
      const [from, to] = range(n, columnGrain, columns, tile % columns);
      return productPart(args, operands, isEven, firstPixel, endPixel, from, to);
    },
  };
}

/** Pixels [first, end) and columns [from, to) of a product. */
function productPart(
  args: readonly number[],
  { xBytes, panel, panelBytes, n, vectors, y, spread }: Operands,
  isEven: boolean,
  first: number,
  end: number,
  from: number,
  to: number,
): number[] {
  const [x, , ow, pixelStride, rowStride, segments, segmentLength] = args;
  const unit = spread && args[spread] ? 1 : 4;
  const skipped = isEven ? first * pixelStride : (first / ow) * rowStride;
  const part = args.slice();
  part[0] = x + xBytes * skipped;
  part[1] = end - first;
  part[2] = isEven ? end - first : ow;
  part[n - 1] = args[n - 1] + (from / panel) * panelBytes(segments, segmentLength);
  part[n] = to - from;
  part[y] = args[y] + unit * (first * args[y + 1] + from);
  for (const at of vectors) if (args[at] !== 0) part[at] = args[at] + 4 * from;
  return part;
}

function packing(args: readonly number[], dot: boolean): Division {
  const [w, segments, segmentLength, n, , packed, scale, sum] = args;
  const bytesOf = dot ? bytesOfDotPanel : bytesOfI16Panel;
  const panelBytes = bytesOf(segments, segmentLength);
  const panel = dot ? 8 : 4;
  return {
    ns: segments * segmentLength * n * PACK,
    ...along(n, VECTOR_COLUMNS, (from, to) =>
      replaced(args, {
        0: w + 4 * from,
        3: to - from,
        5: packed + (from / panel) * panelBytes,
        6: scale + 4 * from,
        7: sum + 4 * from,
      }),
    ),
  };
}

/** Rows of a resized image, of elements of so many bytes that take so long. */
function resizing(args: readonly number[], bytes: number, elementNs: number): Division {
  const [, , , c, , ow, , , first, end, y] = args;
  return {
    ns: (end - first) * ow * c * elementNs,
    ...along(end - first, 1, (from, to) =>
      replaced(args, { 8: first + from, 9: first + to, 10: y + bytes * from * ow * c }),
    ),
  };
}

/** Rows [from, to) of an image that is put into a larger one (f32ToQu8, x8Pad). */
function padded(args: readonly number[], bytes: number, from: number, to: number) {
  const [x, h, w, c, top] = args;
  const first = clamp(from - top, 0, h);
  const rows = clamp(to - top, 0, h) - first;
  return { source: x + bytes * first * w * c, rows, above: rows > 0 ? first + top - from : 0 };
}

/** A division into ranges of one dimension. */
function along(
  size: number,
  grain: number,
  part: (from: number, to: number) => number[],
): Pick<Division, 'cut' | 'part'> {
  return {
    cut: count => [cuts(size, grain, count), 1],
    part: (tile, [count]) => part(...range(size, grain, count, tile)),
  };
}

/** In how many ranges [0, size) is cut, at multiples of `grain`, where `count` are wanted. */
const cuts = (size: number, grain: number, count: number): number =>
  Math.max(1, Math.min(count, Math.ceil(size / grain)));

/** One of the ranges of about the same length that [0, size) is cut in, at multiples of `grain`. */
function range(size: number, grain: number, count: number, i: number): [number, number] {
  const grains = Math.ceil(size / grain);
  const cut = (at: number) => Math.min(size, Math.floor((at * grains) / count) * grain);
  return [cut(i), cut(i + 1)];
}

/** Of the longest one. */
const longest = (size: number, grain: number, count: number): number =>
  Math.min(size, Math.ceil(Math.ceil(size / grain) / count) * grain);

/** The first dimension that is long enough, so that a tile lies together; else the longest. */
function longEnough(sizes: readonly number[], count: number): number {
  const at = sizes.findIndex(n => n >= count);
  return at < 0 ? sizes.indexOf(Math.max(...sizes)) : at;
}

function replaced(args: readonly number[], values: Record<number, number>): number[] {
  const result = args.slice();
  for (const at in values) result[at] = values[at];
  return result;
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
