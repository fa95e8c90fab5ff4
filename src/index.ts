/**
 * `import 'tfjs-backend-mulayer'; await tf.setBackend('mulayer');`
 *
 * A TensorFlow.js backend that runs each layer of a model on the CPU and the GPU at once, after
 * muLayer (Kim et al., EuroSys 2019).
 *
 * @packageDocumentation
 */
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-webgl';
import { engine, registerBackend } from '@tensorflow/tfjs-core';

import { kernels } from '../kernels/table.js';
import { MulayerBackend } from './backend.js';
import { UnsupportedError } from './errors.js';
import './flags.js';
import { CpuProcessor } from './processors/cpu/processor.js';
import { GpuProcessor } from './processors/gpu/processor.js';
import { registerKernels } from './register.js';
import type { RunReport } from './run/report.js';

export { calibrate } from './calibrate.js';
export type { Predictor, Tensors } from './calibrate.js';
export {
  ArgumentError,
  DisposedError,
  FlagError,
  MemoryError,
  MulayerError,
  UnsupportedError,
} from './errors.js';
export { setWorkerUrl } from './processors/cpu/pool.js';
export type { LayerReport, ProgramReport, RunReport, Tried } from './run/report.js';

/** Below tfjs's own backends: mulayer is used when it is asked for. */
const PRIORITY = 0;

const NAME = 'mulayer';

registerKernels(NAME);
registerBackend(
  NAME,
  async () => new MulayerBackend(kernels, await CpuProcessor.create(), GpuProcessor.create()),
  PRIORITY,
);

/**
 * Tells where each layer of the last graph ran, in which share and precision, how long it took (in
 * milliseconds) and what was moved for it (in bytes).
 *
 * @returns one row for each recorded kernel call, in the order of the calls; calls that were fused
 *   into the layer before them (batch normalisation, bias, activation) share its row, which names
 *   them in `fused`. No rows before the first run.
 * @throws UnsupportedError when the backend `mulayer` has not been initialised.
 * @example
 * ```ts
 * await tf.setBackend('mulayer');
 * await model.predict(picture).data();
 * console.table(explain().layers);
 * ```
 */
export function explain(): RunReport {
  const backend = engine().registry[NAME];
  if (!(backend instanceof MulayerBackend)) {
    throw new UnsupportedError(`explain: expected backend '${NAME}' to be set, it is not`);
  }
  return backend.report();
}
