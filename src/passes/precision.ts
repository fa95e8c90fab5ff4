/**
 * Precision `auto`: which layers run in int8. Pure arithmetic; `run/observer.ts` brings the numbers.
 *
 * What int8 does to a layer's result is a mean difference of each channel, from rounded weights and
 * inputs that are positive on average, and noise around it. The mean is corrected (Nagel et al.,
 * "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.2,
 * measured instead of derived): it is 5 to 95 % of the error's power in real nets, and more of what
 * reaches the outputs, where noise averages out and means do not.
 *
 * The noise of layers adds up in power on the way to the outputs: in CenterNet all of them together
 * change the heat map by 1.2 times the root of the sum of squares of each alone. So the layers are
 * chosen that save the most multiply-accumulates m for the noise e they bring to the outputs:
 *
 *     maximise sum m_i   where   sum share_i * e_i^2 <= budget^2
 *
 * with `share` the part of the outputs that comes by way of the layer. That is a knapsack; taking the
 * items in the order of m / (share * e^2) is near enough to the best for a hundred of them. What is
 * left for the last ones is not spent on noise that saves next to no work ({@link DEAR}).
 */
import type { Node } from '../graph/graph.js';
import type { Value } from '../graph/value.js';

/**
 * A mean over fewer positions than this says more of the picture than of the weights, and so does a
 * deviation from it. (7x7, the last convolutions of many nets, is above it.)
 */
export const MIN_ROWS = 32;

/** rounded - exact in the mean of each channel; both [rows, channels]. */
export function meanDifference(
  exact: ArrayLike<number>,
  rounded: ArrayLike<number>,
  channels: number,
): Float64Array {
  const sums = new Float64Array(channels);
  for (let i = 0; i < exact.length;) {
    for (let c = 0; c < channels; c++, i++) sums[c] += rounded[i] - exact[i];
  }
  const rows = exact.length / channels;
  return sums.map(sum => sum / (rows || 1));
}

/** Sums of squares: what int8 adds to a result, and what the result tells. */
export interface Powers {
  readonly noise: number;
  readonly signal: number;
}

/**
 * The noise is the difference; the signal is the exact numbers without the mean of their channel, for
 * what is always there tells the next layer nothing; with few rows all of them. Both [rows, channels].
 */
export function powersOf(
  exact: ArrayLike<number>,
  rounded: ArrayLike<number>,
  channels: number,
): Powers {
  const rows = exact.length / channels;
  const sums = new Float64Array(channels);
  let [noise, power] = [0, 0];
  for (let i = 0; i < exact.length;) {
    for (let c = 0; c < channels; c++, i++) {
      const difference = rounded[i] - exact[i];
      noise += difference * difference;
      power += exact[i] * exact[i];
      sums[c] += exact[i];
    }
  }
  const constant = rows < MIN_ROWS ? 0 : sums.reduce((all, sum) => all + (sum * sum) / rows, 0);
  const signal = power - constant;
  // What is left of a difference of large sums is rounding; NaN stays.
  return { noise, signal: signal <= power * 1e-12 ? 0 : signal };
}

/** Noise to signal, as RMS: 0 without noise, infinite without signal. */
export function ratioOf({ noise, signal }: Powers): number {
  return noise === 0 ? 0 : Math.sqrt(noise / signal);
}

/** What int8 does to one layer with one set of weights, of inputs of about one scale. */
export class Observation {
  private rows = 0;
  private mean: Float64Array | undefined;
  private rounded: Float32Array | undefined;
  private powers: Powers = { noise: 0, signal: 0 };

  /** @param scale of the first input as bytes. */
  constructor(readonly scale: number) {}

  /** Noise to signal of the corrected result; of several inputs that with most signal counts most. */
  get noise(): number {
    return ratioOf(this.powers);
  }

  /**
   * Absent while there are too few numbers to tell a mean; the same array until there are more, since
   * a layer makes its parameters anew for another one.
   */
  get correction(): Float32Array | undefined {
    if (!this.mean || this.rows < MIN_ROWS) return undefined;
    return (this.rounded ??= Float32Array.from(this.mean));
  }

  addMean(mean: Float64Array, rows: number): void {
    if (!mean.every(Number.isFinite) || rows === 0) return;
    this.rows += rows;
    this.rounded = undefined;
    const old = this.mean ?? mean;
    this.mean = old.map((value, c) => value + ((mean[c] - value) * rows) / this.rows);
  }

  addPowers({ noise, signal }: Powers): void {
    this.powers = { noise: this.powers.noise + noise, signal: this.powers.signal + signal };
  }
}

/** Scales, and noise, this many times apart are of different kinds of input. */
export const FAR = 2;

/**
 * All that is known of one layer with one set of weights. What int8 adds in the mean grows with the
 * input, but not with its range: one huge number makes that large and the mean not. So it holds for
 * inputs of about the scale it was measured on; others are observed by themselves.
 */
export class Observations {
  /** What was made or used last: the best guess of what the next input is like. */
  last: Observation | undefined;
  private readonly all: Observation[] = [];

  /** The nearest one of inputs of about this scale. */
  near(scale: number): Observation | undefined {
    const far = ({ scale: other }: Observation) => Math.max(scale / other, other / scale);
    const nearest = this.all.reduce<Observation | undefined>(
      (best, one) => (best && far(best) <= far(one) ? best : one),
      undefined,
    );
    return nearest && far(nearest) <= FAR ? nearest : undefined;
  }

  /** One that is new, or was used again. */
  add(observation: Observation): this {
    if (!this.all.includes(observation)) this.all.push(observation);
    this.last = observation;
    return this;
  }
}

/**
 * The part of the outputs that comes by way of each node, 0 to 1. Each output of the graph counts
 * alike; at a Concat the parts are as the sizes of what is joined, at any other node all inputs that
 * are computed count alike. In a residual net the trunk has 1 and each branch what is added by it:
 *
 *     x ──┬── branch ──► + ──► y         y 1, branch 1/2, x 1/2 + 1/2
 *         └──────────────┘
 */
export function sharesOf(nodes: readonly Node[]): number[] {
  const produced = new Set<Value>(nodes.flatMap(({ outputs }) => outputs));
  const read = new Set(nodes.flatMap(({ inputs }) => Object.values(inputs).map(use => use.value)));
  const isResult = (value: Value) => value.refs > 0 || !read.has(value);
  const results = [...produced].filter(isResult);
  const shares = new Map<Value, number>(results.map(value => [value, 1 / results.length]));
  const shareOf = ({ outputs }: Node) => outputs.reduce((sum, v) => sum + (shares.get(v) ?? 0), 0);
  for (const node of [...nodes].reverse()) {
    const own = shareOf(node);
    const uses = Object.values(node.inputs).filter(({ value }) => produced.has(value));
    const sizes = uses.map(({ shape }) =>
      node.kernel.name === 'Concat' ? shape.reduce((a, b) => a * b, 1) : 1,
    );
    const whole = sizes.reduce((a, b) => a + b, 0) || 1;
    uses.forEach(({ value }, i) => {
      shares.set(value, (shares.get(value) ?? 0) + (own * sizes[i]) / whole);
    });
  }
  return nodes.map(shareOf);
}

/** A layer that could run in int8. */
export interface Candidate {
  /** Multiply-accumulates. */
  readonly macs: number;
  /** Part of the outputs that comes by way of it, 0 to 1. */
  readonly share: number;
  /** Noise to signal of its result in int8. */
  readonly noise: number;
}

/**
 * A layer that would take this many times as much of the budget as of the work stays in float32.
 * Some depthwise filters are such: faceres with all that fits gives 62 of 66 ages as tfjs, without them
 * 65, either with 99 % of the work in int8 (8-bit dot).
 */
const DEAR = 10;

/**
 * Whether each layer runs in int8.
 *
 * @param budget noise to signal at the outputs that all of them together may come to.
 */
export function chooseInt8(candidates: readonly Candidate[], budget: number): boolean[] {
  const costs = candidates.map(({ share, noise }) => share * noise * noise);
  const order = costs.flatMap((cost, i) => (Number.isFinite(cost) ? i : []));
  // Multiplied out, so that layers without noise or without work have a place too.
  order.sort((a, b) => costs[a] * candidates[b].macs - costs[b] * candidates[a].macs);
  const chosen = candidates.map(() => false);
  const work = candidates.reduce((sum, { macs }) => sum + macs, 0);
  let left = budget * budget;
  for (const i of order) {
    const isDear = costs[i] * work > DEAR * candidates[i].macs * budget * budget;
    if (isDear || costs[i] > left) continue;
    left -= costs[i];
    chosen[i] = true;
  }
  return chosen;
}
