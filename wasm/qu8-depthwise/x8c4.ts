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
import {
  LANES,
  clamp,
  gated,
  onlyLanes,
  prelu,
  quantise8,
  storeBytes8,
  storeLanes8,
  widen,
} from '../simd';

const CHANNELS: i32 = 8;
const TAPS: i32 = 4;
const GROUP_BYTES: usize = 32;


@inline
function weaveBytes(a: v128, b: v128): v128 {
  return v128.shuffle<i8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}


@inline
function weaveLow(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}


@inline
function weaveHigh(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

/** sum + the 4 products of each lane, bytes by signed bytes. */
@inline
function dot(relaxed: bool, w: v128, x: v128, sum: v128): v128 {
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
      let l0 = f32x4.splat(Infinity);
      let l1 = l0;
      let g0 = f32x4.splat(-Infinity);
      let g1 = g0;
      for (let ox = 0; ox < ow; ++ox) {
        let s0 = v128.load(correction + column);
        let s1 = v128.load(correction + column, 16);
        let b = panel;
        for (let t = tap; t < tapEnd; t += 16, b += GROUP_BYTES) {
          const a01 = weaveBytes(
            v128.load64_zero(pixel + <usize>load<i32>(t)),
            v128.load64_zero(pixel + <usize>load<i32>(t, 4)),
          );
          const a23 = weaveBytes(
            v128.load64_zero(pixel + <usize>load<i32>(t, 8)),
            v128.load64_zero(pixel + <usize>load<i32>(t, 12)),
          );
          s0 = dot(relaxed, v128.load(b), weaveLow(a01, a23), s0);
          s1 = dot(relaxed, v128.load(b, 16), weaveHigh(a01, a23), s1);
        }
        let v0 = f32x4.mul(f32x4.convert_i32x4_s(s0), v128.load(scale + column));
        let v1 = f32x4.mul(f32x4.convert_i32x4_s(s1), v128.load(scale + column, 16));
        if (bias) {
          v0 = f32x4.add(v0, v128.load(bias + column));
          v1 = f32x4.add(v1, v128.load(bias + column, 16));
        }
        if (alpha) {
          const slope0 = v128.load(alpha + column);
          const slope1 = v128.load(alpha + column, 16);
          v0 = isGated ? gated(v0, slope0, low, high) : prelu(v0, slope0);
          v1 = isGated ? gated(v1, slope1, low, high) : prelu(v1, slope1);
        } else {
          v0 = clamp(v0, low, high);
          v1 = clamp(v1, low, high);
        }
        if (spread) {
          storeBytes8(out, quantise8(v0, v1, inverse, zero), channels);
          l0 = f32x4.pmin(l0, v0);
          l1 = f32x4.pmin(l1, v1);
          g0 = f32x4.pmax(g0, v0);
          g1 = f32x4.pmax(g1, v1);
        } else {
          storeLanes8(out, v0, v1, channels);
        }
        pixel += <usize>pixelStride;
        out += (<usize>c) << unit;
      }
      if (spread) {
        widen(spread, onlyLanes(l0, channels), onlyLanes(g0, channels));
        if (channels > LANES) {
          const rest = channels - LANES;
          widen(spread, onlyLanes(l1, rest), onlyLanes(g1, rest));
        }
      }
    }
  }
}

/** @param exact whether to use 16-bit products although the build has the relaxed dot. */
export function qu8Depthwise(
  exact: bool,
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
  assert(oh >= 0 && ow >= 0);
  assert(taps > 0);
  assert(c > 0);
  if (exact || !ASC_FEATURE_RELAXED_SIMD) {
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
  } else {
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
}
