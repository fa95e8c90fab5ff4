/**
 * What follows a sum: the bias, y = act(v + bias[c]), and the activations of tfjs's fused kernels.
 * Those that are a clamp share a text.
 */
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

const CLAMPS: Record<string, [number, number]> = {
  linear: [-MAX, MAX],
  relu: [0, MAX],
  relu6: [0, 6],
};

/**
 * @param name tfjs's, or one that the fuse pass adds: `hardswish`, v * relu6(v + 3) times `alpha`,
 *   and `clip` to `bounds`.
 */
export function activationOf(
  name = 'linear',
  { alpha = 0, bounds, slopes }: { alpha?: number; bounds?: [number, number]; slopes?: Image } = {},
): Activation | undefined {
  if (name === 'clip') return { text: 'clamp', numbers: bounds! };
  if (name in CLAMPS) return { text: 'clamp', numbers: CLAMPS[name] };
  if (name === 'leakyrelu') return { text: 'leaky', numbers: [alpha, 0] };
  if (name === 'hardswish') return { text: 'hardswish', numbers: [alpha, 0] };
  if (name === 'prelu') return slopes && { text: 'prelu', numbers: [0, 0], slopes };
  return name in TEXTS ? { text: name, numbers: [0, 0] } : undefined;
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
  return ${TEXTS[activation.text]};
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
