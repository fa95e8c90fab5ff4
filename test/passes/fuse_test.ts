/** src/passes/fuse.ts: which nodes become one layer, and which must not, on graphs made by hand. */
import { broadcast_util } from '@tensorflow/tfjs-core';

import type { Use } from '../../src/graph/graph.js';
import type { Attributes, Rules } from '../../src/graph/kernel.js';
import type { Value } from '../../src/graph/value.js';
import type { Fold, Fusion, Host } from '../../src/passes/fuse.js';
import { fuse, shorten } from '../../src/passes/fuse.js';
import { given, kernel, layer, Recorder, use } from '../graph/nodes.js';

const CHANNELS = 8;

const conv = layer(CHANNELS, 1, { name: 'Conv2D', weights: 'filter' });
const product = layer(CHANNELS, 1, {
  name: 'BatchMatMul',
  weights: 'b',
  infer: ({ a }) => [{ shape: [1, a.shape.at(-2)!, CHANNELS], dtype: 'float32' }],
});

const binary = (name: string): Rules =>
  kernel(name, {
    infer: ({ a, b }) => {
      const shapes: [number[], number[]] = [[...a.shape], [...b.shape]];
      return [{ shape: broadcast_util.assertAndGetBroadcastShape(...shapes), dtype: 'float32' }];
    },
  });

/** A chain in the making: every call takes the value of the one before. */
class Chain extends Recorder {
  value: Value;
  readonly filter = given(3, 3, 4, CHANNELS);
  readonly scalars = new Map<Value, number[]>();
  readonly folds: Fold[] = [];

  constructor(rules = conv, attributes: Attributes = {}, inputs: Record<string, Value> = {}) {
    super();
    const x = given(1, 5, 5, 4);
    this.value = this.call(rules, { x, filter: this.filter, ...inputs }, attributes);
  }

  /** x is the first operand. */
  then(name: string, other?: Value, attributes: Attributes = {}): this {
    const inputs: Record<string, Value> = other ? { a: this.value, b: other } : { x: this.value };
    const rules = other ? binary(name) : kernel(name);
    this.value = this.call(rules, inputs, attributes);
    return this;
  }

  norm(): this {
    const inputs: Record<string, Value> = { x: this.value };
    for (const name of ['scale', 'offset', 'mean', 'variance']) inputs[name] = given(CHANNELS);
    this.value = this.call(kernel('FusedBatchNorm'), inputs, { varianceEpsilon: 0.001 });
    return this;
  }

  scalar(number: number, ...shape: number[]): Value {
    const value = given(...shape);
    this.scalars.set(value, [number]);
    return value;
  }

  /** The first chain as it may be fused when the user holds the last value alone. */
  fusion(host: Partial<Host> = {}, isHeld = (value: Value) => value === this.value) {
    const { nodes } = this;
    for (const value of nodes.flatMap(({ outputs }) => outputs)) value.refs = Number(isHeld(value));
    const [chain] = fuse(nodes);
    const folded: Use = use(given(CHANNELS));
    return (
      chain &&
      shorten(chain, nodes, {
        rules: name => kernel(name, { weights: name === '_FusedMatMul' ? 'b' : 'filter' }),
        has: () => true,
        numbers: value => this.scalars.get(value),
        fold: fold => {
          this.folds.push(fold);
          return { filter: folded, bias: folded };
        },
        ...host,
      })
    );
  }
}

const attributesOf = (fusion: Fusion | undefined) => fusion?.node.attributes;

describe('fuse', () => {
  it('makes one layer of batch normalisation and an activation', () => {
    const chain = new Chain(conv, { strides: 2 }).norm().then('Relu6');
    const fusion = chain.fusion()!;
    expect(fusion.members).toEqual([0, 1, 2]);
    expect(fusion.node.kernel.name).toBe('FusedConv2D');
    expect(fusion.node.outputs).toEqual([chain.value]);
    expect(fusion.node.attributes).toEqual({ strides: 2, activation: 'relu6' });
    expect(Object.keys(fusion.node.inputs)).toEqual(['x', 'filter', 'bias']);
    const [{ constants, stages }] = chain.folds;
    expect(constants.length).toBe(5);
    expect(constants[0]).toBe(chain.filter);
    expect(stages).toEqual([chain.nodes[1]]);
  });

  it('takes one Add as the bias as it is, whatever is constant', () => {
    for (const shape of [[CHANNELS], [1, 1, CHANNELS], [1, 1, 1, CHANNELS]]) {
      const bias = given(...shape);
      const chain = new Chain().then('Add', bias).then('Relu');
      const fusion = chain.fusion({ fold: () => undefined })!;
      expect(fusion.members).toEqual([0, 1, 2]);
      expect(fusion.node.inputs.filter.value).toBe(chain.filter);
      expect(fusion.node.inputs.bias).toEqual({ value: bias, shape: [CHANNELS], dtype: 'float32' });
    }
  });

  it('folds what cannot be a bias as it is', () => {
    const row = () => given(CHANNELS);
    const chains: Record<string, () => Chain> = {
      scalar: () => new Chain().then('Add', given()),
      'a second Add': () => new Chain().then('Add', row()).then('Add', row()),
      'an Add to a bias': () =>
        new Chain(
          layer(CHANNELS, 1, { name: 'FusedConv2D', weights: 'filter' }),
          {},
          {
            bias: row(),
          },
        ).then('Add', row()),
      Multiply: () => new Chain().then('Multiply', row()),
      Sub: () => new Chain().then('Sub', row()),
      RealDiv: () => new Chain().then('RealDiv', row()),
    };
    for (const [name, make] of Object.entries(chains)) {
      const chain = make();
      const all = chain.nodes.map((_, i) => i);
      expect(chain.fusion()?.members).withContext(name).toEqual(all);
      expect(chain.folds.length).withContext(name).toBe(1);
    }
  });

  it('leaves what cannot be folded now, and keeps what is before it', () => {
    const chain = new Chain().then('Add', given(CHANNELS)).then('Multiply', given()).then('Relu');
    expect(chain.fusion({ fold: () => undefined })?.members).toEqual([0, 1]);
    const first = new Chain().norm().then('Relu');
    expect(first.fusion({ fold: () => undefined })).toBeUndefined();
  });

  it('composes clamps, of numbers that are at hand', () => {
    const chain = new Chain().then('Relu');
    chain.then('Minimum', chain.scalar(6)).then('Maximum', chain.scalar(0, 1));
    expect(attributesOf(chain.fusion())).toEqual({ activation: 'relu6' });
    expect(chain.fusion({ numbers: () => undefined })?.members).toEqual([0, 1]);
    const relu6 = new Chain().then('Relu').then('ClipByValue', undefined, {
      ...{ clipValueMin: 0, clipValueMax: 6 },
    });
    expect(attributesOf(relu6.fusion())).toEqual({ activation: 'relu6' });
    const fused = layer(CHANNELS, 1, { name: 'FusedConv2D', weights: 'filter' });
    const after = new Chain(fused, { activation: 'relu' });
    after.then('Minimum', after.scalar(6));
    expect(attributesOf(after.fusion())).toEqual({ activation: 'relu6' });
    const crossed = new Chain();
    crossed.then('Maximum', crossed.scalar(6)).then('Minimum', crossed.scalar(1));
    expect(attributesOf(crossed.fusion())).toEqual({ activation: 'clip', clipMin: 1, clipMax: 1 });
    const nan = new Chain();
    nan.then('Maximum', nan.scalar(NaN));
    expect(nan.fusion()).toBeUndefined();
  });

  it('ends in the activations of fused kernels', () => {
    for (const name of ['Elu', 'Sigmoid', 'Tanh', 'Softplus']) {
      const chain = new Chain().then(name).then('Relu');
      expect(attributesOf(chain.fusion())).toEqual({ activation: name.toLowerCase() });
      expect(chain.fusion()?.members).toEqual([0, 1]);
    }
    const leaky = new Chain().then('LeakyRelu', undefined, { alpha: 0.1 });
    expect(attributesOf(leaky.fusion())).toEqual({ activation: 'leakyrelu', leakyreluAlpha: 0.1 });
  });

  it('takes PReLU with one finite slope a channel', () => {
    const prelu = (slope: number, ...shape: number[]) => {
      const chain = new Chain();
      return chain.then('Prelu', chain.scalar(slope, ...shape)).fusion();
    };
    const { node } = prelu(0.5, 1, 1, CHANNELS)!;
    expect(node.attributes).toEqual({ activation: 'prelu' });
    expect(node.inputs.preluActivationWeights.shape).toEqual([CHANNELS]);
    expect(prelu(Infinity, CHANNELS)).toBeUndefined();
    expect(prelu(0.5, 5, 5, CHANNELS)).toBeUndefined();
  });

  it('uses only activations that every processor has', () => {
    const chain = new Chain().then('Add', given(CHANNELS)).then('Tanh');
    expect(chain.fusion({ has: name => name !== 'tanh' })?.members).toEqual([0, 1]);
    const clamps = new Chain().then('Add', given(CHANNELS));
    clamps.then('Minimum', clamps.scalar(6)).then('Maximum', clamps.scalar(0));
    expect(clamps.fusion({ has: name => name !== 'clip' })?.members).toEqual([0, 1, 2, 3]);
  });

  it('stops before a value that the user holds', () => {
    const chain = new Chain().then('Add', given(CHANNELS));
    const held = chain.value;
    chain.then('Relu');
    expect(chain.fusion({}, value => [held, chain.value].includes(value))?.members).toEqual([0, 1]);
    expect(chain.fusion({}, () => true)).toBeUndefined();
  });

  it('stops before a value that is being read', () => {
    const chain = new Chain().then('Add', given(CHANNELS));
    chain.value.uses++;
    chain.then('Relu');
    expect(chain.fusion()?.members).toEqual([0, 1]);
  });

  it('stops before a value that is used twice', () => {
    const chain = new Chain().then('Add', given(CHANNELS));
    const twice = chain.value;
    chain.call(kernel('Neg'), { x: twice });
    chain.then('Relu');
    expect(chain.fusion()?.members).toEqual([0, 1]);
    const square = new Chain();
    square.then('Multiply', square.value);
    expect(square.fusion()).toBeUndefined();
  });

  it('takes nothing that changes the shape, or is no constant', () => {
    const x = new Chain();
    x.value = x.call(kernel('Relu'), { x: use(x.value, [5, 5, CHANNELS]) });
    expect(x.fusion()).withContext('reshaped').toBeUndefined();
    const wider = new Chain().then('Add', given(4, 5, 5, CHANNELS));
    expect(wider.fusion()).withContext('broadcast').toBeUndefined();
    const rank5 = new Chain().then('Add', given(1, 1, 1, 1, CHANNELS));
    expect(rank5.fusion()).withContext('rank 5').toBeUndefined();
    const whole = new Chain().then('Add', given(5, 5, CHANNELS));
    expect(whole.fusion()).withContext('one for each element').toBeUndefined();
    const column = new Chain().then('Add', given(5, 1));
    expect(column.fusion()).withContext('one for each row').toBeUndefined();
    const computed = new Chain();
    const bias = computed.call(kernel('Neg'), { x: given(CHANNELS) });
    expect(computed.then('Add', bias).fusion()).withContext('computed').toBeUndefined();
    const inverse = new Chain();
    inverse.value = inverse.call(binary('RealDiv'), { a: given(CHANNELS), b: inverse.value });
    expect(inverse.fusion()).withContext('1 / v').toBeUndefined();
  });

  it('takes nothing but clamps after a clamp, and nothing after an activation', () => {
    const after = (activation: string) =>
      new Chain(layer(CHANNELS, 1, { name: 'FusedConv2D', weights: 'filter' }), { activation });
    expect(new Chain().then('Relu').norm().fusion()?.members).toEqual([0, 1]);
    expect(after('relu').norm().fusion()).toBeUndefined();
    expect(after('relu').then('Elu').fusion()).toBeUndefined();
    expect(after('elu').then('Relu').fusion()).toBeUndefined();
  });

  it('follows a matrix product that is reshaped on the way, rows staying rows', () => {
    const chain = new Chain();
    chain.value = chain.call(product, { a: given(3, 4), b: given(4, CHANNELS) });
    chain.value = chain.call(binary('Add'), {
      ...{ a: use(chain.value, [3, CHANNELS]), b: given(CHANNELS) },
    });
    const fusion = chain.fusion()!;
    expect(fusion.members).toEqual([1, 2]);
    expect(fusion.node.kernel.name).toBe('_FusedMatMul');
    const other = new Chain();
    other.value = other.call(product, { a: given(3, 4), b: given(4, CHANNELS) });
    other.value = other.call(kernel('Relu'), { x: use(other.value, [3 * CHANNELS]) });
    expect(other.fusion()).toBeUndefined();
  });

  it('gives a node that two chains could have to one of them', () => {
    const recorder = new Recorder();
    const one = () => recorder.call(conv, { x: given(1, 1, 1, 4), filter: given(1, 1, 4, 8) });
    recorder.call(kernel('Relu'), { x: recorder.call(binary('Add'), { a: one(), b: one() }) });
    expect(fuse(recorder.nodes)).toEqual([]);
  });

  describe('of a hard swish', () => {
    const relu6 = (chain: Chain, v: Value) => {
      const sum = chain.call(binary('Add'), { a: v, b: chain.scalar(3) });
      return chain.call(kernel('Relu6'), { x: sum });
    };
    const mul = (chain: Chain, a: Value, b: Value) => chain.call(binary('Multiply'), { a, b });
    const spellings: Record<string, (chain: Chain, v: Value) => Value> = {
      'v * gate / 6': (chain, v) =>
        chain.call(binary('RealDiv'), { a: mul(chain, v, relu6(chain, v)), b: chain.scalar(6) }),
      'v * (gate * 1/6)': (chain, v) =>
        mul(chain, v, mul(chain, relu6(chain, v), chain.scalar(1 / 6))),
      'v/6 * gate': (chain, v) => mul(chain, mul(chain, chain.scalar(1 / 6), v), relu6(chain, v)),
    };
    for (const [name, spell] of Object.entries(spellings)) {
      it(`takes ${name}`, () => {
        const chain = new Chain();
        chain.value = spell(chain, chain.value);
        const fusion = chain.fusion()!;
        expect(fusion.members).toEqual([0, 1, 2, 3, 4]);
        expect(fusion.node.attributes).toEqual({ activation: 'hardswish', hardSwishScale: 1 });
        expect(fusion.node.outputs).toEqual([chain.value]);
      });

      it(`leaves ${name} when something in it is seen`, () => {
        const chain = new Chain();
        chain.value = spell(chain, chain.value);
        for (const { outputs } of chain.nodes.slice(0, -1)) {
          const seen = [chain.value, outputs[0]];
          expect(chain.fusion({}, value => seen.includes(value))).toBeUndefined();
        }
      });
    }

    it('takes a scale that is no sixth, and only the 3', () => {
      const swish = (shift: number) => {
        const chain = new Chain();
        const v = chain.value;
        const sum = chain.call(binary('Add'), { a: v, b: chain.scalar(shift) });
        const gate = chain.call(kernel('Relu6'), { x: sum });
        chain.value = mul(chain, mul(chain, v, gate), chain.scalar(0.25));
        return attributesOf(chain.fusion());
      };
      expect(swish(3)).toEqual({ activation: 'hardswish', hardSwishScale: 1.5 });
      expect(swish(2)).toBeUndefined();
    });

    it('leaves what only resembles one', () => {
      const chain = new Chain();
      const v = chain.value;
      chain.value = mul(chain, mul(chain, v, chain.scalar(1 / 6)), v);
      expect(chain.fusion()).withContext('no gate').toBeUndefined();
      const inverse = new Chain();
      const quotient = inverse.call(binary('RealDiv'), { a: inverse.scalar(6), b: inverse.value });
      inverse.value = mul(inverse, quotient, relu6(inverse, inverse.value));
      expect(inverse.fusion()).withContext('6 / v').toBeUndefined();
    });
  });
});
