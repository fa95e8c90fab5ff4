/**
 * `calibrate`: what the first inference learns of one input, learned of many. The model is run on
 * each of them in float32, and each time it is observed again: ranges become the union, mean
 * differences the mean, noise the RMS of all (`passes/precision.ts`).
 */
import type { NamedTensorMap } from '@tensorflow/tfjs-core';
import { engine, Tensor } from '@tensorflow/tfjs-core';

import { MulayerBackend } from './backend.js';
import { ArgumentError, UnsupportedError } from './errors.js';

/** What a model takes or gives: one tensor, several, or several by name. */
export type Tensors = Tensor | Tensor[] | NamedTensorMap;

/** A GraphModel, a LayersModel, whatever has their `predict`, or a function in its place. */
export type Predictor<T extends Tensors> =
  | {
      /** One inference: from inputs to outputs. */
      predict(inputs: T): Tensors;
    }
  | ((inputs: T) => Tensors | Promise<Tensors>);

/**
 * Settles the plan of a model before the first real inference: runs it on each of the inputs, in
 * float32 on the CPU, and learns ranges and int8 errors from all of them. The next prediction on an
 * input of the same shape uses int8 where the flags allow it. Without it mulayer learns the same from
 * the first inference or two alone, so it pays where a single input would not be typical: a blank
 * frame, or a warm-up on zeros. A plan is that of all that is recorded up to the reading: where the
 * input of the real inference is not read before (`model.predict(tf.div(picture, 255))`), give a
 * function that prepares it in the same way.
 *
 * A few typical inputs are enough (4 to 16). Each takes as long as some five inferences in float32;
 * the first of each shape twice that. Under `MULAYER_PRECISION=int8` ranges alone are learned, under
 * `float32` nothing. Other graphs that run meanwhile are observed too.
 *
 * @param model with a `predict`; or a function from inputs to tensors, for `execute`, for control flow
 *   (`x => model.executeAsync(x)`) or with the preparation of the inputs in it.
 * @param inputs one at least, one after the other; of any shapes that the model takes, with the
 *   numbers it takes when used: a picture `[1,h,w,3]` scaled as it will be. They stay the caller's;
 *   what the model gives is disposed.
 * @returns when all have been run.
 * @throws ArgumentError when there is no model, no input, something that is no tensor among the
 *   inputs, or none in what the model gives; UnsupportedError when the backend is not `mulayer`; and
 *   what the model throws. What was learned until then stays.
 * @example
 * ```ts
 * await tf.setBackend('mulayer');
 * const model = await tf.loadGraphModel(url);
 * const frames = [0, 1, 2, 3].map(i => tf.randomUniform([1, 224, 224, 3], 0, 255, 'float32', i));
 * await calibrate(model, frames);
 * tf.dispose(frames);
 * ```
 */
export async function calibrate<T extends Tensors>(
  model: Predictor<T>,
  inputs: Iterable<T> | AsyncIterable<T>,
): Promise<void> {
  const predict = predictOf(model);
  if (!isIterable(inputs)) {
    throw new ArgumentError(`inputs: expected an array or another iterable, got ${nameOf(inputs)}`);
  }
  const { backend } = engine();
  if (!(backend instanceof MulayerBackend)) {
    throw new UnsupportedError(`calibrate: expected backend 'mulayer' to be set, it is not`);
  }
  let count = 0;
  for await (const input of inputs) {
    const given = tensorsOf(input);
    if (!given) {
      throw new ArgumentError(
        `inputs[${count}]: expected a tensor, an array or a map of them, got ${nameOf(input)}`,
      );
    }
    // What is computed with the model is part of its graph, and would be there the first time only.
    await Promise.all(given.map(tensor => tensor.data()));
    await backend.calibrate(async () => {
      const result = await predict(input);
      const outputs = tensorsOf(result);
      if (!outputs) {
        throw new ArgumentError(`model: expected it to give tensors, got ${nameOf(result)}`);
      }
      try {
        await Promise.all(outputs.map(output => output.data()));
      } finally {
        for (const output of outputs) if (!given.includes(output)) output.dispose();
      }
    });
    count++;
  }
  if (count === 0) throw new ArgumentError('inputs: expected one at least, got none');
}

function predictOf<T extends Tensors>(model: Predictor<T>): (input: T) => unknown {
  if (typeof model === 'function') return model;
  const { predict } = (model ?? {}) as Partial<typeof model>;
  if (typeof predict === 'function') return input => model.predict(input);
  throw new ArgumentError(`model: expected a function or a predict method, got ${nameOf(model)}`);
}

function isIterable(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return Symbol.iterator in value || Symbol.asyncIterator in value;
}

/** Undefined where there is something else among them, or nothing. */
function tensorsOf(value: unknown): Tensor[] | undefined {
  if (value instanceof Tensor) return [value];
  if (typeof value !== 'object' || value === null) return undefined;
  const all: unknown[] = Object.values(value);
  const areTensors = (values: unknown[]): values is Tensor[] =>
    values.length > 0 && values.every(one => one instanceof Tensor);
  return areTensors(all) ? all : undefined;
}

/** For people: what came instead. */
function nameOf(value: unknown): string {
  if (Array.isArray(value)) return value.length ? `[${value.map(nameOf).join(', ')}]` : '[]';
  if (typeof value !== 'object' || value === null) return String(value);
  return value.constructor?.name ?? 'an object';
}
