/**
 * y [n] = op(x [n]), element by element; p0 and p1 are parameters of some.
 *
 *     op  0 relu       max(x, 0)             10 exp
 *         1 relu6      min(max(x, 0), 6)     11 log
 *         2 leakyRelu  x < 0 ? p0 * x : x    12 sigmoid
 *         3 clip       to [p0, p1]           13 tanh
 *         4 neg                              14 elu         x >= 0 ? x : exp(x) - 1
 *         5 abs                              15 softplus    log(1 + exp(x))
 *         6 square                           16 step        x > 0 ? 1 : p0
 *         7 sqrt                             17 floor
 *         8 rsqrt      1 / sqrt(x)           18 ceil
 *         9 reciprocal 1 / x                 19 round       halves to even
 *
 * NaN in, NaN out, in all. Rounding: 0 to 9 and 16 to 19 once per operation written above; the
 * others as f32-unary/exp says. Reads x up to its end only. y may be x.
 */
import { elu, exp, log, sigmoid, softplus, tanh } from './exp';

const RELU: i32 = 0;
const RELU6: i32 = 1;
const LEAKY_RELU: i32 = 2;
const CLIP: i32 = 3;
const NEG: i32 = 4;
const ABS: i32 = 5;
const SQUARE: i32 = 6;
const SQRT: i32 = 7;
const RSQRT: i32 = 8;
const RECIPROCAL: i32 = 9;
const EXP: i32 = 10;
const LOG: i32 = 11;
const SIGMOID: i32 = 12;
const TANH: i32 = 13;
const ELU: i32 = 14;
const SOFTPLUS: i32 = 15;
const STEP: i32 = 16;
const FLOOR: i32 = 17;
const CEIL: i32 = 18;
const ROUND: i32 = 19;


@inline
function apply(op: i32, x: v128, p0: v128, p1: v128): v128 {
  const zero = f32x4.splat(0);
  const one = f32x4.splat(1);
  // f32x4.max, not pmax: relu(-0) is 0, as Math.max(0, -0) is.
  if (op == RELU) return f32x4.max(x, zero);
  if (op == RELU6) return f32x4.pmin(f32x4.max(x, zero), f32x4.splat(6));
  if (op == LEAKY_RELU) return v128.bitselect(f32x4.mul(x, p0), x, f32x4.lt(x, zero));
  if (op == CLIP) return f32x4.pmin(f32x4.pmax(x, p0), p1);
  if (op == NEG) return f32x4.neg(x);
  if (op == ABS) return f32x4.abs(x);
  if (op == SQUARE) return f32x4.mul(x, x);
  if (op == SQRT) return f32x4.sqrt(x);
  if (op == RSQRT) return f32x4.div(one, f32x4.sqrt(x));
  if (op == RECIPROCAL) return f32x4.div(one, x);
  if (op == EXP) return exp(x);
  if (op == LOG) return log(x);
  if (op == SIGMOID) return sigmoid(x);
  if (op == TANH) return tanh(x);
  if (op == ELU) return elu(x);
  if (op == SOFTPLUS) return softplus(x);
  if (op == STEP) {
    const v = v128.bitselect(one, p0, f32x4.gt(x, zero));
    return v128.bitselect(v, x, f32x4.eq(x, x));
  }
  if (op == FLOOR) return f32x4.floor(x);
  if (op == CEIL) return f32x4.ceil(x);
  return f32x4.nearest(x);
}

/** The whole of x, `op` being a constant wherever this is inlined. */
@inline
function run(op: i32, x: usize, n: i32, p0: f32, p1: f32, y: usize): void {
  const a = f32x4.splat(p0);
  const b = f32x4.splat(p1);
  const end = y + ((<usize>n) << 2);
  for (const whole = y + ((<usize>(n & ~3)) << 2); y < whole; x += 16, y += 16) {
    v128.store(y, apply(op, v128.load(x), a, b));
  }
  // Remainder: one at a time. Written as a loop around one vector, so that the polynomial of an
  // element does not depend on where it lies.
  for (; y < end; x += 4, y += 4) {
    v128.store32_lane(y, apply(op, v128.load32_splat(x), a, b), 0);
  }
}

export function f32Unary(op: i32, x: usize, n: i32, p0: f32, p1: f32, y: usize): void {
  assert(n >= 0);
  switch (op) {
    case RELU:
      run(RELU, x, n, p0, p1, y);
      break;
    case RELU6:
      run(RELU6, x, n, p0, p1, y);
      break;
    case LEAKY_RELU:
      run(LEAKY_RELU, x, n, p0, p1, y);
      break;
    case CLIP:
      run(CLIP, x, n, p0, p1, y);
      break;
    case NEG:
      run(NEG, x, n, p0, p1, y);
      break;
    case ABS:
      run(ABS, x, n, p0, p1, y);
      break;
    case SQUARE:
      run(SQUARE, x, n, p0, p1, y);
      break;
    case SQRT:
      run(SQRT, x, n, p0, p1, y);
      break;
    case RSQRT:
      run(RSQRT, x, n, p0, p1, y);
      break;
    case RECIPROCAL:
      run(RECIPROCAL, x, n, p0, p1, y);
      break;
    case EXP:
      run(EXP, x, n, p0, p1, y);
      break;
    case LOG:
      run(LOG, x, n, p0, p1, y);
      break;
    case SIGMOID:
      run(SIGMOID, x, n, p0, p1, y);
      break;
    case TANH:
      run(TANH, x, n, p0, p1, y);
      break;
    case ELU:
      run(ELU, x, n, p0, p1, y);
      break;
    case SOFTPLUS:
      run(SOFTPLUS, x, n, p0, p1, y);
      break;
    case STEP:
      run(STEP, x, n, p0, p1, y);
      break;
    case FLOOR:
      run(FLOOR, x, n, p0, p1, y);
      break;
    case CEIL:
      run(CEIL, x, n, p0, p1, y);
      break;
    case ROUND:
      run(ROUND, x, n, p0, p1, y);
      break;
    default:
      assert(false);
  }
}
