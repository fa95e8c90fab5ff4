/** The draw of programs that make an image of images. */
import type { Quantisation } from '../../cpu/quantisation.js';
import type { GpuContext, Numbers, Sampled, Source, Uniforms } from '../context.js';
import type { Image } from '../layout.js';
import { computedFormat, takeImage } from '../layout.js';
import { byteFloats, readingBytes } from './text.js';

/**
 * @param images by the names of their `reader`s.
 * @param shape of the result, whose format is that of what is computed from them.
 * @param quantisation of the result, where the program writes bytes.
 */
export function drawImage(
  context: GpuContext,
  source: Source,
  images: Readonly<Record<string, Image>>,
  shape: readonly number[],
  more: Partial<Uniforms> = {},
  quantisation?: Quantisation,
): Image {
  const [first] = Object.values(images);
  const y = takeImage(context, shape, computedFormat(first), quantisation);
  const textures: Record<string, Sampled> = { ...more.textures };
  const ints: Record<string, Numbers> = { ...more.ints, Ty: y.layout.ints };
  const floats: Record<string, Numbers> = { ...more.floats, ...byteFloats('y', y) };
  for (const name in images) {
    const image = images[name];
    textures[`X${name}`] = image.texture;
    ints[`Tx${name}`] = image.layout.ints;
    if (image.quantisation) Object.assign(floats, byteFloats(`x${name}`, image));
  }
  context.draw(readingBytes(source, images), y.texture, { textures, ints, floats });
  return y;
}
