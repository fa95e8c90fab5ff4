/**
 * The problems of the depthwise and pooling specs: windows over one image, with strides, dilations
 * and paddings, images smaller than the window among them.
 */
import type { Conv2D } from '../reference/conv2d';
import type { Random } from './random';

interface Options {
  stride?: [h: number, w: number];
  dilation?: [h: number, w: number];
  /** 'valid', 'same', or rows and columns at the top, bottom, left and right. */
  pad?: 'valid' | 'same' | [top: number, bottom: number, left: number, right: number];
}

/** Sizes as tfjs computes them; co = ci * multiplier. */
export function windows(
  [h, w, ci]: [number, number, number],
  [kh, kw]: [number, number],
  { stride: [strideH, strideW] = [1, 1], dilation = [1, 1], pad = 'same' }: Options = {},
  multiplier = 1,
): Conv2D {
  const [dilationH, dilationW] = dilation;
  const extentH = (kh - 1) * dilationH + 1;
  const extentW = (kw - 1) * dilationW + 1;
  const along = (size: number, extent: number, stride: number, before: number, after: number) => {
    if (pad !== 'same') {
      return { out: Math.floor((size + before + after - extent) / stride) + 1, before };
    }
    const out = Math.ceil(size / stride);
    return { out, before: Math.floor(Math.max(0, (out - 1) * stride + extent - size) / 2) };
  };
  const [top, bottom, left, right] = Array.isArray(pad) ? pad : [0, 0, 0, 0];
  const rows = along(h, extentH, strideH, top, bottom);
  const columns = along(w, extentW, strideW, left, right);
  return {
    h,
    w,
    ci,
    kh,
    kw,
    co: ci * multiplier,
    strideH,
    strideW,
    dilationH,
    dilationW,
    top: rows.before,
    left: columns.before,
    oh: rows.out,
    ow: columns.out,
  };
}

export function describeWindows(p: Conv2D): string {
  const sizes = `[${p.h},${p.w},${p.ci}] under [${p.kh},${p.kw}] -> [${p.oh},${p.ow},${p.co}]`;
  const steps = `stride ${p.strideH},${p.strideW} dilation ${p.dilationH},${p.dilationW}`;
  return `${sizes} ${steps} pad ${p.top},${p.left}`;
}

/** Windows of up to 5 x 5 over a small image, padded like 'same' or by a few rows and columns. */
export function randomWindows(random: Random, multiplier = 1): Conv2D {
  const pair = (lo: number, hi: number): [number, number] => [
    random.integer(lo, hi),
    random.integer(lo, hi),
  ];
  const [[kh, kw], stride, dilation] = [pair(1, 5), pair(1, 3), pair(1, 2)];
  const c = random.integer(1, 13);
  if (random.integer(0, 1)) {
    return windows([...pair(1, 14), c], [kh, kw], { stride, dilation }, multiplier);
  }
  const h = (kh - 1) * dilation[0] + random.integer(1, 6);
  const w = (kw - 1) * dilation[1] + random.integer(1, 6);
  const pad = [...pair(0, 2), ...pair(0, 2)] satisfies Options['pad'];
  return windows([h, w, c], [kh, kw], { stride, dilation, pad }, multiplier);
}

export const WINDOWS: readonly Conv2D[] = [
  windows([1, 1, 1], [1, 1]),
  windows([1, 1, 3], [3, 3]),
  windows([2, 2, 4], [5, 5]),
  ...[1, 2, 3, 4, 5, 7, 8, 9, 12, 13].map(c => windows([5, 6, c], [3, 3])),
  ...[1, 3, 4, 5, 6, 7, 8, 9, 10].map(w => windows([4, w, 5], [3, 3])),
  windows([9, 11, 8], [3, 3], { stride: [2, 2] }),
  windows([10, 12, 5], [3, 3], { stride: [2, 2] }),
  windows([8, 14, 4], [3, 3], { stride: [2, 1], pad: 'valid' }),
  windows([9, 9, 6], [5, 5]),
  windows([9, 16, 6], [5, 5], { stride: [2, 2] }),
  windows([7, 9, 3], [2, 4], { pad: 'valid' }),
  windows([11, 13, 4], [3, 3], { dilation: [2, 2] }),
  windows([7, 7, 4], [3, 3], { dilation: [4, 4] }),
  windows([11, 13, 4], [3, 2], { dilation: [3, 2], stride: [2, 2], pad: 'same' }),
  windows([6, 6, 4], [3, 3], { pad: [2, 1, 1, 2] }),
  windows([6, 7, 4], [7, 7]),
  windows([7, 7, 16], [7, 7], { pad: 'valid' }),
];
