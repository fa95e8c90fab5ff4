/**
 * The simulator: when each step of a plan starts and ends with two processors at work, by the device
 * profile. One processor does its steps in the order of the nodes; the two run on their own clocks:
 *
 *     CPU   conv [0,c) ───► │ read-back (blocks) │ conv [0,c) ───►
 *     GPU   conv [c,C) ──────────►                conv [c,C) ─────────►
 *     wire                   ── upload, blocks nobody ──►
 *
 * - A read-back starts when the CPU comes to it and the GPU has done all that was submitted, takes
 *   a + b * bytes of the CPU, and the workers have to be woken after it.
 * - An upload starts when the number is there and the wire is free; the GPU's step waits for it.
 * - While both work, each is slower by its factor of the profile.
 * - A run is over when its results are on the CPU, where their readers want them.
 *
 * It goes forward one node at a time (`advance`), and so the search can try what each next step costs.
 */
import type { Node } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import type { Allowed } from './cost.js';
import {
  contended,
  cpuFormat,
  cpuTime,
  gpuFormat,
  gpuTime,
  sizeOf,
  transferTime,
  wireOf,
  workOf,
} from './cost.js';
import type { Placement } from './plan.js';
import type { GpuFormat, Profile } from './profile.js';
import { BYTES } from './profile.js';

/**
 * A placement as one number, which is what the search calculates with: output channels [0, n) on the
 * CPU, the others on the GPU; 0: all on the GPU; ALL_ON_CPU.
 */
export type Cut = number;
export const ALL_ON_CPU = -1;
export const ALL_ON_GPU = 0;

export interface Circumstances {
  readonly profile: Profile;
  /** Whether the GPU can run this node at all; wherever there is one, when absent. */
  readonly gpuCan?: (node: Node, index: number) => boolean;
  /** What the error budget allows; everything when absent. */
  readonly allows?: (node: Node, index: number) => Allowed;
  /** Values that both processors keep: weights. When absent: by {@link userInputs}. */
  readonly isConstant?: (value: Value) => boolean;
}

/** What one part of a node reads of a value, in numbers: all of them, a part, none. */
interface Need {
  readonly cpu: number;
  readonly gpu: number;
  /** The cut at which the value gives each part what it needs; 0: at none. */
  readonly keeps: number;
}

interface Times {
  readonly cpu: number;
  readonly gpu: number;
  readonly needs: readonly Need[];
}

interface Read {
  /** Where the value's state is. */
  readonly slot: number;
  readonly size: number;
  readonly wire: GpuFormat;
}

/** A node, prepared. */
export interface Task {
  readonly node: Node;
  readonly channels: number;
  readonly reads: readonly Read[];
  /** Slots of the outputs. */
  readonly slots: readonly number[];
  /** Slots nobody reads after this. */
  readonly ends: readonly number[];
  readonly gpuCan: boolean;
  /** Times and needs at this cut; undefined: it cannot be cut so. Kept once made. */
  at(cut: Cut): Times | undefined;
  /** Nanoseconds on the GPU of so many channels. */
  gpuTime(channels: number): number;
}

export interface Job {
  readonly tasks: readonly Task[];
  readonly profile: Profile;
  readonly slots: number;
  /** User's inputs, which are on the CPU. */
  readonly inputs: readonly number[];
  readonly results: readonly Read[];
}

/** Where a value is, and since when, in nanoseconds. */
interface Whereabouts {
  readonly cpu: boolean;
  readonly gpu: boolean;
  /** Channels [0, cut) are on the CPU, the others on the GPU; 0: it is not sliced. */
  readonly cut: number;
  /** The CPU's part of all of it. */
  readonly share: number;
  /** When the CPU's part, or all, was there. */
  readonly cpuAt: number;
  readonly gpuAt: number;
}

/** The clocks, in nanoseconds, and where the values are that are still to be read. */
export interface State {
  readonly cpu: number;
  readonly gpu: number;
  readonly wire: number;
  readonly values: readonly (Whereabouts | undefined)[];
}

export interface Exchange {
  /** Index of the step it was for; the number of nodes: for the reader of the results. */
  readonly step: number;
  readonly kind: 'upload' | 'readBack';
  readonly bytes: number;
  /** Milliseconds. */
  readonly start: number;
  readonly end: number;
}

/** Milliseconds in which a processor worked for a step. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface Schedule {
  /** Milliseconds until the results are on the CPU. */
  readonly ms: number;
  readonly steps: readonly { readonly cpu?: Span; readonly gpu?: Span }[];
  readonly exchanges: readonly Exchange[];
}

interface Log {
  readonly steps: { cpu?: Span; gpu?: Span }[];
  readonly exchanges: Exchange[];
}

const HERE: Whereabouts = { cpu: true, gpu: false, cut: 0, share: 1, cpuAt: 0, gpuAt: 0 };

export function jobOf(nodes: readonly Node[], circumstances: Circumstances): Job {
  const { profile, gpuCan, allows } = circumstances;
  const computed = new Map<Value, Allowed>();
  const lastRead = new Map<Value, number>();
  nodes.forEach(({ inputs, outputs }, i) => {
    for (const { value } of Object.values(inputs)) lastRead.set(value, i);
    for (const value of outputs) lastRead.set(value, -1);
  });
  const slots = new Map<Value, number>();
  const free: number[] = [];
  let count = 0;
  const inputs: number[] = [];
  const results: Read[] = [];
  const slotOf = (value: Value) => {
    let slot = slots.get(value);
    if (slot === undefined) slots.set(value, (slot = free.pop() ?? count++));
    return slot;
  };
  // Inputs first, for they are there from the beginning.
  const produced = new Set(nodes.flatMap(({ outputs }) => outputs));
  const fromUser = userInputs(nodes, produced);
  const isConstant = circumstances.isConstant ?? ((value: Value) => !fromUser.has(value));
  for (const value of lastRead.keys()) {
    if (!produced.has(value) && !isConstant(value)) inputs.push(slotOf(value));
  }

  const tasks = nodes.map((node, index): Task => {
    const allowed = allows?.(node, index) ?? { int8: true, f16: true };
    const uses = Object.entries(node.inputs).filter(([, { value }]) => slots.has(value));
    const reads = uses.map(([, { value }]) => ({
      slot: slotOf(value),
      size: sizeOf(value.shape),
      wire: value.dtype === 'float32' ? wireOf(computed.get(value) ?? allowed) : 'float32',
    }));
    const ends: number[] = [];
    const ended = new Set<Value>();
    for (const [, { value }] of uses) {
      if (lastRead.get(value) !== index || ended.has(value)) continue;
      ended.add(value);
      if (isResult(value, lastRead)) continue;
      ends.push(slotOf(value));
    }
    const own = node.outputs.map(value => {
      computed.set(value, allowed);
      return slotOf(value);
    });
    for (const value of node.outputs) {
      const wire = value.dtype === 'float32' ? wireOf(allowed) : 'float32';
      const read: Read = { slot: slotOf(value), size: sizeOf(value.shape), wire };
      if (isResult(value, lastRead)) results.push(read);
    }
    free.push(...ends);
    const can = !!profile.gpu && (gpuCan?.(node, index) ?? true);
    return task(node, uses, reads, { slots: own, ends, gpuCan: can, allowed, profile });
  });
  return { tasks, profile, slots: count, inputs, results };
}

/** Whether somebody will read it after the run. */
const isResult = (value: Value, lastRead: ReadonlyMap<Value, number>) =>
  value.refs > 0 || lastRead.get(value) === -1;

/**
 * Values from outside that are what the graph is about: the largest a node reads, but its weights, where it
 * reads nothing computed. All others from outside are taken for constants.
 */
function userInputs(nodes: readonly Node[], produced: ReadonlySet<Value>): Set<Value> {
  const found = new Set<Value>();
  for (const { inputs, kernel } of nodes) {
    const uses = Object.entries(inputs);
    if (uses.some(([, { value }]) => produced.has(value))) continue;
    const candidates = uses.filter(([name]) => name !== kernel.weights).map(([, use]) => use);
    if (candidates.length === 0) continue;
    const largest = candidates.reduce((a, b) => (sizeOf(b.shape) > sizeOf(a.shape) ? b : a));
    found.add(largest.value);
  }
  return found;
}

interface TaskParts extends Pick<Task, 'slots' | 'ends' | 'gpuCan'> {
  readonly allowed: Allowed;
  readonly profile: Profile;
}

function task(
  node: Node,
  uses: readonly (readonly [string, Node['inputs'][string]])[],
  reads: readonly Read[],
  { allowed, profile, ...parts }: TaskParts,
): Task {
  const work = workOf(node);
  const channels = node.outputs[0].shape.at(-1) ?? 1;
  const known = new Map<Cut, Times | undefined>();
  const onGpu = (n: number) => {
    const { gpu } = profile;
    return gpu ? gpuTime(work, n, gpuFormat(work, n, allowed, gpu), gpu) : Infinity;
  };
  const make = (cut: Cut): Times | undefined => {
    const cpuChannels = cut === ALL_ON_CPU ? Math.max(channels, 1) : cut;
    const gpuChannels = cut === ALL_ON_CPU ? 0 : Math.max(channels, 1) - cut;
    if (gpuChannels > 0 && !parts.gpuCan) return undefined;
    let needs: Need[];
    if (cut === ALL_ON_CPU || cut === ALL_ON_GPU) {
      needs = reads.map(({ size }) => ({
        cpu: cpuChannels && size,
        gpu: gpuChannels && size,
        keeps: 0,
      }));
    } else {
      const split =
        cut < channels && node.outputs.length === 1 ? needsAt(node, uses, cut) : undefined;
      if (!split) return undefined;
      needs = split;
    }
    return {
      cpu: cpuTime(work, cpuChannels, cpuFormat(work, cpuChannels, allowed, profile), profile),
      gpu: onGpu(gpuChannels),
      needs,
    };
  };
  const at = (cut: Cut) => {
    if (!known.has(cut)) known.set(cut, make(cut));
    return known.get(cut);
  };
  return { node, channels, reads, ...parts, at, gpuTime: onGpu };
}

/** What the two parts of a split need; undefined where the kernel cannot be cut there. */
function needsAt(
  node: Node,
  uses: readonly (readonly [string, Node['inputs'][string]])[],
  cut: number,
): Need[] | undefined {
  const channels = node.outputs[0].shape.at(-1)!;
  const left = node.kernel.slice?.(node, 0, cut)?.inputs;
  const right = node.kernel.slice?.(node, cut, channels)?.inputs;
  if (!left || !right) return undefined;
  return uses.map(([name, { value, shape }]) => {
    const [a, b] = [left[name] ?? 'whole', right[name] ?? 'whole'];
    const size = sizeOf(shape);
    const numbers = (need: typeof a) =>
      need === 'whole'
        ? size
        : need === 'nothing'
          ? 0
          : (size * (need.to - need.from)) / shape.at(need.axis)!;
    let keeps = 0;
    const last = shape.length - 1;
    if (typeof a === 'object' && typeof b === 'object' && shape.at(-1) === value.shape.at(-1)) {
      const isLast = (axis: number) => axis === last || axis === -1;
      const meet = a.from === 0 && a.to === b.from && b.to === shape[last];
      if (isLast(a.axis) && isLast(b.axis) && meet) keeps = a.to;
    }
    return { cpu: numbers(a), gpu: numbers(b), keeps };
  });
}

export function begin({ slots, inputs }: Job): State {
  const values = Array<Whereabouts | undefined>(slots).fill(undefined);
  for (const slot of inputs) values[slot] = HERE;
  return { cpu: 0, gpu: 0, wire: 0, values };
}

/** The cuts that keep the slices that the inputs are in. */
export function keptCut(state: State, { reads, node, channels }: Task): Cut {
  if (node.kernel.kind !== 'channelwise') return 0;
  for (const { slot } of reads) {
    const { cut, cpu, gpu } = state.values[slot]!;
    if (!cut || cpu || gpu) continue;
    const from = node.inputs[Object.keys(node.inputs)[0]].shape.at(-1) ?? 1;
    const own = (cut * channels) / from;
    if (Number.isInteger(own)) return own;
  }
  return 0;
}

/**
 * One node more.
 *
 * @param inTurn begins when both processors are done with all before it.
 */
export function advance(
  job: Job,
  state: State,
  index: number,
  cut: Cut,
  inTurn: boolean,
  log?: Log,
): State | undefined {
  const task = job.tasks[index];
  const times = task.at(cut);
  if (!times) return undefined;
  const values = state.values.slice();
  const next = { cpu: state.cpu, gpu: state.gpu, wire: state.wire, values };
  if (inTurn) next.cpu = next.gpu = Math.max(next.cpu, next.gpu);
  const { cpu, gpu, needs } = times;
  const { reads } = task;
  let arrived = 0;
  if (cut !== ALL_ON_GPU) {
    for (let i = 0; i < reads.length; i++) {
      toCpu(job, next, reads[i], needs[i].cpu, needs[i].keeps, index, log);
    }
  }
  if (cut !== ALL_ON_CPU) {
    for (let i = 0; i < reads.length; i++) {
      const at = toGpu(job, next, reads[i], needs[i].gpu, needs[i].keeps, index, log);
      arrived = Math.max(arrived, at);
    }
    const start = Math.max(next.gpu, arrived);
    const { slowDown } = job.profile.gpu!;
    const end = start + contended(gpu, next.cpu - start, slowDown);
    next.cpu += delay(start, end, next.cpu, job.profile.cpu.slowDown);
    next.gpu = end;
    if (log) log.steps[index].gpu = { start: start * MS, end: end * MS };
  }
  if (cut !== ALL_ON_GPU) {
    const start = next.cpu;
    const { slowDown } = job.profile.cpu;
    const end = start + contended(cpu, next.gpu - start, slowDown);
    next.gpu += delay(start, end, next.gpu, job.profile.gpu?.slowDown ?? 1);
    next.cpu = end;
    if (log) log.steps[index].cpu = { start: start * MS, end: end * MS };
  }
  for (const slot of task.ends) values[slot] = undefined;
  const isSplit = cut !== ALL_ON_CPU && cut !== ALL_ON_GPU;
  const made: Whereabouts = {
    cpu: cut === ALL_ON_CPU,
    gpu: cut === ALL_ON_GPU,
    cut: isSplit ? cut : 0,
    share: isSplit ? cut / task.channels : 1,
    cpuAt: next.cpu,
    gpuAt: next.gpu,
  };
  for (const slot of task.slots) values[slot] = made;
  return next;
}

/** When all is over, in nanoseconds: the results are on the CPU. */
export function finish(job: Job, state: State, log?: Log): number {
  const next = { ...state, values: state.values.slice() };
  for (const read of job.results) toCpu(job, next, read, read.size, 0, job.tasks.length, log);
  return Math.max(next.cpu, next.gpu);
}

/**
 * @param inTurn for each node, whether it waits until all before it is done; none does when absent.
 * @throws Error where a cut is none that the node can have.
 */
export function simulate(
  job: Job,
  cuts: readonly Cut[],
  inTurn?: (index: number) => boolean,
): Schedule {
  const log: Log = { steps: job.tasks.map(() => ({})), exchanges: [] };
  let state = begin(job);
  cuts.forEach((cut, index) => {
    const next = advance(job, state, index, cut, inTurn?.(index) ?? false, log);
    if (!next) throw new Error(`node ${index}: cannot be cut at ${cut}`);
    state = next;
  });
  return { ms: finish(job, state, log) * MS, ...log };
}

export function placementOf(cut: Cut): Placement {
  if (cut === ALL_ON_CPU) return { where: 'cpu' };
  return cut === ALL_ON_GPU ? { where: 'gpu' } : { where: 'split', cut };
}

export function cutOf(placement: Placement): Cut {
  if (placement.where === 'cpu') return ALL_ON_CPU;
  return placement.where === 'gpu' ? ALL_ON_GPU : placement.cut;
}

/** Milliseconds in a nanosecond. */
export const MS = 1e-6;

interface Clocks {
  cpu: number;
  gpu: number;
  wire: number;
  values: (Whereabouts | undefined)[];
}

/** Time that the other processor, busy until `busy`, loses to a step from start to end. */
function delay(start: number, end: number, busy: number, slowDown: number): number {
  const overlap = Math.min(end, busy) - start;
  return overlap > 0 ? overlap * (1 - 1 / slowDown) : 0;
}

/** Brings what the CPU needs of a value to it; blocks. */
function toCpu(
  { profile }: Job,
  clocks: Clocks,
  { slot, size, wire }: Read,
  needed: number,
  keeps: number,
  step: number,
  log: Log | undefined,
): void {
  const value = clocks.values[slot]!;
  if (needed === 0 || value.cpu || (value.cut > 0 && value.cut === keeps)) return;
  const isWhole = needed === size;
  const numbers = isWhole && value.cut ? size * (1 - value.share) : needed;
  const start = Math.max(clocks.cpu, clocks.gpu);
  const end = start + transferTime(profile.gpu!.readBack, numbers, wire);
  clocks.cpu = end + profile.cpu.wake;
  if (isWhole) clocks.values[slot] = { ...value, cpu: true, cpuAt: end };
  logExchange(log, step, 'readBack', numbers, wire, start, end);
}

/** Sends what the GPU needs of a value, and says when it is there. */
function toGpu(
  { profile }: Job,
  clocks: Clocks,
  { slot, size, wire }: Read,
  needed: number,
  keeps: number,
  step: number,
  log: Log | undefined,
): number {
  const value = clocks.values[slot]!;
  if (needed === 0 || (value.cut > 0 && value.cut === keeps)) return 0;
  if (value.gpu) return value.gpuAt;
  const isWhole = needed === size;
  const numbers = isWhole && value.cut ? size * value.share : needed;
  const start = Math.max(value.cpuAt, clocks.wire);
  const end = start + transferTime(profile.gpu!.upload, numbers, wire);
  clocks.wire = end;
  if (isWhole) clocks.values[slot] = { ...value, gpu: true, gpuAt: end };
  logExchange(log, step, 'upload', numbers, wire, start, end);
  return end;
}

function logExchange(
  log: Log | undefined,
  step: number,
  kind: Exchange['kind'],
  numbers: number,
  wire: GpuFormat,
  start: number,
  end: number,
): void {
  const bytes = numbers * BYTES[wire];
  log?.exchanges.push({ step, kind, bytes, start: start * MS, end: end * MS });
}
