/**
 * Functions of one number on QUInt8 tensors. There are 256 numbers in one, so any function is a
 * table, made by the kernel that computes floats:
 *
 *     bytes 0..255 ──► numbers ──► f ──► results ──► bytes 0..255 in the result's own scale
 */
import type { Spec } from '../../graph/kernel.js';
import { withSpread } from './int8.js';
import type { CpuBuffer, CpuProcessor } from './processor.js';
import type { Quantisation, Range } from './quantisation.js';
import { quantisationOf } from './quantisation.js';

const ENTRIES = 256;

const ALL_BYTES = Uint8Array.from({ length: ENTRIES }, (_, q) => q);

/**
 * y = f(x) as bytes of this range; undefined where x is no bytes.
 *
 * The range noted with y is that of the whole table, whether or not x has all of its bytes: x's own
 * range is watched, and the functions this is for do not grow faster than x. Where f is not finite
 * on all of them the noted range is not either, and the guard of ranges wants floats.
 *
 * @param f writes f of n floats from one pointer to the other
 */
export function lookUp(
  cpu: CpuProcessor,
  x: CpuBuffer,
  y: Spec,
  range: Range,
  f: (from: number, n: number, to: number) => void,
): CpuBuffer | undefined {
  const { quantised } = x;
  const target = quantisationOf(range);
  if (!quantised || !target) return undefined;
  return cpu.fillBytes(y, target, to =>
    cpu.withNumbers(ALL_BYTES, table =>
      cpu.withScratch(8 * ENTRIES, numbers => {
        const results = numbers + 4 * ENTRIES;
        const { kernels } = cpu.heap;
        kernels.qu8ToF32(table, ENTRIES, quantised.scale, quantised.zero, numbers);
        f(numbers, ENTRIES, results);
        withSpread(cpu, to, spread => kernels.f32MinMax(results, ENTRIES, spread));
        const row = [1, ENTRIES, 1, 0, 0, 1, ENTRIES] as const;
        kernels.f32ToQu8(results, ...row, 1 / target.scale, target.zero, 0, table);
        kernels.x8Lookup(quantised.pointer, x.size, table, to.pointer);
      }),
    ),
  );
}

/** y = min(max(x, lo), hi), lo <= 0 <= hi, in the scale of x; undefined where x is no bytes. */
export function clampBytes(
  cpu: CpuProcessor,
  { quantised, size }: CpuBuffer,
  y: Spec,
  lo: number,
  hi: number,
): CpuBuffer | undefined {
  if (!quantised) return undefined;
  return cpu.fillBytes(y, quantised, to => {
    const [least, most] = [lo, hi].map(bound => nearestByte(bound, quantised)) as [number, number];
    cpu.heap.kernels.x8Clamp(quantised.pointer, size, least, most, to.pointer);
  });
}

function nearestByte(value: number, { scale, zero }: Quantisation): number {
  return Math.min(Math.max(Math.round(value / scale) + zero, 0), ENTRIES - 1);
}
