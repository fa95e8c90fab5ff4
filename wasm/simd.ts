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

/** A word at either end may stand for any number beyond it. */
const LEAST_WORD: i32 = -32768;
const GREATEST_WORD: i32 = 32767;

/**
 * Results of a layer on their way to bytes, in steps of y (1 / inverse) from 0 upwards:
 *
 *     v = y * inverse + zero + 1/2 ──trunc──► word, saturated ──clamp──► byte, saturated
 *
 * Words are clamped and their range is noted eight at a time. What truncation does to numbers below
 * 0 does not matter, those are byte 0. The relaxed truncation is one instruction on x86, the other
 * one five; beyond 2^31 it gives the least word, of which the range tells.
 */
@inline
export function toWords(low: v128, high: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) {
    return i16x8.narrow_i32x4_s(
      i32x4.relaxed_trunc_f32x4_s(low),
      i32x4.relaxed_trunc_f32x4_s(high),
    );
  }
  return i16x8.narrow_i32x4_s(i32x4.trunc_sat_f32x4_s(low), i32x4.trunc_sat_f32x4_s(high));
}

/** Four factors of a layer's sums: to y, or to steps of y. */
@inline
export function factors(scale: usize, inSteps: bool, perStep: v128): v128 {
  const factor = v128.load(scale);
  return inSteps ? f32x4.mul(factor, perStep) : factor;
}

/** What is added then: four numbers of `bias`, 0 where that is absent; in steps from 0 upwards. */
@inline
export function addends(
  bias: usize,
  column: usize,
  inSteps: bool,
  perStep: v128,
  fromZero: v128,
): v128 {
  const addend = bias ? v128.load(bias + column) : f32x4.splat(0);
  return inSteps ? f32x4.add(f32x4.mul(addend, perStep), fromZero) : addend;
}

/** The word of a bound of y. */
@inline
export function toWord(bound: f32, inverse: f32, half: f32): i32 {
  if (bound == -Infinity) return LEAST_WORD;
  if (bound == Infinity) return GREATEST_WORD;
  const word = max(min(bound * inverse + half, <f32>GREATEST_WORD), <f32>LEAST_WORD);
  return <i32>word;
}

/** `clamp` for words. */
@inline
export function clampWords(v: v128, lo: v128, hi: v128): v128 {
  return i16x8.min_s(i16x8.max_s(v, lo), hi);
}

/**
 * Writes what a layer makes of eight sums of one pixel, of which `count` are wanted, to `out`.
 *
 * @param addend of `addends`, where there is one
 * @param alpha of all columns; `column` in bytes of it
 * @param isBytes whether `out` is bytes and not floats
 * @returns the words of the bytes, for their range.
 */
@inline
export function finish8(
  sum0: v128,
  sum1: v128,
  factor0: v128,
  factor1: v128,
  hasAddend: bool,
  addend0: v128,
  addend1: v128,
  alpha: usize,
  column: usize,
  isGated: bool,
  low: v128,
  high: v128,
  isBytes: bool,
  perStep: v128,
  fromZero: v128,
  lowWord: v128,
  highWord: v128,
  out: usize,
  count: i32,
): v128 {
  let v0 = f32x4.mul(f32x4.convert_i32x4_s(sum0), factor0);
  let v1 = f32x4.mul(f32x4.convert_i32x4_s(sum1), factor1);
  if (hasAddend) {
    v0 = f32x4.add(v0, addend0);
    v1 = f32x4.add(v1, addend1);
  }
  if (alpha) {
    const slope0 = v128.load(alpha + column);
    const slope1 = v128.load(alpha + column, 16);
    v0 = isGated ? gated(v0, slope0, low, high) : prelu(v0, slope0);
    v1 = isGated ? gated(v1, slope1, low, high) : prelu(v1, slope1);
  }
  if (!isBytes) {
    if (!alpha) {
      v0 = clamp(v0, low, high);
      v1 = clamp(v1, low, high);
    }
    storeLanes8(out, v0, v1, count);
    return i16x8.splat(0);
  }
  if (alpha) {
    v0 = f32x4.add(f32x4.mul(v0, perStep), fromZero);
    v1 = f32x4.add(f32x4.mul(v1, perStep), fromZero);
  }
  const words = clampWords(toWords(v0, v1), lowWord, highWord);
  storeBytes8(out, i8x16.narrow_i16x8_u(words, words), count);
  return words;
}

/** The first `count` (1 to 8) words; the others repeat the first one. */
@inline
export function onlyWords(v: v128, count: i32): v128 {
  if (count >= 8) return v;
  const index = i16x8(0, 1, 2, 3, 4, 5, 6, 7);
  const first = i16x8.splat(<i16>i16x8.extract_lane_s(v, 0));
  return v128.bitselect(v, first, i16x8.lt_s(index, i16x8.splat(<i16>count)));
}

/** The numbers that four words stand for; infinite at either end. */
@inline
function fromWords(words: v128, inverse: f32, zero: i32): v128 {
  const steps = f32x4.convert_i32x4_s(i32x4.sub(words, i32x4.splat(zero)));
  const v = f32x4.div(steps, f32x4.splat(inverse));
  const below = i32x4.le_s(words, i32x4.splat(LEAST_WORD));
  const above = i32x4.ge_s(words, i32x4.splat(GREATEST_WORD));
  return v128.bitselect(
    f32x4.splat(-Infinity),
    v128.bitselect(f32x4.splat(Infinity), v, above),
    below,
  );
}

/** `widen` by the least and the greatest words; by nothing where those are the ends themselves. */
@inline
export function widenByWords(
  spread: usize,
  least: v128,
  greatest: v128,
  inverse: f32,
  zero: i32,
): void {
  widen(
    spread,
    f32x4.pmin(
      fromWords(i32x4.extend_low_i16x8_s(least), inverse, zero),
      fromWords(i32x4.extend_high_i16x8_s(least), inverse, zero),
    ),
    f32x4.pmax(
      fromWords(i32x4.extend_low_i16x8_s(greatest), inverse, zero),
      fromWords(i32x4.extend_high_i16x8_s(greatest), inverse, zero),
    ),
  );
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
