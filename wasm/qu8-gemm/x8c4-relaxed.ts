/**
 * y [m,n] = act(f32(x [m,K] * w [K,n] + correction [n]) * scale [n] + bias [n]), bytes by signed
 * bytes, exact 32-bit sums; K = segments * segmentLength.
 *
 *     x         patches of an image, see wasm/README.md; u8, or x ^ 0x80 where the engine's dot
 *               reads its second operand as signed (relaxed-dot-kind)
 *     packed    w as qs8-pack/x8c4 lays it
 *     y         rows of ldy floats; or, where `spread` is given, of ldy bytes:
 *
 *                   clamp(trunc(y * inverse + zero + 1/2), 0, 255)
 *
 *     spread    f32 [min x4 | max x4], widened by y as it was before it was clamped to a byte, in
 *               whole steps of 1 / inverse (`toWords`)
 *
 * Whoever inlines this says two constants: `rows`, 4 or 6, and `plain`: bytes, n a multiple of 8, no
 * alpha. The tile is `rows` pixels by 8 columns; a step takes 4 of K:
 *
 *                       b0   j0..j3, 4 k each    b1   j4..j7
 *                      ┌────┬────┬────┬────┐    ┌────┬────┬────┬────┐
 *                      └────┴────┴────┴────┘    └────┴────┴────┴────┘
 *      p0 ─► x0 (4 k, repeated 4 times)  c00 += dot(b0, x0)   c01 += dot(b1, x0)
 *      p1 ─►                             c10                  c11
 *      ...
 *      p5 ─►                             c50                  c51
 *
 * 8 or 12 accumulators, 2 of w and 1 of x: V8 has 15 SIMD registers on x86 (and one of its own).
 * 4 x 12 does not fit, spills, and runs at half the speed.
 *
 * Not unrolled: then V8 13 hoists loads until registers run out (42 against 44 GMAC/s; f32-gemm
 * without fused multiply-add even 15 against 21).
 *
 * Order: blocks of pixels, whose patch of the image stays in L2; columns by 8, whose panel of w
 * (8 * K bytes) stays in L1; pixels by `rows`.
 *
 * The epilogue rounds three times: to float32, after * scale, after + bias; both builds alike. For
 * bytes without alpha, scale and bias are in steps of y beforehand.
 * May read 3 bytes beyond a segment of x, and 28 bytes beyond correction, scale, bias and alpha.
 */
import {
  addends,
  clamp,
  clampWords,
  factors,
  gated,
  onlyWords,
  prelu,
  storeBytes8,
  storeLanes8,
  toWord,
  toWords,
  widenByWords,
} from '../simd';

export const COLUMNS: i32 = 8;
export const DEPTH: i32 = 4;
export const GROUP_BYTES: usize = 32;
/** Bytes of image that one block of pixels walks over: a small part of L2. */
const BLOCK_BYTES: i32 = 1 << 17;


@inline
export function dot(w: v128, x: v128, sum: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i32x4.relaxed_dot_i8x16_i7x16_add_s(w, x, sum);
  return unreachable();
}


@inline
export function qu8GemmX8c4Relaxed(
  rows: i32,
  plain: bool,
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
  assert(rows == 4 || rows == 6);
  assert(m >= 0);
  assert(ow > 0);
  assert(segments > 0);
  assert(segmentLength > 0);
  assert(n >= 0 && n <= ldy);
  const groups = (segmentLength + DEPTH - 1) / DEPTH;
  const segmentBytes = <usize>groups * GROUP_BYTES;
  const panelBytes = <usize>segments * segmentBytes;
  const offsetsEnd = segmentOffsets + ((<usize>segments) << 2);
  const unit: usize = plain || spread ? 0 : 2;
  const yRow = (<usize>ldy) << unit;
  const low = f32x4.splat(lo);
  const high = f32x4.splat(hi);
  const isGated = lo > -Infinity;
  // Bytes: all of it in steps of y from the start, but for what only floats can do.
  const inSteps = plain || (spread != 0 && alpha == 0);
  const perStep = f32x4.splat(inverse);
  const fromZero = f32x4.splat(<f32>zero + 0.5);
  // The bounds of a gate are not those of y.
  const lowWord = i16x8.splat(<i16>toWord(alpha ? -Infinity : lo, inverse, <f32>zero + 0.5));
  const highWord = i16x8.splat(<i16>toWord(alpha ? Infinity : hi, inverse, <f32>zero + 0.5));
  let least = i16x8.splat(<i16>0x7fff);
  let greatest = i16x8.splat(<i16>0x8000);
  const block = max(16, BLOCK_BYTES / max(1, pixelStride) / rows) * rows;

  for (let blockStart = 0; blockStart < m; blockStart += block) {
    const blockEnd = min(m, blockStart + block);
    let panel = packed;
    for (let j = 0; j < n; j += COLUMNS, panel += panelBytes) {
      const columns = plain ? COLUMNS : min(COLUMNS, n - j);
      const column = (<usize>j) << 2;
      let ox = blockStart % ow;
      let rowStart = x + <usize>((blockStart / ow) * rowStride);
      let out = y + <usize>blockStart * yRow + ((<usize>j) << unit);
      for (let i = blockStart; i < blockEnd; i += rows, out += yRow * <usize>rows) {
        // Pixels of the tile, most of them in one row; those beyond m repeat the one before.
        const p0 = rowStart + <usize>(ox * pixelStride);
        const isWhole = i + rows <= m;
        let p1: usize, p2: usize, p3: usize;
        let p4: usize = 0,
          p5: usize = 0;
        if (isWhole && ox + rows <= ow) {
          p1 = p0 + <usize>pixelStride;
          p2 = p1 + <usize>pixelStride;
          p3 = p2 + <usize>pixelStride;
          if (rows > 4) {
            p4 = p3 + <usize>pixelStride;
            p5 = p4 + <usize>pixelStride;
          }
          ox += rows;
          if (ox == ow) {
            ox = 0;
            rowStart += rowStride;
          }
        } else {
          if (++ox == ow) {
            ox = 0;
            rowStart += rowStride;
          }
          p1 = i + 1 < m ? rowStart + <usize>(ox * pixelStride) : p0;
          if (++ox == ow) {
            ox = 0;
            rowStart += rowStride;
          }
          p2 = i + 2 < m ? rowStart + <usize>(ox * pixelStride) : p1;
          if (++ox == ow) {
            ox = 0;
            rowStart += rowStride;
          }
          p3 = i + 3 < m ? rowStart + <usize>(ox * pixelStride) : p2;
          if (++ox == ow) {
            ox = 0;
            rowStart += rowStride;
          }
          if (rows > 4) {
            p4 = i + 4 < m ? rowStart + <usize>(ox * pixelStride) : p3;
            if (++ox == ow) {
              ox = 0;
              rowStart += rowStride;
            }
            p5 = i + 5 < m ? rowStart + <usize>(ox * pixelStride) : p4;
            if (++ox == ow) {
              ox = 0;
              rowStart += rowStride;
            }
          }
        }

        // The sums start from the correction.
        let k0 = v128.load(correction + column);
        let k1 = v128.load(correction + column, 16);
        let c00 = k0,
          c01 = k1,
          c10 = k0,
          c11 = k1,
          c20 = k0,
          c21 = k1,
          c30 = k0,
          c31 = k1,
          c40 = k0,
          c41 = k1,
          c50 = k0,
          c51 = k1;
        let b = panel;
        for (let offsets = segmentOffsets; offsets < offsetsEnd; offsets += 4) {
          const offset = <usize>load<i32>(offsets);
          let a0 = p0 + offset;
          let a1 = p1 + offset;
          let a2 = p2 + offset;
          let a3 = p3 + offset;
          let a4 = p4 + offset;
          let a5 = p5 + offset;
          for (const end = b + segmentBytes; b < end; b += GROUP_BYTES) {
            const b0 = v128.load(b);
            const b1 = v128.load(b, 16);
            let x0: v128;
            x0 = v128.load32_splat(a0);
            c00 = dot(b0, x0, c00);
            c01 = dot(b1, x0, c01);
            a0 += DEPTH;
            x0 = v128.load32_splat(a1);
            c10 = dot(b0, x0, c10);
            c11 = dot(b1, x0, c11);
            a1 += DEPTH;
            x0 = v128.load32_splat(a2);
            c20 = dot(b0, x0, c20);
            c21 = dot(b1, x0, c21);
            a2 += DEPTH;
            x0 = v128.load32_splat(a3);
            c30 = dot(b0, x0, c30);
            c31 = dot(b1, x0, c31);
            a3 += DEPTH;
            if (rows > 4) {
              x0 = v128.load32_splat(a4);
              c40 = dot(b0, x0, c40);
              c41 = dot(b1, x0, c41);
              a4 += DEPTH;
              x0 = v128.load32_splat(a5);
              c50 = dot(b0, x0, c50);
              c51 = dot(b1, x0, c51);
              a5 += DEPTH;
            }
          }
        }

        c00 = f32x4.convert_i32x4_s(c00);
        c01 = f32x4.convert_i32x4_s(c01);
        c10 = f32x4.convert_i32x4_s(c10);
        c11 = f32x4.convert_i32x4_s(c11);
        c20 = f32x4.convert_i32x4_s(c20);
        c21 = f32x4.convert_i32x4_s(c21);
        c30 = f32x4.convert_i32x4_s(c30);
        c31 = f32x4.convert_i32x4_s(c31);
        if (rows > 4) {
          c40 = f32x4.convert_i32x4_s(c40);
          c41 = f32x4.convert_i32x4_s(c41);
          c50 = f32x4.convert_i32x4_s(c50);
          c51 = f32x4.convert_i32x4_s(c51);
        }
        k0 = factors(scale + column, inSteps, perStep);
        k1 = factors(scale + column + 16, inSteps, perStep);
        c00 = f32x4.mul(c00, k0);
        c01 = f32x4.mul(c01, k1);
        c10 = f32x4.mul(c10, k0);
        c11 = f32x4.mul(c11, k1);
        c20 = f32x4.mul(c20, k0);
        c21 = f32x4.mul(c21, k1);
        c30 = f32x4.mul(c30, k0);
        c31 = f32x4.mul(c31, k1);
        if (rows > 4) {
          c40 = f32x4.mul(c40, k0);
          c41 = f32x4.mul(c41, k1);
          c50 = f32x4.mul(c50, k0);
          c51 = f32x4.mul(c51, k1);
        }
        if (bias || inSteps) {
          k0 = addends(bias, column, inSteps, perStep, fromZero);
          k1 = addends(bias, column + 16, inSteps, perStep, fromZero);
          c00 = f32x4.add(c00, k0);
          c01 = f32x4.add(c01, k1);
          c10 = f32x4.add(c10, k0);
          c11 = f32x4.add(c11, k1);
          c20 = f32x4.add(c20, k0);
          c21 = f32x4.add(c21, k1);
          c30 = f32x4.add(c30, k0);
          c31 = f32x4.add(c31, k1);
          if (rows > 4) {
            c40 = f32x4.add(c40, k0);
            c41 = f32x4.add(c41, k1);
            c50 = f32x4.add(c50, k0);
            c51 = f32x4.add(c51, k1);
          }
        }
        if (!plain && alpha) {
          k0 = v128.load(alpha + column);
          k1 = v128.load(alpha + column, 16);
          if (isGated) {
            c00 = gated(c00, k0, low, high);
            c01 = gated(c01, k1, low, high);
            c10 = gated(c10, k0, low, high);
            c11 = gated(c11, k1, low, high);
            c20 = gated(c20, k0, low, high);
            c21 = gated(c21, k1, low, high);
            c30 = gated(c30, k0, low, high);
            c31 = gated(c31, k1, low, high);
            if (rows > 4) {
              c40 = gated(c40, k0, low, high);
              c41 = gated(c41, k1, low, high);
              c50 = gated(c50, k0, low, high);
              c51 = gated(c51, k1, low, high);
            }
          } else {
            c00 = prelu(c00, k0);
            c01 = prelu(c01, k1);
            c10 = prelu(c10, k0);
            c11 = prelu(c11, k1);
            c20 = prelu(c20, k0);
            c21 = prelu(c21, k1);
            c30 = prelu(c30, k0);
            c31 = prelu(c31, k1);
            if (rows > 4) {
              c40 = prelu(c40, k0);
              c41 = prelu(c41, k1);
              c50 = prelu(c50, k0);
              c51 = prelu(c51, k1);
            }
          }
        } else if (!plain && !spread) {
          c00 = clamp(c00, low, high);
          c01 = clamp(c01, low, high);
          c10 = clamp(c10, low, high);
          c11 = clamp(c11, low, high);
          c20 = clamp(c20, low, high);
          c21 = clamp(c21, low, high);
          c30 = clamp(c30, low, high);
          c31 = clamp(c31, low, high);
          if (rows > 4) {
            c40 = clamp(c40, low, high);
            c41 = clamp(c41, low, high);
            c50 = clamp(c50, low, high);
            c51 = clamp(c51, low, high);
          }
        }
        if (plain || spread) {
          if (!plain && alpha) {
            c00 = f32x4.mul(c00, perStep);
            c01 = f32x4.mul(c01, perStep);
            c10 = f32x4.mul(c10, perStep);
            c11 = f32x4.mul(c11, perStep);
            c20 = f32x4.mul(c20, perStep);
            c21 = f32x4.mul(c21, perStep);
            c30 = f32x4.mul(c30, perStep);
            c31 = f32x4.mul(c31, perStep);
            if (rows > 4) {
              c40 = f32x4.mul(c40, perStep);
              c41 = f32x4.mul(c41, perStep);
              c50 = f32x4.mul(c50, perStep);
              c51 = f32x4.mul(c51, perStep);
            }
            c00 = f32x4.add(c00, fromZero);
            c01 = f32x4.add(c01, fromZero);
            c10 = f32x4.add(c10, fromZero);
            c11 = f32x4.add(c11, fromZero);
            c20 = f32x4.add(c20, fromZero);
            c21 = f32x4.add(c21, fromZero);
            c30 = f32x4.add(c30, fromZero);
            c31 = f32x4.add(c31, fromZero);
            if (rows > 4) {
              c40 = f32x4.add(c40, fromZero);
              c41 = f32x4.add(c41, fromZero);
              c50 = f32x4.add(c50, fromZero);
              c51 = f32x4.add(c51, fromZero);
            }
          }
          const w0 = clampWords(toWords(c00, c01), lowWord, highWord);
          const w1 = clampWords(toWords(c10, c11), lowWord, highWord);
          const w2 = clampWords(toWords(c20, c21), lowWord, highWord);
          const w3 = clampWords(toWords(c30, c31), lowWord, highWord);
          // Rows beyond m repeat one, so they do not matter here.
          let l = i16x8.min_s(i16x8.min_s(w0, w1), i16x8.min_s(w2, w3));
          let g = i16x8.max_s(i16x8.max_s(w0, w1), i16x8.max_s(w2, w3));
          storeBytes8(out, i8x16.narrow_i16x8_u(w0, w0), columns);
          if (isWhole || i + 1 < m) storeBytes8(out + yRow, i8x16.narrow_i16x8_u(w1, w1), columns);
          if (isWhole || i + 2 < m)
            storeBytes8(out + yRow * 2, i8x16.narrow_i16x8_u(w2, w2), columns);
          if (isWhole || i + 3 < m)
            storeBytes8(out + yRow * 3, i8x16.narrow_i16x8_u(w3, w3), columns);
          if (rows > 4) {
            const w4 = clampWords(toWords(c40, c41), lowWord, highWord);
            const w5 = clampWords(toWords(c50, c51), lowWord, highWord);
            l = i16x8.min_s(l, i16x8.min_s(w4, w5));
            g = i16x8.max_s(g, i16x8.max_s(w4, w5));
            if (isWhole || i + 4 < m)
              storeBytes8(out + yRow * 4, i8x16.narrow_i16x8_u(w4, w4), columns);
            if (isWhole || i + 5 < m)
              storeBytes8(out + yRow * 5, i8x16.narrow_i16x8_u(w5, w5), columns);
          }
          least = i16x8.min_s(least, onlyWords(l, columns));
          greatest = i16x8.max_s(greatest, onlyWords(g, columns));
        } else {
          storeLanes8(out, c00, c01, columns);
          if (isWhole || i + 1 < m) storeLanes8(out + yRow, c10, c11, columns);
          if (isWhole || i + 2 < m) storeLanes8(out + yRow * 2, c20, c21, columns);
          if (isWhole || i + 3 < m) storeLanes8(out + yRow * 3, c30, c31, columns);
          if (rows > 4) {
            if (isWhole || i + 4 < m) storeLanes8(out + yRow * 4, c40, c41, columns);
            if (isWhole || i + 5 < m) storeLanes8(out + yRow * 5, c50, c51, columns);
          }
        }
      }
    }
  }
  if (plain || spread) widenByWords(spread, least, greatest, inverse, zero);
}
