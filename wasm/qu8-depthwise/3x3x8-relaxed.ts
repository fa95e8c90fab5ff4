/**
 * qu8-depthwise/x8c4 for what most such layers are: a 3x3 filter in steps of one or two columns, bytes
 * out, channels by eight, a clamp at most. The taps come column by column, the fourth of each with
 * zero weights, so that each column of the image is woven but once: it is the last of one pixel's, the
 * second of the next one's and the first of the one after that, whose sums go along.
 *
 *     column        j      j + 1    j + 2         s = p + w2 · column      this pixel is done
 *     pixel  j-2    w2                            p = q + w1 · column
 *            j-1    w1      w2                    q = correction + w0 · column
 *            j      w0      w1       w2
 *
 * 8 channels of 112x112x32, Xeon with AVX-VNNI: 14.6 ns in the general kernel, 7.8 here; 56x56x128: 7.9
 * and 4.1. Half of that is what is known beforehand: V8 hoists no test out of the loop.
 */
import { addends, clampWords, factors, toWord, toWords, widenByWords } from '../simd';
import { CHANNELS, GROUP_BYTES, TAPS, at, dot, weave2, weaveHigh, weaveLow } from './x8c4';

/**
 * Columns from one pixel to the next, 1 or 2, where three groups of taps are columns; 0 where this
 * kernel is not for them.
 */
export function columnsPerPixel(taps: i32, tap: usize, pixelStride: i32): i32 {
  if (taps != 3 * TAPS) return 0;
  const step = load<i32>(tap, 16) - load<i32>(tap);
  for (let i: usize = 0; i < 16; i += 4) {
    const second = load<i32>(tap + i, 16);
    if (second - load<i32>(tap + i) != step || load<i32>(tap + i, 32) - second != step) return 0;
  }
  return pixelStride == step ? 1 : pixelStride == 2 * step ? 2 : 0;
}


@inline
function rolling(
  perPixel: i32,
  x: usize,
  oh: i32,
  ow: i32,
  pixelStride: i32,
  rowStride: i32,
  tap: usize,
  packed: usize,
  c: i32,
  correction: usize,
  scale: usize,
  bias: usize,
  lo: f32,
  hi: f32,
  y: usize,
  inverse: f32,
  zero: i32,
  spread: usize,
): void {
  assert(oh >= 0 && ow >= 0);
  assert(c % CHANNELS == 0);
  assert(spread != 0);
  const perStep = f32x4.splat(inverse);
  const fromZero = f32x4.splat(<f32>zero + 0.5);
  const lowWord = i16x8.splat(<i16>toWord(lo, inverse, <f32>zero + 0.5));
  const highWord = i16x8.splat(<i16>toWord(hi, inverse, <f32>zero + 0.5));
  let least = i16x8.splat(<i16>0x7fff);
  let greatest = i16x8.splat(<i16>0x8000);
  const step = <usize>(pixelStride / perPixel);
  const t0 = at(0, tap);
  const t1 = at(0, tap + 4);
  const t2 = at(0, tap + 8);
  const t3 = at(0, tap + 12);
  for (let oy = 0; oy < oh; ++oy) {
    const row = x + <usize>(oy * rowStride);
    let panel = packed;
    for (let k = 0; k < c; k += CHANNELS, panel += 3 * GROUP_BYTES) {
      const column = (<usize>k) << 2;
      const factor0 = factors(scale + column, true, perStep);
      const factor1 = factors(scale + column + 16, true, perStep);
      const addend0 = addends(bias, column, true, perStep, fromZero);
      const addend1 = addends(bias, column + 16, true, perStep, fromZero);
      let pixel = row + <usize>k;
      let out = y + <usize>(oy * ow * c + k);
      let p0 = v128.load(correction + column);
      let p1 = v128.load(correction + column, 16);
      let q0 = p0;
      let q1 = p1;
      // The columns that the first pixel shares with those before it.
      for (let i = perPixel; i < 3; ++i, pixel += step) {
        const a01 = weave2(pixel + t0, pixel + t1);
        const a23 = weave2(pixel + t2, pixel + t3);
        const x0 = weaveLow(a01, a23);
        const x1 = weaveHigh(a01, a23);
        p0 = dot(true, v128.load(panel, 32), x0, q0);
        p1 = dot(true, v128.load(panel, 48), x1, q1);
        q0 = dot(true, v128.load(panel), x0, v128.load(correction + column));
        q1 = dot(true, v128.load(panel, 16), x1, v128.load(correction + column, 16));
      }
      for (let ox = 0; ox < ow; ++ox) {
        if (perPixel == 2) {
          const a01 = weave2(pixel + t0, pixel + t1);
          const a23 = weave2(pixel + t2, pixel + t3);
          p0 = dot(true, v128.load(panel, 32), weaveLow(a01, a23), q0);
          p1 = dot(true, v128.load(panel, 48), weaveHigh(a01, a23), q1);
          pixel += step;
        }
        const a01 = weave2(pixel + t0, pixel + t1);
        const a23 = weave2(pixel + t2, pixel + t3);
        const x0 = weaveLow(a01, a23);
        const x1 = weaveHigh(a01, a23);
        const s0 = dot(true, v128.load(panel, 64), x0, p0);
        const s1 = dot(true, v128.load(panel, 80), x1, p1);
        if (perPixel == 1) {
          p0 = dot(true, v128.load(panel, 32), x0, q0);
          p1 = dot(true, v128.load(panel, 48), x1, q1);
        }
        q0 = dot(true, v128.load(panel), x0, v128.load(correction + column));
        q1 = dot(true, v128.load(panel, 16), x1, v128.load(correction + column, 16));
        pixel += step;
        const v0 = f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(s0), factor0), addend0);
        const v1 = f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(s1), factor1), addend1);
        const words = clampWords(toWords(v0, v1), lowWord, highWord);
        least = i16x8.min_s(least, words);
        greatest = i16x8.max_s(greatest, words);
        v128.store64_lane(out, i8x16.narrow_i16x8_u(words, words), 0);
        out += <usize>c;
      }
    }
  }
  widenByWords(spread, least, greatest, inverse, zero);
}

/** In steps of one column. */
export function qu8Depthwise3x3x8Step1(
  x: usize,
  oh: i32,
  ow: i32,
  pixelStride: i32,
  rowStride: i32,
  tap: usize,
  packed: usize,
  c: i32,
  correction: usize,
  scale: usize,
  bias: usize,
  lo: f32,
  hi: f32,
  y: usize,
  inverse: f32,
  zero: i32,
  spread: usize,
): void {
  rolling(
    1,
    x,
    oh,
    ow,
    pixelStride,
    rowStride,
    tap,
    packed,
    c,
    correction,
    scale,
    bias,
    lo,
    hi,
    y,
    inverse,
    zero,
    spread,
  );
}

/** In steps of two columns. */
export function qu8Depthwise3x3x8Step2(
  x: usize,
  oh: i32,
  ow: i32,
  pixelStride: i32,
  rowStride: i32,
  tap: usize,
  packed: usize,
  c: i32,
  correction: usize,
  scale: usize,
  bias: usize,
  lo: f32,
  hi: f32,
  y: usize,
  inverse: f32,
  zero: i32,
  spread: usize,
): void {
  rolling(
    2,
    x,
    oh,
    ow,
    pixelStride,
    rowStride,
    tap,
    packed,
    c,
    correction,
    scale,
    bias,
    lo,
    hi,
    y,
    inverse,
    zero,
    spread,
  );
}
