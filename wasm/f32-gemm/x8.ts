/**
 * y [m,n] = act(x [m,K] * w [K,n] + bias [n]) in float32; K = segments * segmentLength.
 *
 *     x    patches of an image, see wasm/README.md
 *     w    row-major, rows of ldw floats, as tfjs holds filters: nothing is packed beforehand
 *     y    rows of ldy floats
 *
 * The tile is `rows` pixels by 8 columns, 4 or 6 (a constant of whoever inlines this); a step takes
 * 1 of K:
 *
 *                          b0  w[k, j..j+3]        b1  w[k, j+4..j+7]
 *      p0 ─► x[k] splat    c00 += x0 * b0          c01 += x0 * b1
 *      p1 ─►               c10                     c11
 *      ...
 *      p5 ─►               c50                     c51
 *
 * Rows of w are ldw floats apart, so a panel of 8 columns touches a cache line per row, all in few
 * sets. With many pixels it is copied first:
 *
 *     scratch [PANEL_ROWS][8]     16 KiB: stays in L1 while all pixels of a block pass over it
 *
 * and K is taken PANEL_ROWS at a time, the partial sums waiting in y. With few pixels (fewer than
 * PACK_PIXELS) w is read in place; with 1 to 3, f32-gemm/1x4 reads it in its own order.
 *
 * Rounding: products are added in the order of k, starting from the bias; relaxed: fused.
 * May read 28 bytes beyond w, bias, alpha and y; x up to its end only.
 */
import { scratch } from '../memory/scratch';
import { clamp, gated, madd, prelu, storeLanes8 } from '../simd';
import { f32Gemm1x4 } from './1x4';

const COLUMNS: i32 = 8;
/** Fewer pixels than these go to f32-gemm/1x4. */
const GEMV_PIXELS: i32 = 4;
/** Rows of w in a panel. */
const PANEL_ROWS: i32 = 512;
const PANEL_ROW_BYTES: usize = 32;
/** From how many pixels on copying the panel pays. */
const PACK_PIXELS: i32 = 24;
/** Bytes of image that one block of pixels walks over. */
const BLOCK_BYTES: i32 = 1 << 18;
/** But not fewer pixels than these, so that copying panels stays below 2 %. */
const BLOCK_PIXELS: i32 = 256;


@inline
export function f32GemmX8(
  rows: i32,
  x: usize,
  m: i32,
  ow: i32,
  pixelStride: i32,
  rowStride: i32,
  segments: i32,
  segmentLength: i32,
  segmentOffsets: usize,
  w: usize,
  n: i32,
  ldw: i32,
  bias: usize,
  alpha: usize,
  lo: f32,
  hi: f32,
  y: usize,
  ldy: i32,
): void {
  assert(rows == 4 || rows == 6);
  assert(m >= 0);
  assert(ow > 0);
  assert(segments > 0);
  assert(segmentLength > 0);
  assert(n >= 0 && n <= ldw);
  assert(n <= ldy);
  if (m < GEMV_PIXELS) {
    f32Gemm1x4(
      x,
      m,
      ow,
      pixelStride,
      rowStride,
      segments,
      segmentLength,
      segmentOffsets,
      w,
      n,
      ldw,
      bias,
      alpha,
      lo,
      hi,
      y,
      ldy,
    );
    return;
  }
  const K = segments * segmentLength;
  const pixelBytes = (<usize>pixelStride) << 2;
  const rowBytes = (<usize>rowStride) << 2;
  const wRow = (<usize>ldw) << 2;
  const yRow = (<usize>ldy) << 2;
  const low = f32x4.splat(lo);
  const high = f32x4.splat(hi);
  const isGated = lo > -Infinity;
  const pack = m >= PACK_PIXELS && ldw > COLUMNS;
  const panelStride = pack ? PANEL_ROW_BYTES : wRow;
  const block = (max(BLOCK_PIXELS, BLOCK_BYTES / max(4, pixelStride << 2)) / rows) * rows;

  for (let blockStart = 0; blockStart < m; blockStart += block) {
    const blockEnd = min(m, blockStart + block);
    for (let j = 0; j < n; j += COLUMNS) {
      const columns = min(COLUMNS, n - j);
      const column = (<usize>j) << 2;
      // The panel's first row is row `startK` of segment `startSegment`.
      let startSegment = segmentOffsets;
      let startK = 0;
      for (let k = 0; k < K; k += PANEL_ROWS) {
        const panelRows = min(PANEL_ROWS, K - k);
        let panel = w + <usize>k * wRow + column;
        if (pack) {
          const to = scratch();
          for (let i = 0; i < panelRows; ++i, panel += wRow) {
            const row = to + <usize>i * PANEL_ROW_BYTES;
            v128.store(row, v128.load(panel));
            v128.store(row, v128.load(panel, 16), 16);
          }
          panel = to;
        }
        const isFirst = k == 0;
        const isLast = k + panelRows == K;
        let bias0 = f32x4.splat(0);
        let bias1 = bias0;
        if (bias) {
          bias0 = v128.load(bias + column);
          bias1 = v128.load(bias + column, 16);
        }
        let ox = blockStart % ow;
        let rowStart = x + <usize>(blockStart / ow) * rowBytes;
        let y0 = y + <usize>blockStart * yRow + column;
        for (let i = blockStart; i < blockEnd; i += rows, y0 += yRow * <usize>rows) {
          // Pixels of the tile; those beyond m repeat the one before.
          const p0 = rowStart + <usize>ox * pixelBytes;
          if (++ox == ow) {
            ox = 0;
            rowStart += rowBytes;
          }
          const p1 = i + 1 < m ? rowStart + <usize>ox * pixelBytes : p0;
          if (++ox == ow) {
            ox = 0;
            rowStart += rowBytes;
          }
          const p2 = i + 2 < m ? rowStart + <usize>ox * pixelBytes : p1;
          if (++ox == ow) {
            ox = 0;
            rowStart += rowBytes;
          }
          const p3 = i + 3 < m ? rowStart + <usize>ox * pixelBytes : p2;
          if (++ox == ow) {
            ox = 0;
            rowStart += rowBytes;
          }
          const y1 = i + 1 < m ? y0 + yRow : y0;
          const y2 = i + 2 < m ? y0 + yRow * 2 : y1;
          const y3 = i + 3 < m ? y0 + yRow * 3 : y2;
          let p4 = p3,
            p5 = p3,
            y4 = y3,
            y5 = y3;
          if (rows > 4) {
            p4 = i + 4 < m ? rowStart + <usize>ox * pixelBytes : p3;
            if (++ox == ow) {
              ox = 0;
              rowStart += rowBytes;
            }
            p5 = i + 5 < m ? rowStart + <usize>ox * pixelBytes : p4;
            if (++ox == ow) {
              ox = 0;
              rowStart += rowBytes;
            }
            y4 = i + 4 < m ? y0 + yRow * 4 : y3;
            y5 = i + 5 < m ? y0 + yRow * 5 : y4;
          }

          let c00 = bias0,
            c01 = bias1,
            c10 = bias0,
            c11 = bias1,
            c20 = bias0,
            c21 = bias1,
            c30 = bias0,
            c31 = bias1,
            c40 = bias0,
            c41 = bias1,
            c50 = bias0,
            c51 = bias1;
          if (!isFirst) {
            c00 = v128.load(y0);
            c01 = v128.load(y0, 16);
            c10 = v128.load(y1);
            c11 = v128.load(y1, 16);
            c20 = v128.load(y2);
            c21 = v128.load(y2, 16);
            c30 = v128.load(y3);
            c31 = v128.load(y3, 16);
            if (rows > 4) {
              c40 = v128.load(y4);
              c41 = v128.load(y4, 16);
              c50 = v128.load(y5);
              c51 = v128.load(y5, 16);
            }
          }
          let b = panel;
          let left = panelRows;
          let segment = startSegment;
          let from = startK;
          while (left > 0) {
            const count = min(segmentLength - from, left);
            const offset = (<usize>(load<i32>(segment) + from)) << 2;
            let a0 = p0 + offset;
            let a1 = p1 + offset;
            let a2 = p2 + offset;
            let a3 = p3 + offset;
            let a4 = p4 + offset;
            let a5 = p5 + offset;
            for (const end = a0 + ((<usize>count) << 2); a0 < end; b += panelStride) {
              const b0 = v128.load(b);
              const b1 = v128.load(b, 16);
              let x0: v128;
              x0 = v128.load32_splat(a0);
              c00 = madd(x0, b0, c00);
              c01 = madd(x0, b1, c01);
              a0 += 4;
              x0 = v128.load32_splat(a1);
              c10 = madd(x0, b0, c10);
              c11 = madd(x0, b1, c11);
              a1 += 4;
              x0 = v128.load32_splat(a2);
              c20 = madd(x0, b0, c20);
              c21 = madd(x0, b1, c21);
              a2 += 4;
              x0 = v128.load32_splat(a3);
              c30 = madd(x0, b0, c30);
              c31 = madd(x0, b1, c31);
              a3 += 4;
              if (rows > 4) {
                x0 = v128.load32_splat(a4);
                c40 = madd(x0, b0, c40);
                c41 = madd(x0, b1, c41);
                a4 += 4;
                x0 = v128.load32_splat(a5);
                c50 = madd(x0, b0, c50);
                c51 = madd(x0, b1, c51);
                a5 += 4;
              }
            }
            left -= count;
            segment += 4;
            from = 0;
          }

          if (isLast) {
            if (alpha) {
              const s0 = v128.load(alpha + column);
              const s1 = v128.load(alpha + column, 16);
              if (isGated) {
                c00 = gated(c00, s0, low, high);
                c01 = gated(c01, s1, low, high);
                c10 = gated(c10, s0, low, high);
                c11 = gated(c11, s1, low, high);
                c20 = gated(c20, s0, low, high);
                c21 = gated(c21, s1, low, high);
                c30 = gated(c30, s0, low, high);
                c31 = gated(c31, s1, low, high);
                if (rows > 4) {
                  c40 = gated(c40, s0, low, high);
                  c41 = gated(c41, s1, low, high);
                  c50 = gated(c50, s0, low, high);
                  c51 = gated(c51, s1, low, high);
                }
              } else {
                c00 = prelu(c00, s0);
                c01 = prelu(c01, s1);
                c10 = prelu(c10, s0);
                c11 = prelu(c11, s1);
                c20 = prelu(c20, s0);
                c21 = prelu(c21, s1);
                c30 = prelu(c30, s0);
                c31 = prelu(c31, s1);
                if (rows > 4) {
                  c40 = prelu(c40, s0);
                  c41 = prelu(c41, s1);
                  c50 = prelu(c50, s0);
                  c51 = prelu(c51, s1);
                }
              }
            } else {
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
          }
          storeLanes8(y0, c00, c01, columns);
          if (i + 1 < m) storeLanes8(y1, c10, c11, columns);
          if (i + 2 < m) storeLanes8(y2, c20, c21, columns);
          if (i + 3 < m) storeLanes8(y3, c30, c31, columns);
          if (rows > 4) {
            if (i + 4 < m) storeLanes8(y4, c40, c41, columns);
            if (i + 5 < m) storeLanes8(y5, c50, c51, columns);
          }
        }
        // Where the next panel starts.
        const passed = startK + panelRows;
        startSegment += (<usize>(passed / segmentLength)) << 2;
        startK = passed % segmentLength;
      }
    }
  }
}
