/**
 * onnxruntime-web's wasm backend on a topology: an ONNX model is made of it (opset 17), in float32 or
 * in the QDQ form that onnxruntime's own quantiser writes: a pair of QuantizeLinear and
 * DequantizeLinear on each tensor, which the session fuses into integer operators. u8 activations, s8
 * weights with a scale for each output channel, s32 biases. A ReLU is where u8 saturates at its zero
 * point 0, as there.
 *
 * https://onnx.ai/onnx/operators/, https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
 */
import { type Quantisation, quantisationsOf, type Ranges } from './quantise.js';
import {
  type Layer,
  type Topology,
  type WeightedLayer,
  biasesOf,
  channelsFirst,
  channelsLast,
  int8WeightsOf,
  lastOf,
  paddingOf,
  weightScalesOf,
  weightShape,
  weightsOf,
} from './topologies.js';

/** Of onnxruntime-web, what is used here. */
interface Ort {
  env: { wasm: { numThreads: number; wasmPaths: string } };
  Tensor: new (type: 'float32', data: Float32Array, dims: number[]) => unknown;
  InferenceSession: {
    create(bytes: Uint8Array, options: object): Promise<Session>;
  };
}
interface Session {
  outputNames: string[];
  run(feeds: Record<string, unknown>): Promise<Record<string, { data: Float32Array }>>;
}
/** Of onnx-proto. */
interface OnnxProto {
  onnx: { ModelProto: { encode(model: object): { finish(): Uint8Array } } };
}

/** Numbers of onnx.TensorProto.DataType. */
const TYPE = { float32: 1, uint8: 2, int8: 3, int32: 6 };
/** Numbers of onnx.AttributeProto.AttributeType. */
const ATTRIBUTE = { int: 2, ints: 7 };

type Data = Float32Array | Uint8Array | Int8Array | Int32Array;

/** @param ranges of the float32 net; int8 when they are given. */
export async function loadOrt(net: Topology, threads: number, ranges: Ranges | undefined) {
  const ort = await loadModule<Ort>('/ort/ort.wasm.min.mjs');
  const { onnx } = await loadModule<OnnxProto>('/ort-bundles/onnx-proto.js');
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = '/ort/';
  const bytes = onnx.ModelProto.encode(
    new Model(net, ranges && quantisationsOf(net, ranges)).proto(),
  ).finish();
  const session = await ort.InferenceSession.create(bytes, {
    executionProviders: ['wasm'],
    graphOptimizationLevel: 'all',
  });
  const { shape } = net.layers[0];
  let feeds: Record<string, unknown> = {};
  return {
    take(input: Float32Array) {
      const x = channelsFirst(input, shape);
      feeds = { x: new ort.Tensor('float32', x, [1, shape[2], shape[0], shape[1]]) };
    },
    async run() {
      const results = await session.run(feeds);
      return results[session.outputNames[0]].data;
    },
    output: (values: Float32Array) => channelsLast(values, net.layers[lastOf(net)].shape),
  };
}

const loadModule = async <T>(url: string) => (await import(url)) as T;

/** Puts an ONNX model together. Names: t3 is the result of layer 3, t3_w its weights. */
class Model {
  private readonly nodes: object[] = [];
  private readonly tensors: object[] = [];

  constructor(
    private readonly net: Topology,
    private readonly quantisations: readonly Quantisation[] | undefined,
  ) {}

  /** As onnx-proto takes it. */
  proto(): object {
    const { layers } = this.net;
    const names: string[] = [];
    for (const [i, layer] of layers.entries()) {
      const inputs = layer.inputs.map(from => names[from]);
      const result = this.layer(i, layer, inputs);
      // What the net ends with goes through the pair, too: so it is float32 again.
      names.push(this.quantisations ? this.pair(result, this.quantisations[i]) : result);
    }
    const [first, last] = [layers[0], layers[lastOf(this.net)]];
    const float = (name: string, dims: number[]) => ({
      name,
      type: {
        tensorType: {
          elemType: TYPE.float32,
          shape: { dim: dims.map(dimValue => ({ dimValue })) },
        },
      },
    });
    const dims = ([rows, columns, channels]: Layer['shape']) => [1, channels, rows, columns];
    return {
      irVersion: 8,
      opsetImport: [{ domain: '', version: 17 }],
      producerName: 'mulayer-bench',
      graph: {
        name: this.net.name,
        node: this.nodes,
        initializer: this.tensors,
        input: [float('x', dims(first.shape))],
        output: [
          float(
            names[lastOf(this.net)],
            last.op === 'dense' ? [1, last.shape[2]] : dims(last.shape),
          ),
        ],
      },
    };
  }

  /** @returns the name of its result. */
  private layer(i: number, layer: Layer, inputs: string[]): string {
    const name = `t${i}`;
    switch (layer.op) {
      case 'input':
        return 'x';
      case 'conv':
      case 'depthwise': {
        const group = layer.op === 'conv' ? layer.groups : layer.shape[2];
        const [h, w, ci, co] = weightShape(this.net, layer);
        const parameters = this.parameters(name, layer, 'oihw', [co, ci, h, w], 0);
        const linear = this.node('Conv', [inputs[0], ...parameters], name, {
          ...this.window(layer),
          group,
        });
        return this.activated(linear, layer);
      }
      case 'dense': {
        const [h, w, ci, co] = weightShape(this.net, layer);
        const parameters = this.parameters(name, layer, 'ihwo', [ci * h * w, co], 1);
        const linear = this.node('Gemm', [this.flat(layer, inputs[0]), ...parameters], name);
        return this.activated(linear, layer);
      }
      case 'maxPool':
        return this.node('MaxPool', inputs, name, this.window(layer));
      case 'globalMean':
        return this.node('GlobalAveragePool', inputs, name);
      case 'concat':
        return this.node('Concat', inputs, name, { axis: 1 });
    }
  }

  /** One row, which Gemm wants. Quantised once more, so that Flatten stays among integers. */
  private flat({ inputs: [from] }: WeightedLayer, input: string): string {
    if (this.net.layers[from].op === 'dense') return input;
    const flat = this.node('Flatten', [input], `${input}_flat`, { axis: 1 });
    return this.quantisations ? this.pair(flat, this.quantisations[from]) : flat;
  }

  /** Names of a layer's weights and bias. */
  private parameters(
    name: string,
    layer: WeightedLayer,
    order: string,
    dims: number[],
    axis: number,
  ): [weights: string, bias: string] {
    const biases = biasesOf(this.net, layer);
    const co = biases.length;
    if (!this.quantisations) {
      return [
        this.tensor(`${name}_w`, dims, weightsOf(this.net, layer, order)),
        this.tensor(`${name}_b`, [co], biases),
      ];
    }
    const scales = weightScalesOf(this.net, layer);
    const sums = scales.map(scale => scale * this.quantisations![layer.inputs[0]].scale);
    const dequantised = (name: string, dims: number[], data: Data, scale: Data, axis: number) => {
      const zero = new (data.constructor as Int8ArrayConstructor)(co);
      const inputs = [
        this.tensor(name, dims, data),
        this.tensor(`${name}_scale`, [co], scale),
        this.tensor(`${name}_zero`, [co], zero),
      ];
      return this.node('DequantizeLinear', inputs, `${name}_float`, { axis });
    };
    const weights = int8WeightsOf(this.net, layer, order);
    const whole = Int32Array.from(biases, (bias, o) => Math.round(bias / sums[o]));
    return [
      dequantised(`${name}_w`, dims, weights, scales, axis),
      dequantised(`${name}_b`, [co], whole, sums, 0),
    ];
  }

  private activated(linear: string, { activation }: WeightedLayer): string {
    if (this.quantisations) return linear;
    switch (activation) {
      case 'linear':
        return linear;
      case 'relu':
        return this.node('Relu', [linear], `${linear}_relu`);
      case 'relu6': {
        const bounds = [0, 6].map((bound, i) =>
          this.tensor(`${linear}_bound${i}`, [], Float32Array.of(bound)),
        );
        return this.node('Clip', [linear, ...bounds], `${linear}_relu6`);
      }
    }
  }

  /** Through 8 bits and back. */
  private pair(name: string, { scale, zero }: Quantisation): string {
    const parameters = [
      this.tensor(`${name}_scale`, [], Float32Array.of(scale)),
      this.tensor(`${name}_zero`, [], Uint8Array.of(zero)),
    ];
    const quantised = this.node('QuantizeLinear', [name, ...parameters], `${name}_q`);
    return this.node('DequantizeLinear', [quantised, ...parameters], `${name}_dq`);
  }

  private window(layer: Layer & { kernel: number; stride: number; padding: 'same' | 'valid' }) {
    const [rows, columns] = this.net.layers[layer.inputs[0]].shape;
    const [[top, bottom], [left, right]] = [rows, columns].map(n => paddingOf(n, layer));
    return {
      kernel_shape: [layer.kernel, layer.kernel],
      strides: [layer.stride, layer.stride],
      pads: [top, left, bottom, right],
    };
  }

  private tensor(name: string, dims: number[], data: Data): string {
    const type = data.constructor.name.replace('Array', '').toLowerCase() as keyof typeof TYPE;
    const rawData = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.tensors.push({ name, dims, dataType: TYPE[type], rawData });
    return name;
  }

  private node(
    opType: string,
    input: string[],
    output: string,
    attributes: Record<string, number | number[]> = {},
  ): string {
    const attribute = Object.entries(attributes).map(([name, value]) =>
      typeof value === 'number'
        ? { name, type: ATTRIBUTE.int, i: value }
        : { name, type: ATTRIBUTE.ints, ints: value },
    );
    this.nodes.push({ opType, name: `${output}_${opType}`, input, output: [output], attribute });
    return output;
  }
}
