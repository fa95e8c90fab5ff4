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

/** Copies `bytes` bytes (a multiple of 4); short runs without the call that memory.copy is. */
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
    while (to < end) {
      store<u32>(to, load<u32>(from));
      to += 4;
      from += 4;
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
