/**
 * LiteRT.js's wasm backend (XNNPACK) on a topology: a TFLite model is made of it, in float32 or with
 * signed 8-bit activations, weights of a scale for each output channel and s32 biases, between a
 * QUANTIZE and a DEQUANTIZE, so that float32 goes in and comes out.
 *
 * TFLite is flatbuffers: tables of numbered slots. The numbers below are those of its schema,
 * tensorflow/compiler/mlir/lite/schema/schema.fbs (version 3).
 */
import { type Quantisation, quantisationsOf, type Ranges } from './quantise.js';
import {
  type Activation,
  type Layer,
  type Topology,
  type WeightedLayer,
  biasesOf,
  hasWeights,
  int8WeightsOf,
  lastOf,
  weightScalesOf,
  weightShape,
  weightsOf,
} from './topologies.js';

/** Of @litertjs/core, what is used here. */
interface LiteRt {
  loadLiteRt(path: string, options: { threads: boolean }): Promise<unknown>;
  loadAndCompile(bytes: Uint8Array, options: object): Promise<{ run(x: Value): Promise<Value[]> }>;
  Tensor: new (data: Float32Array, shape: number[]) => Value;
}
interface Value {
  data(): Promise<Float32Array>;
  delete(): void;
}
/** Of flatbuffers. */
interface Flatbuffers {
  Builder: new (bytes: number) => Builder;
}
type Offset = number;
interface Builder {
  bb: { setPosition(at: number): void; bytes(): Uint8Array };
  space: number;
  startObject(slots: number): void;
  endObject(): Offset;
  startVector(elementBytes: number, length: number, alignment: number): void;
  endVector(): Offset;
  addInt32(value: number): void;
  addInt64(value: bigint): void;
  addFloat32(value: number): void;
  addOffset(offset: Offset): void;
  addFieldInt8(slot: number, value: number, initial: number): void;
  addFieldInt32(slot: number, value: number, initial: number): void;
  addFieldOffset(slot: number, offset: Offset, initial: number): void;
  createString(text: string): Offset;
  finish(root: Offset, identifier: string): void;
  asUint8Array(): Uint8Array;
}

/** enum TensorType */
const TYPE = { float32: 0, int32: 2, int8: 9 };
/** enum BuiltinOperator, the version that knows int8, and the tag in union BuiltinOptions. */
const OPERATORS = {
  averagePool: { code: 1, int8Version: 2, options: 5 },
  concat: { code: 2, int8Version: 2, options: 10 },
  conv: { code: 3, int8Version: 3, options: 1 },
  depthwise: { code: 4, int8Version: 3, options: 2 },
  dequantise: { code: 6, int8Version: 2, options: 0 },
  dense: { code: 9, int8Version: 4, options: 8 },
  maxPool: { code: 17, int8Version: 2, options: 5 },
  quantise: { code: 114, int8Version: 1, options: 0 },
};
type Operator = keyof typeof OPERATORS;
/** enum ActivationFunctionType */
const ACTIVATION: Record<Activation, number> = { linear: 0, relu: 1, relu6: 3 };
/** enum Padding */
const PADDING = { same: 0, valid: 1 };

/** @param ranges of the float32 net; int8 when they are given. */
export async function loadLiteRt(net: Topology, threads: number, ranges: Ranges | undefined) {
  const litert = await loadModule<LiteRt>('/litert-bundles/litert.js');
  const { Builder } = await loadModule<Flatbuffers>('/litert-bundles/flatbuffers.js');
  await litert.loadLiteRt('/litert/', { threads: threads > 1 });
  const quantisations = ranges && quantisationsOf(net, ranges);
  const bytes = new Model(new Builder(bytesOf(net, !!ranges)), net, quantisations).bytes();
  const model = await litert.loadAndCompile(bytes, {
    accelerator: 'wasm',
    cpuOptions: { numThreads: threads },
  });
  let x: Value | undefined;
  return {
    take(input: Float32Array) {
      x?.delete();
      x = new litert.Tensor(input, [1, ...net.layers[0].shape]);
    },
    async run() {
      const [y] = await model.run(x!);
      const values = await y.data();
      y.delete();
      return values;
    },
  };
}

const loadModule = async <T>(url: string) => (await import(url)) as T;

/** Of the weights, and a megabyte for all else: a builder that has to grow copies. */
function bytesOf(net: Topology, int8: boolean): number {
  const weights = net.layers.filter(hasWeights).reduce((sum, layer) => {
    const [h, w, ci, co] = weightShape(net, layer);
    return sum + h * w * ci * co;
  }, 0);
  return weights * (int8 ? 1 : 4) + (1 << 20);
}

interface TensorOptions {
  data?: Float32Array | Int8Array | Int32Array;
  scales?: Iterable<number>;
  zero?: number;
  /** The axis that {@link scales} are along. */
  axis?: number;
}

/** Writes one model. Flatbuffers are written leaves first. */
class Model {
  /** Offsets of what was written, by index. Buffer 0 is the empty one. */
  private readonly buffers: Offset[];
  private readonly tensors: Offset[] = [];
  private readonly operations: Offset[] = [];
  private readonly operators: Operator[] = [];

  constructor(
    private readonly builder: Builder,
    private readonly net: Topology,
    private readonly quantisations: readonly Quantisation[] | undefined,
  ) {
    this.buffers = [this.table(1, () => undefined)];
  }

  bytes(): Uint8Array {
    const { layers } = this.net;
    const [first, last] = [layers[0], layers[lastOf(this.net)]];
    const results = layers.map((layer, i) => this.result(i, layer));
    let [x, y] = [results[0], results[lastOf(this.net)]];
    if (this.quantisations) {
      x = this.tensor('x', shapeOf(first), 'float32');
      this.operation('quantise', [x], results[0]);
    }
    for (const [i, layer] of layers.entries()) {
      const inputs = layer.inputs.map(from => results[from]);
      this.layer(i, layer, inputs, results[i]);
    }
    if (this.quantisations) {
      y = this.tensor('y', shapeOf(last), 'float32');
      this.operation('dequantise', [results[lastOf(this.net)]], y);
    }
    return this.finish(x, y);
  }

  private result(i: number, layer: Layer): number {
    const quantisation = this.quantisations?.[i];
    if (!quantisation) return this.tensor(`t${i}`, shapeOf(layer), 'float32');
    const { scale, zero } = quantisation;
    return this.tensor(`t${i}`, shapeOf(layer), 'int8', { scales: [scale], zero: zero - 128 });
  }

  private layer(i: number, layer: Layer, inputs: number[], output: number): void {
    const { builder } = this;
    const window = ({ padding, stride }: { padding: 'same' | 'valid'; stride: number }) => {
      builder.addFieldInt8(0, PADDING[padding], 0);
      builder.addFieldInt32(1, stride, 0);
      builder.addFieldInt32(2, stride, 0);
    };
    const pool = (rows: number, columns: number) => {
      builder.addFieldInt32(3, columns, 0);
      builder.addFieldInt32(4, rows, 0);
    };
    switch (layer.op) {
      case 'input':
        return;
      case 'conv': {
        const [h, w, ci, co] = weightShape(this.net, layer);
        const parameters = this.parameters(i, layer, 'ohwi', [co, h, w, ci], 0);
        this.operation('conv', [...inputs, ...parameters], output, () => {
          window(layer);
          builder.addFieldInt8(3, ACTIVATION[layer.activation], 0);
        });
        return;
      }
      case 'depthwise': {
        const [h, w, ci, co] = weightShape(this.net, layer);
        const parameters = this.parameters(i, layer, 'ihwo', [ci, h, w, co], 3);
        this.operation('depthwise', [...inputs, ...parameters], output, () => {
          window(layer);
          builder.addFieldInt32(3, 1, 0); // depth_multiplier
          builder.addFieldInt8(4, ACTIVATION[layer.activation], 0);
        });
        return;
      }
      case 'dense': {
        const [h, w, ci, co] = weightShape(this.net, layer);
        const parameters = this.parameters(i, layer, 'ohwi', [co, h * w * ci], 0);
        this.operation('dense', [...inputs, ...parameters], output, () => {
          builder.addFieldInt8(0, ACTIVATION[layer.activation], 0);
        });
        return;
      }
      case 'maxPool':
        this.operation('maxPool', inputs, output, () => {
          window(layer);
          pool(layer.kernel, layer.kernel);
        });
        return;
      case 'globalMean': {
        const [rows, columns] = this.net.layers[layer.inputs[0]].shape;
        this.operation('averagePool', inputs, output, () => {
          window({ padding: 'valid', stride: 1 });
          pool(rows, columns);
        });
        return;
      }
      case 'concat':
        this.operation('concat', inputs, output, () => builder.addFieldInt32(0, 3, 0));
    }
  }

  /** Tensors of a layer's weights and bias. */
  private parameters(
    i: number,
    layer: WeightedLayer,
    order: string,
    shape: number[],
    axis: number,
  ): [weights: number, bias: number] {
    const biases = biasesOf(this.net, layer);
    const names = [`t${i}_w`, `t${i}_b`];
    if (!this.quantisations) {
      const data = weightsOf(this.net, layer, order);
      return [
        this.tensor(names[0], shape, 'float32', { data }),
        this.tensor(names[1], [biases.length], 'float32', { data: biases }),
      ];
    }
    const scales = weightScalesOf(this.net, layer);
    const sums = scales.map(scale => scale * this.quantisations![layer.inputs[0]].scale);
    const data = int8WeightsOf(this.net, layer, order);
    const whole = Int32Array.from(biases, (bias, o) => Math.round(bias / sums[o]));
    return [
      this.tensor(names[0], shape, 'int8', { data, scales, axis }),
      this.tensor(names[1], [biases.length], 'int32', { data: whole, scales: sums }),
    ];
  }

  /** @returns its index. */
  private tensor(
    name: string,
    shape: readonly number[],
    type: keyof typeof TYPE,
    { data, scales, zero = 0, axis = 0 }: TensorOptions = {},
  ): number {
    const { builder } = this;
    const buffer = data ? this.buffer(data) : 0;
    const dims = this.int32s(shape);
    const text = builder.createString(name);
    let quantisation = 0;
    if (scales) {
      const all = [...scales];
      const scale = this.vector(4, all, one => builder.addFloat32(one));
      const zeros = this.vector(8, all, () => builder.addInt64(BigInt(zero)));
      quantisation = this.table(7, () => {
        builder.addFieldOffset(2, scale, 0);
        builder.addFieldOffset(3, zeros, 0);
        builder.addFieldInt32(6, axis, 0);
      });
    }
    const table = this.table(6, () => {
      builder.addFieldOffset(0, dims, 0);
      builder.addFieldInt8(1, TYPE[type], 0);
      builder.addFieldInt32(2, buffer, 0);
      builder.addFieldOffset(3, text, 0);
      builder.addFieldOffset(4, quantisation, 0);
    });
    return this.tensors.push(table) - 1;
  }

  /** @returns its index. */
  private buffer(data: ArrayBufferView): number {
    const { builder } = this;
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    // As createByteVector does, but aligned as the schema wants it.
    builder.startVector(1, bytes.length, 16);
    builder.space -= bytes.length;
    builder.bb.setPosition(builder.space);
    builder.bb.bytes().set(bytes, builder.space);
    const vector = builder.endVector();
    return this.buffers.push(this.table(1, () => builder.addFieldOffset(0, vector, 0))) - 1;
  }

  private operation(
    operator: Operator,
    inputs: readonly number[],
    output: number,
    fill?: () => void,
  ): void {
    const { builder, operators } = this;
    const from = this.int32s(inputs);
    const to = this.int32s([output]);
    const options = fill ? this.table(8, fill) : 0;
    if (!operators.includes(operator)) operators.push(operator);
    const table = this.table(5, () => {
      builder.addFieldInt32(0, operators.indexOf(operator), 0);
      builder.addFieldOffset(1, from, 0);
      builder.addFieldOffset(2, to, 0);
      builder.addFieldInt8(3, options ? OPERATORS[operator].options : 0, 0);
      builder.addFieldOffset(4, options, 0);
    });
    this.operations.push(table);
  }

  private finish(x: number, y: number): Uint8Array {
    const { builder } = this;
    const codes = this.operators.map(operator => {
      const { code, int8Version } = OPERATORS[operator];
      return this.table(4, () => {
        builder.addFieldInt8(0, code, 0);
        builder.addFieldInt32(2, this.quantisations ? int8Version : 1, 1);
        builder.addFieldInt32(3, code, 0);
      });
    });
    const parts = [
      this.offsets(this.tensors),
      this.int32s([x]),
      this.int32s([y]),
      this.offsets(this.operations),
      builder.createString('main'),
    ];
    const subgraph = this.table(5, () =>
      parts.forEach((part, slot) => builder.addFieldOffset(slot, part, 0)),
    );
    const [operatorCodes, subgraphs, buffers] = [codes, [subgraph], this.buffers].map(list =>
      this.offsets(list),
    );
    const description = builder.createString(this.net.name);
    const model = this.table(5, () => {
      builder.addFieldInt32(0, 3, 0); // version
      builder.addFieldOffset(1, operatorCodes, 0);
      builder.addFieldOffset(2, subgraphs, 0);
      builder.addFieldOffset(3, description, 0);
      builder.addFieldOffset(4, buffers, 0);
    });
    builder.finish(model, 'TFL3');
    return builder.asUint8Array();
  }

  private table(slots: number, fill: () => void): Offset {
    this.builder.startObject(slots);
    fill();
    return this.builder.endObject();
  }

  /** Written from its end. */
  private vector<T>(bytes: number, values: readonly T[], add: (value: T) => void): Offset {
    this.builder.startVector(bytes, values.length, bytes);
    for (let i = values.length - 1; i >= 0; i--) add(values[i]);
    return this.builder.endVector();
  }

  private int32s(values: readonly number[]): Offset {
    return this.vector(4, values, value => this.builder.addInt32(value));
  }

  private offsets(values: readonly Offset[]): Offset {
    return this.vector(4, values, value => this.builder.addOffset(value));
  }
}

/** Of a layer's result, with the batch; dense layers give rows. */
function shapeOf({ op, shape }: Layer): number[] {
  return op === 'dense' ? [1, shape[2]] : [1, ...shape];
}
