/**
 * What several micro-kernels share: the multiply-add of the build, the activation, and loads and
 * stores of fewer than four lanes. Everything here is inlined; nothing here is exported from the
 * module.
 */

/** Lanes of four bytes in a v128. */
export const LANES: i32 = 4;

/** a * b + c for four floats; fused (one rounding) where the relaxed build's engine fuses. */
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/**
 * Clamps to [lo, hi]. A NaN passes, as in tfjs: pmax(v, lo) is `v < lo ? lo : v`, one instruction
 * on x86 where f32x4.max takes six.
 */
@inline
export function clamp(v: v128, lo: v128, hi: v128): v128 {
  return f32x4.pmin(f32x4.pmax(v, lo), hi);
}

/** PReLU: max(v, 0) + alpha * min(v, 0). */
@inline
export function prelu(v: v128, alpha: v128): v128 {
  const zero = f32x4.splat(0);
  return f32x4.add(f32x4.pmax(v, zero), f32x4.mul(alpha, f32x4.pmin(v, zero)));
}

/** Hard swish where alpha is a sixth, lo -3 and hi 3: v * ((clamp(v, lo, hi) - lo) * alpha). */
@inline
export function gated(v: v128, alpha: v128, lo: v128, hi: v128): v128 {
  return f32x4.mul(v, f32x4.mul(f32x4.sub(clamp(v, lo, hi), lo), alpha));
}

/** Stores the first `count` (1 to 4) lanes. */
@inline
export function storeLanes(y: usize, v: v128, count: i32): void {
  if (count >= 4) {
    v128.store(y, v);
  } else {
    if (count >= 2) v128.store64_lane(y, v, 0);
    else v128.store32_lane(y, v, 0);
    if (count == 3) v128.store32_lane(y, v, 2, 8);
  }
}

/** Stores the first `count` (1 to 8) lanes of two vectors. */
@inline
export function storeLanes8(y: usize, low: v128, high: v128, count: i32): void {
  if (count == 8) {
    v128.store(y, low);
    v128.store(y, high, 16);
  } else if (count > 4) {
    v128.store(y, low);
    storeLanes(y + 16, high, count - 4);
  } else {
    storeLanes(y, low, count);
  }
}

/** Copies `bytes` bytes; short runs without the call that memory.copy is. */
@inline
export function copyRun(to: usize, from: usize, bytes: usize): void {
  if (bytes >= 512) {
    memory.copy(to, from, bytes);
  } else {
    const end = to + bytes;
    while (to + 16 <= end) {
      v128.store(to, v128.load(from));
      to += 16;
      from += 16;
    }
    if (to < end) {
      while (to + 4 <= end) {
        store<u32>(to, load<u32>(from));
        to += 4;
        from += 4;
      }
      while (to < end) {
        store<u8>(to, load<u8>(from));
        to += 1;
        from += 1;
      }
    }
  }
}

/** Fills `count` 4-byte elements. */
@inline
export function fillRun(to: usize, count: i32, bits: i32): void {
  const four = i32x4.splat(bits);
  const end = to + ((<usize>count) << 2);
  while (to + 16 <= end) {
    v128.store(to, four);
    to += 16;
  }
  while (to < end) {
    store<i32>(to, bits);
    to += 4;
  }
}

/** 1.5 * 2^23 as a float, and the same bits as an integer. */
const MAGIC: f32 = 12582912;
const MAGIC_BITS: i32 = 0x4b400000;

/**
 * v clamped so that round(v) + zero fits a byte, or is one beside it; a NaN becomes the least:
 * pmax(lo, v) is `lo < v ? v : lo`.
 */
@inline
export function toByteRange(v: v128, zero: i32): v128 {
  const lo = f32x4.splat(<f32>-zero - 0.5);
  const hi = f32x4.splat(255.5 - <f32>zero);
  return f32x4.pmin(f32x4.pmax(lo, v), hi);
}

/**
 * round(v) + zero of four numbers in the range of `toByteRange`, as integers. Adding MAGIC leaves
 * round(v) in the low bits of the float, since one unit in the last place is 1 there, and the
 * addition rounds halves to even. The -1 and 256 that may come out saturate when narrowed to bytes.
 */
@inline
export function toIntegers(v: v128, zero: i32): v128 {
  return i32x4.sub(f32x4.add(v, f32x4.splat(MAGIC)), i32x4.splat(MAGIC_BITS - zero));
}

/** Eight numbers as clamp(round(v * inverse) + zero, 0, 255), in the lower eight bytes. */
@inline
export function quantise8(low: v128, high: v128, inverse: f32, zero: i32): v128 {
  const s = f32x4.splat(inverse);
  const a = toIntegers(toByteRange(f32x4.mul(low, s), zero), zero);
  const b = toIntegers(toByteRange(f32x4.mul(high, s), zero), zero);
  const words = i16x8.narrow_i32x4_s(a, b);
  return i8x16.narrow_i16x8_u(words, words);
}

/** Stores the first `count` (1 to 8) bytes. */
@inline
export function storeBytes8(y: usize, v: v128, count: i32): void {
  if (count >= 8) {
    v128.store64_lane(y, v, 0);
  } else {
    let rest = i64x2.extract_lane(v, 0);
    if (count >= 4) {
      store<i32>(y, <i32>rest);
      rest >>= 32;
      y += 4;
    }
    for (let i = count & 3; i > 0; --i) {
      store<u8>(y, <u8>rest);
      rest >>= 8;
      y += 1;
    }
  }
}

/** The first `count` (1 or more) lanes; the others repeat the first one. */
@inline
export function onlyLanes(v: v128, count: i32): v128 {
  const index = i32x4(0, 1, 2, 3);
  const first = v128.shuffle<i32>(v, v, 0, 0, 0, 0);
  return v128.bitselect(v, first, i32x4.lt_s(index, i32x4.splat(count)));
}

/**
 * Widens [min x4 | max x4] at `spread` by the least and greatest of many numbers, which the caller
 * has in registers: through memory each step would wait for the one before, 5 cycles. NaNs are passed
 * over.
 */
@inline
export function widen(spread: usize, least: v128, greatest: v128): void {
  v128.store(spread, f32x4.pmin(v128.load(spread), least));
  v128.store(spread, f32x4.pmax(v128.load(spread, 16), greatest), 16);
}
