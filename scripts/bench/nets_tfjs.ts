/** A topology as plain tfjs calls, of the fused kernels: what a model converted for tfjs comes to. */
import * as tf from '@tensorflow/tfjs-core';

import {
  type Layer,
  type Topology,
  biasesOf,
  hasWeights,
  lastOf,
  weightShape,
  weightsOf,
} from './topologies.js';

/** One group's weights and bias. */
interface Weights {
  filter: tf.Tensor;
  bias: tf.Tensor1D;
}

/** A net whose weights live in the backend that was set when it was made. */
export class TfjsNet {
  /** By layer; as many as a layer has groups. */
  private readonly weights: readonly Weights[][];

  constructor(readonly topology: Topology) {
    this.weights = topology.layers.map(layer => weightsOfLayer(topology, layer));
  }

  /**
   * One inference.
   *
   * @param watch receives the result of each layer, which it must not keep.
   */
  run(x: tf.Tensor4D, watch?: (layer: number, y: tf.Tensor) => void): tf.Tensor {
    return tf.tidy(() => {
      const results: tf.Tensor[] = [];
      for (const [i, layer] of this.topology.layers.entries()) {
        const inputs = layer.inputs.map(from => results[from] as tf.Tensor4D);
        results.push(layer.op === 'input' ? x : compute(layer, inputs, this.weights[i]));
        watch?.(i, results[i]);
      }
      return results[lastOf(this.topology)];
    });
  }

  dispose(): void {
    for (const { filter, bias } of this.weights.flat()) tf.dispose([filter, bias]);
  }
}

function weightsOfLayer(topology: Topology, layer: Layer): Weights[] {
  if (!hasWeights(layer)) return [];
  const [h, w, ci, co] = weightShape(topology, layer);
  const groups = layer.op === 'conv' ? layer.groups : 1;
  return tf.tidy(() => {
    const shape = { conv: [h, w, ci, co], depthwise: [h, w, co, 1], dense: [h * w * ci, co] };
    const filter = tf.tensor(weightsOf(topology, layer), shape[layer.op]);
    const bias = tf.tensor1d(biasesOf(topology, layer));
    if (groups === 1) return [{ filter: tf.keep(filter), bias: tf.keep(bias) }];
    const biases: tf.Tensor1D[] = tf.split(bias, groups);
    return tf.split(filter, groups, 3).map((part, i) => ({
      filter: tf.keep(part),
      bias: tf.keep(biases[i]),
    }));
  });
}

function compute(layer: Layer, inputs: tf.Tensor4D[], weights: readonly Weights[]): tf.Tensor {
  const [x] = inputs;
  const [{ filter, bias } = {} as Weights] = weights;
  switch (layer.op) {
    case 'input':
      return x;
    case 'conv': {
      const { stride: strides, padding: pad, activation } = layer;
      const conv = (x: tf.Tensor4D, { filter, bias }: Weights) =>
        tf.fused.conv2d({ x, filter: filter as tf.Tensor4D, bias, strides, pad, activation });
      if (weights.length === 1) return conv(x, weights[0]);
      const parts: tf.Tensor4D[] = tf.split(x, weights.length, 3);
      return tf.concat(
        parts.map((part, i) => conv(part, weights[i])),
        3,
      );
    }
    case 'depthwise':
      return tf.fused.depthwiseConv2d({
        x,
        filter: filter as tf.Tensor4D,
        bias,
        strides: layer.stride,
        pad: layer.padding,
        activation: layer.activation,
      });
    case 'dense': {
      const [n] = x.shape;
      const a: tf.Tensor2D = tf.reshape(x, [n, x.size / n]);
      return tf.fused.matMul({
        a,
        b: filter,
        bias,
        activation: layer.activation,
      });
    }
    case 'maxPool':
      return tf.maxPool(x, layer.kernel, layer.stride, layer.padding);
    case 'globalMean':
      return tf.avgPool(x, [x.shape[1], x.shape[2]], 1, 'valid');
    case 'concat':
      return tf.concat(inputs, 3);
  }
}
