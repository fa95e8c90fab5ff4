/** Pictures for the nets: decoding in a browser, and the measure of how alike two are. */
import * as tf from '@tensorflow/tfjs-core';

/** A decoded picture: RGB, 8 bits, [rows, columns, 3]. */
export interface Picture {
  readonly rows: number;
  readonly columns: number;
  readonly rgb: Uint8Array;
}

/** Fetches and decodes a picture; alpha is dropped, as tfjs's fromPixels drops it. */
export async function fetchPicture(url: string): Promise<Picture> {
  const bitmap = await fetchBitmap(url);
  return pictureOf(bitmap, bitmap.width, bitmap.height);
}

/** Fetches and decodes a picture, to be drawn. */
export async function fetchBitmap(url: string): Promise<ImageBitmap> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  return decode(await response.blob());
}

/** Decodes what a browser can decode, without colour management and without premultiplied alpha. */
export function decode(blob: Blob): Promise<ImageBitmap> {
  return createImageBitmap(blob, { colorSpaceConversion: 'none', premultiplyAlpha: 'none' });
}

/** The pixels of anything that can be drawn, at this many columns and rows. */
export function pictureOf(source: CanvasImageSource, columns: number, rows: number): Picture {
  const canvas = document.createElement('canvas');
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (!context) throw new Error('this browser gives no 2D canvas');
  context.drawImage(source, 0, 0, columns, rows);
  const rgba = context.getImageData(0, 0, columns, rows).data;
  const rgb = new Uint8Array(rows * columns * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    rgb[to] = rgba[from];
    rgb[to + 1] = rgba[from + 1];
    rgb[to + 2] = rgba[from + 2];
  }
  return { rows, columns, rgb };
}

/**
 * A square around the centre of a box [left, top, width, height], `scale` times its longer side,
 * cut off at the picture's edges.
 */
export async function cropAround(
  photo: ImageBitmap,
  [left, top, width, height]: readonly number[],
  scale: number,
): Promise<Picture> {
  const half = (scale * Math.max(width, height)) / 2;
  const [x, y] = [left + width / 2, top + height / 2];
  const from = [x - half, y - half].map(at => Math.max(0, Math.round(at)));
  const to = [
    Math.min(photo.width, Math.round(x + half)),
    Math.min(photo.height, Math.round(y + half)),
  ];
  const crop = await createImageBitmap(photo, from[0], from[1], to[0] - from[0], to[1] - from[1]);
  return pictureOf(crop, crop.width, crop.height);
}

/** The picture as an int32 tensor in the current backend. */
export function pictureTensor({ rows, columns, rgb }: Picture): tf.Tensor3D {
  return tf.tensor3d(rgb, [rows, columns, 3], 'int32');
}

/**
 * Peak signal-to-noise ratio in dB of two pictures of 8 bits: 10 log10(255^2 / mean squared error);
 * infinite when they are equal. What is out of 0..255 is clamped and rounded first.
 */
export function psnr(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (got.length !== expected.length) {
    throw new Error(`psnr: expected ${expected.length} values, got ${got.length}`);
  }
  const byte = (value: number) => Math.round(Math.min(255, Math.max(0, value)));
  let sum = 0;
  for (let i = 0; i < got.length; i++) sum += (byte(got[i]) - byte(expected[i])) ** 2;
  return 10 * Math.log10((255 * 255 * got.length) / sum);
}
