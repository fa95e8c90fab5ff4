/**
 * Which of the results that the specification allows does `i32x4.relaxed_dot_i8x16_i7x16_add_s`
 * give here when the second operand uses its top bit?
 *
 * The engine may treat the second operand as unsigned (x86: VPDPBUSD, PMADDUBSW) or signed (ARM:
 * SDOT), and may saturate the sum of a pair at 16 bits (PMADDUBSW). The pairs below tell these
 * apart: each row gives a different sum for each behaviour.
 *
 *     a (signed)  b (byte)   unsigned, exact   signed, exact   saturating pairs
 *        127        255          129540             -508            65534
 *       -128        255         -130560              512           -65536
 *       -128        128          -65536            65536           -65536 or 65534
 *        127        128           65024           -65024            65024 or -65024
 *         64        255           65280             -256            65280
 *        -64        255          -65280              256           -65280
 *
 * A pair of weights within ±64 cannot saturate: 2 * 255 * 64 = 32,640 < 32,768.
 *
 * Source: WebAssembly relaxed-simd proposal, "Relaxed integer dot product".
 */

/** None of the below: use the i16 kernels. */
const NEITHER: i32 = 0;
/** Second operand unsigned, exact sums: u8 activations as they are. */
const UNSIGNED: i32 = 1;
/** Second operand signed, exact sums: activations stored as x ^ 0x80. */
const SIGNED: i32 = 2;
/** Second operand unsigned, sums of pairs saturate at 16 bits: exact for weights within ±64. */
const SATURATING: i32 = 3;

// In memory, so that neither Binaryen nor the engine folds the products.
const OPERANDS = memory.data<u8>([127, 255, 128, 255, 128, 128, 127, 128, 64, 255, 192, 255]);


@inline
function dot(pair: usize): i32 {
  const a = v128.load8_splat(OPERANDS + pair * 2);
  const b = v128.load8_splat(OPERANDS + pair * 2, 1);
  // The accumulator is -1, so that an engine that forgets it is found out too.
  const sums = i32x4.relaxed_dot_i8x16_i7x16_add_s(a, b, i32x4.splat(-1));
  return i32x4.extract_lane(sums, 3) + 1;
}

/** @returns UNSIGNED, SIGNED, SATURATING, or NEITHER; NEITHER in the build without relaxed SIMD. */
export function relaxedDotKind(): i32 {
  if (ASC_FEATURE_RELAXED_SIMD) {
    const first = dot(0);
    const second = dot(1);
    const third = dot(2);
    const fourth = dot(3);
    if (first == 129540 && second == -130560 && third == -65536 && fourth == 65024) return UNSIGNED;
    if (dot(4) == 65280 && dot(5) == -65280) return SATURATING;
    if (first == -508 && second == 512 && third == 65536 && fourth == -65024) return SIGNED;
  }
  return NEITHER;
}

/** The kind, once it is known; a global, so it belongs to the instance. */
let kind: i32 = -1;

/** Whether sums are exact for all bytes, which only machines with the dot as one instruction do. */
export function isOneInstruction(): bool {
  if (kind < 0) kind = relaxedDotKind();
  return kind == UNSIGNED || kind == SIGNED;
}
