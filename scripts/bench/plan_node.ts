/** What `plan.mjs` prints, as text. */
import type { Node } from '../../src/graph/graph.js';
import { findRegions } from '../../src/passes/branches.js';
import type { Profile } from '../../src/plan/profile.js';
import { jobOf, simulate } from '../../src/plan/schedule.js';
import type { Mapping } from '../../src/plan/search.js';
import { search } from '../../src/plan/search.js';
import type { Kernel } from '../../src/processors/kernel.js';
import { exhaustive, withPart } from '../../test/plan/exhaustive.js';
import { NETS, type NetName, PAPER_NETS } from '../../test/plan/nets.js';
import { PROFILES, type ProfileName } from '../../test/plan/profiles.js';

const MAPPINGS: readonly Mapping[] = [
  'network',
  'layer',
  'channel',
  'quantised',
  'branches',
  'auto',
];
/** How far a plan may be from the best. */
const FAR = 1.03;
/** Regions of so many nodes are searched exhaustively too. */
const REGION = 3;

const gpuCan = ({ kernel }: Node): boolean => !!(kernel as Kernel).gpu;

export function bench(
  nets: readonly string[],
  profiles: readonly string[],
  window: number,
): { text: string; isRight: boolean } {
  const names = (nets.length ? nets : Object.keys(NETS)) as NetName[];
  const devices = (profiles.length ? profiles : Object.keys(PROFILES)) as ProfileName[];
  for (const name of names) if (!(name in NETS)) throw new Error(`--nets: got ${name}`);
  for (const name of devices) if (!(name in PROFILES)) throw new Error(`--profiles: got ${name}`);
  const lines: string[] = [];
  let isRight = true;
  const line = (...cells: (string | number)[]) =>
    lines.push(
      cells.map((cell, i) => String(cell)[i ? 'padStart' : 'padEnd'](i ? 10 : 12)).join(' '),
    );
  for (const device of devices) {
    lines.push('', `── ${device}: simulated ms`);
    line('', 'CPU', 'GPU', ...MAPPINGS, 'exchanges', 'planned in');
    for (const name of names) {
      const nodes = NETS[name]();
      const profile: Profile = PROFILES[device];
      search(nodes, { profile, gpuCan });
      const before = performance.now();
      const auto = search(nodes, { profile, gpuCan });
      const planned = performance.now() - before;
      const all = MAPPINGS.map(mapping => search(nodes, { profile, gpuCan }, mapping));
      const { exchanges } = simulate(jobOf(nodes, { profile, gpuCan }), auto.cuts);
      const isSlower = auto.ms > Math.min(auto.cpuMs, auto.gpuMs) * (1 + 1e-9);
      if (isSlower) isRight = false;
      line(
        name,
        ...[auto.cpuMs, auto.gpuMs, ...all.map(({ ms }) => ms)].map(ms => ms.toFixed(2)),
        exchanges.length,
        `${planned.toFixed(0)} ms${isSlower ? ' SLOWER THAN ONE' : ''}`,
      );
    }
  }
  const soc = devices.filter(device => device.startsWith('soc'));
  if (soc.length) {
    lines.push('', "── the paper's comparison: times as fast as the network mapping");
    for (const device of soc) {
      line(device, 'network', 'layer', 'cooperative', 'over layer');
      for (const name of names.filter(name => (PAPER_NETS as readonly string[]).includes(name))) {
        const of = (mapping: Mapping) =>
          search(NETS[name](), { profile: PROFILES[device], gpuCan }, mapping).ms;
        const [network, layer, both] = [of('network'), of('layer'), of('branches')];
        const times = (a: number, b: number) => (a / b).toFixed(2);
        line(name, '1.00', times(network, layer), times(network, both), times(layer, both));
      }
    }
  }
  if (window > 0) {
    lines.push('', '── small subgraphs against the best of all shares in steps of 1/16');
    line('', 'subgraphs', 'worst', 'mean', `> ${FAR}`, 'seconds');
    for (const device of devices) {
      const ratios: number[] = [];
      const seen = new Set<string>();
      const before = performance.now();
      const bad: string[] = [];
      for (const name of names) {
        const nodes = NETS[name]();
        const ranges: [number, number][] = [];
        for (let count = 1; count <= window; count++) {
          for (let from = 0; from + count <= nodes.length; from++)
            ranges.push([from, from + count]);
        }
        for (const { fork, join, branches } of findRegions(nodes)) {
          if (branches.flat().length <= REGION)
            ranges.push([Math.max(fork, 0), Math.min(join + 1, nodes.length)]);
        }
        for (const [from, to] of ranges) {
          if (to - from > Math.max(window, REGION + 2)) continue;
          withPart(nodes, from, to, ({ nodes: some, isConstant, text }) => {
            if (seen.has(text)) return;
            seen.add(text);
            const circumstances = { profile: PROFILES[device], gpuCan, isConstant };
            const found = search(some, circumstances);
            const best = exhaustive(some, circumstances);
            // Nothing at all to do takes no time: a Concat whose parts are written where it wants them.
            const ratio = best === 0 && found.ms === 0 ? 1 : found.ms / best;
            ratios.push(ratio);
            if (ratio > FAR)
              bad.push(
                `   ${name} [${from}, ${to}) ${ratio.toFixed(3)}: ${some.map(n => n.kernel.name).join(' ')} ${found.cuts.join()}`,
              );
          });
        }
      }
      const worst = Math.max(...ratios);
      if (worst > FAR) isRight = false;
      const mean = ratios.reduce((a, b) => a + b, 0) / ratios.length;
      const seconds = (performance.now() - before) / 1000;
      line(
        device,
        ratios.length,
        worst.toFixed(3),
        mean.toFixed(3),
        bad.length,
        seconds.toFixed(0),
      );
      lines.push(...bad.slice(0, 8));
    }
  }
  return { text: lines.join('\n'), isRight };
}
