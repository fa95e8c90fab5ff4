/**
 * y [outer,inner] = op(a, b), element by element, with broadcasting by strides:
 *
 *     y[o*inner + i] = op(a[o*aOuter + i*aInner], b[o*bOuter + i*bInner])
 *
 * aInner and bInner are 0 (one value for the whole row) or 1.
 *
 *     op  0 add            a + b
 *         1 sub            a - b
 *         2 mul            a * b
 *         3 div            a / b
 *         4 max            NaN if either is
 *         5 min            NaN if either is
 *         6 squaredDifference  (a - b)^2, rounded after each step
 *         7 prelu          a >= 0 ? a : a * b
 *
 * Reads a and b up to their ends only. y may be a or b where their strides are those of y.
 */

const ADD: i32 = 0;
const SUB: i32 = 1;
const MUL: i32 = 2;
const DIV: i32 = 3;
const MAX: i32 = 4;
const MIN: i32 = 5;
const SQUARED_DIFFERENCE: i32 = 6;
const PRELU: i32 = 7;


@inline
function apply(op: i32, a: v128, b: v128): v128 {
  if (op == ADD) return f32x4.add(a, b);
  if (op == SUB) return f32x4.sub(a, b);
  if (op == MUL) return f32x4.mul(a, b);
  if (op == DIV) return f32x4.div(a, b);
  if (op == MAX) return f32x4.max(a, b);
  if (op == MIN) return f32x4.min(a, b);
  if (op == SQUARED_DIFFERENCE) {
    const difference = f32x4.sub(a, b);
    return f32x4.mul(difference, difference);
  }
  return v128.bitselect(a, f32x4.mul(a, b), f32x4.ge(a, f32x4.splat(0)));
}

/** All rows, `op` being a constant wherever this is inlined. */
@inline
function rows(
  op: i32,
  outer: i32,
  inner: i32,
  a: usize,
  aOuter: i32,
  aInner: i32,
  b: usize,
  bOuter: i32,
  bInner: i32,
  y: usize,
): void {
  const aRow = (<usize>aOuter) << 2;
  const bRow = (<usize>bOuter) << 2;
  const aStep = (<usize>aInner) << 4;
  const bStep = (<usize>bInner) << 4;
  const whole = (<usize>(inner & ~3)) << 2;
  const rest = inner & 3;
  for (let o = 0; o < outer; ++o, a += aRow, b += bRow) {
    let p = a;
    let q = b;
    const end = y + whole;
    if (aInner && bInner) {
      for (; y < end; y += 16, p += 16, q += 16) {
        v128.store(y, apply(op, v128.load(p), v128.load(q)));
      }
    } else if (whole) {
      const one = v128.load32_splat(aInner ? b : a);
      if (aInner) {
        for (; y < end; y += 16, p += 16) v128.store(y, apply(op, v128.load(p), one));
      } else if (bInner) {
        for (; y < end; y += 16, q += 16) v128.store(y, apply(op, one, v128.load(q)));
      } else {
        const value = apply(op, one, v128.load32_splat(b));
        for (; y < end; y += 16) v128.store(y, value);
      }
    }
    // Remainder: fewer than 4.
    for (let i = 0; i < rest; ++i, y += 4, p += aStep >> 2, q += bStep >> 2) {
      const value = apply(op, v128.load32_splat(p), v128.load32_splat(q));
      store<f32>(y, f32x4.extract_lane(value, 0));
    }
  }
}

export function f32Binary(
  op: i32,
  outer: i32,
  inner: i32,
  a: usize,
  aOuter: i32,
  aInner: i32,
  b: usize,
  bOuter: i32,
  bInner: i32,
  y: usize,
): void {
  assert(outer >= 0);
  assert(inner >= 0);
  assert(aInner == 0 || aInner == 1);
  assert(bInner == 0 || bInner == 1);
  switch (op) {
    case ADD:
      rows(ADD, outer, inner, a, aOuter, aInner, b, bOuter, bInner, y);
      break;
    case SUB:
      rows(SUB, outer, inner, a, aOuter, aInner, b, bOuter, bInner, y);
      break;
    case MUL:
      rows(MUL, outer, inner, a, aOuter, aInner, b, bOuter, bInner, y);
      break;
    case DIV:
      rows(DIV, outer, inner, a, aOuter, aInner, b, bOuter, bInner, y);
      break;
    case MAX:
      rows(MAX, outer, inner, a, aOuter, aInner, b, bOuter, bInner, y);
      break;
    case MIN:
      rows(MIN, outer, inner, a, aOuter, aInner, b, bOuter, bInner, y);
      break;
    case SQUARED_DIFFERENCE:
      rows(SQUARED_DIFFERENCE, outer, inner, a, aOuter, aInner, b, bOuter, bInner, y);
      break;
    case PRELU:
      rows(PRELU, outer, inner, a, aOuter, aInner, b, bOuter, bInner, y);
      break;
    default:
      assert(false);
  }
}
