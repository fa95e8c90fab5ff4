/** src/plan/bands.ts: stretches of a graph on one processor or on both. */
import type { Node } from '../../src/graph/graph.js';
import { kernels } from '../../kernels/table.js';
import type { Prices } from '../../src/plan/bands.js';
import { planBands } from '../../src/plan/bands.js';
import type { Placement } from '../../src/plan/plan.js';
import { given, Recorder } from '../graph/nodes.js';
import { nodesOf, PAPER_NETS } from './nets.js';

const macsOf = (node: Node) => node.kernel.macs?.(node) ?? 1e6;

/** Processors of so many multiply-accumulates in a unit of time; an exchange costs `a` and `b` a number. */
function pricesOf(
  nodes: readonly Node[],
  { cpu = 1e8, gpu = 1e8, a = 0, b = 0, issue = 0, fixed = 0 },
): Prices {
  return {
    cpu: (i, share) => (macsOf(nodes[i]) / cpu) * share,
    gpu: (i, share) => (macsOf(nodes[i]) / gpu) * (share === 1 ? 1 : fixed + (1 - fixed) * share),
    ...{ issue, upload: n => a + b * n, readBack: n => a + b * n },
  };
}

const all = (nodes: readonly Node[], time: (i: number) => number) =>
  nodes.reduce((sum, _, i) => sum + time(i), 0);

const where = (placements: readonly Placement[]) => [
  ...new Set(placements.map(placement => placement.where)),
];

describe('planBands', () => {
  for (const name of PAPER_NETS) {
    const nodes = nodesOf(name);

    it(`is never above the better processor alone, whatever things cost: ${name}`, () => {
      for (const made of [
        {},
        { a: 1, b: 1e-6 },
        { a: 100, b: 1e-3 },
        { gpu: 4e8, a: 1 },
        { cpu: 4e8, a: 1, issue: 0.1 },
        { fixed: 1, a: 0.5 },
      ]) {
        const prices = pricesOf(nodes, made);
        const { placements, time } = planBands(nodes, prices, () => true);
        expect(placements.length).toBe(nodes.length);
        const out = nodes.at(-1)!.outputs[0].shape.reduce((x, y) => x * y, 1);
        const gpu = all(nodes, i => Math.max(prices.gpu(i, 1, 'rows'), prices.issue));
        const x = Object.values(nodes[0].inputs)[0].shape.reduce((x, y) => x * y, 1);
        const onGpu = prices.upload(x) + gpu + prices.readBack(out);
        const best = Math.min(
          all(nodes, i => prices.cpu(i, 1)),
          onGpu,
        );
        expect(time).toBeLessThanOrEqual(best * (1 + 1e-9));
      }
    });

    it(`stays with the better processor where exchange is dear: ${name}`, () => {
      const prices = pricesOf(nodes, { cpu: 2e8, a: 1e6 });
      expect(where(planBands(nodes, prices, () => true).placements)).toEqual(['cpu']);
    });

    it(`gains where both are alike and exchange costs little: ${name}`, () => {
      const prices = pricesOf(nodes, { a: 0.01, b: 1e-8 });
      const { time, placements } = planBands(nodes, prices, () => true);
      expect(where(placements)).toContain('split');
      expect(time).toBeLessThan(0.85 * all(nodes, i => prices.cpu(i, 1)));
    });

    it(`leaves to the CPU what the GPU cannot run: ${name}`, () => {
      const prices = pricesOf(nodes, {});
      const { placements } = planBands(nodes, prices, i => i % 3 !== 1);
      placements.forEach((placement, i) => {
        if (i % 3 === 1) expect(placement.where).toBe('cpu');
      });
    });
  }

  /** A chain of so many convolutions of x [n,16,16,8]. */
  function chain(length: number, n: number): Node[] {
    const recorder = new Recorder();
    let x = given(n, 16, 16, 8);
    for (let i = 0; i < length; i++) {
      x = recorder.call(
        kernels.get('Conv2D')!,
        { x, filter: given(3, 3, 8, 8) },
        { strides: [1, 1], pad: 'same', dataFormat: 'NHWC', dilations: [1, 1] },
      );
    }
    return recorder.nodes;
  }

  it('images have no halo: one chain, half of them each', () => {
    const nodes = chain(6, 4);
    const { placements } = planBands(nodes, pricesOf(nodes, { a: 2e-4 }), () => true);
    expect(placements).toEqual(nodes.map(() => ({ where: 'split', axis: 0, cut: 2, from: 2 })));
  });

  it('rows have one, which grows towards the beginning', () => {
    const nodes = chain(3, 1);
    const prices = pricesOf(nodes, { a: 2e-4 });
    const rows = planBands(nodes, prices, () => true).placements;
    expect(rows).toEqual([
      { where: 'split', axis: 1, cut: 10, from: 6 },
      { where: 'split', axis: 1, cut: 9, from: 7 },
      { where: 'split', axis: 1, cut: 8, from: 8 },
    ]);
  });

  it('cuts channels where fewer rows are no faster on the GPU', () => {
    const nodes = chain(1, 1);
    const prices: Prices = {
      ...pricesOf(nodes, { a: 1e-5 }),
      gpu: (i, share, of) => (macsOf(nodes[i]) / 1e8) * (of === 'rows' ? 1 : share),
    };
    expect(planBands(nodes, prices, () => true).placements).toEqual([{ where: 'split', cut: 4 }]);
  });

  it('the faster processor has the larger part', () => {
    const nodes = chain(1, 1);
    const cutWith = (cpu: number) => {
      const prices = pricesOf(nodes, { cpu, a: 1e-6 });
      const [placement] = planBands(nodes, prices, () => true).placements;
      return placement.where === 'split' ? placement.cut : placement.where;
    };
    expect(cutWith(3e8)).toBeGreaterThan(cutWith(1e8) as number);
  });

  it('a result that the user keeps, in the middle of a chain, is whole', () => {
    const nodes = chain(2, 1);
    nodes[1].inputs.x.value.refs = 1;
    const prices = pricesOf(nodes, { a: 2e-4 });
    const [first] = planBands(nodes, prices, () => true).placements;
    if (first.where !== 'split' || first.axis !== 1) {
      fail('expected rows');
      return;
    }
    expect(first.cut).toBeGreaterThanOrEqual(first.from!);
  });

  it('plans a chain of 2,000 nodes by looking at each so often', () => {
    const nodes = chain(2000, 1);
    let looked = 0;
    const { kernel } = nodes[0];
    const counting = {
      ...kernel,
      band: ((...args) => (looked++, kernel.band!(...args))) as typeof kernel.band,
    };
    nodes.forEach(node => Object.assign(node, { kernel: counting }));
    planBands(nodes, pricesOf(nodes, {}), () => true);
    expect(looked).toBeLessThan(150_000);
  });
});
