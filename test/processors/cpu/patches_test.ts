/** src/processors/cpu/patches.ts: where a pixel's patch lies in the padded image. */
import { backend_util } from '@tensorflow/tfjs-core';

import {
  imageSize,
  needsNoPadding,
  paddedSize,
  patchesOfConv,
  patchesOfMatMul,
} from '../../../src/processors/cpu/patches.js';

const conv = (
  x: [number, number, number, number],
  filter: [number, number, number, number],
  stride: number,
  dilation: number,
  pad: 'same' | 'valid',
) => patchesOfConv(backend_util.computeConv2DInfo(x, filter, stride, dilation, pad));

describe('patchesOfConv', () => {
  it('3x3: a segment for each row of the filter', () => {
    const patches = conv([1, 5, 6, 2], [3, 3, 2, 4], 1, 1, 'valid');
    expect(patches.segmentOffsets).toEqual([0, 12, 24]);
    expect(patches.segmentLength).toBe(6);
    expect([patches.pixels, patches.pixelsPerRow]).toEqual([12, 4]);
    expect([patches.pixelStride, patches.rowStride]).toEqual([2, 12]);
    expect(needsNoPadding(patches)).toBeTrue();
  });

  it('dilation: a segment for each tap', () => {
    const patches = conv([1, 9, 9, 2], [2, 2, 2, 4], 1, 3, 'valid');
    expect(patches.segmentOffsets).toEqual([0, 6, 54, 60]);
    expect(patches.segmentLength).toBe(2);
  });

  it('padding: the image is set into a larger one', () => {
    const patches = conv([2, 5, 5, 3], [3, 3, 3, 4], 2, 1, 'same');
    expect([patches.top, patches.left]).toEqual([1, 1]);
    expect([patches.paddedHeight, patches.paddedWidth]).toEqual([7, 7]);
    expect([imageSize(patches), paddedSize(patches)]).toEqual([75, 147]);
    expect([patches.pixelStride, patches.rowStride]).toEqual([6, 2 * 7 * 3]);
    expect(patches.batch).toBe(2);
    expect(needsNoPadding(patches)).toBeFalse();
  });

  for (const [x, filter, stride, dilation, pad] of [
    [[1, 7, 8, 3], [3, 2, 3, 1], 1, 1, 'same'],
    [[1, 8, 7, 3], [3, 3, 3, 1], 2, 1, 'same'],
    [[1, 8, 9, 2], [2, 2, 2, 1], 3, 1, 'valid'],
    [[1, 9, 9, 2], [3, 3, 2, 1], 1, 2, 'same'],
    [[1, 3, 3, 2], [1, 1, 2, 1], 2, 1, 'valid'],
  ] as const) {
    it(`no patch of ${filter.join('x')} on ${x.join('x')} by ${stride}, ${dilation}, ${pad} leaves the image`, () => {
      const patches = conv([...x], [...filter], stride, dilation, pad);
      const rows = patches.pixels / patches.pixelsPerRow;
      const last =
        (rows - 1) * patches.rowStride +
        (patches.pixelsPerRow - 1) * patches.pixelStride +
        patches.segmentOffsets.at(-1)! +
        patches.segmentLength;
      expect(last).toBeLessThanOrEqual(paddedSize(patches));
      expect(paddedSize(patches)).toBeGreaterThanOrEqual(imageSize(patches));
    });
  }
});

describe('patchesOfMatMul', () => {
  it('is one segment for each row', () => {
    const patches = patchesOfMatMul(2, 5, 7);
    expect(patches.segmentOffsets).toEqual([0]);
    expect([patches.segmentLength, patches.pixels, patches.pixelStride]).toEqual([7, 5, 7]);
    expect(needsNoPadding(patches)).toBeTrue();
    expect(imageSize(patches)).toBe(35);
  });
});
