/**
 * Means of QUInt8 tensors: average pooling, and the mean of a whole image. A mean has a range of its
 * own, far narrower than its image's as a rule, so it gets a scale of its own.
 */
import type { Spec } from '../../graph/kernel.js';
import { withSpread } from './int8.js';
import type { CpuBuffer, CpuProcessor } from './processor.js';
import type { Range } from './quantisation.js';
import { quantisationOf } from './quantisation.js';

/** From `h` to `ow` as the pooling kernels take them. */
export type Window = readonly [
  ...[h: number, w: number, c: number, kh: number, kw: number],
  ...[strideH: number, strideW: number, dilationH: number, dilationW: number],
  ...[top: number, left: number, oh: number, ow: number],
];

/** y [images,oh,ow,c] as bytes of this range; undefined where x [images,h,w,c] is no bytes. */
export function averageBytes(
  cpu: CpuProcessor,
  { quantised, size }: CpuBuffer,
  y: Spec,
  range: Range | undefined,
  images: number,
  window: Window,
): CpuBuffer | undefined {
  const target = range && quantisationOf(range);
  if (!quantised || !target) return undefined;
  const [, , c, , , , , , , , , oh, ow] = window;
  return cpu.fillBytes(y, target, to =>
    withSpread(cpu, to, spread => {
      for (let i = 0; i < images; i++) {
        cpu.heap.kernels.qu8AvgPool(
          quantised.pointer + (i * size) / images,
          ...window,
          quantised.zero,
          quantised.scale,
          to.pointer + i * oh * ow * c,
          1 / target.scale,
          target.zero,
          spread,
        );
      }
    }),
  );
}
