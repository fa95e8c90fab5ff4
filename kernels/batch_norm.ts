/**
 * FusedBatchNorm: `x [...,c]; mean, variance, offset?, scale? [c] -> y [...,c]`,
 *
 *     y = (x - mean) * scale / sqrt(variance + epsilon) + offset
 *
 * On the CPU folded into one multiply and add for each channel. Channelwise.
 */
import type { Named, Need, Spec } from '../src/graph/kernel.js';
import type { GpuBuffer, GpuProcessor } from '../src/processors/gpu/processor.js';
import { normaliseImage } from '../src/processors/gpu/programs/binary.js';
import type { Call, Kernel } from '../src/processors/kernel.js';
import { bandOfNumbers } from './bands.js';
import { allFloat, channelRange, sizeOf } from './guards.js';

const parameters = (inputs: Named<Spec>): Spec[] =>
  Object.entries(inputs).flatMap(([name, input]) => (name === 'x' ? [] : [input]));

/** Where offset and scale are given, which is what models do. */
function normalise(gpu: GpuProcessor, call: Call<GpuBuffer>): GpuBuffer[] | undefined {
  const { inputs, attributes } = call;
  const c = inputs.x.shape.at(-1)!;
  const names = ['x', 'mean', 'variance', 'scale', 'offset'];
  const isByChannel = (name: string) => {
    const input = inputs[name] as Spec | undefined;
    return input?.shape.length === 1 && sizeOf(input) === c;
  };
  if (!names.slice(1).every(isByChannel)) return undefined;
  const sorted = Object.fromEntries(names.map(name => [name, inputs[name]]));
  return gpu.own({ ...call, inputs: sorted }, (context, images) => {
    const [x, Mean, Variance, Scale, Offset] = images;
    const epsilon = attributes.varianceEpsilon as number;
    return normaliseImage(context, x, { Mean, Variance, Scale, Offset }, epsilon);
  });
}

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

  band: bandOfNumbers,

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

  gpu: (gpu, call) => normalise(gpu, call) ?? gpu.tfjs(call),
};
