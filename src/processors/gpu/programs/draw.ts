/** The draw of programs that make an image of images. */
import type { GpuContext, Source, Uniforms } from '../context.js';
import type { Image } from '../layout.js';
import { takeImage } from '../layout.js';
import { layoutInts } from './text.js';

/**
 * @param images by the names of their `reader`s.
 * @param shape of the result, whose format is theirs.
 */
export function drawImage(
  context: GpuContext,
  source: Source,
  images: Readonly<Record<string, Image>>,
  shape: readonly number[],
  more: Partial<Uniforms> = {},
): Image {
  const all = Object.entries(images);
  const y = takeImage(context, shape, all[0][1].texture.format);
  const layouts = all.flatMap(([name, { layout }]) =>
    Object.entries(layoutInts(`x${name}`, layout)),
  );
  context.draw(source, y.texture, {
    textures: {
      ...Object.fromEntries(all.map(([name, { texture }]) => [`X${name}`, texture])),
      ...more.textures,
    },
    ints: { ...Object.fromEntries(layouts), ...layoutInts('y', y.layout), ...more.ints },
    ...(more.floats && { floats: more.floats }),
  });
  return y;
}
