/** What stays behind after an inference: nothing, once the first few have set everything up. */
import * as tf from '@tensorflow/tfjs-core';

import type { Problem } from './judge.js';
import { infer } from './judge.js';
import type { LoadedNet } from './nets.js';

/** What is counted after an inference. */
export interface Holdings {
  readonly tensors: number;
  readonly dataBuffers: number;
  /** Bytes in use on mulayer's wasm heap. */
  readonly heapBytes: number;
  /** GPU textures, pooled ones included. */
  readonly textures: number;
}

/**
 * Infers `times` times and counts after each.
 *
 * @returns the counts in order; `[i]` is after inference i + 1.
 */
export async function holdingsAfterEach(
  loaded: LoadedNet,
  { input, inputShape }: Problem,
  times: number,
): Promise<Holdings[]> {
  const all: Holdings[] = [];
  for (let i = 0; i < times; i++) {
    await infer(loaded, input, inputShape);
    const memory = tf.memory() as tf.MemoryInfo & {
      mulayerHeapBytes: number;
      mulayerTextures: number;
    };
    all.push({
      tensors: memory.numTensors,
      dataBuffers: memory.numDataBuffers,
      heapBytes: memory.mulayerHeapBytes,
      textures: memory.mulayerTextures,
    });
  }
  return all;
}

/**
 * What is not as it was after the third inference, in words; empty when all is flat. Textures may
 * become fewer: the pool forgets what other nets have left there.
 *
 * @param all of {@link holdingsAfterEach}, four at least.
 */
export function growth(all: readonly Holdings[]): string[] {
  const third = all[2];
  return (Object.keys(third) as (keyof Holdings)[]).flatMap(key => {
    const hasGrown = (now: number) => (key === 'textures' ? now > third[key] : now !== third[key]);
    const at = all.findIndex((one, i) => i > 2 && hasGrown(one[key]));
    if (at < 0) return [];
    const last = all[all.length - 1][key];
    return [`${key}: ${third[key]} after 3, ${all[at][key]} after ${at + 1}, ${last} at the end`];
  });
}
