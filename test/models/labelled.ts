/**
 * Pictures that measure what int8 costs a user: 82 cut-outs of which it is known what they show, by
 * a COCO class each; 22 faces; 61 photographs. Nothing is ever calibrated or tuned on them.
 */
import coco82 from './coco82.json' with { type: 'json' };
import faces22 from './faces22.json' with { type: 'json' };
import { argMax, centernetDetections, nanodetTop } from './nets.js';
import { type Picture, cropAround, fetchBitmap, fetchPicture, pictureOf } from './pictures.js';
import { MODELS_URL } from './urls.js';

/** A net's top answer to a picture, as a word. */
type Top = (outputs: readonly Float32Array[]) => string;

/** A set of pictures for one kind of net. */
export interface LabelledSet {
  readonly top: Top;
  /** Each picture with its true answer; undefined where nobody knows it, and nets only can agree. */
  pictures(): AsyncGenerator<{ picture: Picture; label: string | undefined }>;
}

export type LabelledName = 'centernet' | 'nanodet' | 'faceres' | 'inception';

export const LABELLED: Readonly<Record<LabelledName, LabelledSet>> = {
  centernet: { top: ([rows]) => centernetDetections(rows, 0)[0]?.label ?? '', pictures: stamps },
  nanodet: { top: outputs => nanodetTop(outputs).label, pictures: stamps },
  faceres: { top: ([age]) => String(argMax(age)), pictures: faces },
  inception: { top: ([classes]) => String(argMax(classes)), pictures: photographs },
};

/** On grey 127, in a centred square of 1.2 times the longer side. */
async function* stamps() {
  for (const [stem, label] of Object.entries(coco82)) {
    const stamp = await fetchBitmap(`${MODELS_URL}/stamps/${stem}.png`);
    const side = Math.round(1.2 * Math.max(stamp.width, stamp.height));
    const canvas = new OffscreenCanvas(side, side);
    const context = canvas.getContext('2d')!;
    context.fillStyle = 'rgb(127 127 127)';
    context.fillRect(0, 0, side, side);
    const [left, top] = [stamp.width, stamp.height].map(size => Math.floor((side - size) / 2));
    context.drawImage(stamp, left, top);
    yield { picture: pictureOf(canvas, side, side), label };
  }
}

/** Each face's box [left, top, width, height] in three square crops around its centre. */
async function* faces() {
  for (const [file, boxes] of Object.entries(faces22)) {
    const photo = await fetchBitmap(`${MODELS_URL}/faces/${file}`);
    for (const box of boxes) {
      for (const scale of [1.1, 1.3, 1.6]) {
        yield { picture: await cropAround(photo, box, scale), label: undefined };
      }
    }
  }
}

/** Every tenth of the foods, then those of Debian where they are to be had. */
async function* photographs() {
  const response = await fetch(`${MODELS_URL}/index.json`);
  const index = (await response.json()) as Record<string, string[]>;
  for (const item of ['foods', 'pictures']) {
    for (const file of index[item] ?? []) {
      yield { picture: await fetchPicture(`${MODELS_URL}/${item}/${file}`), label: undefined };
    }
  }
}
