/**
 * The real networks: one loader, one preparation of pictures and one reading of results for each.
 * The demo page, the specs, the accuracy table and the benchmarks all use these and no others.
 *
 * A net is loaded while some backend is set and its weights live there: load it again for another
 * backend. The files are those of `scripts/models.mjs`, served under one base URL.
 */
import { loadGraphModel } from '@tensorflow/tfjs-converter';
import * as tf from '@tensorflow/tfjs-core';
import { loadLayersModel } from '@tensorflow/tfjs-layers';

/** A network, not loaded yet. */
export interface Net {
  readonly name: NetName;
  /** For people. */
  readonly title: string;
  /** What comes out of {@link LoadedNet.run}, in order. */
  readonly outputs: readonly string[];
  /** Shape of what {@link Net.prepare} returns for a picture of this many rows and columns. */
  inputShape(rows: number, columns: number): [number, number, number, number];
  /** picture [rows, columns, 3], 0..255 -> the input the net was trained on; own tensor. */
  prepare(picture: tf.Tensor3D): tf.Tensor4D;
  /**
   * Loads the net into the current backend.
   *
   * @param base URL under which `.models/` is served, without a slash at its end.
   * @param onProgress receives the share 0..1 of the weights that has arrived.
   */
  load(base: string, onProgress?: (share: number) => void): Promise<LoadedNet>;
}

/** A network whose weights live in the backend it was loaded in. */
export interface LoadedNet {
  readonly net: Net;
  /** One inference; the outputs, in the order of {@link Net.outputs}, are the caller's. */
  run(input: tf.Tensor4D): tf.Tensor[];
  dispose(): void;
}

/** One thing found in a picture. */
export interface Detection {
  readonly label: string;
  /** 0..1 */
  readonly score: number;
  /** left, top, right, bottom as shares of the picture's width and height. */
  readonly box: readonly [number, number, number, number];
}

export type NetName = 'centernet' | 'faceres' | 'inception' | 'esrgan' | 'nanodet';

const CENTERNET_SIZE = 512;
const NANODET_SIZE = 416;
/** Mean and deviation of each channel, in the net's order: blue, green, red. */
const NANODET_MEAN = [103.53, 116.28, 123.675];
const NANODET_STD = [57.375, 57.12, 58.395];

export const NETS: Readonly<Record<NetName, Net>> = {
  centernet: {
    name: 'centernet',
    title: 'CenterNet, MobileNetV3',
    outputs: ['tower_0/detections', 'tower_0/keypoints', 'tower_0/wh'],
    inputShape: () => [1, CENTERNET_SIZE, CENTERNET_SIZE, 3],
    prepare: picture => resized(picture, CENTERNET_SIZE),
    load: graphModel,
  },
  faceres: {
    name: 'faceres',
    title: 'faceres, MobileNet v1',
    outputs: ['age_pred/Softmax', 'gender_pred/Sigmoid', 'global_pooling/Mean'],
    inputShape: () => [1, 224, 224, 3],
    prepare: picture => resized(picture, 224),
    load: graphModel,
  },
  inception: {
    name: 'inception',
    title: 'Inception v3',
    outputs: ['dense_3'],
    inputShape: () => [1, 299, 299, 3],
    prepare: picture => tf.tidy(() => tf.div(resized(picture, 299), 255)),
    load: layersModel,
  },
  esrgan: {
    name: 'esrgan',
    title: 'ESRGAN-slim x2',
    outputs: ['SR'],
    inputShape: (rows, columns) => [1, rows, columns, 3],
    prepare: picture => tf.tidy(() => tf.expandDims(tf.cast(picture, 'float32'), 0)),
    load: layersModel,
  },
  nanodet: {
    name: 'nanodet',
    title: 'NanoDet-g',
    outputs: ['Identity', 'Identity_1', 'Identity_2', 'Identity_3', 'Identity_4', 'Identity_5'],
    inputShape: () => [1, 3, NANODET_SIZE, NANODET_SIZE],
    prepare: picture =>
      tf.tidy(() => {
        const bgr = tf.reverse(resized(picture, NANODET_SIZE), 3);
        const x: tf.Tensor4D = tf.div(tf.sub(bgr, NANODET_MEAN), NANODET_STD);
        return tf.transpose(x, [0, 3, 1, 2]);
      }),
    load: graphModel,
  },
};

/**
 * What CenterNet found: rows x1, y1, x2, y2, score, class of `tower_0/detections`, in pixels of its
 * 512 x 512 input. The net keeps local maxima of each class only; boxes of one class that overlap by
 * more than half are thinned out to the best.
 */
export function centernetDetections(rows: ArrayLike<number>, minScore = 0.3): Detection[] {
  const found: Detection[] = [];
  for (let at = 0; at + 6 <= rows.length; at += 6) {
    const label = COCO[rows[at + 5]];
    if (label === undefined || !(rows[at + 4] >= minScore)) continue;
    const [left, top, right, bottom] = [0, 1, 2, 3].map(i =>
      Math.min(1, Math.max(0, rows[at + i] / CENTERNET_SIZE)),
    );
    found.push({ label, score: rows[at + 4], box: [left, top, right, bottom] });
  }
  found.sort((a, b) => b.score - a.score);
  return found.filter(
    (one, i) =>
      !found.slice(0, i).some(d => d.label === one.label && overlap(d.box, one.box) > 0.5),
  );
}

/** NanoDet's best class: the label of the highest score in any cell of its three class outputs. */
export function nanodetTop(outputs: readonly ArrayLike<number>[]): {
  label: string;
  score: number;
} {
  let best = { label: '', score: -Infinity };
  for (const scores of outputs.slice(0, 3)) {
    const at = argMax(scores);
    if (scores[at] > best.score) best = { label: COCO[at % COCO.length], score: scores[at] };
  }
  return best;
}

/** Index of the first greatest value; 0 for an empty list. */
export function argMax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

/** Area shared by two boxes over the area of both together. */
export function overlap(a: Detection['box'], b: Detection['box']): number {
  const side = (from: number) =>
    Math.max(0, Math.min(a[from + 2], b[from + 2]) - Math.max(a[from], b[from]));
  const area = (box: Detection['box']) => (box[2] - box[0]) * (box[3] - box[1]);
  const shared = side(0) * side(1);
  return shared > 0 ? shared / (area(a) + area(b) - shared) : 0;
}

/** [rows, columns, 3] 0..255 -> [1, size, size, 3] float32 0..255. */
function resized(picture: tf.Tensor3D, size: number): tf.Tensor4D {
  return tf.tidy(() => {
    const float: tf.Tensor3D = tf.cast(picture, 'float32');
    return tf.expandDims<tf.Tensor4D>(tf.image.resizeBilinear(float, [size, size]), 0);
  });
}

async function graphModel(
  this: Net,
  base: string,
  onProgress?: (share: number) => void,
): Promise<LoadedNet> {
  const model = await loadGraphModel(modelUrl(this, base), { onProgress: onProgress ?? ignore });
  return {
    net: this,
    run: input => listOf(model.execute(input, [...this.outputs])),
    dispose: () => model.dispose(),
  };
}

async function layersModel(
  this: Net,
  base: string,
  onProgress?: (share: number) => void,
): Promise<LoadedNet> {
  const model = await loadLayersModel(modelUrl(this, base), { onProgress: onProgress ?? ignore });
  return {
    net: this,
    run: input => listOf(model.predict(input)),
    dispose: () => void model.dispose(),
  };
}

const modelUrl = (net: Net, base: string) => `${base}/${net.name}/model.json`;
const listOf = (result: tf.Tensor | tf.Tensor[]) => (Array.isArray(result) ? result : [result]);
const ignore = () => undefined;

/** The 80 classes of COCO, in the nets' order. */
export const COCO: readonly string[] =
  `person, bicycle, car, motorcycle, airplane, bus, train, truck,
boat, traffic light, fire hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow,
elephant, bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard,
sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle,
wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog,
pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop, mouse, remote,
keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors,
teddy bear, hair drier, toothbrush`.split(/,\s+/);
