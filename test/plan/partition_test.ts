/** src/plan/partition.ts: who runs what. */
import type { Node } from '../../src/graph/graph.js';
import { LAYER_MACS, partition, roundCut, totalMacs } from '../../src/plan/partition.js';
import type { NodeRule } from '../../src/plan/partition.js';
import { given, kernel, layer, Recorder, use } from '../graph/nodes.js';

const relu = kernel('Relu');
const mover = kernel('Mover', { kind: 'mover' });
const whole = kernel('Whole', { kind: 'mover', slice: () => undefined });

/** Where each node runs: 'cpu', 'gpu', or the cut of a split. */
function place(
  record: (recorder: Recorder) => void,
  rule: NodeRule,
  gpuCan: (node: Node, i: number) => boolean = () => true,
): (string | number)[] {
  const recorder = new Recorder();
  record(recorder);
  return partition(recorder.nodes, rule, { gpuCan }).map(placement =>
    placement.where === 'split' ? placement.cut : placement.where,
  );
}

/** x -> layer of 32 -> relu -> mover -> layer of 64 */
const chain = (r: Recorder) => {
  const first = r.call(layer(32, LAYER_MACS), { x: given(1, 4, 16), w: given(16, 32) });
  const second = r.call(mover, { x: r.call(relu, { x: first }) });
  r.call(layer(64), { x: second, w: given(32, 64) });
};

describe('roundCut', () => {
  const cases: [channels: number, p: number, grain: number, cut: number][] = [
    // Too few to cut.
    [1, 0.5, 1, 0],
    [0, 0.5, 1, 0],
    [3, 0.5, 2, 0],
    // Fewer than two tiles of 8: any channel.
    [2, 0.5, 1, 1],
    [3, 0.5, 1, 2],
    [15, 0.5, 1, 8],
    [15, 0.25, 1, 4],
    // Whole tiles.
    [16, 0.5, 1, 8],
    [64, 0.25, 1, 16],
    [64, 0.3, 1, 16],
    [64, 0.32, 1, 24],
    [17, 0.5, 1, 8],
    [100, 0.5, 1, 48],
    // Both get something, however small p is.
    [64, 0.001, 1, 8],
    [64, 0.999, 1, 56],
    [17, 0.999, 1, 16],
    [2, 0.999, 1, 1],
    // Multiples of the grain.
    [12, 0.5, 2, 6],
    [12, 0.5, 3, 6],
    [15, 0.5, 3, 9],
    [48, 0.5, 3, 24],
    [96, 0.25, 3, 24],
    [64, 0.5, 4, 32],
  ];
  for (const [channels, p, grain, cut] of cases) {
    it(`of ${channels} channels at ${p} by ${grain} is ${cut}`, () => {
      expect(roundCut(channels, p, grain)).toBe(cut);
    });
  }

  it('leaves both processors something, in units of the grain', () => {
    for (let channels = 1; channels < 200; channels++) {
      for (const grain of [1, 2, 3, 4, 8].filter(grain => channels % grain === 0)) {
        for (const p of [0.01, 0.25, 0.5, 0.9, 0.99]) {
          const cut = roundCut(channels, p, grain);
          expect(cut % grain).toBe(0);
          if (channels >= 2 * grain) expect(cut > 0 && cut < channels).toBeTrue();
          else expect(cut).toBe(0);
        }
      }
    }
  });
});

describe('partition', () => {
  for (const rule of ['cpu', 1] as const) {
    it(`${rule}: everything on the CPU`, () => {
      expect(place(chain, rule)).toEqual(['cpu', 'cpu', 'cpu', 'cpu']);
      // And the GPU is not asked: its self-test takes 0.2 s.
      let asked = 0;
      place(chain, rule, () => asked++ >= 0);
      expect(asked).toBe(0);
    });
  }

  for (const rule of ['gpu', 0] as const) {
    it(`${rule}: everything on the GPU that it can`, () => {
      expect(place(chain, rule)).toEqual(['gpu', 'gpu', 'gpu', 'gpu']);
      expect(place(chain, rule, ({ kernel }) => kernel.name !== 'Relu')).toEqual([
        'gpu',
        'cpu',
        'gpu',
        'gpu',
      ]);
    });
  }

  it('layer: large layers on the GPU, the others on the CPU, what follows stays', () => {
    expect(place(chain, 'layer')).toEqual(['gpu', 'gpu', 'gpu', 'cpu']);
    expect(place(r => r.call(relu, { x: given(4, 16) }), 'layer')).toEqual(['cpu']);
  });

  it('p: layers are cut anew, what follows keeps the cut', () => {
    expect(place(chain, 0.5)).toEqual([16, 16, 16, 32]);
    expect(place(chain, 0.25)).toEqual([8, 8, 8, 16]);
  });

  it('p: what goes channel by channel keeps the cut of its input, in its own channels', () => {
    const twice = kernel('Depthwise', {
      infer: ({ x }) => [
        { shape: [...x.shape.slice(0, -1), 2 * x.shape.at(-1)!], dtype: 'float32' },
      ],
    });
    expect(
      place(r => r.call(twice, { x: r.call(layer(24), { x: given(4, 8), w: given(8, 24) }) }), 0.5),
    ).toEqual([16, 32]);
  });

  it('p: what cannot be cut runs on the CPU, and so does what follows', () => {
    expect(
      place(r => {
        const y = r.call(layer(32), { x: given(4, 16), w: given(16, 32) });
        r.call(relu, { x: r.call(whole, { x: y }) });
      }, 0.5),
    ).toEqual([16, 'cpu', 'cpu']);
    expect(place(r => r.call(layer(1), { x: given(4, 16), w: given(16, 1) }), 0.5)).toEqual([
      'cpu',
    ]);
  });

  it('p: what only moves numbers from outside stays on the CPU', () => {
    expect(place(r => r.call(mover, { x: given(4, 32) }), 0.5)).toEqual(['cpu']);
    expect(place(r => r.call(relu, { x: given(4, 32) }), 0.5)).toEqual([16]);
  });

  it('p: cuts are multiples of the grain', () => {
    const depthwise = kernel('Depthwise', { grain: () => 3 });
    expect(place(r => r.call(depthwise, { x: given(4, 15) }), 0.5)).toEqual([9]);
  });

  it('p: what the GPU cannot run is on the CPU, and so is what follows but no layer', () => {
    expect(place(chain, 0.5, ({ kernel }) => kernel.name !== 'Relu')).toEqual([
      16,
      'cpu',
      'cpu',
      32,
    ]);
  });

  it('p: the input that counts is the largest that is no weights', () => {
    const add = kernel('Add');
    expect(
      place(r => {
        const y = r.call(layer(32), { x: given(4, 16), w: given(16, 32) });
        r.call(add, { a: given(32), b: y });
        r.call(add, { a: y, b: given(8, 4, 32) });
      }, 0.25),
    ).toEqual([8, 8, 8]);
  });

  it('p: a reshaped input has other channels', () => {
    const placed = place(r => {
      const y = r.call(layer(32), { x: given(4, 16), w: given(16, 32) });
      r.call(relu, { x: use(y, [8, 16]) });
      r.call(relu, { x: use(y, [128]) });
    }, 0.5);
    for (const [i, channels] of [32, 16, 128].entries()) {
      if (placed[i] === 'cpu') continue;
      expect(placed[i]).toBeGreaterThan(0);
      expect(placed[i]).toBeLessThan(channels);
    }
  });
});

describe('totalMacs', () => {
  it('adds up what the kernels say', () => {
    const recorder = new Recorder();
    chain(recorder);
    expect(totalMacs(recorder.nodes)).toBe(LAYER_MACS + 1);
  });
});
