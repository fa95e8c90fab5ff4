/**
 * y [m,n] = act(f32(x [m,K] * w [K,n] + correction [n]) * scale [n] + bias [n]) for engines whose
 * relaxed dot is not exact, or that have none: i32x4.dot_i16x8_s sums pairs of 16-bit products
 * exactly in 32 bits. Activations are widened on the way; weights lie there with 16 bits. Arguments
 * and rounding as qu8-gemm/x8c4-relaxed; x is always u8, packed is of qs8-pack/x4c8.
 *
 * A tile is 2 pixels by 4 columns; a step takes 8 of K:
 *
 *                        b0   j0, 8 k     b1   j1     b2   j2     b3   j3
 *      p0 ─► x0 (8 k)    c00 += b0·x0     c01         c02         c03      4 partial sums in each
 *      p1 ─► x1          c10              c11         c12         c13
 *
 * The 4 partial sums are added across when the tile is done.
 *
 * May read 7 bytes beyond a segment of x, and 12 bytes beyond correction, scale, bias and alpha.
 */
import {
  addends,
  clamp,
  clampWords,
  factors,
  gated,
  prelu,
  storeBytes8,
  storeLanes,
  toWord,
  toWords,
  widenByWords,
} from '../simd';

const ROWS: i32 = 2;
const COLUMNS: i32 = 4;
const DEPTH: i32 = 8;
const GROUP_BYTES: usize = 64;
/** As in 4x8c4-relaxed. */
const BLOCK_BYTES: i32 = 1 << 17;


@inline
function dot(w: v128, x: v128, sum: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(w, x));
}

/** [sum a, sum b, sum c, sum d] of four vectors of four. */
@inline
function sumAcross(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7));
  const cd = i32x4.add(v128.shuffle<i32>(c, d, 0, 4, 1, 5), v128.shuffle<i32>(c, d, 2, 6, 3, 7));
  return i32x4.add(v128.shuffle<i64>(ab, cd, 0, 2), v128.shuffle<i64>(ab, cd, 1, 3));
}

export function qu8Gemm2x4c8I16(
  x: usize,
  m: i32,
  ow: i32,
  pixelStride: i32,
  rowStride: i32,
  segments: i32,
  segmentLength: i32,
  segmentOffsets: usize,
  packed: usize,
  n: i32,
  correction: usize,
  scale: usize,
  bias: usize,
  alpha: usize,
  lo: f32,
  hi: f32,
  y: usize,
  ldy: i32,
  inverse: f32,
  zero: i32,
  spread: usize,
): void {
  assert(m >= 0);
  assert(ow > 0);
  assert(segments > 0);
  assert(segmentLength > 0);
  assert(n >= 0 && n <= ldy);
  const groups = (segmentLength + DEPTH - 1) / DEPTH;
  const segmentBytes = <usize>groups * GROUP_BYTES;
  const panelBytes = <usize>segments * segmentBytes;
  const offsetsEnd = segmentOffsets + ((<usize>segments) << 2);
  const unit: usize = spread ? 0 : 2;
  const yRow = (<usize>ldy) << unit;
  const low = f32x4.splat(lo);
  const high = f32x4.splat(hi);
  const isGated = lo > -Infinity;
  const inSteps = spread != 0 && alpha == 0;
  const perStep = f32x4.splat(inverse);
  const fromZero = f32x4.splat(<f32>zero + 0.5);
  const lowWord = i16x8.splat(<i16>toWord(alpha ? -Infinity : lo, inverse, <f32>zero + 0.5));
  const highWord = i16x8.splat(<i16>toWord(alpha ? Infinity : hi, inverse, <f32>zero + 0.5));
  let least = i16x8.splat(<i16>0x7fff);
  let greatest = i16x8.splat(<i16>0x8000);
  const block = max(64, (BLOCK_BYTES / max(1, pixelStride)) & ~(ROWS - 1));

  for (let blockStart = 0; blockStart < m; blockStart += block) {
    const blockEnd = min(m, blockStart + block);
    let panel = packed;
    for (let j = 0; j < n; j += COLUMNS, panel += panelBytes) {
      const columns = n - j;
      const column = (<usize>j) << 2;
      let ox = blockStart % ow;
      let rowStart = x + <usize>((blockStart / ow) * rowStride);
      let out = y + <usize>blockStart * yRow + ((<usize>j) << unit);
      for (let i = blockStart; i < blockEnd; i += ROWS, out += yRow * ROWS) {
        // Pixels of the tile; one beyond m repeats the one before.
        const p0 = rowStart + <usize>(ox * pixelStride);
        if (++ox == ow) {
          ox = 0;
          rowStart += rowStride;
        }
        const p1 = i + 1 < m ? rowStart + <usize>(ox * pixelStride) : p0;
        if (++ox == ow) {
          ox = 0;
          rowStart += rowStride;
        }

        let c00 = i32x4.splat(0),
          c01 = i32x4.splat(0),
          c02 = i32x4.splat(0),
          c03 = i32x4.splat(0);
        let c10 = i32x4.splat(0),
          c11 = i32x4.splat(0),
          c12 = i32x4.splat(0),
          c13 = i32x4.splat(0);
        let b = panel;
        for (let offsets = segmentOffsets; offsets < offsetsEnd; offsets += 4) {
          const offset = <usize>load<i32>(offsets);
          let a0 = p0 + offset;
          let a1 = p1 + offset;
          for (const end = b + segmentBytes; b < end; b += GROUP_BYTES) {
            const x0 = v128.load_ext<u8>(a0),
              x1 = v128.load_ext<u8>(a1);
            let w = v128.load(b);
            c00 = dot(w, x0, c00);
            c10 = dot(w, x1, c10);
            w = v128.load(b, 16);
            c01 = dot(w, x0, c01);
            c11 = dot(w, x1, c11);
            w = v128.load(b, 32);
            c02 = dot(w, x0, c02);
            c12 = dot(w, x1, c12);
            w = v128.load(b, 48);
            c03 = dot(w, x0, c03);
            c13 = dot(w, x1, c13);
            a0 += 8;
            a1 += 8;
          }
        }

        const fix = v128.load(correction + column);
        const factor = factors(scale + column, inSteps, perStep);
        let r0 = i32x4.add(sumAcross(c00, c01, c02, c03), fix);
        let r1 = i32x4.add(sumAcross(c10, c11, c12, c13), fix);
        r0 = f32x4.mul(f32x4.convert_i32x4_s(r0), factor);
        r1 = f32x4.mul(f32x4.convert_i32x4_s(r1), factor);
        if (bias || inSteps) {
          const b0 = addends(bias, column, inSteps, perStep, fromZero);
          r0 = f32x4.add(r0, b0);
          r1 = f32x4.add(r1, b0);
        }
        if (alpha) {
          const slope = v128.load(alpha + column);
          r0 = isGated ? gated(r0, slope, low, high) : prelu(r0, slope);
          r1 = isGated ? gated(r1, slope, low, high) : prelu(r1, slope);
        } else if (!spread) {
          r0 = clamp(r0, low, high);
          r1 = clamp(r1, low, high);
        }
        if (spread) {
          if (alpha) {
            r0 = f32x4.add(f32x4.mul(r0, perStep), fromZero);
            r1 = f32x4.add(f32x4.mul(r1, perStep), fromZero);
          }
          // Both rows at once, one in each half. A row beyond m repeats the one before.
          let words = clampWords(toWords(r0, r1), lowWord, highWord);
          const bytes = i8x16.narrow_i16x8_u(words, words);
          if (columns >= COLUMNS) {
            v128.store32_lane(out, bytes, 0);
            if (i + 1 < m) v128.store32_lane(out + yRow, bytes, 1);
          } else {
            storeBytes8(out, bytes, columns);
            if (i + 1 < m) storeBytes8(out + yRow, v128.shr<u64>(bytes, 32), columns);
            words = v128.bitselect(
              words,
              i16x8.splat(<i16>i16x8.extract_lane_s(words, 0)),
              i16x8.lt_s(i16x8(0, 1, 2, 3, 0, 1, 2, 3), i16x8.splat(<i16>columns)),
            );
          }
          least = i16x8.min_s(least, words);
          greatest = i16x8.max_s(greatest, words);
        } else {
          storeLanes(out, r0, columns);
          if (i + 1 < m) storeLanes(out + yRow, r1, columns);
        }
      }
    }
  }
  if (spread) widenByWords(spread, least, greatest, inverse, zero);
}
