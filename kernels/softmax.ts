/** Softmax over the last axis: `logits [...,c] -> y [...,c]`. Each row needs all of itself. */
import { softmaxImage } from '../src/processors/gpu/programs/softmax.js';
import type { Kernel } from '../src/processors/kernel.js';
import { allFloat, sizeOf } from './guards.js';

export const softmax: Kernel = {
  name: 'Softmax',
  kind: 'mover',
  accepts: allFloat,
  infer: ({ logits }) => [{ shape: logits.shape, dtype: 'float32' }],

  cpu(cpu, call) {
    const { inputs, attributes, outputs } = call;
    const logits = inputs.logits;
    const c = logits.shape.at(-1) ?? 1;
    if (attributes.dim !== logits.shape.length - 1) return cpu.tfjs(call);
    const y = cpu.fill(outputs[0], result =>
      cpu.withDense(logits.buffer, x =>
        cpu.heap.kernels.f32Softmax(x, sizeOf(logits) / c, c, result.address()),
      ),
    );
    return [y];
  },

  gpu(gpu, call) {
    const isLast = call.attributes.dim === call.inputs.logits.shape.length - 1;
    const own = () => gpu.own(call, (context, [x]) => softmaxImage(context, x));
    return (isLast ? own() : undefined) ?? gpu.tfjs(call);
  },
};
