/**
 * FusedBatchNorm: `x [...,c]; mean, variance, offset?, scale? [c] -> y [...,c]`,
 *
 *     y = (x - mean) * scale / sqrt(variance + epsilon) + offset
 *
 * On the CPU folded into one multiply and add for each channel. Channelwise.
 */
import type { Named, Need, Spec } from '../src/graph/kernel.js';
import type { Kernel } from '../src/processors/kernel.js';
import { tfjsOnGpu } from '../src/processors/kernel.js';
import { allFloat, channelRange, sizeOf } from './guards.js';

const parameters = (inputs: Named<Spec>): Spec[] =>
  Object.entries(inputs).flatMap(([name, input]) => (name === 'x' ? [] : [input]));

export const batchNorm: Kernel = {
  name: 'FusedBatchNorm',
  kind: 'channelwise',
  accepts: allFloat,
  infer: ({ x }) => [{ shape: x.shape, dtype: 'float32' }],

  slice({ inputs }, from, to) {
    const channels = inputs.x.shape.at(-1)!;
    const needs: Named<Need> = {};
    for (const [name, x] of Object.entries(inputs))
      needs[name] = channelRange(x, channels, from, to);
    return { inputs: needs };
  },

  cpu(cpu, call) {
    const { inputs, attributes, outputs } = call;
    const c = inputs.x.shape.at(-1)!;
    if (!parameters(inputs).every(x => x.shape.length === 1 && sizeOf(x) === c))
      return cpu.tfjs(call);
    const [mean, variance, offset, scale] = ['mean', 'variance', 'offset', 'scale'].map(name =>
      inputs[name]?.buffer.numbers().slice(),
    );
    const epsilon = attributes.varianceEpsilon as number;
    // Factors [c], then terms [c].
    const numbers = new Float32Array(2 * c);
    for (let i = 0; i < c; i++) {
      const factor = (scale?.[i] ?? 1) / Math.sqrt(variance[i] + epsilon);
      numbers[i] = factor;
      numbers[c + i] = (offset?.[i] ?? 0) - mean[i] * factor;
    }
    const y = cpu.fill(outputs[0], result =>
      cpu.withDense(inputs.x.buffer, x =>
        cpu.withNumbers(numbers, factors => {
          const rows = sizeOf(inputs.x) / c;
          cpu.heap.kernels.f32Affine(x, rows, c, factors, factors + 4 * c, result.address());
        }),
      ),
    );
    return [y];
  },

  gpu: tfjsOnGpu,
};
