/**
 * Finds a plan: for each node the CPU, the GPU or a split of its channels, for each region of branches
 * who takes which, so that the simulator (`schedule.ts`) says least.
 *
 * 1. All on the CPU and all on the GPU are plans like any other.
 * 2. Dynamic programming over the nodes. Its state: where each value is that is still to be read (CPU,
 *    GPU, both, sliced at a cut) and the clocks. Of two states with the values in the same places,
 *    one that is earlier by all clocks is as good or better; of what is left the most promising
 *    are kept, a beam, since the clocks of two processors are not one number.
 * 3. Branches: for each region every way to give its branches whole to the processors.
 * 4. Improvement: each node's neighbours (a tile more or less, the other processor) as long as
 *    they gain.
 *
 * Steps 2 to 4 only ever count steps of the simulator, no clock on the wall: a graph has the same plan
 * wherever it is planned. `EFFORT` bounds them, with 5,000 nodes as with 50.
 */
import type { Node } from '../graph/graph.js';
import type { Region } from '../passes/branches.js';
import { findRegions } from '../passes/branches.js';
import { transferTime } from './cost.js';
import { roundCut } from './partition.js';
import type { Placement } from './plan.js';
import type { Circumstances, Cut, Job, State, Task } from './schedule.js';
import {
  advance,
  ALL_ON_CPU,
  ALL_ON_GPU,
  begin,
  finish,
  jobOf,
  keptCut,
  MS,
  placementOf,
} from './schedule.js';

/**
 * Who may run what.
 *
 * | mapping | numbers | layers | one after the other |
 * | --- | --- | --- | --- |
 * | network | fastest allowed | all on one processor | yes |
 * | layer | fastest allowed | each whole on one | yes |
 * | channel | float32 | whole or split | yes |
 * | quantised | fastest allowed | whole or split | yes |
 * | branches | fastest allowed | whole or split | yes, but whole branches side by side |
 * | auto | fastest allowed | whole or split | no: as soon as inputs are there |
 */
export type Mapping = 'network' | 'layer' | 'channel' | 'quantised' | 'branches' | 'auto';

export interface Found {
  readonly placements: readonly Placement[];
  readonly cuts: readonly Cut[];
  /** Simulated milliseconds. */
  readonly ms: number;
  /** The same of all on one processor; infinite where there is no GPU. */
  readonly cpuMs: number;
  readonly gpuMs: number;
  /** Regions whose branches were given whole to processors, by index of their join. */
  readonly distributed: readonly number[];
  /** Whether a node waits until all before it is done. */
  readonly inTurn: (index: number) => boolean;
}

/** Steps of the simulator: about 0.6 microseconds each. */
const EFFORT = 24_000;
const WIDEST = 24;
/** Beyond so many branches each goes where it is best by itself. */
const MOST_BRANCHES = 5;

/** Steps for each node from which many shares are tried. */
const SMALL = 1000;

/** Shares that are tried whatever the clocks say, and next to one that is there. */
const SHARES: readonly number[] = Array.from({ length: 15 }, (_, i) => (i + 1) / 16);
const NEAR: readonly number[] = [-3, -2, -1, 1, 2, 3].map(n => n / 12);

/** Nodes that are moved together. */
const BLOCK = 3;

export function search(
  nodes: readonly Node[],
  circumstances: Circumstances,
  mapping: Mapping = 'auto',
): Found {
  const exact = () => ({ int8: false, f16: false });
  const job = jobOf(
    nodes,
    mapping === 'channel' ? { ...circumstances, allows: exact } : circumstances,
  );
  return new Search(job, nodes, mapping).found();
}

class Search {
  private effort = EFFORT;
  /** See {@link stepsOf}. */
  private readonly cuts: (readonly Cut[] | undefined)[] = [];
  /** Nodes inside regions that are distributed: they do not wait. */
  private readonly free: Uint8Array;
  private readonly waits: boolean;
  private readonly splits: boolean;
  private readonly distributed: number[] = [];

  constructor(
    private readonly job: Job,
    private readonly nodes: readonly Node[],
    private readonly mapping: Mapping,
  ) {
    this.free = new Uint8Array(nodes.length);
    this.waits = mapping !== 'auto';
    this.splits = mapping !== 'network' && mapping !== 'layer';
  }

  found(): Found {
    const { tasks } = this.job;
    const cpu = this.line(tasks.map(() => ALL_ON_CPU))!;
    const hasGpu = tasks.some(task => task.gpuCan);
    const onGpu = tasks.map(task => (task.gpuCan ? ALL_ON_GPU : ALL_ON_CPU));
    const gpu = hasGpu ? this.line(onGpu)! : undefined;
    let best = gpu && gpu.end < cpu.end ? gpu : cpu;
    if (hasGpu && this.mapping !== 'network') {
      // What is best one after the other is a good beginning for what is not, too.
      const ways = this.waits ? [this.inTurn] : [this.inTurn, () => true];
      for (const inTurn of ways) {
        const beam = this.line(this.beam(inTurn, ways.length))!;
        if (beam.end < best.end) best = beam;
      }
      const regions =
        this.mapping === 'branches' || this.mapping === 'auto' ? findRegions(this.nodes) : [];
      // Inner ones first: an outer one then moves what they have found, or leaves it.
      for (const region of regions.reverse()) best = this.distribute(best, region);
      best = this.improveBlocks(this.improve(best));
    }
    const { cuts } = best;
    return {
      placements: cuts.map(placementOf),
      cuts,
      ms: best.end * MS,
      cpuMs: cpu.end * MS,
      gpuMs: gpu ? gpu.end * MS : Infinity,
      distributed: this.distributed,
      inTurn: this.inTurn,
    };
  }

  private readonly inTurn = (index: number): boolean => this.waits && !this.free[index];

  /**
   * A line of these cuts; undefined where one cannot be.
   *
   * @param old one that differs from node `from` on, if at all: undefined, too, where the new one
   *   cannot be better.
   */
  private line(cuts: readonly Cut[], old?: Line, from = 0): Line | undefined {
    // What is copied for a line costs as much as a step for every twenty nodes.
    this.effort -= Math.ceil(cuts.length / 20);
    const states = old ? old.states.slice(0, from) : [];
    let state = old ? old.states[from] : begin(this.job);
    for (let index = from; index < cuts.length; index++) {
      states.push(state);
      this.effort--;
      const next = advance(this.job, state, index, cuts[index], this.inTurn(index));
      if (!next) return undefined;
      state = next;
      const isDone = old && index + 1 < cuts.length && cuts[index + 1] === old.cuts[index + 1];
      if (isDone && isNoBetter(state, old.states[index + 1]) && this.sameFrom(cuts, old, index + 1))
        return undefined;
    }
    return { cuts, states, end: finish(this.job, state) };
  }

  private sameFrom(cuts: readonly Cut[], old: Line, from: number): boolean {
    for (let i = from; i < cuts.length; i++) if (cuts[i] !== old.cuts[i]) return false;
    return true;
  }

  /** The cuts that the dynamic programming finds, with one of so many beams. */
  private beam(inTurn: (index: number) => boolean, beams: number): Cut[] {
    const { job } = this;
    const perNode = (0.5 * EFFORT) / beams / Math.max(1, job.tasks.length);
    const isSmall = perNode >= SMALL;
    const width = isSmall
      ? Math.floor(perNode / 20)
      : Math.min(WIDEST, Math.max(2, Math.floor(perNode / 5)));
    const start: Path = { state: begin(job), cut: 0, score: 0, before: undefined };
    const front = this.front(start, 0, job.tasks.length, inTurn, width, isSmall);
    const ends = front.map(({ state }) => finish(job, state));
    return cutsTo(front[ends.indexOf(Math.min(...ends))]);
  }

  /**
   * The paths that are kept from one node to another.
   *
   * @param isRich tries many shares.
   */
  private front(
    start: Path,
    from: number,
    to: number,
    inTurn: (index: number) => boolean,
    width: number,
    isRich: boolean,
  ): Path[] {
    let front = [start];
    for (let index = from; index < to; index++) {
      const waits = inTurn(index);
      const next = new Map<number, Path[]>();
      for (const before of front) {
        const cuts = isRich
          ? this.neighbours(before.state, index, undefined, waits)
          : this.options(before.state, index, waits);
        for (const cut of cuts) {
          this.effort--;
          const state = advance(this.job, before.state, index, cut, waits);
          if (state) enter(next, { state, cut, score: scoreOf(state), before });
        }
      }
      front = widest(next, width);
    }
    return front;
  }

  /** What a node may do next. */
  private options(state: State, index: number, waits: boolean): Cut[] {
    const task = this.job.tasks[index];
    if (!task.gpuCan) return [ALL_ON_CPU];
    const cuts = [ALL_ON_CPU, ALL_ON_GPU];
    if (!this.splits) return cuts;
    const kept = keptCut(state, task);
    if (kept > 0 && kept < task.channels) cuts.push(kept);
    const boundary = boundaryOf(state, task);
    if (boundary > 0) cuts.push(boundary);
    if (task.node.kernel.kind === 'mover') return cuts;
    const steps = this.stepsOf(index);
    const even = placeIn(steps, this.evenShare(state, index, waits) * task.channels);
    for (const cut of [steps[even], steps[even - 1]]) {
      if (cut !== undefined && !cuts.includes(cut)) cuts.push(cut);
    }
    return cuts;
  }

  /**
   * Cuts worth a thought, ascending: in whole tiles, and the GPU gets as many channels as it does in
   * the same time, for what it has begun it pays for.
   */
  private stepsOf(index: number): readonly Cut[] {
    let steps = this.cuts[index];
    if (steps) return steps;
    const task = this.job.tasks[index];
    const { node, channels } = task;
    const unit = cutNear(task, 0);
    const all: Cut[] = [];
    if (unit > 0 && node.kernel.slice && node.outputs.length === 1) {
      let before = task.gpuTime(channels);
      for (let cut = unit; cut < channels; cut += unit) {
        const time = task.gpuTime(channels - cut);
        if ((time < before || cut === unit) && task.at(cut)) all.push(cut);
        before = time;
      }
    }
    this.cuts[index] = steps = all;
    return steps;
  }

  /** The share at which both would be done at the same time. */
  private evenShare({ cpu, gpu, values }: State, index: number, waits: boolean): number {
    const { tasks, profile } = this.job;
    const task = tasks[index];
    let [cpuAt, gpuAt] = waits ? [Math.max(cpu, gpu), Math.max(cpu, gpu)] : [cpu, gpu];
    for (const { slot, size, wire } of task.reads) {
      const value = values[slot]!;
      if (!value.cpu) {
        const numbers = value.cut ? size * (1 - value.share) : size;
        cpuAt = Math.max(cpu, gpu) + transferTime(profile.gpu!.readBack, numbers, wire);
      }
      if (!value.gpu) {
        const numbers = value.cut ? size * value.share : size;
        const upload = transferTime(profile.gpu!.upload, numbers, wire);
        gpuAt = Math.max(gpuAt, value.cpuAt + upload);
      }
    }
    const onCpu = task.at(ALL_ON_CPU)!.cpu;
    const onGpu = task.at(ALL_ON_GPU)!.gpu;
    return (gpuAt + onGpu - cpuAt) / (onCpu + onGpu);
  }

  /** The best way to give the region's branches whole to the processors, if it gains. */
  private distribute(line: Line, region: Region): Line {
    const branches = region.branches.filter(branch => branch.length > 0);
    const inside = branches.flat();
    const wasFree = inside.map(i => this.free[i]);
    for (const i of inside) this.free[i] = 1;
    let best: Line | undefined;
    const isMany = branches.length > MOST_BRANCHES;
    const ways = isMany ? branches.length * 2 : 2 ** branches.length;
    for (let way = 0; way < ways && this.effort > 0; way++) {
      const cuts = [...(best ?? line).cuts];
      branches.forEach((branch, b) => {
        if (isMany && b !== way >> 1) return;
        const isOnGpu = isMany ? way & 1 : (way >> b) & 1;
        for (const i of branch) {
          cuts[i] = isOnGpu && this.job.tasks[i].gpuCan ? ALL_ON_GPU : ALL_ON_CPU;
        }
      });
      for (const joined of this.joins(line, region, cuts)) {
        const other = this.line(joined, line, Math.min(...inside));
        if (other && other.end < (best ?? line).end) best = other;
      }
    }
    if (best) this.distributed.push(region.join);
    else inside.forEach((node, i) => (this.free[node] = wasFree[i]));
    return best ?? line;
  }

  /** The cuts with each way to join. */
  private joins({ cuts: old }: Line, { join, branches }: Region, cuts: readonly Cut[]): Cut[][] {
    if (join >= old.length || !this.job.tasks[join].gpuCan) return [[...cuts]];
    const ways = new Set<Cut>([old[join], ALL_ON_CPU, ALL_ON_GPU]);
    const { node } = this.job.tasks[join];
    if (this.splits && node.kernel.putsSideBySide?.(node)) {
      // The end of the first branches, as long as they are the CPU's.
      const last = new Set(branches.flatMap(branch => branch.at(-1) ?? []));
      const onCpu = new Set(
        [...last].filter(i => cuts[i] === ALL_ON_CPU).flatMap(i => this.job.tasks[i].node.outputs),
      );
      let end = 0;
      for (const { value, shape } of Object.values(node.inputs)) {
        if (!onCpu.has(value)) break;
        end += shape.at(-1)!;
      }
      if (end > 0 && end < this.job.tasks[join].channels) ways.add(end);
    }
    return [...ways].map(way => Object.assign([...cuts], { [join]: way }));
  }

  /** Changes one node after the other as long as that gains. */
  private improve(line: Line): Line {
    const { tasks } = this.job;
    let best = line;
    for (let gained = true; gained && this.effort > 0;) {
      gained = false;
      for (let index = 0; index < tasks.length && this.effort > 0; index++) {
        const { cuts, states } = best;
        for (const cut of this.neighbours(states[index], index, cuts[index], this.inTurn(index))) {
          for (const cuts of this.moves(best.cuts, index, cut)) {
            const other = this.line(cuts, best, index);
            if (!other || other.end >= best.end * (1 - 1e-9)) continue;
            best = other;
            gained = true;
          }
        }
      }
    }
    return best;
  }

  /** Plans a few nodes anew, with all shares, what comes after them staying as it is. */
  private improveBlocks(line: Line): Line {
    const { length } = this.job.tasks;
    let best = line;
    for (let from = 0; from < length && this.effort > 0; from++) {
      const to = Math.min(from + BLOCK, length);
      const start: Path = { state: best.states[from], cut: 0, score: 0, before: undefined };
      for (const path of this.front(start, from, to, this.inTurn, WIDEST / 2, true)) {
        const cuts = [...best.cuts];
        cuts.splice(from, to - from, ...cutsTo(path));
        const other = this.line(cuts, best, from);
        if (other && other.end < best.end * (1 - 1e-9)) best = other;
      }
    }
    return best;
  }

  /** The cuts with another one for a node, by itself and with the nodes that follow. */
  private moves(cuts: readonly Cut[], index: number, cut: Cut): Cut[][] {
    const { tasks } = this.job;
    const moves: Cut[][] = [];
    const moved = [...cuts];
    for (let i = index; i < Math.min(index + BLOCK, tasks.length); i++) {
      const isSplit = cut !== ALL_ON_CPU && cut !== ALL_ON_GPU;
      const follows = isSplit ? (cut * tasks[i].channels) / tasks[index].channels : cut;
      const own =
        Number.isInteger(follows) && tasks[i].at(follows)
          ? follows
          : cutNear(tasks[i], cut / tasks[index].channels) || ALL_ON_CPU;
      if (i > index && moved[i] === own) continue;
      moved[i] = own;
      moves.push([...moved]);
    }
    return moves;
  }

  private neighbours(state: State, index: number, cut: Cut | undefined, waits: boolean): Cut[] {
    const task = this.job.tasks[index];
    if (!task.gpuCan) return cut === undefined ? [ALL_ON_CPU] : [];
    const all = new Set<Cut>([ALL_ON_CPU, ALL_ON_GPU]);
    const { channels } = task;
    if (this.splits) {
      const steps = this.stepsOf(index);
      const share =
        cut !== undefined && cut > 0 ? cut / channels : this.evenShare(state, index, waits);
      const at = placeIn(steps, share * channels);
      for (let n = -3; n <= 3; n++) if (steps[at + n] !== undefined) all.add(steps[at + n]);
      for (const far of cut === undefined ? SHARES : NEAR) {
        const place = placeIn(steps, (cut === undefined ? far : share + far) * channels);
        if (steps[place] !== undefined) all.add(steps[place]);
      }
      all.add(keptCut(state, task) || ALL_ON_CPU);
      all.add(boundaryOf(state, task) || ALL_ON_CPU);
    }
    if (cut !== undefined) all.delete(cut);
    return [...all].filter(other => other < channels);
  }
}

/** Cuts, the state before each node, and when all is over in nanoseconds. */
interface Line {
  readonly cuts: readonly Cut[];
  readonly states: readonly State[];
  readonly end: number;
}

/** Whether one of two states before the same node can come to nothing better than the other. */
function isNoBetter(a: State, b: State): boolean {
  if (a.cpu < b.cpu || a.gpu < b.gpu || a.wire < b.wire) return false;
  return a.values.every((value, i) => {
    const other = b.values[i];
    if (!value || !other) return value === other;
    return (
      value.cpu === other.cpu &&
      value.gpu === other.gpu &&
      value.cut === other.cut &&
      value.cpuAt >= other.cpuAt &&
      value.gpuAt >= other.gpuAt
    );
  });
}

interface Path {
  readonly state: State;
  readonly cut: Cut;
  readonly score: number;
  readonly before: Path | undefined;
}

function cutsTo(end: Path): Cut[] {
  const cuts: Cut[] = [];
  for (let path = end; path.before; path = path.before) cuts.push(path.cut);
  return cuts.reverse();
}

/** The later clock, and somewhat of the other: work that is done is done. */
const scoreOf = ({ cpu, gpu }: State) => Math.max(cpu, gpu) + 0.3 * Math.min(cpu, gpu);

/** Places of all values, as a number. */
function placesOf({ values }: State): number {
  let hash = 17;
  for (const value of values) {
    const place = value ? 1 + Number(value.cpu) + 2 * Number(value.gpu) + 4 * value.cut : 0;
    hash = (Math.imul(hash, 0x01000193) ^ place) >>> 0;
  }
  return hash;
}

/** One more path, unless another is as early by both clocks. */
function enter(paths: Map<number, Path[]>, path: Path): void {
  const places = placesOf(path.state);
  const same = paths.get(places) ?? [];
  const isEarlier = ({ state: a }: Path, { state: b }: Path) =>
    a.cpu <= b.cpu && a.gpu <= b.gpu && a.wire <= b.wire;
  if (same.some(other => isEarlier(other, path))) return;
  paths.set(places, [...same.filter(other => !isEarlier(path, other)), path]);
}

/** The most promising of each kind of last step. */
function widest(paths: ReadonlyMap<number, readonly Path[]>, width: number): Path[] {
  const all = [...paths.values()].flat().sort((a, b) => a.score - b.score);
  if (all.length <= width) return all;
  const kept: Path[] = [];
  const counts = [0, 0, 0];
  for (const path of all) {
    const kind = path.cut === ALL_ON_CPU ? 0 : path.cut === ALL_ON_GPU ? 1 : 2;
    if (counts[kind] >= width / 3) continue;
    counts[kind]++;
    kept.push(path);
  }
  return kept;
}

/** Where a Concat's inputs change from the CPU to the GPU; 0: nowhere. */
function boundaryOf({ values }: State, { node, reads, channels }: Task): Cut {
  if (!node.kernel.putsSideBySide?.(node)) return 0;
  const shapes = Object.values(node.inputs);
  if (shapes.length !== reads.length) return 0;
  let end = 0;
  for (let i = 0; i < reads.length; i++) {
    if (!values[reads[i].slot]!.cpu) break;
    end += shapes[i].shape.at(-1)!;
  }
  return end < channels ? end : 0;
}

/** Where in an ascending list the next number is. */
function placeIn(list: readonly number[], wanted: number): number {
  let place = 0;
  while (place + 1 < list.length && list[place] < wanted) place++;
  return place;
}

/** The cut in whole tiles next to a share of the channels, with something for both; 0: none. */
function cutNear({ node, channels }: Task, share: number): Cut {
  return roundCut(channels, share, node.kernel.grain?.(node) ?? 1);
}
