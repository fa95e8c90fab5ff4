/**
 * y [m,n] = act(f32(x [m,K] * w [K,n] + correction [n]) * scale [n] + bias [n]), bytes by signed
 * bytes, exact 32-bit sums; K = segments * segmentLength.
 *
 *     x         patches of an image, see wasm/README.md; u8, or x ^ 0x80 where the engine's dot
 *               reads its second operand as signed (relaxed-dot-kind)
 *     packed    w as qs8-pack/x8c4 lays it
 *     y         rows of ldy floats
 *
 * A tile is 4 pixels by 8 columns; a step takes 4 of K:
 *
 *                       b0   j0..j3, 4 k each    b1   j4..j7
 *                      ┌────┬────┬────┬────┐    ┌────┬────┬────┬────┐
 *                      └────┴────┴────┴────┘    └────┴────┴────┴────┘
 *      p0 ─► x0 (4 k, repeated 4 times)  c00 += dot(b0, x0)   c01 += dot(b1, x0)
 *      p1 ─► x1                          c10                  c11
 *      p2 ─► x2                          c20                  c21
 *      p3 ─► x3                          c30                  c31
 *
 * 8 accumulators, 2 of w and 1 of x are 11 of the 16 SIMD registers V8 has on x86 (one is its
 * own). 4 x 12 needs 16, spills, and runs at half the speed: 52 to 57 against 97 to 107 GMAC/s.
 *
 * The loop is not unrolled: then V8 13 hoists loads until registers run out (42 against 44 GMAC/s;
 * f32-gemm/4x8 without fused multiply-add even 15 against 21).
 *
 * Order: blocks of pixels, whose patch of the image stays in L2; columns by 8, whose panel of w
 * (8 * K bytes) stays in L1; pixels by 4.
 *
 * The epilogue rounds three times: to float32, after * scale, after + bias; both builds alike.
 * May read 3 bytes beyond a segment of x, and 28 bytes beyond correction, scale, bias and alpha.
 */
import { clamp, prelu, storeLanes8 } from '../simd';

const ROWS: i32 = 4;
const COLUMNS: i32 = 8;
const DEPTH: i32 = 4;
const GROUP_BYTES: usize = 32;
/** Bytes of image that one block of pixels walks over: a quarter of a small L2. */
const BLOCK_BYTES: i32 = 1 << 17;


@inline
function dot(w: v128, x: v128, sum: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i32x4.relaxed_dot_i8x16_i7x16_add_s(w, x, sum);
  return unreachable();
}

export function qu8Gemm4x8c4Relaxed(
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
  const yRow = (<usize>ldy) << 2;
  const low = f32x4.splat(lo);
  const high = f32x4.splat(hi);
  const block = max(64, (BLOCK_BYTES / max(1, pixelStride)) & ~(ROWS - 1));

  for (let blockStart = 0; blockStart < m; blockStart += block) {
    const blockEnd = min(m, blockStart + block);
    let panel = packed;
    for (let j = 0; j < n; j += COLUMNS, panel += panelBytes) {
      const columns = min(COLUMNS, n - j);
      const column = (<usize>j) << 2;
      let ox = blockStart % ow;
      let rowStart = x + <usize>((blockStart / ow) * rowStride);
      let out = y + <usize>blockStart * yRow + column;
      for (let i = blockStart; i < blockEnd; i += ROWS, out += yRow * ROWS) {
        // Pixels of the tile; those beyond m repeat the one before.
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
        const p2 = i + 2 < m ? rowStart + <usize>(ox * pixelStride) : p1;
        if (++ox == ow) {
          ox = 0;
          rowStart += rowStride;
        }
        const p3 = i + 3 < m ? rowStart + <usize>(ox * pixelStride) : p2;
        if (++ox == ow) {
          ox = 0;
          rowStart += rowStride;
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
          c31 = k1;
        let b = panel;
        for (let offsets = segmentOffsets; offsets < offsetsEnd; offsets += 4) {
          const offset = <usize>load<i32>(offsets);
          let a0 = p0 + offset;
          let a1 = p1 + offset;
          let a2 = p2 + offset;
          let a3 = p3 + offset;
          for (const end = b + segmentBytes; b < end; b += GROUP_BYTES) {
            const b0 = v128.load(b);
            const b1 = v128.load(b, 16);
            let x0 = v128.load32_splat(a0);
            c00 = dot(b0, x0, c00);
            c01 = dot(b1, x0, c01);
            x0 = v128.load32_splat(a1);
            c10 = dot(b0, x0, c10);
            c11 = dot(b1, x0, c11);
            x0 = v128.load32_splat(a2);
            c20 = dot(b0, x0, c20);
            c21 = dot(b1, x0, c21);
            x0 = v128.load32_splat(a3);
            c30 = dot(b0, x0, c30);
            c31 = dot(b1, x0, c31);
            a0 += DEPTH;
            a1 += DEPTH;
            a2 += DEPTH;
            a3 += DEPTH;
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
        k0 = v128.load(scale + column);
        k1 = v128.load(scale + column, 16);
        c00 = f32x4.mul(c00, k0);
        c01 = f32x4.mul(c01, k1);
        c10 = f32x4.mul(c10, k0);
        c11 = f32x4.mul(c11, k1);
        c20 = f32x4.mul(c20, k0);
        c21 = f32x4.mul(c21, k1);
        c30 = f32x4.mul(c30, k0);
        c31 = f32x4.mul(c31, k1);
        if (bias) {
          k0 = v128.load(bias + column);
          k1 = v128.load(bias + column, 16);
          c00 = f32x4.add(c00, k0);
          c01 = f32x4.add(c01, k1);
          c10 = f32x4.add(c10, k0);
          c11 = f32x4.add(c11, k1);
          c20 = f32x4.add(c20, k0);
          c21 = f32x4.add(c21, k1);
          c30 = f32x4.add(c30, k0);
          c31 = f32x4.add(c31, k1);
        }
        if (alpha) {
          k0 = v128.load(alpha + column);
          k1 = v128.load(alpha + column, 16);
          c00 = prelu(c00, k0);
          c01 = prelu(c01, k1);
          c10 = prelu(c10, k0);
          c11 = prelu(c11, k1);
          c20 = prelu(c20, k0);
          c21 = prelu(c21, k1);
          c30 = prelu(c30, k0);
          c31 = prelu(c31, k1);
        } else {
          c00 = clamp(c00, low, high);
          c01 = clamp(c01, low, high);
          c10 = clamp(c10, low, high);
          c11 = clamp(c11, low, high);
          c20 = clamp(c20, low, high);
          c21 = clamp(c21, low, high);
          c30 = clamp(c30, low, high);
          c31 = clamp(c31, low, high);
        }
        storeLanes8(out, c00, c01, columns);
        if (i + 1 < m) storeLanes8(out + yRow, c10, c11, columns);
        if (i + 2 < m) storeLanes8(out + yRow * 2, c20, c21, columns);
        if (i + 3 < m) storeLanes8(out + yRow * 3, c30, c31, columns);
      }
    }
  }
}
