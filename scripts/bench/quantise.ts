/**
 * Scales and zero points for the peers, which want a model quantised beforehand: unsigned 8 bits,
 * one scale for each tensor, from the ranges that its float32 numbers have on the very inputs that
 * are measured. mulayer is given nothing of this; it learns its ranges from what it is run on.
 */
import type { Topology } from './topologies.js';

/** [least, greatest] of each layer's result. */
export type Ranges = readonly (readonly [min: number, max: number])[];

/** real = scale * (stored - zero), stored 0 to 255. */
export interface Quantisation {
  readonly scale: number;
  readonly zero: number;
}

/** Of each layer's result. What only moves numbers (pooling, concat) shares one with its inputs. */
export function quantisationsOf({ layers }: Topology, ranges: Ranges): Quantisation[] {
  const group = layers.map((_, i) => i);
  for (const [i, { op, inputs }] of layers.entries()) {
    if (op !== 'maxPool' && op !== 'globalMean' && op !== 'concat') continue;
    const merged = new Set([i, ...inputs].map(one => group[one]));
    group.forEach((of, one) => {
      if (merged.has(of)) group[one] = i;
    });
  }
  return layers.map((_, i) => {
    const members = ranges.filter((_, one) => group[one] === group[i]);
    // Zero has to be among what can be stored: padding is made of it.
    const min = Math.min(0, ...members.map(([least]) => least));
    const max = Math.max(0, ...members.map(([, greatest]) => greatest));
    const scale = Math.fround((max - min) / 255);
    return { scale, zero: Math.round(-min / scale) };
  });
}
