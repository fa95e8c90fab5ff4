/**
 * Measures what int8 does to a layer, for `passes/precision.ts` to choose: once for each layer and
 * its weights, in the first inference that can, or over several under `calibrate`.
 *
 *     exact, rounded     without the activation  ──►  mean difference of each channel
 *     exact, corrected   with it                 ──►  noise
 *
 * The whole layer on the CPU, at most four times, beside the inference itself.
 */
import type { Observation } from '../passes/precision.js';
import { meanDifference, powersOf } from '../passes/precision.js';
import type { CpuBuffer } from '../processors/cpu/processor.js';
import { quantisationOf } from '../processors/cpu/quantisation.js';
import type { Call } from '../processors/kernel.js';
import type { Pause } from './pipeline.js';

/**
 * Adds what int8 does to one call.
 *
 * @param call in float32, of all channels.
 * @param run computes a call on the CPU.
 */
export function* observe(
  observation: Observation,
  call: Call<CpuBuffer>,
  run: (call: Call<CpuBuffer>) => Generator<Pause, CpuBuffer>,
): Generator<Pause, void> {
  const { attributes, outputs } = call;
  const channels = outputs[0].shape.at(-1)!;
  const linear = { ...call, attributes: { ...attributes, activation: 'linear' } };
  const made: CpuBuffer[] = [];
  function* numbersOf(wanted: Call<CpuBuffer>) {
    const buffer = yield* run(wanted);
    made.push(buffer);
    return buffer;
  }
  try {
    const exact = yield* numbersOf(linear);
    const rounded = yield* numbersOf({ ...linear, int8: true });
    const mean = meanDifference(exact.numbers(), rounded.numbers(), channels);
    observation.addMean(mean, exact.size / channels);
    const { activation = 'linear' } = attributes;
    const wanted = activation === 'linear' ? exact : yield* numbersOf(call);
    const { correction } = observation;
    const got = yield* numbersOf({ ...call, int8: true, ...(correction && { correction }) });
    observation.addPowers(powersOf(wanted.numbers(), got.numbers(), channels));
  } finally {
    for (const buffer of made) buffer.free();
  }
}

/** Of a layer's input as bytes; undefined where it cannot be bytes. */
export function scaleOf({ inputs }: Call<CpuBuffer>): number | undefined {
  const [x] = Object.values(inputs);
  return (x.buffer.quantised ?? quantisationOf(x.range()))?.scale;
}
