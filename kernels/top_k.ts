/**
 * TopK: `x [...,c] -> values [...,k], indices int32 [...,k]`, ties to the lower index. On the CPU by
 * tfjs-cpu; recorded so that what follows it stays in the same graph.
 */
import { ArgumentError } from '../src/errors.js';
import type { Kernel } from '../src/processors/kernel.js';
import { allNumeric } from './guards.js';

export const topK: Kernel = {
  name: 'TopK',
  kind: 'mover',
  returnsList: true,
  accepts: allNumeric,

  infer({ x }, { k }) {
    const last = x!.shape.at(-1);
    if (last === undefined) throw new ArgumentError('x: expected rank 1 or more, got a scalar');
    if (!(Number(k) >= 0 && Number(k) <= last)) {
      throw new ArgumentError(`k: expected 0 to ${last}, got ${String(k)}`);
    }
    const shape = [...x!.shape.slice(0, -1), k as number];
    return [
      { shape, dtype: x!.dtype },
      { shape, dtype: 'int32' },
    ];
  },

  cpu: (cpu, call) => cpu.tfjs(call),
};
