/**
 * src/processors/gpu/programs/ on QUInt8 textures: what is moved stays the same bytes, what is computed
 * is what it is of the numbers that the bytes stand for, zeros of the layout are zero points, and bytes
 * travel as the CPU would have made them, with their range.
 */
import type { Quantisation } from '../../../../src/processors/cpu/quantisation.js';
import { quantisationOf, rangeOf } from '../../../../src/processors/cpu/quantisation.js';
import type { GpuContext } from '../../../../src/processors/gpu/context.js';
import type { Image } from '../../../../src/processors/gpu/layout.js';
import { activationOf } from '../../../../src/processors/gpu/programs/activation.js';
import { binaryImage, normaliseImage } from '../../../../src/processors/gpu/programs/binary.js';
import { packFilter } from '../../../../src/processors/gpu/programs/conv2d.js';
import { conv2dTranspose } from '../../../../src/processors/gpu/programs/conv2d_transpose.js';
import { dense } from '../../../../src/processors/gpu/programs/dense.js';
import { matMulImage } from '../../../../src/processors/gpu/programs/mat_mul.js';
import {
  fillImage,
  joinImages,
  padImage,
  sliceImage,
} from '../../../../src/processors/gpu/programs/moves.js';
import {
  depthToSpaceImage,
  transposeImage,
} from '../../../../src/processors/gpu/programs/permute.js';
import { poolImage, poolWhole } from '../../../../src/processors/gpu/programs/pool.js';
import { resizeImage } from '../../../../src/processors/gpu/programs/resize.js';
import { softmaxImage } from '../../../../src/processors/gpu/programs/softmax.js';
import {
  download,
  downloadBytes,
  downloadLength,
  relay,
  upload,
  uploadBytes,
} from '../../../../src/processors/gpu/programs/transfer.js';
import { activateImage, unaryImage } from '../../../../src/processors/gpu/programs/unary.js';
import { quantiseValue } from '../../../reference/quantise';
import { expectNear, useMulayer } from '../../../support.js';
import { Random } from '../../../wasm/random';
import { expectZeros, FORMATS, ownContext, relativeRms, throughImages } from './images.js';

/** Odd in every axis that can be. */
const SHAPE = [2, 5, 7, 6];
const SIZE = 2 * 5 * 7 * 6;

const Q: Quantisation = { scale: 3 / 255, zero: 77 };

const numbersOf = (bytes: ArrayLike<number>, { scale, zero } = Q) =>
  Float32Array.from(bytes, q => (q - zero) * scale);

const WINDOW = {
  ...{ kh: 3, kw: 3, strideH: 2, strideW: 2, dilationH: 1, dilationW: 1 },
  ...{ top: 1, left: 1 },
};
const HALVED = [2, 3, 4, 6];
const RESIZE = { alignCorners: false, halfPixelCenters: true };

type Program = (context: GpuContext, x: Image) => Image;

/** Their results are some of the bytes they read, and zeros. */
const MOVERS: Record<string, Program> = {
  slice: (context, x) => sliceImage(context, x, [1, 1, 2, 1], [1, 3, 4, 5]),
  pad: (context, x) => padImage(context, x, [0, 1, 2, 3], [2, 7, 9, 11]),
  concat: (context, x) => joinImages(context, [x, x], [2, 5, 7, 12], 3),
  'concat of many': (context, x) => joinImages(context, Array(11).fill(x), [22, 5, 7, 6], 0), // prettier-ignore
  transpose: (context, x) => transposeImage(context, x, [0, 3, 1, 2], [2, 6, 5, 7]),
  'another shape': (context, x) => relay(context, x, [7, 3, 5, 4]),
  'maximum of a window': (context, x) => poolImage(context, x, 'max', WINDOW, HALVED),
  'maximum of the image': (context, x) => poolWhole(context, x, 'max'),
};

const COMPUTERS: Record<string, Program> = {
  exp: (context, x) => unaryImage(context, x, 'Exp', [0, 0])!,
  activation: (context, x) => activateImage(context, x, activationOf({ activation: 'sigmoid' })!),
  sum: (context, x) => binaryImage(context, 'Add', [x, x], SHAPE)!,
  softmax: (context, x) => softmaxImage(context, x),
  'mean of the image': (context, x) => poolWhole(context, x, 'mean'),
  'pad with 2': (context, x) => fillImage(context, x, [0, 1, 2, 0], [2, 7, 9, 6], 2),
  'resize, bilinear': (context, x) =>
    resizeImage(context, x, { isNearest: false, ...RESIZE }, [2, 9, 11, 6])!,
  'resize, nearest': (context, x) =>
    resizeImage(context, x, { isNearest: true, ...RESIZE }, [2, 9, 11, 6])!,
  'matrix product': (context, x) => matMulImage(context, x, transposed(context, x), [2, 5, 7, 7]),
};

function transposed(context: GpuContext, x: Image): Image {
  return transposeImage(context, x, [0, 1, 3, 2], [2, 5, 6, 7]);
}

describe('bytes on the GPU', () => {
  useMulayer();

  const bytes = new Random(3).bytes(SIZE);
  const half = { numbers: numbersOf(bytes), shape: SHAPE };
  const byte = { numbers: bytes, shape: SHAPE, quantisation: Q };

  for (const [name, draw] of Object.entries(MOVERS)) {
    it(`${name}: the same bytes`, () => {
      const context = ownContext();
      if (!context) return;
      const made: Image[] = [];
      const got = throughImages(context, [byte], 'half', ([x]) => (made[0] = draw(context, x)));
      expect(made[0].quantisation).toEqual(Q);
      expect(made[0].texture.format).toBe('byte');
      const wanted = throughImages(context, [half], 'float', ([x]) => draw(context, x));
      expectNear(got, wanted, 1e-6);
    });
  }

  for (const [name, draw] of Object.entries(COMPUTERS)) {
    it(`${name}: halves, as of the numbers`, () => {
      const context = ownContext();
      if (!context) return;
      const made: Image[] = [];
      const got = throughImages(context, [byte], 'half', ([x]) => (made[0] = draw(context, x)));
      expect(made[0].texture.format).toBe('half');
      const wanted = throughImages(context, [half], 'float', ([x]) => draw(context, x));
      expect(relativeRms(got, wanted)).toBeLessThan(1e-3);
    });
  }

  it('depth to space: the same bytes', () => {
    const context = ownContext();
    if (!context) return;
    const shape = [2, 3, 5, 12];
    const bytes = new Random(4).bytes(360);
    const draw: Program = (context, x) => depthToSpaceImage(context, x, 2, [2, 6, 10, 3]);
    const [got, wanted] = (['byte', 'float'] as const).map(format => {
      const input =
        format === 'byte'
          ? { numbers: bytes, shape, quantisation: Q }
          : { numbers: numbersOf(bytes), shape };
      return throughImages(context, [input], 'float', ([x]) => draw(context, x));
    });
    expectNear(got, wanted, 1e-6);
  });

  it('batch norm, transposed convolution, a fully connected layer: as of the numbers', () => {
    const context = ownContext();
    if (!context) return;
    const random = new Random(5);
    const channels = { numbers: [1, 2, 3, 4, 5, 6], shape: [6] };
    const linear = { activation: activationOf({ activation: 'linear' })! };
    const filter = packFilter(context, random.floats(9 * 6 * 5), [3, 3, 6, 5], 'texture', 'half');
    const weights = packFilter(context, random.floats(210 * 9), [1, 1, 210, 9], 'texture', 'half');
    const programs: Program[] = [
      (context, x) => conv2dTranspose(context, x, filter, WINDOW, linear, [2, 9, 13, 5]),
      (context, x) => {
        const row = relay(context, sliceImage(context, x, [0, 0, 0, 0], [1, 5, 7, 6]), [1, 210]);
        return dense(context, row, weights, linear, [1, 9]);
      },
    ];
    for (const draw of programs) {
      const [got, wanted] = [byte, half].map(input =>
        throughImages(context, [input], 'half', ([x]) => draw(context, x)),
      );
      expect(relativeRms(got, wanted)).toBeLessThan(1.5e-3);
    }
    const [got, wanted] = [byte, half].map(input =>
      throughImages(context, [input, channels], 'half', ([x, c]) =>
        normaliseImage(context, x, { Mean: c, Variance: c, Scale: c, Offset: c }, 1e-3),
      ),
    );
    expect(relativeRms(got, wanted)).toBeLessThan(1.5e-3);
    filter.free();
    weights.free();
  });

  it('parts of different scales are joined as halves, or as bytes of the scale that is wanted', () => {
    const context = ownContext();
    if (!context) return;
    const other = { scale: 5 / 255, zero: 10 };
    const inputs = [byte, { ...byte, quantisation: other }, half];
    const all = [numbersOf(bytes), numbersOf(bytes, other), numbersOf(bytes)];
    const wanted = all.flatMap(numbers => [...numbers]);
    for (const quantisation of [undefined, quantisationOf([-4, 6])!]) {
      const made: Image[] = [];
      const got = throughImages(
        context,
        inputs,
        'half',
        images => (made[0] = joinImages(context, images, [6, 5, 7, 6], 0, quantisation)),
      );
      expect(made[0].quantisation).toEqual(quantisation);
      const error = quantisation ? quantisation.scale * 0.501 + 2e-3 : 2e-3;
      expectNear(got, wanted, error);
    }
  });

  describe('travel', () => {
    /** Numbers go to the GPU in a format, and come back as bytes. */
    function through(
      context: GpuContext,
      numbers: Float32Array,
      shape: number[],
      quantisation: Quantisation,
      format: 'half' | 'float' = 'float',
    ) {
      const image = upload(context, numbers, shape, format);
      const to = new Uint8Array(downloadLength(image));
      const range = downloadBytes(context, image, quantisation, to);
      context.give(image.texture);
      return { got: [...to.subarray(0, numbers.length)], range };
    }

    for (const shape of [[1], [3], [2, 2], [5, 3], [1, 7, 9, 10], [3, 6, 5, 3], [1, 2, 300, 9]]) {
      const size = shape.reduce((a, b) => a * b);

      it(`[${shape}] comes back as the oracle would have made it, with its range`, () => {
        const context = ownContext();
        if (!context) return;
        const numbers = new Random(7).floats(size).map(v => 5 * v + 1);
        const [min, max] = [Math.min(0, ...numbers), Math.max(0, ...numbers)];
        const quantisation = quantisationOf([min, max]) ?? Q;
        for (const format of FORMATS) {
          const { got, range } = through(context, numbers, shape, quantisation, format);
          const { scale, zero } = quantisation;
          numbers.forEach((v, i) => {
            const wanted = quantiseValue(v, 1 / scale, zero);
            expect(Math.abs(got[i] - wanted)).toBeLessThanOrEqual(1);
            // Beyond ties no rounding can be other than the nearest.
            const error = Math.abs((got[i] - zero) * scale - v);
            expect(error).toBeLessThan(scale * 0.501 + (format === 'half' ? 6 / 2048 : 0));
          });
          const rounding = format === 'half' ? 6 / 2048 : 0;
          expectNear(range, [min, max], rounding);
        }
      });

      it(`[${shape}] goes there and comes back the same bytes`, () => {
        const context = ownContext();
        if (!context) return;
        const bytes = Uint8Array.from({ length: size }, (_, i) => (i * 37) & 255);
        for (const zero of [0, 101, 255]) {
          const quantisation = { scale: 0.01, zero };
          const image = uploadBytes(context, bytes, quantisation, shape);
          expectZeros(context, image);
          expectNear(download(context, image), numbersOf(bytes, quantisation), 1e-6);
          const to = new Uint8Array(downloadLength(image));
          downloadBytes(context, image, quantisation, to);
          expect([...to.subarray(0, size)]).toEqual([...bytes]);
          context.give(image.texture);
        }
      });
    }

    it('what is beyond the range becomes the nearest byte, and its range tells; so does a NaN', () => {
      const context = ownContext();
      if (!context) return;
      const quantisation = quantisationOf([-1, 1])!;
      const numbers = new Random(1).floats(11 * 13 * 5);
      numbers[700] = 40;
      numbers[3] = -3;
      const { got, range } = through(context, numbers, [1, 11, 13, 5], quantisation);
      expect([got[700], got[3]]).toEqual([255, 0]);
      expectNear(range, [-3, 40]);
      numbers[333] = NaN;
      expect(through(context, numbers, [1, 11, 13, 5], quantisation).range).toEqual([NaN, NaN]);
      expectNear(rangeOf(quantisation), [-1, 1], 0.01);
    });

    it('a large map of many groups has its range', () => {
      const context = ownContext();
      if (!context) return;
      const numbers = new Float32Array(2 * 40 * 30 * 70).fill(0.25);
      numbers[numbers.length - 1] = 2;
      numbers[12345] = -1;
      const { range } = through(context, numbers, [2, 40, 30, 70], quantisationOf([-1, 2])!);
      expectNear(range, [-1, 2]);
    });
  });
});
