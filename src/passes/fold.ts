/**
 * The arithmetic of folding: stages that scale or shift the channels of a layer become one factor
 * and one term for each of the n channels, in doubles,
 *
 *     y[..., j] = factor[j] * sum_k x[..., k] * w[k, j] + term[j]
 *
 * and these go into filter and bias, rounded once: w[k, j] * factor[j], term[j].
 */
import type { Node } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import type { Fold } from './fuse.js';

export interface Affine {
  readonly factor: Float64Array;
  readonly term: Float64Array;
}

/** Largest scale or weight that is folded; no smaller scale than its inverse either but 0. */
const LARGEST = 2 ** 60;

/**
 * Factors and terms; undefined where folding would not keep the numbers: scales that are not
 * finite (a variance of 0 without epsilon), or so large or small that a folded weight might
 * overflow or lose bits that the result would have had.
 *
 * @param channels n.
 * @param numbersOf of the constants.
 */
export function affineOf(
  { base, stages }: Fold,
  channels: number,
  numbersOf: (value: Value) => ArrayLike<number>,
): Affine | undefined {
  const rowOf = (node: Node, input: string): ((j: number) => number) | undefined => {
    const use = node.inputs[input];
    if (!use) return undefined;
    const numbers = numbersOf(use.value);
    return numbers.length === 1 ? () => numbers[0] : j => numbers[j];
  };
  const factor = new Float64Array(channels).fill(1);
  const bias = rowOf(base, 'bias');
  const term = Float64Array.from({ length: channels }, (_, j) => bias?.(j) ?? 0);
  let [value] = base.outputs;
  for (const node of stages) {
    const { name } = node.kernel;
    if (name === 'FusedBatchNorm') {
      const [mean, variance, offset, scale] = ['mean', 'variance', 'offset', 'scale'].map(input =>
        rowOf(node, input),
      );
      const epsilon = node.attributes.varianceEpsilon as number;
      for (let j = 0; j < channels; j++) {
        const s = (scale?.(j) ?? 1) / Math.sqrt(variance!(j) + epsilon);
        factor[j] *= s;
        term[j] = (term[j] - mean!(j)) * s + (offset?.(j) ?? 0);
      }
    } else {
      const names = Object.keys(node.inputs);
      const isFirst = node.inputs[names[0]].value === value;
      const c = rowOf(node, names[isFirst ? 1 : 0])!;
      for (let j = 0; j < channels; j++) {
        [factor[j], term[j]] = STEPS[name](factor[j], term[j], c(j), isFirst);
      }
    }
    [value] = node.outputs;
  }
  const isSound =
    term.every(t => Number.isFinite(Math.fround(t))) &&
    factor.every(s => s === 0 || (Math.abs(s) <= LARGEST && Math.abs(s) >= 1 / LARGEST));
  return isSound ? { factor, term } : undefined;
}

type Step = (f: number, t: number, c: number, isFirst: boolean) => [factor: number, term: number];

/** What v = f * sum + t becomes; `isFirst`: v is the first operand. */
const STEPS: Readonly<Record<string, Step>> = {
  Add: (f, t, c) => [f, t + c],
  Sub: (f, t, c, isFirst) => (isFirst ? [f, t - c] : [-f, c - t]),
  Multiply: (f, t, c) => [f * c, t * c],
  RealDiv: (f, t, c) => [f / c, t / c],
};

/** Whether no weight is too large to be scaled. Those that are not finite stay what they are. */
export function canScale(weights: Iterable<number>): boolean {
  for (const w of weights) if (Math.abs(w) > LARGEST && Number.isFinite(w)) return false;
  return true;
}

/**
 * The filter with the factors in it.
 *
 * @param inner elements from one channel to the next: 1, or k of a matrix given as [n, k].
 */
export function scaled(
  weights: ArrayLike<number>,
  factor: Iterable<number>,
  inner: number,
): Float32Array {
  const result = new Float32Array(weights.length);
  for (let i = 0; i < result.length;) {
    for (const f of factor) {
      for (let k = 0; k < inner; k++, i++) result[i] = weights[i] * f;
    }
  }
  return result;
}
