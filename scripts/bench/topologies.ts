/**
 * The five nets of the muLayer paper as data: VGG-16, AlexNet, GoogLeNet, SqueezeNet v1.1 and
 * MobileNet v1, with seeded weights and inputs. Their trained weights are nowhere to be had, and for
 * speed they do not matter; what matters is that every contestant computes the same net on the same
 * numbers, so that their answers can be compared.
 *
 * A layer reads the results of layers before it, by their numbers; layer 0 is the input. Shapes are
 * [rows, columns, channels], padding is TensorFlow's. AlexNet is the original of two towers (grouped
 * convolutions, 227 rows); as usual in benchmarks, without its local response normalisation, nor
 * GoogLeNet's, without auxiliary heads and softmax.
 *
 * Simonyan 2014, Krizhevsky 2012, Szegedy 2014, Iandola 2016 (SqueezeNet's repository for v1.1),
 * Howard 2017.
 */

export type Shape = readonly [rows: number, columns: number, channels: number];

export type Activation = 'linear' | 'relu' | 'relu6';

interface LayerBase {
  /** Numbers of the layers it reads. */
  readonly inputs: readonly number[];
  /** Of its result. */
  readonly shape: Shape;
}

export interface InputLayer extends LayerBase {
  readonly op: 'input';
}

/** What slides a square window over rows and columns. */
interface Windowed {
  readonly kernel: number;
  readonly stride: number;
  readonly padding: 'same' | 'valid';
}

/** Weights [kernel, kernel, ciPerGroup, co]; group g reads the g-th of equal parts of the channels. */
export interface ConvLayer extends LayerBase, Windowed {
  readonly op: 'conv';
  readonly groups: number;
  readonly activation: Activation;
}

/** Weights [kernel, kernel, 1, channels]. */
export interface DepthwiseLayer extends LayerBase, Windowed {
  readonly op: 'depthwise';
  readonly activation: Activation;
}

/** Weights [rows, columns, ci, co] of the whole result that it reads. */
export interface DenseLayer extends LayerBase {
  readonly op: 'dense';
  readonly activation: Activation;
}

export interface MaxPoolLayer extends LayerBase, Windowed {
  readonly op: 'maxPool';
}

/** Mean over rows and columns. */
export interface GlobalMeanLayer extends LayerBase {
  readonly op: 'globalMean';
}

/** Of channels. */
export interface ConcatLayer extends LayerBase {
  readonly op: 'concat';
}

export type WeightedLayer = ConvLayer | DepthwiseLayer | DenseLayer;
export type Layer = InputLayer | WeightedLayer | MaxPoolLayer | GlobalMeanLayer | ConcatLayer;

export interface Topology {
  readonly name: string;
  readonly layers: readonly Layer[];
}

export function hasWeights(layer: Layer): layer is WeightedLayer {
  return layer.op === 'conv' || layer.op === 'depthwise' || layer.op === 'dense';
}

/** The layer whose result is the net's. */
export const lastOf = ({ layers }: Topology) => layers.length - 1;

/** Zero rows (or columns) before and after, that TensorFlow's padding gives a length. */
export function paddingOf(length: number, { kernel, stride, padding }: Windowed): [number, number] {
  if (padding === 'valid') return [0, 0];
  const all = Math.max((Math.ceil(length / stride) - 1) * stride + kernel - length, 0);
  return [all >> 1, all - (all >> 1)];
}

/** Shape of a layer's weights [rows, columns, ci, co]. */
export function weightShape(
  { layers }: Topology,
  layer: WeightedLayer,
): [h: number, w: number, ci: number, co: number] {
  const [rows, columns, channels] = layers[layer.inputs[0]].shape;
  const co = layer.shape[2];
  switch (layer.op) {
    case 'conv':
      return [layer.kernel, layer.kernel, channels / layer.groups, co];
    case 'depthwise':
      return [layer.kernel, layer.kernel, 1, co];
    case 'dense':
      return [rows, columns, channels, co];
  }
}

/** Multiply-accumulates of one inference. */
export function macsOf(topology: Topology): number {
  return topology.layers.reduce((sum, layer) => {
    if (!hasWeights(layer)) return sum;
    const [h, w, ci, co] = weightShape(topology, layer);
    return sum + layer.shape[0] * layer.shape[1] * h * w * ci * co;
  }, 0);
}

/** Writes layers down one after the other. Each method returns its layer's number. */
class Builder {
  readonly layers: Layer[] = [];

  constructor(...shape: Shape) {
    this.add({ op: 'input', inputs: [], shape });
  }

  conv(
    kernel: number,
    co: number,
    { stride = 1, padding = 'same', groups = 1, activation = 'relu', from }: ConvOptions = {},
  ): number {
    const windowed = { kernel, stride, padding } as const;
    const shape = this.slide(windowed, co, from);
    return this.add({
      op: 'conv',
      inputs: [from ?? this.last],
      shape,
      ...windowed,
      groups,
      activation,
    });
  }

  depthwise(kernel: number, stride: number, activation: Activation): number {
    const windowed = { kernel, stride, padding: 'same' } as const;
    const shape = this.slide(windowed, this.layers[this.last].shape[2]);
    return this.add({ op: 'depthwise', inputs: [this.last], shape, ...windowed, activation });
  }

  dense(co: number, activation: Activation): number {
    return this.add({ op: 'dense', inputs: [this.last], shape: [1, 1, co], activation });
  }

  maxPool(kernel: number, stride: number, padding: 'same' | 'valid', from?: number): number {
    const windowed = { kernel, stride, padding };
    const shape = this.slide(windowed, this.layers[from ?? this.last].shape[2], from);
    return this.add({ op: 'maxPool', inputs: [from ?? this.last], shape, ...windowed });
  }

  globalMean(): number {
    const channels = this.layers[this.last].shape[2];
    return this.add({ op: 'globalMean', inputs: [this.last], shape: [1, 1, channels] });
  }

  concat(...inputs: number[]): number {
    const [rows, columns] = this.layers[inputs[0]].shape;
    const channels = inputs.reduce((sum, i) => sum + this.layers[i].shape[2], 0);
    return this.add({ op: 'concat', inputs, shape: [rows, columns, channels] });
  }

  get last(): number {
    return this.layers.length - 1;
  }

  private add(layer: Layer): number {
    return this.layers.push(layer) - 1;
  }

  private slide(windowed: Windowed, channels: number, from = this.last): Shape {
    const { kernel, stride, padding } = windowed;
    const [rows, columns] = this.layers[from].shape;
    const length = (n: number) =>
      padding === 'same' ? Math.ceil(n / stride) : Math.floor((n - kernel) / stride) + 1;
    return [length(rows), length(columns), channels];
  }
}

interface ConvOptions {
  stride?: number;
  padding?: 'same' | 'valid';
  groups?: number;
  activation?: Activation;
  /** The layer before, when absent. */
  from?: number;
}

function vggConvolutions(size = 224): Builder {
  const net = new Builder(size, size, 3);
  const blocks = [
    [64, 64],
    [128, 128],
    [256, 256, 256],
    [512, 512, 512],
    [512, 512, 512],
  ];
  for (const block of blocks) {
    for (const channels of block) net.conv(3, channels);
    net.maxPool(2, 2, 'valid');
  }
  return net;
}

function vgg16(size = 224): Builder {
  const net = vggConvolutions(size);
  net.dense(4096, 'relu');
  net.dense(4096, 'relu');
  net.dense(1000, 'linear');
  return net;
}

function alexnet(size = 227): Builder {
  const net = new Builder(size, size, 3);
  net.conv(11, 96, { stride: 4, padding: 'valid' });
  net.maxPool(3, 2, 'valid');
  net.conv(5, 256, { groups: 2 });
  net.maxPool(3, 2, 'valid');
  net.conv(3, 384);
  net.conv(3, 384, { groups: 2 });
  net.conv(3, 256, { groups: 2 });
  net.maxPool(3, 2, 'valid');
  net.dense(4096, 'relu');
  net.dense(4096, 'relu');
  net.dense(1000, 'linear');
  return net;
}

function googlenet(size = 224): Builder {
  const net = new Builder(size, size, 3);
  /** Channels: of the 1x1; before and of the 3x3; before and of the 5x5; after the pooling. */
  const inception = (...[one, before3, three, before5, five, pooled]: number[]) => {
    const from = net.last;
    net.concat(
      net.conv(1, one, { from }),
      net.conv(3, three, { from: net.conv(1, before3, { from }) }),
      net.conv(5, five, { from: net.conv(1, before5, { from }) }),
      net.conv(1, pooled, { from: net.maxPool(3, 1, 'same', from) }),
    );
  };
  net.conv(7, 64, { stride: 2 });
  net.maxPool(3, 2, 'same');
  net.conv(1, 64);
  net.conv(3, 192);
  net.maxPool(3, 2, 'same');
  inception(64, 96, 128, 16, 32, 32);
  inception(128, 128, 192, 32, 96, 64);
  net.maxPool(3, 2, 'same');
  inception(192, 96, 208, 16, 48, 64);
  inception(160, 112, 224, 24, 64, 64);
  inception(128, 128, 256, 24, 64, 64);
  inception(112, 144, 288, 32, 64, 64);
  inception(256, 160, 320, 32, 128, 128);
  net.maxPool(3, 2, 'same');
  inception(256, 160, 320, 32, 128, 128);
  inception(384, 192, 384, 48, 128, 128);
  net.globalMean();
  net.dense(1000, 'linear');
  return net;
}

function squeezenet(size = 224): Builder {
  const net = new Builder(size, size, 3);
  const fire = (squeeze: number, expand: number) => {
    const from = net.conv(1, squeeze);
    net.concat(net.conv(1, expand, { from }), net.conv(3, expand, { from }));
  };
  net.conv(3, 64, { stride: 2, padding: 'valid' });
  net.maxPool(3, 2, 'valid');
  fire(16, 64);
  fire(16, 64);
  net.maxPool(3, 2, 'valid');
  fire(32, 128);
  fire(32, 128);
  net.maxPool(3, 2, 'valid');
  fire(48, 192);
  fire(48, 192);
  fire(64, 256);
  fire(64, 256);
  net.conv(1, 1000);
  net.globalMean();
  return net;
}

function mobilenet(size = 224): Builder {
  const net = new Builder(size, size, 3);
  net.conv(3, 32, { stride: 2, activation: 'relu6' });
  // Channels and stride of each pair of a depthwise and a 1x1 convolution.
  const pairs: [number, number][] = [
    [64, 1],
    [128, 2],
    [128, 1],
    [256, 2],
    [256, 1],
    [512, 2],
    ...Array<[number, number]>(5).fill([512, 1]),
    [1024, 2],
    [1024, 1],
  ];
  for (const [channels, stride] of pairs) {
    net.depthwise(3, stride, 'relu6');
    net.conv(1, channels, { activation: 'relu6' });
  }
  net.globalMean();
  net.dense(1000, 'linear');
  return net;
}

const BUILDERS = {
  vgg16,
  alexnet,
  googlenet,
  squeezenet,
  mobilenet,
  /** VGG-16 without its three dense layers. */
  'vgg16-convolutions': vggConvolutions,
};

export type TopologyName = keyof typeof BUILDERS;

/** @param size rows and columns of the input, where they shall be others than the paper's. */
export function topology(name: TopologyName, size?: number): Topology {
  return { name, layers: BUILDERS[name](size).layers };
}

/**
 * Weights of a layer, uniform in [-a, a], a = sqrt(6 / n) of n numbers summed (He 2015: the scale of
 * activations stays from layer to layer through ReLU; sqrt(3 / n) where no ReLU follows), and of each
 * output channel times 0.6 to 1.4, so that a scale for each channel means something.
 *
 * @param order axes from the outermost to the innermost; h, w: rows and columns, i, o: channels.
 */
export function weightsOf(net: Topology, layer: WeightedLayer, order = 'hwio'): Float32Array {
  const amplitudes = amplitudesOf(net, layer);
  const seed = seedOf(net, layer);
  return ordered(net, layer, order, Float32Array, (i, o) => uniform(seed + i) * amplitudes[o]);
}

/** The same weights, as whole numbers -127 to 127 of {@link weightScalesOf}. */
export function int8WeightsOf(net: Topology, layer: WeightedLayer, order: string): Int8Array {
  const seed = seedOf(net, layer);
  return ordered(net, layer, order, Int8Array, i => Math.round(127 * uniform(seed + i)));
}

/** What a step of {@link int8WeightsOf} is worth in each output channel. */
export function weightScalesOf(net: Topology, layer: WeightedLayer): Float32Array {
  return amplitudesOf(net, layer).map(amplitude => amplitude / 127);
}

/** Biases of a layer's output channels, uniform in [-0.05, 0.05]. */
export function biasesOf(net: Topology, layer: WeightedLayer): Float32Array {
  const seed = seedOf(net, layer) + 0x5bd1e995;
  return Float32Array.from({ length: layer.shape[2] }, (_, o) => 0.05 * uniform(seed + o));
}

/** An input [rows, columns, channels], uniform in [-1, 1]; each seed is another picture. */
export function inputOf({ layers }: Topology, seed = 0): Float32Array {
  const [rows, columns, channels] = layers[0].shape;
  const from = seed * 0x3c6ef372;
  return Float32Array.from({ length: rows * columns * channels }, (_, i) => uniform(from + i));
}

/** [rows, columns, channels] -> [channels, rows, columns]. */
export function channelsFirst(values: Float32Array, [rows, columns, channels]: Shape) {
  return transposed(values, rows * columns, channels);
}

/** [channels, rows, columns] -> [rows, columns, channels], which is the shape given. */
export function channelsLast(values: Float32Array, [rows, columns, channels]: Shape) {
  return transposed(values, channels, rows * columns);
}

/** [m, n] -> [n, m]. */
function transposed(values: Float32Array, m: number, n: number): Float32Array {
  const result = new Float32Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) result[j * m + i] = values[i * n + j];
  }
  return result;
}

function amplitudesOf(net: Topology, layer: WeightedLayer): Float32Array {
  const [h, w, ci, co] = weightShape(net, layer);
  const amplitude = Math.sqrt((layer.activation === 'linear' ? 3 : 6) / (h * w * ci));
  const seed = seedOf(net, layer) + 0x2545f491;
  return Float32Array.from({ length: co }, (_, o) => amplitude * (1 + 0.4 * uniform(seed + o)));
}

/** Fills [h, w, i, o] in another order; `at` receives the index in that one, and o. */
function ordered<A extends Float32Array | Int8Array>(
  net: Topology,
  layer: WeightedLayer,
  order: string,
  ArrayType: new (length: number) => A,
  at: (index: number, o: number) => number,
): A {
  const [h, w, ci, co] = weightShape(net, layer);
  const axes: Record<string, [length: number, stride: number]> = {
    h: [h, w * ci * co],
    w: [w, ci * co],
    i: [ci, co],
    o: [co, 1],
  };
  const [[n0, s0], [n1, s1], [n2, s2], [n3, s3]] = Array.from(order, axis => axes[axis]);
  const result = new ArrayType(h * w * ci * co);
  let to = 0;
  for (let a = 0; a < n0; a++) {
    for (let b = 0; b < n1; b++) {
      for (let c = 0; c < n2; c++) {
        let index = a * s0 + b * s1 + c * s2;
        for (let d = 0; d < n3; d++, index += s3) result[to++] = at(index, index % co);
      }
    }
  }
  return result;
}

/** FNV-1a of the net's name, and the layer's number. */
function seedOf({ name, layers }: Topology, layer: Layer): number {
  let hash = 0x811c9dc5;
  for (const letter of name) hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193);
  return hash + Math.imul(layers.indexOf(layer), 0x9e3779b1);
}

/** A whole number to [-1, 1]: the finaliser of MurmurHash3, so that any number can be had alone. */
function uniform(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return ((x ^ (x >>> 16)) | 0) / 0x80000000;
}
