/**
 * src/plan/search.ts: against every plan there is, where the graph is small; never worse than the better
 * processor alone.
 */
import { jobOf, simulate } from '../../src/plan/schedule.js';
import type { Mapping } from '../../src/plan/search.js';
import { search } from '../../src/plan/search.js';
import { given, kernel, layer, Recorder } from '../graph/nodes.js';
import { exhaustive, withPart } from './exhaustive.js';
import type { NetName } from './nets.js';
import { NETS } from './nets.js';
import type { ProfileName } from './profiles.js';
import { PROFILES } from './profiles.js';

const MAPPINGS: readonly Mapping[] = [
  'network',
  'layer',
  'channel',
  'quantised',
  'branches',
  'auto',
];

describe('search', () => {
  for (const name of Object.keys(PROFILES) as ProfileName[]) {
    const profile = PROFILES[name];
    it(`${name}: never above the better processor alone, and what it says is what is simulated`, () => {
      for (const net of Object.keys(NETS) as NetName[]) {
        const nodes = NETS[net]();
        const found = search(nodes, { profile });
        expect(found.ms).withContext(net).toBeLessThanOrEqual(Math.min(found.cpuMs, found.gpuMs));
        const { ms } = simulate(jobOf(nodes, { profile }), found.cuts);
        expect(ms).withContext(net).toBeCloseTo(found.ms, 6);
        expect(found.placements.length).toBe(nodes.length);
      }
    });

    it(`${name}: two nodes within 3 % of the best of all shares in steps of 1/16`, () => {
      const nodes = NETS.googlenet();
      for (let from = 0; from + 2 <= 20; from++) {
        withPart(nodes, from, from + 2, ({ nodes: some, isConstant }) => {
          const circumstances = { profile, isConstant };
          const best = exhaustive(some, circumstances);
          expect(search(some, circumstances).ms)
            .withContext(String(from))
            .toBeLessThanOrEqual(1.03 * best);
        });
      }
    });
  }

  it('each mapping gains on the one it adds to, on the SoCs of the paper', () => {
    for (const device of ['soc, CPU 1.26', 'soc, GPU 1.40'] as const) {
      const ms = MAPPINGS.map(m => search(NETS.googlenet(), { profile: PROFILES[device] }, m).ms);
      const [network, layer, channel, quantised, branches, auto] = ms;
      expect(layer).toBeLessThanOrEqual(network);
      expect(quantised).toBeLessThan(Math.min(layer, channel));
      expect(branches).toBeLessThan(quantised);
      expect(auto).toBeLessThan(1.03 * branches);
    }
  });

  it('without a GPU, or where read-backs take 2 ms, small nets stay on the CPU', () => {
    for (const device of ['2 cores, no GPU', '2 ms a read-back'] as const) {
      const { placements } = search(NETS.squeezenet(), { profile: PROFILES[device] });
      expect(placements.every(({ where }) => where === 'cpu')).toBeTrue();
    }
  });

  it('what the GPU cannot run is on the CPU', () => {
    const gpuCan = ({ kernel }: { kernel: { name: string } }) => kernel.name !== 'MaxPool';
    const nodes = NETS.vgg16();
    const { placements } = search(nodes, { profile: PROFILES['soc, GPU 1.40'], gpuCan });
    nodes.forEach((node, i) => {
      if (!gpuCan(node)) expect(placements[i].where).toBe('cpu');
    });
  });

  it('no node, one, none that is a layer, and 5,000 are planned', () => {
    const profile = PROFILES['soc, GPU 1.40'];
    expect(search([], { profile }).placements).toEqual([]);
    for (const length of [1, 5000]) {
      const recorder = new Recorder();
      let x = recorder.call(layer(32, 1e6), { x: given(1, 8, 8, 32), w: given(32, 32) });
      for (let i = 1; i < length; i++) x = recorder.call(kernel('Relu'), { x });
      for (const value of recorder.nodes.flatMap(({ outputs }) => outputs)) value.refs = 0;
      expect(search(recorder.nodes, { profile }).placements.length).toBe(length);
    }
  });
});
