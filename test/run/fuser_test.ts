/**
 * src/run/fuser.ts, through tfjs's public functions: chains give what they give on tfjs-cpu, run
 * after run, however they are fused, and nothing of a folded form is left behind.
 */
import * as tf from '@tensorflow/tfjs-core';

import { explain } from '../../src/index.js';
import type { Settings } from '../../src/flags.js';
import { backend, expectNear, hasGpu, heapBytes, setFlags, useMulayer } from '../support.js';
import { Random } from '../wasm/random';

type T4 = tf.Tensor4D;
type Chain = (x: T4) => tf.Tensor;

const CO = 16;

/** Numbers from -1 to 1 for tensors, the same for each seed. */
class Weights {
  readonly made: tf.Tensor[] = [];
  private readonly random: Random;

  constructor(seed = 1) {
    this.random = new Random(seed);
  }

  tensor<R extends tf.Rank>(...shape: tf.ShapeMap[R]): tf.Tensor<R> {
    const numbers = this.random.floats(tf.util.sizeFromShape(shape));
    return this.keep(tf.tensor<R>(numbers, shape));
  }

  /** From 0.5 to 1.5. */
  positive(n = CO): tf.Tensor1D {
    return this.keep(tf.tensor1d(this.random.floats(n).map(v => 1 + v / 2)));
  }

  keep<T extends tf.Tensor>(tensor: T): T {
    this.made.push(tensor);
    return tensor;
  }

  input(): T4 {
    return tf.tensor4d(this.random.floats(6 * 6 * 8), [1, 6, 6, 8]);
  }

  filter(size = 3, ci = 8): T4 {
    return this.tensor<tf.Rank.R4>(size, size, ci, CO);
  }

  conv(size = 3): Chain {
    const filter = this.filter(size);
    return x => tf.conv2d(x, filter, 1, 'same');
  }

  /** To [1,12,12,CO]. */
  transposed(): Chain {
    const filter = this.tensor<tf.Rank.R4>(3, 3, CO, 8);
    return x => tf.conv2dTranspose(x, filter, [1, 12, 12, CO], 2, 'same');
  }

  norm(n = CO): (x: tf.Tensor) => tf.Tensor {
    const [mean, variance, offset, scale] = [
      ...[this.tensor<tf.Rank.R1>(n), this.positive(n)],
      ...[this.tensor<tf.Rank.R1>(n), this.tensor<tf.Rank.R1>(n)],
    ];
    return x => tf.batchNorm(x as T4, mean, variance, offset, scale, 0.001);
  }
}

/** Each makes its weights, then calls layers on them; ops that are fused in the first run, later. */
const CHAINS: Record<string, [make: (w: Weights) => Chain, first: number, later: number]> = {
  'conv2d, batch normalisation, ReLU6': [
    w => {
      const [conv, norm] = [w.conv(), w.norm()];
      return x => tf.relu6(norm(conv(x)));
    },
    ...([0, 2] as const),
  ],
  'depthwise, scale, shift, ReLU6 as minimum and maximum': [
    w => {
      const filter = w.tensor<tf.Rank.R4>(3, 3, 8, 2);
      const [scale, shift] = [w.tensor<tf.Rank.R1>(CO), w.tensor<tf.Rank.R1>(CO)];
      const [six, zero] = [w.keep(tf.scalar(6)), w.keep(tf.scalar(0))];
      return x => {
        const y = tf.add(tf.mul(tf.depthwiseConv2d(x, filter, 1, 'same'), scale), shift);
        return tf.maximum(tf.minimum(tf.relu(y), six), zero);
      };
    },
    ...([0, 5] as const),
  ],
  'matMul, batch normalisation, ReLU': [
    w => {
      const [b, norm] = [w.tensor<tf.Rank.R2>(8, CO), w.norm()];
      return x => tf.relu(norm(tf.matMul(tf.reshape(x, [36, 8]), b)));
    },
    // tfjs normalises a matrix as an image of four axes.
    ...([0, 2] as const),
  ],
  'fused.matMul with a transposed filter, scale by [1,n] and by a scalar': [
    w => {
      const [b, scale] = [w.tensor<tf.Rank.R2>(CO, 8), w.tensor<tf.Rank.R2>(1, CO)];
      const [bias, half] = [w.tensor<tf.Rank.R1>(CO), w.keep(tf.scalar(-0.5))];
      return x => {
        const a = tf.reshape<tf.Rank.R2>(x, [36, 8]);
        return tf.mul(tf.mul(tf.fused.matMul({ a, b, transposeB: true, bias }), scale), half);
      };
    },
    ...([0, 2] as const),
  ],
  'conv2d, bias, ReLU': [
    w => {
      const [conv, bias] = [w.conv(), w.tensor<tf.Rank.R1>(CO)];
      return x => tf.relu(tf.add(conv(x), bias));
    },
    ...([2, 2] as const),
  ],
  'conv2d, bias [1,1,1,n] as the first operand, difference from a constant': [
    w => {
      const [conv, bias] = [w.conv(1), w.tensor<tf.Rank.R4>(1, 1, 1, CO)];
      const from = w.tensor<tf.Rank.R1>(CO);
      return x => tf.sub(from, tf.add(bias, conv(x)));
    },
    ...([1, 2] as const),
  ],
  'fused.conv2d with bias, shifted by a scalar': [
    w => {
      const [filter, bias, three] = [w.filter(), w.tensor<tf.Rank.R1>(CO), w.keep(tf.scalar(3))];
      return x => tf.relu6(tf.add(tf.fused.conv2d({ x, filter, bias, strides: 1, pad: 0 }), three));
    },
    ...([0, 2] as const),
  ],
  'conv2d, division, PReLU by channel': [
    w => {
      const [conv, divisor] = [w.conv(), w.positive()];
      const alpha = w.tensor<tf.Rank.R3>(1, 1, CO);
      return x => tf.prelu(tf.div(conv(x), divisor), alpha);
    },
    ...([0, 2] as const),
  ],
  'conv2d, leaky ReLU': [
    w => {
      const conv = w.conv();
      return x => tf.leakyRelu(conv(x), 0.3);
    },
    ...([1, 1] as const),
  ],
  'conv2d, ELU': [
    w => {
      const conv = w.conv();
      return x => tf.elu(conv(x));
    },
    ...([1, 1] as const),
  ],
  'depthwise, bias, sigmoid': [
    w => {
      const [filter, bias] = [w.tensor<tf.Rank.R4>(3, 3, 8, 1), w.tensor<tf.Rank.R1>(8)];
      return x => tf.sigmoid(tf.add(tf.depthwiseConv2d(x, filter, 1, 'same'), bias));
    },
    ...([2, 2] as const),
  ],
  'conv2d, tanh': [
    w => {
      const conv = w.conv();
      return x => tf.tanh(conv(x));
    },
    ...([1, 1] as const),
  ],
  'conv2d, softplus': [
    w => {
      const conv = w.conv();
      return x => tf.softplus(conv(x));
    },
    ...([1, 1] as const),
  ],
  'conv2d, clip': [
    w => {
      const conv = w.conv();
      return x => tf.clipByValue(conv(x), -0.5, 1.5);
    },
    ...([1, 1] as const),
  ],
  'depthwise, hard swish': [
    w => {
      const filter = w.tensor<tf.Rank.R4>(3, 3, 8, 1);
      const [three, six] = [w.keep(tf.scalar(3)), w.keep(tf.scalar(6))];
      return x => {
        const y = tf.depthwiseConv2d(x, filter, 1, 'same');
        return tf.div(tf.mul(y, tf.relu6(tf.add(y, three))), six);
      };
    },
    ...([4, 4] as const),
  ],
  'conv2d, hard swish with a sixth of 16 bits': [
    w => {
      const [conv, three, sixth] = [w.conv(), w.keep(tf.scalar(3)), w.keep(tf.scalar(0.16662598))];
      return x => {
        const y = conv(x);
        return tf.mul(tf.mul(sixth, y), tf.relu6(tf.add(y, three)));
      };
    },
    ...([4, 4] as const),
  ],
};

/** Those that the GPU has no fused kernel for. */
const CPU_CHAINS: typeof CHAINS = {
  'conv2dTranspose, bias, ReLU': [
    w => {
      const [conv, bias] = [w.transposed(), w.tensor<tf.Rank.R1>(CO)];
      return x => tf.relu(tf.add(conv(x), bias));
    },
    ...([2, 2] as const),
  ],
  'conv2dTranspose, batch normalisation, scale, leaky ReLU': [
    w => {
      const [conv, norm, scale] = [w.transposed(), w.norm(), w.tensor<tf.Rank.R1>(CO)];
      return x => tf.leakyRelu(tf.mul(norm(conv(x)), scale));
    },
    ...([0, 3] as const),
  ],
};

/** Calls fused into others in the last run. */
const fusedCalls = (): string[] => explain().layers.flatMap(({ fused }) => fused);

const calls = (): number => explain().layers.reduce((n, { fused }) => n + 1 + fused.length, 0);

/** One inference, all between input and result given back. */
async function infer(chain: Chain, x: T4) {
  const y = tf.tidy(() => chain(x));
  const numbers = (await y.data()).slice();
  y.dispose();
  return numbers;
}

async function onCpu<T>(compute: () => Promise<T>): Promise<T> {
  await tf.setBackend('cpu');
  const result = await compute();
  await tf.setBackend('mulayer');
  return result;
}

/** The same on tfjs-cpu, with the same weights. */
const wanted = (make: (w: Weights) => Chain, seed = 1): Promise<ArrayLike<number>> =>
  onCpu(() => {
    const weights = new Weights(seed);
    return infer(make(weights), weights.input()).finally(() => tf.dispose(weights.made));
  });

/** Sums of up to 72 products of at most 1, scaled by 2 at most; int8 rounds each to 1/127. */
const TOLERANCES = { float32: 1e-4, int8: 0.6 };

type Way = [split: Settings['split'], precision: 'float32' | 'int8'];

function itFuses(chains: typeof CHAINS, ways: readonly Way[]): void {
  for (const [name, [make, first, later]] of Object.entries(chains)) {
    for (const [split, precision] of ways) {
      it(`${name}: split ${split}, ${precision}`, async () => {
        setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: precision });
        const weights = new Weights();
        const chain = make(weights);
        const x = weights.input();
        const expected = await wanted(make);
        for (let run = 0; run < 4; run++) {
          const actual = await infer(chain, x);
          expectNear(actual, expected, TOLERANCES[precision]);
          expect(fusedCalls().length)
            .withContext(`run ${run}`)
            .toBe(run === 0 ? first : later);
        }
      });
    }
  }
}

describe('a fused chain gives the numbers of tfjs-cpu', () => {
  useMulayer();
  const ways: Way[] = [
    ['cpu', 'float32'],
    ['cpu', 'int8'],
  ];
  const gpuWays: Way[] = [
    ['gpu', 'float32'],
    ['gpu', 'int8'],
    [0.5, 'float32'],
    [0.5, 'int8'],
  ];
  itFuses(CHAINS, [...ways, ...gpuWays]);
  itFuses(CPU_CHAINS, ways);

  it('unless the GPU lacks the fused kernel: then nothing is fused', async () => {
    if (!hasGpu()) pending('no WebGL');
    for (const split of ['gpu', 0.5]) {
      for (const [make] of Object.values(CPU_CHAINS)) {
        setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: 'float32' });
        const weights = new Weights();
        const chain = make(weights);
        const actual = await infer(chain, weights.input());
        expect(fusedCalls()).toEqual([]);
        expect(explain().layers[0].where).toBe(split === 'gpu' ? 'gpu' : 'split');
        expectNear(actual, await wanted(make), TOLERANCES.float32);
      }
    }
  });
});

describe('a chain that is fused', () => {
  useMulayer();
  beforeEach(() => setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'float32' }));

  const normed = (w: Weights): Chain => {
    const [conv, norm] = [w.conv(), w.norm()];
    return x => tf.relu(norm(conv(x)));
  };

  it('is one row that names what is in it', async () => {
    const weights = new Weights();
    const chain = normed(weights);
    const x = weights.input();
    for (let run = 0; run < 2; run++) await infer(chain, x);
    const { layers } = explain();
    expect(layers.length).toBe(1);
    expect(layers[0]).toEqual(
      jasmine.objectContaining({
        ...{ op: 'FusedConv2D', fused: ['FusedBatchNorm', 'Relu'], shape: [1, 6, 6, CO] },
      }),
    );
    layers[0].fused.push('changed');
    expect(fusedCalls()).toEqual(['FusedBatchNorm', 'Relu']);
  });

  it('runs in int8 from the second run on', async () => {
    setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'int8' });
    const w = new Weights();
    const [filter, norm] = [w.filter(3, 64), w.norm()];
    const x = w.tensor<tf.Rank.R4>(1, 6, 6, 64);
    const seen = [];
    for (let run = 0; run < 3; run++) {
      await infer(() => tf.relu(norm(tf.conv2d(x, filter, 1, 'same'))), x);
      seen.push(explain().layers.map(({ op, precision }) => `${op} ${precision}`));
    }
    expect(seen[0][0]).toBe('Conv2D float32');
    expect(seen.slice(1)).toEqual([['FusedConv2D int8'], ['FusedConv2D int8']]);
  });

  it('is also folded after a warm-up', async () => {
    const w = new Weights();
    const [filter, norm] = [w.filter(5, 64), w.norm()];
    const chain: Chain = x => norm(tf.conv2d(x, filter, 1, 'same'));
    tf.tidy(() => void chain(tf.zeros([1, 16, 16, 64])));
    expect(calls()).toBe(2);
    const x = w.tensor<tf.Rank.R4>(1, 16, 16, 64);
    const actual = await infer(chain, x);
    expect(fusedCalls()).toEqual(['FusedBatchNorm']);
    const numbers = x.dataSync().slice();
    expectNear(
      actual,
      await onCpu(() => {
        const w = new Weights();
        const [filter, norm] = [w.filter(5, 64), w.norm()];
        const x = tf.tensor4d(numbers, [1, 16, 16, 64]);
        return infer(() => norm(tf.conv2d(x, filter, 1, 'same')), x);
      }),
      1e-3,
    );
  });

  for (const split of ['cpu', 'gpu', 0.5]) {
    it(`gives a value in between to a user who keeps it: split ${split}`, async () => {
      setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: 'float32' });
      const weights = new Weights();
      const [conv, norm] = [weights.conv(), weights.norm()];
      const x = weights.input();
      const run = async (isKept: boolean) => {
        const kept: tf.Tensor[] = [];
        const y = tf.tidy(() => {
          const v = norm(conv(x));
          if (isKept) kept.push(tf.keep(v));
          return tf.relu(v);
        });
        const numbers = (await y.data()).slice();
        const inBetween = kept.length ? (await kept[0].data()).slice() : undefined;
        tf.dispose([y, kept]);
        return { numbers, inBetween, fused: fusedCalls() };
      };
      const expected = await wanted(w => {
        const [conv, norm] = [w.conv(), w.norm()];
        return x => norm(conv(x));
      });
      const relu = Float32Array.from(expected, v => Math.max(v, 0));
      for (const isKept of [false, true, false, false, true, true, false]) {
        const { numbers, inBetween, fused } = await run(isKept);
        expectNear(numbers, relu, 1e-4);
        if (inBetween) expectNear(inBetween, expected, 1e-4);
        if (isKept) expect(fused).toEqual(['FusedBatchNorm']);
      }
      expect((await run(false)).fused).toEqual(['FusedBatchNorm', 'Relu']);
    });
  }

  it('gives a value in between to a user who reads it and lets it go', async () => {
    const weights = new Weights();
    const [conv, bias] = [weights.conv(), weights.tensor<tf.Rank.R1>(CO)];
    const v = tf.tidy(() => tf.add(conv(weights.input()), bias));
    const y = tf.relu(v);
    const promise = v.data();
    v.dispose();
    const numbers = await promise;
    expect(fusedCalls()).toEqual(['Add']);
    expectNear(
      await y.data(),
      [...numbers].map(value => Math.max(value, 0)),
    );
  });

  it('gives a value that is used twice', async () => {
    const weights = new Weights();
    const [conv, norm] = [weights.conv(), weights.norm()];
    const x = weights.input();
    const twice = (v: tf.Tensor) => tf.add(tf.relu(v), tf.neg(v));
    const expected = await wanted(w => {
      const [conv, norm] = [w.conv(), w.norm()];
      return x => twice(norm(conv(x)));
    });
    for (let run = 0; run < 3; run++) {
      expectNear(await infer(x => twice(norm(conv(x))), x), expected, 1e-4);
    }
    expect(fusedCalls()).toEqual(['FusedBatchNorm']);
  });

  it('is not folded while a scale is computed, or new in each run', async () => {
    const weights = new Weights();
    const [conv, scale] = [weights.conv(), weights.positive()];
    const x = weights.input();
    const expected = await wanted(w => {
      const [conv, scale] = [w.conv(), w.positive()];
      return x => tf.relu(tf.mul(conv(x), scale));
    });
    for (let run = 0; run < 3; run++) {
      const computed = (x: T4) => tf.relu(tf.mul(conv(x), tf.neg(tf.neg(scale))));
      expectNear(await infer(computed, x), expected, 1e-4);
      expect(fusedCalls()).toEqual([]);
      const numbers = scale.dataSync().slice();
      const anew = (x: T4) => tf.relu(tf.mul(conv(x), tf.tensor1d(numbers)));
      expectNear(await infer(anew, x), expected, 1e-4);
      expect(fusedCalls()).toEqual([]);
    }
  });

  it('follows weights that change, and folds them anew when they stay', async () => {
    const x = new Weights(9).input();
    const weights = new Weights();
    const [conv, norm] = [weights.conv(), weights.norm()];
    const scale = tf.variable(weights.positive());
    const chain: Chain = x => tf.mul(norm(conv(x)), scale);
    let last = await infer(chain, x);
    for (let run = 0; run < 3; run++) {
      tf.tidy(() => scale.assign(tf.mul(scale, 2)));
      // Else the product would be part of the graph.
      await scale.data();
      for (const expected of [1, 2, 2]) {
        const now = await infer(chain, x);
        expectNear(
          now,
          last.map(v => 2 * v),
          1e-3,
        );
        expect(fusedCalls().length).withContext('of the new scale').toBe(expected);
      }
      last = last.map(v => 2 * v);
    }
    scale.dispose();
  });

  it('keeps the weights of two models of one structure apart', async () => {
    const models = [1, 2].map(seed => {
      const weights = new Weights(seed);
      return { chain: normed(weights), x: weights.input(), expected: wanted(normed, seed) };
    });
    for (let run = 0; run < 8; run++) {
      const { chain, x, expected } = models[run % 2];
      const values = await expected;
      await tf.setBackend('mulayer');
      expectNear(await infer(chain, x), values, 1e-4);
    }
    expect(fusedCalls().length).toBe(2);
  });

  it('folds one filter with each of two normalisations', async () => {
    const make = (w: Weights): Chain => {
      const [conv, a, b] = [w.conv(), w.norm(), w.norm()];
      return x => tf.concat([a(conv(x)), b(conv(x))], 3);
    };
    const weights = new Weights();
    const chain = make(weights);
    const x = weights.input();
    const expected = await wanted(make);
    for (let run = 0; run < 3; run++) expectNear(await infer(chain, x), expected, 1e-4);
    expect(fusedCalls()).toEqual(['FusedBatchNorm', 'FusedBatchNorm']);
  });

  for (const split of ['cpu', 'gpu', 0.5]) {
    for (const precision of ['float32', 'int8'] as const) {
      it(`leaves nothing when weights go, whichever: split ${split}, ${precision}`, async () => {
        setFlags({ MULAYER_SPLIT: split, MULAYER_PRECISION: precision });
        const bytes = heapBytes();
        const expected = await wanted(normed);
        for (let first = 0; first < 5; first++) {
          const weights = new Weights();
          const chain = normed(weights);
          const x = weights.input();
          for (let run = 0; run < 3; run++) {
            expectNear(await infer(chain, x), expected, TOLERANCES[precision]);
          }
          expect(fusedCalls().length).toBe(2);
          // Each of the constants is the first to go once.
          weights.made[first].dispose();
          tf.dispose([x, weights.made]);
          expect(heapBytes()).toBe(bytes);
        }
      });
    }
  }

  it('goes on when its weights are disposed meanwhile', async () => {
    const weights = new Weights();
    const chain = normed(weights);
    const x = weights.input();
    const expected = await wanted(normed);
    for (let run = 0; run < 2; run++) await infer(chain, x);
    const y = tf.tidy(() => chain(x));
    const promise = y.data();
    tf.dispose([x, weights.made]);
    expectNear(await promise, expected, 1e-4);
    expect(fusedCalls().length).toBe(2);
  });

  it('keeps no float copy of a filter beside the packed weights', async () => {
    setFlags({ MULAYER_SPLIT: 'cpu', MULAYER_PRECISION: 'int8' });
    const w = new Weights();
    const [filter, norm] = [w.filter(3, 64), w.norm()];
    const x = w.tensor<tf.Rank.R4>(1, 6, 6, 64);
    await infer(x => tf.relu(norm(tf.conv2d(x, filter, 1, 'same'))), x);
    const before = heapBytes();
    for (let run = 0; run < 3; run++) {
      await infer(x => tf.relu(norm(tf.conv2d(x, filter, 1, 'same'))), x);
    }
    expect(explain().layers[0].precision).toBe('int8');
    // Two bytes a weight at most for four, and what belongs to channels and to x.
    expect(heapBytes() - before).toBeLessThan(-filter.size);
  });

  it('is not folded where a constant is not finite, and gives what it gives', async () => {
    for (const [variance, epsilon, scale] of [
      [0, 0, 1],
      [-1, 0.001, 1],
      [NaN, 0.001, 1],
      [1, 0.001, Infinity],
      [1, 0.001, NaN],
      [1e-44, 0, 1e30],
    ]) {
      const make = (w: Weights): Chain => {
        const row = (value: number) =>
          w.keep(tf.tensor1d(Array.from({ length: CO }, (_, i) => (i === 3 ? value : 1))));
        const [conv, mean] = [w.conv(), w.tensor<tf.Rank.R1>(CO)];
        const [v, s] = [row(variance), row(scale)];
        return x => tf.batchNorm(conv(x) as T4, mean, v, undefined, s, epsilon);
      };
      const weights = new Weights();
      const chain = make(weights);
      const x = weights.input();
      // tfjs-cpu has infinities in channel 3 where x * scale - mean * scale is NaN.
      const others = (numbers: ArrayLike<number>) =>
        Array.from(numbers).filter((_, i) => i % CO !== 3);
      const expected = others(await wanted(make));
      const first = await infer(chain, x);
      for (let run = 0; run < 3; run++) {
        const numbers = await infer(chain, x);
        expectNear(numbers, first);
        expectNear(others(numbers), expected, 1e-4);
        expect(fusedCalls()).toEqual([]);
      }
    }
  });

  it('takes scales below zero, of zero, and a variance of zero with an epsilon', async () => {
    const make = (w: Weights): Chain => {
      const scale = w.keep(tf.tensor1d(Array.from({ length: CO }, (_, i) => (i % 3) - 1)));
      const variance = w.keep(tf.tensor1d(Array.from({ length: CO }, (_, i) => i % 2)));
      const [conv, mean, offset] = [w.conv(), w.tensor<tf.Rank.R1>(CO), w.tensor<tf.Rank.R1>(CO)];
      return x => tf.relu(tf.batchNorm(conv(x) as T4, mean, variance, offset, scale, 0.25));
    };
    const weights = new Weights();
    const chain = make(weights);
    const x = weights.input();
    const expected = await wanted(make);
    for (let run = 0; run < 3; run++) expectNear(await infer(chain, x), expected, 1e-4);
    expect(fusedCalls().length).toBe(2);
  });

  it('passes NaN and infinity in its input on as tfjs-cpu does', async () => {
    for (const bad of [NaN, Infinity]) {
      const weights = new Weights();
      const chain = normed(weights);
      const input = () => {
        const numbers = weights.input().dataSync().slice();
        numbers[100] = bad;
        return numbers;
      };
      const numbers = input();
      const expected = await onCpu(() => {
        const weights = new Weights();
        return infer(normed(weights), tf.tensor4d(numbers, [1, 6, 6, 8]));
      });
      for (let run = 0; run < 2; run++) {
        expectNear(await infer(chain, tf.tensor4d(numbers, [1, 6, 6, 8])), expected, 1e-4);
      }
      expect(fusedCalls().length).toBe(2);
    }
  });

  it('fails in its result when its input has failed', async () => {
    const weights = new Weights();
    const [conv, bias] = [weights.conv(), weights.tensor<tf.Rank.R1>(CO)];
    const indices = () => tf.cast(tf.relu(tf.tensor1d([9])), 'int32');
    const failing = () =>
      tf.tidy(() => {
        const x = tf.gather(tf.relu(weights.input()), indices());
        return tf.relu(tf.add(conv(x), bias));
      });
    const y = failing();
    await expectAsync(y.data()).toBeRejected();
    expect(fusedCalls()).toEqual(['Add', 'Relu']);
    expect(() => y.dataSync()).toThrow();
    expectNear(
      await infer(x => tf.relu(tf.add(conv(x), bias)), new Weights(4).input()),
      await onCpu(() => {
        const w = new Weights();
        const [conv, bias] = [w.conv(), w.tensor<tf.Rank.R1>(CO)];
        return infer(x => tf.relu(tf.add(conv(x), bias)), new Weights(4).input());
      }),
      1e-4,
    );
  });

  it('is as it was for gradients', async () => {
    const compute = async () => {
      const w = new Weights();
      const [filter, bias, x] = [w.filter(), w.tensor<tf.Rank.R1>(CO), w.input()];
      const norm = w.norm();
      const loss = (filter: tf.Tensor, bias: tf.Tensor) =>
        tf.sum(tf.square(tf.relu(norm(tf.add(tf.conv2d(x, filter as T4, 1, 'same'), bias)))));
      const results = [];
      for (let step = 0; step < 3; step++) {
        const [df, db] = tf.grads(loss)([filter, bias]);
        results.push(...(await df.data()), ...(await db.data()));
        tf.dispose([df, db]);
      }
      tf.dispose([x, w.made]);
      return results;
    };
    const actual = await compute();
    const expected = await onCpu(compute);
    expectNear(actual, expected, i => 1e-3 + 1e-4 * Math.abs(expected[i]));
  });

  it('does not grow the heap when trained', async () => {
    const w = new Weights();
    const filter = tf.variable(w.filter());
    const norm = w.norm();
    const x = w.input();
    const optimizer = tf.train.sgd(1e-4);
    const counts = [];
    for (let step = 0; step < 6; step++) {
      const loss = optimizer.minimize(
        () => tf.mean(tf.relu(norm(tf.conv2d(x, filter as unknown as T4, 1, 'same')))),
        true,
      )!;
      await loss.data();
      loss.dispose();
      // And an inference with what it has learnt.
      await infer(x => tf.relu(norm(tf.conv2d(x, filter as unknown as T4, 1, 'same'))), x);
      counts.push([heapBytes(), backend().numDataIds()]);
    }
    for (const count of counts.slice(2)) expect(count).toEqual(counts[2]);
    optimizer.dispose();
    filter.dispose();
  });
});
