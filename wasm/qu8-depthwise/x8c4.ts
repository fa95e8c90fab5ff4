/**
 * y [oh,ow,c] = act(f32(sum over taps of x * w + correction [c]) * scale [c] + bias [c]): depthwise
 * convolution of bytes by signed bytes, exact 32-bit sums, one filter a channel.
 *
 *     x         image with its border already, see wasm/README.md; u8, or x ^ 0x80 where the dot
 *               reads its second operand as signed
 *     tap       i32 [ceil4(taps)], offset of each tap from the first pixel of a patch; those beyond
 *               the last tap repeat one
 *     packed    the filter [taps, c] as qs8-pack/x8c4 lays it, one segment
 *     y         floats, or bytes where `spread` is given, as in qu8-gemm
 *
 * 8 channels at a time, 4 taps a step. Channels lie side by side in the image and taps apart, so
 * they are woven together first:
 *
 *     t0  c0 c1 … c7 ┐ weave bytes ─► t0c0 t1c0 t0c1 t1c1 … ┐ weave pairs
 *     t1  c0 c1 … c7 ┘                                      ├─► t0c0 t1c0 t2c0 t3c0 │ …  c0 to c3
 *     t2             ┐ weave bytes ─► t2c0 t3c0 t2c1 t3c1 … ┘   t0c4 t1c4 t2c4 t3c4 │ …  c4 to c7
 *     t3             ┘
 *
 * after which a dot of 4 taps of 4 channels is one instruction; without the relaxed dot, 16-bit
 * products of pairs of taps.
 *
 * Rounding as in qu8-gemm. May read 7 bytes beyond x, and 28 beyond correction, scale, bias, alpha.
 */
import { addends, factors, finish8, onlyWords, toWord, widenByWords } from '../simd';

export const CHANNELS: i32 = 8;
export const TAPS: i32 = 4;
export const GROUP_BYTES: usize = 32;


@inline
function weaveBytes(a: v128, b: v128): v128 {
  return v128.shuffle<i8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}


@inline
export function weaveLow(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}


@inline
export function weaveHigh(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

/** sum + the 4 products of each lane, bytes by signed bytes. */
@inline
export function dot(relaxed: bool, w: v128, x: v128, sum: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) {
    if (relaxed) return i32x4.relaxed_dot_i8x16_i7x16_add_s(w, x, sum);
  }
  // Lanes of two channels each, two partial sums a channel.
  const low = i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(w), i16x8.extend_low_i8x16_u(x));
  const high = i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(w), i16x8.extend_high_i8x16_u(x));
  const even = v128.shuffle<i32>(low, high, 0, 2, 4, 6);
  const odd = v128.shuffle<i32>(low, high, 1, 3, 5, 7);
  return i32x4.add(sum, i32x4.add(even, odd));
}

/** Two taps of 8 channels, woven. */
@inline
export function weave2(first: usize, second: usize): v128 {
  return weaveBytes(v128.load64_zero(first), v128.load64_zero(second));
}

/** Where a tap of this pixel's is. */
@inline
export function at(pixel: usize, tap: usize): usize {
  return pixel + <usize>load<i32>(tap);
}


@inline
function depthwise(
  relaxed: bool,
  x: usize,
  oh: i32,
  ow: i32,
  pixelStride: i32,
  rowStride: i32,
  taps: i32,
  tap: usize,
  packed: usize,
  c: i32,
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
  const low = f32x4.splat(lo);
  const high = f32x4.splat(hi);
  const isGated = lo > -Infinity;
  const inSteps = spread != 0 && alpha == 0;
  const hasAddend = bias != 0 || inSteps;
  const perStep = f32x4.splat(inverse);
  const fromZero = f32x4.splat(<f32>zero + 0.5);
  const lowWord = i16x8.splat(<i16>toWord(alpha ? -Infinity : lo, inverse, <f32>zero + 0.5));
  const highWord = i16x8.splat(<i16>toWord(alpha ? Infinity : hi, inverse, <f32>zero + 0.5));
  let least = i16x8.splat(<i16>0x7fff);
  let greatest = i16x8.splat(<i16>0x8000);
  const unit: usize = spread ? 0 : 2;
  const groups = (taps + TAPS - 1) / TAPS;
  const panelBytes = <usize>groups * GROUP_BYTES;
  const tapEnd = tap + ((<usize>groups) << 4);
  for (let oy = 0; oy < oh; ++oy) {
    const row = x + <usize>(oy * rowStride);
    let panel = packed;
    for (let k = 0; k < c; k += CHANNELS, panel += panelBytes) {
      const channels = min(CHANNELS, c - k);
      const column = (<usize>k) << 2;
      let pixel = row + <usize>k;
      let out = y + ((<usize>(oy * ow * c + k)) << unit);
      const factor0 = factors(scale + column, inSteps, perStep);
      const factor1 = factors(scale + column + 16, inSteps, perStep);
      const addend0 = addends(bias, column, inSteps, perStep, fromZero);
      const addend1 = addends(bias, column + 16, inSteps, perStep, fromZero);
      let l = i16x8.splat(<i16>0x7fff);
      let g = i16x8.splat(<i16>0x8000);
      for (let ox = 0; ox < ow; ++ox) {
        let s0 = v128.load(correction + column);
        let s1 = v128.load(correction + column, 16);
        let b = panel;
        for (let t = tap; t < tapEnd; t += 16, b += GROUP_BYTES) {
          const a01 = weave2(at(pixel, t), at(pixel, t + 4));
          const a23 = weave2(at(pixel, t + 8), at(pixel, t + 12));
          s0 = dot(relaxed, v128.load(b), weaveLow(a01, a23), s0);
          s1 = dot(relaxed, v128.load(b, 16), weaveHigh(a01, a23), s1);
        }
        pixel += <usize>pixelStride;
        const words = finish8(
          s0,
          s1,
          factor0,
          factor1,
          hasAddend,
          addend0,
          addend1,
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
          out,
          channels,
        );
        l = i16x8.min_s(l, words);
        g = i16x8.max_s(g, words);
        out += (<usize>c) << unit;
      }
      least = i16x8.min_s(least, onlyWords(l, channels));
      greatest = i16x8.max_s(greatest, onlyWords(g, channels));
    }
  }
  if (spread) widenByWords(spread, least, greatest, inverse, zero);
}

/** With 16-bit products, which every build has. */
export function qu8DepthwiseX8c4I16(
  x: usize,
  oh: i32,
  ow: i32,
  pixelStride: i32,
  rowStride: i32,
  taps: i32,
  tap: usize,
  packed: usize,
  c: i32,
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
  depthwise(
    false,
    x,
    oh,
    ow,
    pixelStride,
    rowStride,
    taps,
    tap,
    packed,
    c,
    correction,
    scale,
    bias,
    alpha,
    lo,
    hi,
    y,
    inverse,
    zero,
    spread,
  );
}

export function qu8DepthwiseX8c4Relaxed(
  x: usize,
  oh: i32,
  ow: i32,
  pixelStride: i32,
  rowStride: i32,
  taps: i32,
  tap: usize,
  packed: usize,
  c: i32,
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
  depthwise(
    true,
    x,
    oh,
    ow,
    pixelStride,
    rowStride,
    taps,
    tap,
    packed,
    c,
    correction,
    scale,
    bias,
    alpha,
    lo,
    hi,
    y,
    inverse,
    zero,
    spread,
  );
}
