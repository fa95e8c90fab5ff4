/**
 * The layout of x [n,h,w,c] in our own programs: a texture array of four layers, one for each phase
 * of a 2x2 block of pixels, four channels a texel.
 *
 *     pixels (y, x)          layer = (y & 1) * 2 + (x & 1), texel (x >> 1, ... + (y >> 1))
 *     +----+----+----+----+
 *     | L0 | L1 | L0 | L1 |        one layer       width = ceil(w/2) + 1
 *     +----+----+----+----+        +---------------------+---+  -
 *     | L2 | L3 | L2 | L3 |        | image 0, c 0 to 3   | 0 |  ceil(h/2) rows
 *     +----+----+----+----+        +---------------------+---+
 *                                  | 0   0   0   0   0   | 0 |  1 row of zeros
 *                                  +---------------------+---+  -
 *                                  | image 0, c 4 to 7   | 0 |
 *                                  +---------------------+---+
 *                                  | 0   0   0   0   0   | 0 |
 *                                  +---------------------+---+  -
 *                                    ... then image 1
 *
 * A fragment with four draw buffers, the least WebGL2 allows, so computes a 2x2 block of pixels, of
 * which a 3x3 filter reads 16 texels and not 36. The zeros are "same" padding without branches:
 * index -1 is sent to them. Zero too are the phases beyond an odd edge and the channels beyond c.
 * A range of channels [4i,4j) of one image is a range of rows.
 *
 * Where the texels are bytes (QUInt8, `../cpu/quantisation.ts`) zero is the zero point, also in the
 * border. Programs that read them make numbers of them: x = (q - zero) * scale.
 *
 * Bytes are what a tensor is that the CPU has as bytes, and what is only moved of it: slices of it,
 * joined ones, the largest of a window. Nothing can leave its range there, so nothing has to be
 * guarded. What a program computes is halves: a byte that is 255 does not tell whether it was more,
 * WebGL has no counter to tell it with, and a look at each layer's result is a read-back, 0.1 ms and
 * more each on an H200. Nor would bytes be faster there (VGG-16: 22.8 ms, halves 22.6). So they are
 * where they pay, on the wire: results of the GPU become bytes on their way to the CPU, and are
 * guarded there (`programs/transfer.ts`).
 */
import type { Quantisation } from '../cpu/quantisation.js';
import type { Format, GpuContext, Texture } from './context.js';

/** Where the texels of one tensor are. Sizes in texels, but for h and w: pixels. */
export interface Layout {
  readonly n: number;
  readonly h: number;
  readonly w: number;
  readonly c: number;
  /** Columns and rows of a phase, without the zeros. */
  readonly columns: number;
  readonly rows: number;
  /** Rows from one group of channels to the next. */
  readonly stride: number;
  /** Groups of four channels in one image. */
  readonly groups: number;
  /** Size of the texture. */
  readonly width: number;
  readonly height: number;
  /** For the programs (`programs/text.ts`): columns, rows, groups, stride, n, h, w, c. */
  readonly ints: Int32Array;
}

export const CHANNELS_A_TEXEL = 4;
export const PHASES = 4;

/** The layout of a tensor [n,h,w,c]; of fewer axes: with ones before them. */
export function layoutOf(shape: readonly number[]): Layout {
  const [n, h, w, c] = [axisOf(shape, 4), axisOf(shape, 3), axisOf(shape, 2), axisOf(shape, 1)];
  const columns = Math.ceil(w / 2);
  const rows = Math.ceil(h / 2);
  const stride = rows + 1;
  const groups = Math.ceil(c / CHANNELS_A_TEXEL);
  const [width, height] = [columns + 1, n * groups * stride];
  const ints = Int32Array.of(columns, rows, groups, stride, n, h, w, c);
  return { n, h, w, c, columns, rows, stride, groups, width, height, ints };
}

/** Axis i from the last; 1 where there is none. */
const axisOf = (shape: readonly number[], i: number): number =>
  shape.length < i ? 1 : shape[shape.length - i];

/** Whether a tensor of this shape has a layout within the device's limit. It is not folded. */
export function fits(shape: readonly number[], maxTextureSize: number): boolean {
  if (shape.length > 4) return false;
  const width = Math.ceil(axisOf(shape, 2) / 2) + 1;
  const groups = Math.ceil(axisOf(shape, 1) / CHANNELS_A_TEXEL);
  const height = axisOf(shape, 4) * groups * (Math.ceil(axisOf(shape, 3) / 2) + 1);
  return width <= maxTextureSize && height <= maxTextureSize;
}

/** A tensor in this layout. */
export interface Image {
  readonly texture: Texture;
  readonly layout: Layout;
  /** Of a texture of bytes. */
  readonly quantisation?: Quantisation;
}

/** An image from the pool, for a program to draw. */
export function takeImage(
  context: GpuContext,
  shape: readonly number[],
  format: Format,
  quantisation?: Quantisation,
): Image {
  const layout = layoutOf(shape);
  const { width, height } = layout;
  if (!quantisation) return { texture: context.take(format, width, height, PHASES), layout };
  return { texture: context.take('byte', width, height, PHASES), layout, quantisation };
}

/** The format of what is computed from an image. */
export const computedFormat = ({ texture: { format } }: Image): Format =>
  format === 'byte' ? 'half' : format;

/** The format of what is only moved of images. */
export const movedFormat = (images: readonly Image[]): Format =>
  commonQuantisation(images) ? 'byte' : computedFormat(images[0]);

/** What the bytes of all these images mean, if all are bytes of one scale. */
export function commonQuantisation(images: readonly Image[]): Quantisation | undefined {
  const [first] = images.map(({ quantisation }) => quantisation);
  const isSame = ({ quantisation: q }: Image) =>
    !!q && q.scale === first!.scale && q.zero === first!.zero;
  return first && images.every(isSame) ? first : undefined;
}
