/**
 * src/processors/gpu/programs/: what the specs of the kernels do not see. Every program keeps the
 * zeros that the layout promises (`throughImages` looks), also where its function makes something of
 * nothing; and the ways that only large or many operands take give the oracle's numbers.
 */
import type { GpuContext } from '../../../../src/processors/gpu/context.js';
import type { Image } from '../../../../src/processors/gpu/layout.js';
import { activationOf } from '../../../../src/processors/gpu/programs/activation.js';
import { binaryImage, normaliseImage } from '../../../../src/processors/gpu/programs/binary.js';
import { packFilter } from '../../../../src/processors/gpu/programs/conv2d.js';
import { dense } from '../../../../src/processors/gpu/programs/dense.js';
import { toHalves } from '../../../../src/processors/gpu/programs/halves.js';
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
import { poolWhole } from '../../../../src/processors/gpu/programs/pool.js';
import { resizeImage } from '../../../../src/processors/gpu/programs/resize.js';
import { softmaxImage } from '../../../../src/processors/gpu/programs/softmax.js';
import { relay } from '../../../../src/processors/gpu/programs/transfer.js';
import { unaryImage } from '../../../../src/processors/gpu/programs/unary.js';
import { EPSILON16, expectNear, grid, useMulayer } from '../../../support.js';
import { Random } from '../../../wasm/random';
import type { Computed } from './images.js';
import { FORMATS, ownContext, relativeRms, throughImages } from './images.js';

/** Odd in every axis that can be. */
const SHAPE = [2, 5, 7, 6];
const SIZE = 2 * 5 * 7 * 6;

/** Programs of x and of x with another, and of numbers a channel. */
const PROGRAMS: Record<string, (context: GpuContext, x: Image, c: Image) => Image> = {
  'exp, which is 1 of 0': (context, x) => unaryImage(context, x, 'Exp', [0, 0])!,
  'reciprocal, infinite of 0': (context, x) => unaryImage(context, x, 'Reciprocal', [0, 0])!,
  'clip from 1 on': (context, x) => unaryImage(context, x, 'ClipByValue', [1, 2])!,
  'division, 0 / 0': (context, x) => binaryImage(context, 'RealDiv', [x, x], SHAPE)!,
  'a number a channel': (context, x, c) => binaryImage(context, 'Add', [x, c], SHAPE)!,
  'batch norm': (context, x, c) =>
    normaliseImage(context, x, { Mean: c, Variance: c, Scale: c, Offset: c }, 1e-3),
  softmax: (context, x) => softmaxImage(context, x),
  'mean of the image': (context, x) => poolWhole(context, x, 'mean'),
  'maximum of the image': (context, x) => poolWhole(context, x, 'max'),
  slice: (context, x) => sliceImage(context, x, [1, 1, 2, 1], [1, 3, 4, 5]),
  pad: (context, x) => padImage(context, x, [0, 1, 2, 3], [2, 7, 9, 11]),
  'pad with 2': (context, x) => fillImage(context, x, [0, 1, 2, 0], [2, 7, 9, 6], 2),
  'pad with -3, channels too': (context, x) =>
    fillImage(context, x, [0, 1, 2, 3], [2, 7, 9, 11], -3),
  concat: (context, x) => joinImages(context, [x, x], [2, 5, 7, 12], 3),
  transpose: (context, x) => transposeImage(context, x, [0, 3, 1, 2], [2, 6, 5, 7]),
  'another shape': (context, x) => relay(context, x, [7, 3, 5, 4]),
  resize: (context, x) =>
    resizeImage(
      context,
      x,
      { isNearest: false, alignCorners: false, halfPixelCenters: true },
      [2, 9, 11, 6],
    )!,
};

describe('programs on the GPU', () => {
  useMulayer();

  for (const format of FORMATS) {
    for (const [name, draw] of Object.entries(PROGRAMS)) {
      it(`keep the zeros of the layout: ${name}, ${format}`, () => {
        const context = ownContext();
        if (!context) return;
        const inputs = [
          { numbers: grid(SIZE, 1), shape: SHAPE },
          { numbers: grid(6, 1), shape: [6] },
        ];
        const got = throughImages(context, inputs, format, ([x, c]) => draw(context, x, c));
        expect(got.some(v => v !== 0)).toBeTrue();
      });
    }

    it(`depth to space keeps the zeros, ${format}`, () => {
      const context = ownContext();
      if (!context) return;
      const inputs = [{ numbers: grid(2 * 3 * 5 * 12), shape: [2, 3, 5, 12] }];
      throughImages(context, inputs, format, ([x]) =>
        depthToSpaceImage(context, x, 2, [2, 6, 10, 3]),
      );
    });

    it(`join more images than a draw can read, ${format}`, () => {
      const context = ownContext();
      if (!context) return;
      const parts = Array.from({ length: 19 }, (_, i) => grid(6 * (1 + (i % 3)), i));
      const inputs = parts.map(numbers => ({ numbers, shape: [2, 3, numbers.length / 6] }));
      const channels = parts.reduce((sum, { length }) => sum + length / 6, 0);
      const got = throughImages(context, inputs, format, images =>
        joinImages(context, images, [2, 3, channels], 2),
      );
      const wanted = Array.from({ length: 6 }, (_, pixel) =>
        parts.flatMap(numbers => {
          const c = numbers.length / 6;
          return [...numbers.subarray(pixel * c, (pixel + 1) * c)];
        }),
      );
      expectNear(got, wanted.flat());
    });

    for (const [k, n] of [
      [65, 3],
      [1030, 13],
      [4100, 5],
    ]) {
      it(`a fully connected layer [1,${k}] * [${k},${n}] in parts, ${format}`, () => {
        const context = ownContext();
        if (!context) return;
        expect(denseError(context, k, n, format)).toBeLessThan(format === 'half' ? 1e-3 : 2e-4);
      });
    }

    it(`the mean of an image of many pixels, ${format}`, () => {
      const context = ownContext();
      if (!context) return;
      const [h, w, c] = [37, 29, 5];
      const numbers = grid(h * w * c);
      const wanted = Array.from({ length: c }, (_, i) => {
        const own = numbers.filter((_, at) => at % c === i);
        return own.reduce((a, b) => a + b) / own.length;
      });
      const inputs = [{ numbers, shape: [h, w, c] }];
      const got = throughImages(context, inputs, format, ([x]) => poolWhole(context, x, 'mean'));
      // Rows and then the image are rounded; float32 by far less than halves.
      const error = format === 'half' ? 2 * EPSILON16 : 1e-6;
      expectNear(got, wanted, i => error * wanted[i]);
    });
  }

  it('numbers beyond halves become NaN in halves, which no function hides, and stay in floats; infinity stays', () => {
    const context = ownContext();
    if (!context) return;
    const numbers = [1e5, -1e6, Infinity, 65504, -300];
    for (const format of FORMATS) {
      const inputs = [{ numbers, shape: [5] }];
      const got = throughImages(context, inputs, format, ([x]) => sliceImage(context, x, [0], [5]));
      expect([...got]).toEqual(format === 'float' ? numbers : [NaN, NaN, Infinity, 65504, -300]);
    }
    const hiding: ((x: Image) => Image)[] = [
      x => unaryImage(context, x, 'Reciprocal', [0, 0])!,
      x => unaryImage(context, x, 'Relu6', [0, 0])!,
      x => unaryImage(context, x, 'Sigmoid', [0, 0])!,
      x => unaryImage(context, x, 'ClipByValue', [0, 1])!,
      x => binaryImage(context, 'Minimum', [x, x], [1, 1, 2, 1])!,
      x => softmaxImage(context, x),
      x => poolWhole(context, x, 'max'),
      x => poolWhole(context, x, 'min'),
    ];
    for (const draw of hiding) {
      for (const numbers of [
        [1e6, 1],
        [1, -1e5],
      ]) {
        // prettier-ignore
        const inputs = [{ numbers, shape: [1, 1, 2, 1] }];
        const got = throughImages(context, inputs, 'half', ([x]) => draw(x));
        expect(got.some(v => Number.isNaN(v))).toBeTrue();
      }
    }
  });
});

function denseError(context: GpuContext, k: number, n: number, format: Computed): number {
  const random = new Random(1);
  const [xs, ws, biases] = [random.floats(k), random.floats(k * n), random.floats(n)];
  const filter = packFilter(context, ws, [1, 1, k, n], 'texture', format);
  const inputs = [
    { numbers: xs, shape: [1, k] },
    { numbers: biases, shape: [n] },
  ];
  const got = throughImages(context, inputs, format, ([x, bias]) =>
    dense(context, x, filter, { bias, activation: activationOf({ activation: 'linear' })! }, [
      1,
      n,
    ]),
  );
  filter.free();
  const wanted = Array.from({ length: n }, (_, j) =>
    xs.reduce((sum, v, i) => sum + v * ws[i * n + j], biases[j]),
  );
  return relativeRms(got, wanted);
}

describe('halves on the host', () => {
  /** What WebGL makes of them: exact. */
  const value = (half: number) => {
    const [sign, exponent, fraction] = [half >> 15, (half >> 10) & 31, half & 1023];
    const size = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
    return sign ? -size : size;
  };

  it('keep every half, and go to the nearest from between', () => {
    for (let half = 1; half < 0x7bff; half += 7) {
      const [low, high] = [value(half), value(half + 1)];
      const middle = (low + high) / 2;
      const got = toHalves(
        Float32Array.of(low, -low, middle - low / 2 ** 22, middle + low / 2 ** 22),
      );
      expect([...got.slice(0, 2)]).toEqual([half, half | 0x8000]);
      if (half > 4) expect([...got.slice(2)]).toEqual([half, half + 1]);
      const even = half % 2 === 0 ? half : half + 1;
      expect(toHalves(Float32Array.of(middle))[0]).toBe(even);
    }
    expect([...toHalves(Float32Array.of(0, 65504, 1e6, -Infinity))]).toEqual([
      ...[0, 0x7bff, 0x7e00, 0xfc00],
    ]);
  });
});
