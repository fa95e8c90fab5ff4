/**
 * Bytes through one operation between two int8 convolutions, through the public API: it writes
 * bytes, and the second convolution's result is as near to float32 as its range allows.
 *
 *     conv int8 ──bytes──► operation ──bytes──► conv int8 ──floats──►
 */
import * as tf from '@tensorflow/tfjs-core';

import { explain } from '../../src/index.js';
import { setFlags, useMulayer } from '../support.js';
import { Random } from '../wasm/random';

/** Relative RMS error of two int8 layers; an operation that rounds again has half of it to itself. */
const TOLERANCE = 0.03;

type Image = tf.Tensor4D;

/** tfjs's names of the kernels that write bytes, and the operation on [1,24,28,16]. */
const OPERATIONS: Record<string, [ops: string[], operate: (x: Image) => tf.Tensor]> = {
  'pad with zeros': [
    ['PadV2'],
    x =>
      tf.pad(x, [
        [0, 0],
        [1, 2],
        [0, 3],
        [0, 0],
      ]),
  ],
  slice: [['Slice'], x => tf.slice(x, [0, 1, 2, 3], [1, 19, 20, 11])],
  'strided slice': [
    ['StridedSlice'],
    x => tf.stridedSlice(x, [0, 1, 0, 0], [1, 24, 28, 16], [1, 2, 3, 1]),
  ],
  'the parts of a split, put together the other way': [
    ['SplitV', 'Concat'],
    x => {
      const [a, b] = tf.split(x, [5, 11], 3);
      return tf.concat([b, a], 3);
    },
  ],
  'unstacked rows': [
    ['Unpack', 'Concat'],
    x => tf.reshape(tf.concat(tf.unstack(x, 1) as tf.Tensor3D[], 2), [1, 28, 24, 16]),
  ],
  'depth to space': [['DepthToSpace'], x => tf.depthToSpace(x, 2)],
  'average pooling': [['AvgPool'], x => tf.avgPool(x, 3, 2, 'same')],
  // As much work as int8 asks for: 16 numbers alone would not be worth it.
  'the mean of rows, repeated': [
    ['Mean', 'ResizeNearestNeighbor'],
    x => tf.image.resizeNearestNeighbor(tf.mean<tf.Tensor4D>(x, 1, true), [14, 28]),
  ],
  'a transposed convolution': [
    ['FusedConv2DBackpropInput'],
    x => {
      const numbers = new Random(2).floats(4 * 4 * 10 * 16).map(v => v / 12);
      const filter = (transposed ??= tf.keep(tf.tensor4d(numbers, [4, 4, 10, 16])));
      return tf.relu(tf.conv2dTranspose(x, filter, [1, 48, 56, 10], 2, 'same'));
    },
  ],
  'resize nearest': [['ResizeNearestNeighbor'], x => tf.image.resizeNearestNeighbor(x, [48, 56])],
  'resize bilinear': [['ResizeBilinear'], x => tf.image.resizeBilinear(x, [48, 56], false, true)],
  'ReLU and a clip, of a transpose': [
    ['Transpose', 'Relu', 'ClipByValue'],
    x => tf.clipByValue(tf.relu(tf.transpose(x, [0, 2, 1, 3])), -1, 0.75),
  ],
  'leaky ReLU of a transpose': [
    ['Transpose', 'LeakyRelu'],
    x => tf.leakyRelu(tf.transpose(x, [0, 2, 1, 3])),
  ],
  'a sigmoid of a sum': [['Add', 'Sigmoid'], x => tf.sigmoid(tf.add(x, x))],
  'ReLU6 as minimum and maximum, of a transpose': [
    ['Transpose', 'Minimum', 'Maximum'],
    x => tf.maximum(tf.minimum(tf.transpose(x, [0, 2, 1, 3]), 0.6), 0),
  ],
  'sums and quotients with a number': [
    ['Transpose', 'Add', 'RealDiv', 'Sub'],
    x => tf.sub(2, tf.div(tf.add(tf.transpose(x, [0, 2, 1, 3]), 3), 1.5)),
  ],
  transpose: [['Transpose'], x => tf.transpose(x, [0, 2, 1, 3])],
};

let transposed: tf.Tensor4D | undefined;

function net(operate: (x: Image) => tf.Tensor) {
  const random = new Random(1);
  const weights = (...shape: [number, number, number, number]) => {
    const limit = 2 / Math.sqrt(shape[0] * shape[1] * shape[2]);
    const numbers = random.floats(tf.util.sizeFromShape(shape));
    return tf.tensor4d(
      numbers.map(v => v * limit),
      shape,
    );
  };
  const x = tf.tensor4d(random.floats(24 * 28 * 16), [1, 24, 28, 16]);
  const w1 = weights(3, 3, 16, 16);
  const bias = tf.tensor1d(random.floats(16));
  let w2: tf.Tensor4D | undefined;
  return async () => {
    const y = tf.tidy(() => {
      const first = tf.fused.conv2d({ x, filter: w1, strides: 1, pad: 'same', bias });
      const middle = operate(first) as Image;
      w2 ??= tf.keep(weights(1, 1, middle.shape[3], 64));
      return tf.conv2d(middle, w2, 1, 'same');
    });
    const numbers = Array.from(await y.data());
    y.dispose();
    return { numbers, release: () => w2?.dispose() };
  };
}

describe('bytes go through', () => {
  useMulayer();

  for (const [name, [ops, operate]] of Object.entries(OPERATIONS)) {
    it(name, async () => {
      setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'float32' });
      const read = net(operate);
      const { numbers: exact, release } = await read();
      setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'int8' });
      for (let run = 0; run < 4; run++) {
        const { numbers } = await read();
        const { layers } = explain();
        const inBytes = layers.filter(({ quantised }) => quantised).map(({ op }) => op);
        // The weights have to come twice, and then the range is learned.
        if (run > 1) expect(inBytes.slice(1)).toEqual(ops);
        const power = (all: number[]) => all.reduce((sum, v) => sum + v * v, 0);
        const error = Math.sqrt(power(numbers.map((v, i) => v - exact[i])) / power(exact));
        expect(error).withContext(`run ${run}`).toBeLessThan(TOLERANCE);
      }
      release();
      transposed?.dispose();
      transposed = undefined;
    });
  }
});
