/** What follows the sums of a fused kernel, for the specs of all of them. */
import { activate, LINEAR } from '../reference/activation';

export type Activation = 'relu' | 'relu6' | 'prelu' | 'leakyrelu' | 'elu' | 'sigmoid';

/** The slope of tf.leakyRelu, which fused kernels take when they are given none. */
const LEAKY_ALPHA = 0.2;

/** @param alpha the slope for 'prelu'. */
export function act(activation: Activation | undefined, v: number, alpha: number): number {
  switch (activation) {
    case 'relu':
      return activate(v, 0, { lo: 0, hi: Infinity, alpha: null });
    case 'relu6':
      return activate(v, 0, { lo: 0, hi: 6, alpha: null });
    case 'prelu':
      return activate(v, 0, { ...LINEAR, alpha: [alpha] });
    case 'leakyrelu':
      return activate(v, 0, { ...LINEAR, alpha: [LEAKY_ALPHA] });
    case 'elu':
      return v >= 0 ? v : Math.expm1(v);
    case 'sigmoid':
      return 1 / (1 + Math.exp(-v));
    case undefined:
      return v;
  }
}

/** What exp adds to the error: results are below 1 there, and it is good to 4 units. */
export function curve(activation: Activation | undefined, epsilon: number): number {
  return activation === 'elu' || activation === 'sigmoid' ? 8 * epsilon : 0;
}
