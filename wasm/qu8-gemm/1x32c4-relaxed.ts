/**
 * qu8-gemm/x8c4-relaxed for one pixel: reading w is all the work, so 4 panels of it are read side by
 * side, 8 sums under way.
 *
 *                  panel j      panel j + 8   panel j + 16   panel j + 24
 *     x0 (4 k) ─►  s0   s1      s2   s3       s4   s5        s6   s7
 *
 * The tile of several rows computes as many for each panel as it has rows, and waits for each panel's
 * memory alone: 5 GB/s of w (Xeon with AVX-VNNI, 4096 columns of 9216).
 *
 * Sums are exact and rounded alike, so that this gives the same bits.
 */
import { addends, factors, finish8, onlyWords, toWord, widenByWords } from '../simd';
import { COLUMNS, DEPTH, GROUP_BYTES, dot } from './x8c4-relaxed';

const PANELS: i32 = 4;

export function qu8Gemm1x32c4Relaxed(
  x: usize,
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
  inverse: f32,
  zero: i32,
  spread: usize,
): void {
  assert(segments > 0);
  assert(segmentLength > 0);
  assert(n >= 0);
  const groups = (segmentLength + DEPTH - 1) / DEPTH;
  const segmentBytes = <usize>groups * GROUP_BYTES;
  const panelBytes = <usize>segments * segmentBytes;
  const unit: usize = spread ? 0 : 2;
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
  let panel = packed;
  for (let j = 0; j < n; j += PANELS * COLUMNS, panel += panelBytes * PANELS) {
    // Panels beyond n repeat one.
    let w0 = panel;
    let w1 = j + COLUMNS < n ? w0 + panelBytes : w0;
    let w2 = j + 2 * COLUMNS < n ? w1 + panelBytes : w1;
    let w3 = j + 3 * COLUMNS < n ? w2 + panelBytes : w2;
    let s0 = i32x4.splat(0),
      s1 = s0,
      s2 = s0,
      s3 = s0,
      s4 = s0,
      s5 = s0,
      s6 = s0,
      s7 = s0;
    for (let s = 0; s < segments; ++s) {
      let a = x + <usize>load<i32>(segmentOffsets + ((<usize>s) << 2));
      for (const end = w0 + segmentBytes; w0 < end; w0 += GROUP_BYTES) {
        const x0 = v128.load32_splat(a);
        s0 = dot(v128.load(w0), x0, s0);
        s1 = dot(v128.load(w0, 16), x0, s1);
        s2 = dot(v128.load(w1), x0, s2);
        s3 = dot(v128.load(w1, 16), x0, s3);
        s4 = dot(v128.load(w2), x0, s4);
        s5 = dot(v128.load(w2, 16), x0, s5);
        s6 = dot(v128.load(w3), x0, s6);
        s7 = dot(v128.load(w3, 16), x0, s7);
        a += DEPTH;
        w1 += GROUP_BYTES;
        w2 += GROUP_BYTES;
        w3 += GROUP_BYTES;
      }
    }
    for (let k = j; k < min(n, j + PANELS * COLUMNS); k += COLUMNS) {
      const columns = min(COLUMNS, n - k);
      const column = (<usize>k) << 2;
      const words = finish8(
        i32x4.add(s0, v128.load(correction + column)),
        i32x4.add(s1, v128.load(correction + column, 16)),
        factors(scale + column, inSteps, perStep),
        factors(scale + column + 16, inSteps, perStep),
        bias != 0 || inSteps,
        addends(bias, column, inSteps, perStep, fromZero),
        addends(bias, column + 16, inSteps, perStep, fromZero),
        alpha,
        column,
        isGated,
        low,
        high,
        spread != 0,
        perStep,
        fromZero,
        lowWord,
        highWord,
        y + ((<usize>k) << unit),
        columns,
      );
      least = i16x8.min_s(least, onlyWords(words, columns));
      greatest = i16x8.max_s(greatest, onlyWords(words, columns));
      // The next panel's turn.
      s0 = s2;
      s1 = s3;
      s2 = s4;
      s3 = s5;
      s4 = s6;
      s5 = s7;
    }
  }
  if (spread) widenByWords(spread, least, greatest, inverse, zero);
}
