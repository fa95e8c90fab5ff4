/** Functions of one number: y [n,h,w,c] = f(x [n,h,w,c]), with two parameters in A. */
import type { Format, GpuContext, Source } from '../context.js';
import type { Image } from '../layout.js';
import { computedFormat } from '../layout.js';
import type { Activation } from './activation.js';
import { epilogueText, epilogueUniforms, MAX, TEXTS } from './activation.js';
import { drawImage } from './draw.js';
import { pixelwise, reader } from './text.js';

/** f(v) of four channels, by tfjs's names. */
const FUNCTIONS: Readonly<Record<string, string>> = {
  Relu: 'max(v, 0.)',
  Relu6: 'clamp(v, 0., 6.)',
  LeakyRelu: TEXTS.leaky,
  ClipByValue: TEXTS.clamp,
  Neg: '-v',
  Abs: 'abs(v)',
  Square: 'v * v',
  Sqrt: 'sqrt(v)',
  Rsqrt: 'inversesqrt(v)',
  Reciprocal: '1. / v',
  Exp: 'exp(v)',
  Sigmoid: TEXTS.sigmoid,
  Tanh: TEXTS.tanh,
  Elu: TEXTS.elu,
  Softplus: TEXTS.softplus,
  Step: 'mix(vec4(A.x), vec4(1), greaterThan(v, vec4(0)))',
  Floor: 'floor(v)',
  Ceil: 'ceil(v)',
  Round: 'roundEven(v)',
};

const source = (name: string, format: Format): Source => ({
  name: `${name}, ${format}`,
  fragment: () =>
    pixelwise(
      format,
      `${reader()}
uniform vec4 A;
vec4 pixel(int image, int g, int y, int x) {
  vec4 v = read(image, g, y, x);
  return mix(${FUNCTIONS[name]}, v, isNaN(v));
}`,
    ),
});

const activate = (activation: Activation, format: Format): Source => ({
  name: `${activation.text}, ${format}`,
  fragment: () =>
    pixelwise(
      format,
      `${reader()}${epilogueText({ activation })}
vec4 pixel(int image, int g, int y, int x) { return act(read(image, g, y, x), g); }`,
    ),
});

/** What fused kernels end in, by itself. */
export function activateImage(context: GpuContext, x: Image, activation: Activation): Image {
  const { n, h, w, c } = x.layout;
  const uniforms = epilogueUniforms({ activation });
  const program = activate(activation, computedFormat(x));
  return drawImage(context, program, { '': x }, [n, h, w, c], uniforms);
}

/** Undefined where there is no such program. */
export function unaryImage(
  context: GpuContext,
  x: Image,
  name: string,
  [p0, p1]: readonly [number, number],
): Image | undefined {
  if (!(name in FUNCTIONS)) return undefined;
  const { n, h, w, c } = x.layout;
  const bounded = (v: number) => Math.max(-MAX, Math.min(MAX, v));
  const floats = { A: [bounded(p0), bounded(p1), 0, 0] };
  return drawImage(context, source(name, computedFormat(x)), { '': x }, [n, h, w, c], { floats });
}
