/**
 * What follows a sum: the bias, y = act(v + bias[c]), and the activations of tfjs's fused kernels.
 * Those that are a clamp share a text.
 */
import type { Attributes } from '../../../graph/kernel.js';
import { LEAKY_ALPHA } from '../../kernel.js';
import type { Sampled } from '../context.js';
import type { Image } from '../layout.js';

export interface Epilogue {
  /** [c], as an image of one pixel. */
  readonly bias?: Image | undefined;
  readonly activation: Activation;
}

export interface Activation {
  /** The text is one of {@link TEXTS}. */
  readonly text: string;
  /** What A holds. */
  readonly numbers: readonly [number, number];
  /** PReLU's slopes [c], as an image of one pixel. */
  readonly slopes?: Image;
}

/** Instead of infinity, which uniforms need not have. */
export const MAX = 3.4028234e38;

/** act(v) of four channels; A: two numbers; s: slopes. */
export const TEXTS: Readonly<Record<string, string>> = {
  clamp: 'min(max(v, A.x), A.y)',
  leaky: 'max(v, 0.) + A.x * min(v, 0.)',
  prelu: 'max(v, 0.) + s * min(v, 0.)',
  elu: 'mix(exp(min(v, 0.)) - 1., v, greaterThanEqual(v, vec4(0)))',
  sigmoid: '1. / (1. + exp(-max(v, -80.)))',
  // Beyond 15 it is 1 in float32, and drivers that compute it from exp(2v) would give NaN.
  tanh: 'tanh(clamp(v, -15., 15.))',
  softplus: 'max(v, 0.) + log(1. + exp(-abs(v)))',
  hardswish: 'v * (A.x * clamp(v + 3., 0., 6.))',
};

/**
 * The activation of a fused kernel, tfjs's or one that the fuse pass adds: `hardswish`, which is
 * `hardSwishScale` times v * relu6(v + 3) / 6, and `clip`. Undefined for PReLU without slopes.
 */
export function activationOf(attributes: Attributes, slopes?: Image): Activation | undefined {
  const { activation: name = 'linear', leakyreluAlpha = LEAKY_ALPHA } = attributes;
  const { hardSwishScale, clipMin, clipMax } = attributes as Record<string, number>;
  const plain = (text: string, p0 = 0, p1 = 0): Activation => ({ text, numbers: [p0, p1] });
  switch (name) {
    case 'linear':
      return plain('clamp', -MAX, MAX);
    case 'relu':
      return plain('clamp', 0, MAX);
    case 'relu6':
      return plain('clamp', 0, 6);
    case 'clip':
      return plain('clamp', Math.max(clipMin, -MAX), Math.min(clipMax, MAX));
    case 'leakyrelu':
      return plain('leaky', leakyreluAlpha as number);
    case 'hardswish':
      return plain('hardswish', hardSwishScale / 6);
    case 'prelu':
      return slopes && { ...plain('prelu'), slopes };
    default:
      return (name as string) in TEXTS ? plain(name as string) : undefined;
  }
}

/** What a program's name says of its epilogue. */
export const epilogueKey = ({ bias, activation }: Epilogue): string =>
  `${bias ? 'bias, ' : ''}${activation.text}`;

/** `vec4 biasOf(int g)` and `vec4 act(vec4 v, int g)` of channels [4g, 4g + 4). */
export const epilogueText = ({ bias, activation }: Epilogue): string => `
uniform vec4 A;
${bias ? 'uniform sampler2DArray B;' : ''}
vec4 biasOf(int g) { return ${bias ? 'texelFetch(B, ivec3(0, 2 * g, 0), 0)' : 'vec4(0)'}; }
${activation.slopes ? 'uniform sampler2DArray P;' : ''}
vec4 act(vec4 v, int g) {
  ${activation.slopes ? 'vec4 s = texelFetch(P, ivec3(0, 2 * g, 0), 0);' : ''}
  return mix(${TEXTS[activation.text]}, v, isNaN(v));
}
`;

/** The uniforms of that text. */
export function epilogueUniforms({ bias, activation: { numbers, slopes } }: Epilogue) {
  const textures: Record<string, Sampled> = {
    ...(bias && { B: bias.texture }),
    ...(slopes && { P: slopes.texture }),
  };
  return { textures, floats: { A: [...numbers, 0, 0] } };
}
