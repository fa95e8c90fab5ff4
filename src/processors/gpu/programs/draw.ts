/** The draw of programs that make an image of images. */
import type { Quantisation } from '../../cpu/quantisation.js';
import type { GpuContext, Source, Uniforms } from '../context.js';
import type { Image } from '../layout.js';
import { computedFormat, takeImage } from '../layout.js';
import { byteFloats, layoutInts, readingBytes } from './text.js';

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
  const all = Object.entries(images);
  const y = takeImage(context, shape, computedFormat(all[0][1]), quantisation);
  const layouts = all.flatMap(([name, { layout }]) =>
    Object.entries(layoutInts(`x${name}`, layout)),
  );
  const bytes = all.map(([name, image]) => byteFloats(`x${name}`, image));
  context.draw(readingBytes(source, images), y.texture, {
    textures: {
      ...Object.fromEntries(all.map(([name, { texture }]) => [`X${name}`, texture])),
      ...more.textures,
    },
    ints: { ...Object.fromEntries(layouts), ...layoutInts('y', y.layout), ...more.ints },
    floats: Object.assign({}, ...bytes, byteFloats('y', y), more.floats) as Uniforms['floats'] & {},
  });
  return y;
}
