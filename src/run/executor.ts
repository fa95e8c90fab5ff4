/**
 * Runs what was recorded. A run is a generator that pauses after each step, before each blocking
 * read-back and where it has to wait, so one piece of code serves both readers: `readSync` exhausts
 * it at once, `read` lets the page live between the steps.
 *
 * Where the CPU has several threads, steps are issued ahead of what they compute, and retired in
 * their order when they are done, so that no thread waits for the next step's lowering:
 *
 *     issue ──► │ step 8 │ step 7 │ step 6 │ step 5 │ ──► done? in its range? ──► retire
 *                    the threads are here ─┘    └─ no: computed again; 6, 7, 8 are issued anew
 *
 * What a step reads is given back when it is retired: it may be needed for that second time.
 *
 * In a split layer the GPU's commands are submitted and flushed first, then the CPU computes its
 * slice: both work at once.
 */
import type { Settings, Split } from '../flags.js';
import type { Graph, Node, Use } from '../graph/graph.js';
import type { Named, Need, Range as Part, SliceRule } from '../graph/kernel.js';
import { keyOf } from '../graph/key.js';
import type { Value } from '../graph/value.js';
import { placeBytes } from '../passes/bytes.js';
import { chooseInt8, FAR, Observation, Observations, sharesOf } from '../passes/precision.js';
import type { Rule } from '../plan/partition.js';
import { LAYER_MACS, partition, totalMacs } from '../plan/partition.js';
import type { Layer, Placement, Plan } from '../plan/plan.js';
import { Plans } from '../plan/plan.js';
import type { Quantised } from '../processors/cpu/buffer.js';
import type { CpuBuffer, CpuProcessor } from '../processors/cpu/processor.js';
import type { Range } from '../processors/cpu/quantisation.js';
import { betterRange, unionOf } from '../processors/cpu/quantisation.js';
import type { GpuProcessor } from '../processors/gpu/processor.js';
import type { Argument, Call, Kernel } from '../processors/kernel.js';
import type { Step } from './fuser.js';
import { Fuser } from './fuser.js';
import { observe, scaleOf } from './observer.js';
import type { LayerReport } from './report.js';
import { cutShape, Transfers } from './transfers.js';

/**
 * Why a run pauses: a turn of the event loop may be taken, the GPU be waited for, or the CPU's
 * threads be helped until they are so far (`CpuProcessor.work`).
 */
export type Pause = 'turn' | 'gpu' | { readonly mark: number };

/**
 * Steps issued and not retired at most: enough that threads find the next one ready. Large ones take
 * long, so fewer of them will do. CenterNet in int8 holds 64 MB at most with 8 always; so 36, as
 * without.
 */
const AHEAD = 8;
const AHEAD_BYTES = 4e6;

/** What is the same for all steps of a run. */
interface Run {
  readonly steps: readonly Step[];
  readonly placements: readonly Placement[];
  /** For each step whose result shall be bytes: the layers with whose results it shares a scale. */
  readonly bytes: readonly (readonly Layer[] | undefined)[];
  readonly plan: Plan;
  readonly settings: Settings;
  readonly isRehearsal: boolean;
  /** Whether it computes in float32 and learns, from the beginning or from a step on. */
  observing: boolean;
}

/** A step that has been issued and not been retired. */
interface UnderWay {
  readonly index: number;
  /** It is done when the CPU is so far. */
  mark: number;
  /** Of its results. */
  readonly bytes: number;
  /** Absent where nobody wanted it. */
  readonly row?: LayerReport;
  /** Bytes whose range has not been looked at. */
  guarded?: Quantised | undefined;
}

export class Executor {
  /** Rows of the last run, and its time in milliseconds. */
  layers: LayerReport[] = [];
  ms = 0;
  /** Calls of `calibrate` under way: each run observes as a first one does, and adds to what is known. */
  calibrations = 0;
  /** Weights that came for the first time, or unfolded: a run with some is no whole observation. */
  news = 0;
  /** What layers of the run under way take off their int8 results. */
  private readonly corrections = new WeakMap<Node, Float32Array>();
  /** `sharesOf` the steps so placed, which takes 0.4 ms of 200. */
  private readonly shares = new WeakMap<readonly Placement[], readonly number[]>();
  private readonly plans = new Plans();
  private readonly transfers: Transfers;
  private readonly fuser: Fuser;

  constructor(
    private readonly graph: Graph,
    private readonly kernels: ReadonlyMap<string, Kernel>,
    readonly cpu: CpuProcessor,
    readonly gpu: GpuProcessor | undefined,
  ) {
    this.transfers = new Transfers(cpu, gpu);
    this.fuser = new Fuser(kernels, cpu);
  }

  /** Whether a graph like this has run before. */
  knows(nodes: readonly Node[]): boolean {
    return this.plans.has(keyOf(nodes));
  }

  /**
   * @param isRehearsal a warm-up on numbers nobody reads (zeros, usually): weights are packed and
   *   programs compiled, but what is observed says nothing of real inputs and is forgotten.
   */
  *run(nodes: readonly Node[], settings: Settings, isRehearsal: boolean): Generator<Pause, void> {
    const start = performance.now();
    if (this.gpu) this.gpu.half = settings.precision !== 'float32';
    this.cpu.useThreads(settings.threads);
    const plan = this.plans.get(keyOf(nodes), nodes.length);
    if (plan.runs > 0 && totalMacs(nodes) >= LAYER_MACS) this.cpu.wake();
    const rule = this.isCalibrating ? 'cpu' : this.resolve(settings.split, plan, nodes);
    const observing = plan.runs === 0 || this.isCalibrating;
    const gpuMayRun = !!this.gpu && !this.gpu.isLost && rule !== 'cpu' && rule !== 1;
    const steps = this.fuser.steps(nodes, plan, gpuMayRun);
    const placements = plan.place(this.circumstances(rule, steps), () =>
      partition(
        steps.map(({ node }) => node),
        rule,
        { gpuCan: (node, i) => !plan.layers[steps[i].at].refused && this.gpuSupports(node) },
      ),
    );
    if (settings.precision === 'auto') this.choose(steps, placements, plan, settings);
    const bytes = observing ? [] : this.placeBytes(steps, placements, plan, settings);
    const run: Run = { steps, placements, bytes, plan, settings, isRehearsal, observing };
    this.layers = yield* this.all(run);
    if (settings.split === 'auto' && !run.observing && plan.trial.isRunning) {
      yield* this.bringHome(nodes);
      plan.trial.add(rule, performance.now() - start);
    }
    if (isRehearsal) plan.forgetNumbers();
    else plan.runs++;
    this.ms = performance.now() - start;
  }

  private get isCalibrating(): boolean {
    return this.calibrations > 0;
  }

  /** Issues and retires all steps. */
  private *all(run: Run): Generator<Pause, LayerReport[]> {
    const rows: LayerReport[] = [];
    const underWay: UnderWay[] = [];
    let [next, last] = [0, performance.now()];
    while (next < run.steps.length || underWay.length > 0) {
      if (next < run.steps.length && this.mayIssue(run, next, underWay)) {
        underWay.push(yield* this.issue(run, next++));
        this.tellErrors(run, underWay);
        yield 'turn';
        continue;
      }
      const [oldest] = underWay;
      this.tellErrors(run, underWay);
      if (!this.cpu.isDone(oldest.mark)) {
        yield { mark: oldest.mark };
      } else if (this.leftItsRange(run, oldest)) {
        for (const { index } of underWay.splice(1)) this.drop(run.steps[index]);
        next = oldest.index + 1;
        yield* this.repeat(run, oldest);
      } else {
        underWay.shift();
        this.retire(run.steps[oldest.index]);
        if (oldest.row) {
          const end = this.endOf(oldest, last);
          rows.push({ ...oldest.row, ms: end - last });
          last = end;
        }
        yield 'turn';
      }
    }
    return rows;
  }

  /**
   * When a step was done: when its kernels were, where they were computed by others while this thread
   * did something else; at the latest now.
   */
  private endOf({ mark }: UnderWay, before: number): number {
    const now = performance.now();
    const over = this.cpu.overAt(mark) - performance.timeOrigin;
    return over > before && over < now ? over : now;
  }

  /** Whether a step may be issued while these are under way. */
  private mayIssue(run: Run, index: number, underWay: readonly UnderWay[]): boolean {
    if (underWay.length === 0) return true;
    const { where } = run.placements[index];
    const { node, at } = run.steps[index];
    // What a lowering would wait for, the page need not.
    const waits = where !== 'cpu' || run.observing || run.plan.layers[at].looks;
    if (waits || underWay.length >= AHEAD || this.cpu.threads === 1) return false;
    if (underWay.reduce((sum, { bytes }) => sum + bytes, 0) >= AHEAD_BYTES) return false;
    // What is learned from an input must not have to be computed again.
    return this.mustReadBack(node) || !this.isNews(run, index);
  }

  private *issue(run: Run, index: number): Generator<Pause, UnderWay> {
    const { node, members, at } = run.steps[index];
    const placement = run.placements[index];
    const layer = run.plan.layers[at];
    if (!node.wanted && !run.isRehearsal) return { index, mark: this.cpu.mark, bytes: 0 };
    if (placement.where !== 'gpu' && this.mustReadBack(node)) yield 'gpu';
    const { waits } = this.cpu;
    const { row, guarded } = yield* this.step(run, index);
    layer.looks = this.cpu.waits > waits;
    row.fused = members.slice(1).map(({ kernel }) => kernel.name);
    if (layer.refused && placement.where !== 'cpu') run.plan.forgetPlacements();
    const bytes = node.outputs.reduce((sum, { cpu }) => sum + (cpu?.bytes ?? 0), 0);
    return { index, mark: this.cpu.mark, bytes, row, guarded };
  }

  /** The step is done, and needs its inputs no longer. */
  private retire({ members }: Step): void {
    const outputs = members.flatMap(member => member.outputs);
    for (const value of outputs) delete value.producer;
    for (const member of members) this.graph.endUses(member);
    for (const value of outputs) this.graph.release(value);
  }

  /** Whose kernel it was that trapped is not known: all that is under way has failed. */
  private tellErrors({ steps }: Run, underWay: readonly UnderWay[]): void {
    const error = this.cpu.takeError();
    if (error === undefined) return;
    for (const { index } of underWay) {
      for (const value of steps[index].node.outputs) value.error = error;
    }
  }

  /** Forgets what was computed, from inputs that were wrong. */
  private drop({ node }: Step): void {
    for (const value of node.outputs) {
      value.free();
      value.error = undefined;
    }
  }

  /** Waits for all calls. */
  private *cpuDone(): Generator<Pause, void> {
    const { mark } = this.cpu;
    while (!this.cpu.isDone(mark)) yield { mark };
  }

  /** The numbers of a computed value; blocks. */
  numbers(value: Value) {
    return this.cpu.download(this.transfers.onCpu(value));
  }

  /** Whether reading this value has to wait for the GPU. */
  onlyOnGpu(value: Value): boolean {
    return this.transfers.onlyOnGpu(value);
  }

  /** What `auto` means for this graph, now. */
  private resolve(split: Split, plan: Plan, nodes: readonly Node[]): Rule {
    if (split !== 'auto') return split;
    const gpuIsReal = !!this.gpu && !this.gpu.isSoftware && !this.gpu.isLost;
    const worthIt = gpuIsReal && plan.runs > 0 && totalMacs(nodes) >= LAYER_MACS;
    return worthIt ? plan.trial.next() : 'cpu';
  }

  /** Results that lie on the GPU come to the CPU, where their reader will want them. */
  private *bringHome(nodes: readonly Node[]): Generator<Pause, void> {
    for (const value of nodes.flatMap(node => node.outputs)) {
      if (!value.wanted || value.error || !this.transfers.onlyOnGpu(value)) continue;
      yield 'gpu';
      if (value.wanted) this.transfers.onCpu(value);
    }
  }

  /** For each step whose result shall be bytes: the layers with whose results it shares a scale. */
  private placeBytes(
    steps: readonly Step[],
    placements: readonly Placement[],
    { layers: byNode }: Plan,
    settings: Settings,
  ): (readonly Layer[] | undefined)[] {
    const nodes = steps.map(({ node }) => node);
    const layers = steps.map(({ at }) => byNode[at]);
    if (settings.precision === 'float32') return nodes.map(() => undefined);
    const groups = placeBytes(nodes, {
      int8: (node, i) =>
        this.mayBeInt8(node, placements[i], settings) && isInt8(node, layers[i], settings),
      writes: (node, i) =>
        placements[i].where === 'cpu' ? this.kernelOf(node).writesBytes?.(node) : undefined,
    });
    return groups.map(group => group?.map(i => layers[i]));
  }

  /** Everything placements depend on beside the graph. */
  private circumstances(rule: Rule, steps: readonly Step[]): string {
    const fused = steps.flatMap(({ members: { length }, at }) =>
      length > 1 ? `${at}-${length}` : [],
    );
    return `${rule} ${this.gpu && !this.gpu.isLost ? 'gpu' : 'no gpu'} ${fused.join()}`;
  }

  private gpuSupports(node: Node): boolean {
    const kernel = this.kernelOf(node);
    if (kernel.gpuTakes?.(node) === false) return false;
    return !!this.gpu?.supports(kernel, Object.values(node.inputs), node.outputs);
  }

  private kernelOf(node: Node): Kernel {
    return this.kernels.get(node.kernel.name)!;
  }

  private mustReadBack(node: Node): boolean {
    return Object.values(node.inputs).some(({ value }) => this.transfers.onlyOnGpu(value));
  }

  /** Computes one node. What goes wrong is kept in its outputs and thrown to who reads them. */
  private *step(
    run: Run,
    index: number,
  ): Generator<Pause, { row: LayerReport; guarded: Quantised | undefined }> {
    const { steps, placements, bytes, plan, settings } = run;
    const { node, at } = steps[index];
    const [placement, group, layer] = [placements[index], bytes[index], plan.layers[at]];
    const { transfers } = this;
    const { bytesToGpu, bytesFromGpu, readbacks } = transfers;
    let int8 = false;
    let taken = placement;
    let guarded: Quantised | undefined;
    try {
      for (const { value } of Object.values(node.inputs)) if (value.error) throw value.error;
      int8 = yield* this.decideInt8(run, index);
      try {
        const isBlend = this.kernelOf(node).writesBytes?.(node) === 'blend';
        const asBytes = group && !run.observing && (int8 || isBlend);
        if (asBytes) guarded = yield* this.computeBytes(node, layer, group);
        else this.compute(node, placement, int8);
        const mayBeBytes =
          settings.precision !== 'float32' &&
          (isBlend || this.mayBeInt8(node, placement, settings));
        if (placement.where !== 'cpu') yield* this.cpuDone();
        if (run.observing && mayBeBytes) yield* this.learnRange(node, layer);
      } catch (error) {
        if (placement.where === 'cpu') throw error;
        console.warn(`mulayer: ${node.kernel.name} goes to the CPU, the GPU refused it:`, error);
        layer.refused = true;
        taken = { where: 'cpu' };
        this.compute(node, taken, int8);
        yield* this.cpuDone();
      }
    } catch (error) {
      for (const value of node.outputs) value.error = error as Error;
    }
    const [output] = node.outputs;
    const channels = output.shape.at(-1) ?? 1;
    const { where } = taken;
    const row: LayerReport = {
      op: node.kernel.name,
      fused: [],
      shape: [...output.shape],
      where,
      p: taken.where === 'split' ? taken.cut / channels : where === 'cpu' ? 1 : 0,
      precision: int8 ? 'int8' : where === 'gpu' && this.gpu!.half ? 'f16' : 'float32',
      quantised: !!(output.cpu as CpuBuffer | undefined)?.quantised,
      macs: node.kernel.macs?.(node) ?? 0,
      ms: 0,
      bytesToGpu: transfers.bytesToGpu - bytesToGpu,
      bytesFromGpu: transfers.bytesFromGpu - bytesFromGpu,
      readbacks: transfers.readbacks - readbacks,
      ...(layer.noise === undefined ? {} : { int8Error: layer.noise }),
    };
    return { row, guarded };
  }

  /** Under precision `auto`: which layers run in int8 where they can. */
  private choose(
    steps: readonly Step[],
    placements: readonly Placement[],
    plan: Plan,
    settings: Settings,
  ): void {
    const shares = this.shares.get(placements) ?? sharesOf(steps.map(({ node }) => node));
    this.shares.set(placements, shares);
    const candidates = steps.flatMap(({ node, at }, i) => {
      if (!this.mayBeInt8(node, placements[i], settings)) return [];
      const layer = plan.layers[at];
      const { last } = layer.observations.get(weightsOf(node)) ?? {};
      if (last) layer.noise = last.noise;
      const { noise = NaN } = layer;
      return { layer, noise, share: shares[i], macs: node.kernel.macs?.(node) ?? 0 };
    });
    const chosen = chooseInt8(candidates, settings.budget);
    candidates.forEach(({ layer }, i) => (layer.int8 = chosen[i]));
  }

  /** Whether the CPU's part runs in int8; what is not known yet is measured. */
  private *decideInt8(run: Run, index: number): Generator<Pause, boolean> {
    const { steps, placements, plan, settings } = run;
    const { node, at, isOpen } = steps[index];
    if (!this.mayBeInt8(node, placements[index], settings)) return false;
    const layer = plan.layers[at];
    const isConstant = layer.weights.has(weightsOf(node));
    const wanted = isInt8(node, layer, settings);
    if (isOpen || !isConstant) this.news++;
    layer.weights.add(weightsOf(node));
    if (settings.precision === 'int8' || isOpen) return wanted && !run.observing;
    // Weights that are new each time, as in training, are measured once.
    if (!isConstant && layer.noise !== undefined) return false;
    const isAsChosen = yield* this.observe(run, index);
    return wanted && !run.observing && isAsChosen;
  }

  /** Whether the input of a layer chosen for int8 is of another scale than all that were observed. */
  private isNews({ steps, settings, plan }: Run, index: number): boolean {
    const { node, at } = steps[index];
    const { observations, int8 } = plan.layers[at];
    if (settings.precision !== 'auto' || !int8) return false;
    if (Object.values(node.inputs).some(({ value }) => value.error)) return false;
    const known = observations.get(weightsOf(node));
    const scale = known && scaleOf(this.cpuCall(node, undefined, false));
    return scale !== undefined && !known!.near(scale);
  }

  /**
   * Sees to it that what int8 does to inputs like this one is known where it matters. An input of
   * another scale than all before, a picture after zeros say, makes the rest of this run an observing
   * one.
   *
   * @returns whether int8 brings about the noise that the layer was chosen for, or less.
   */
  private *observe(run: Run, index: number): Generator<Pause, boolean> {
    const { node, at } = run.steps[index];
    const layer = run.plan.layers[at];
    const known = layer.observations.get(weightsOf(node));
    if (known && !layer.int8 && !run.observing) return false;
    if (this.isNews(run, index)) run.observing = true;
    const scale = scaleOf(this.cpuCall(node, undefined, false));
    if (scale === undefined) return true;
    let observation = known?.near(scale);
    if (!observation || run.observing) {
      observation ??= new Observation(scale);
      yield* this.measure(node, observation);
    }
    const expected = layer.noise ?? Infinity;
    layer.observations.set(weightsOf(node), (known ?? new Observations()).add(observation));
    layer.noise = observation.noise;
    const { correction } = observation;
    if (correction) this.corrections.set(node, correction);
    return observation.noise <= FAR * expected;
  }

  private mayBeInt8(node: Node, { where }: Placement, { precision }: Settings): boolean {
    return (
      where !== 'gpu' &&
      precision !== 'float32' &&
      !!this.kernelOf(node).quantises?.(node, this.cpu)
    );
  }

  /** Measures what int8 does to the whole layer on the CPU. */
  private *measure(node: Node, observation: Observation): Generator<Pause, void> {
    const kernel = this.kernelOf(node);
    const { cpu } = this;
    const done = () => this.cpuDone();
    yield* observe(observation, this.cpuCall(node, undefined, false), function* (call) {
      const [buffer] = kernel.cpu(cpu, call);
      yield* done();
      return buffer;
    });
  }

  /**
   * A layer whose result shall be bytes, in the range learned from earlier runs, or from this one
   * where that is the first.
   *
   * @returns the bytes, whose own range has to be looked at when they are there.
   */
  private *computeBytes(
    node: Node,
    layer: Layer,
    group: readonly Layer[],
  ): Generator<Pause, Quantised | undefined> {
    if (!layer.range) {
      this.computeIn(node, undefined);
      yield* this.learnRange(node, layer);
      return undefined;
    }
    const range = unionOf(group.flatMap(member => (member.range ? [member.range] : [])));
    return this.computeIn(node, range).quantised;
  }

  /** A layer in int8 as bytes of this range, or as floats. */
  private computeIn(node: Node, range: Range | undefined): CpuBuffer {
    const call = this.cpuCall(node, undefined, true);
    const [buffer] = this.cpu.run(this.kernelOf(node), range ? { ...call, range } : call);
    node.outputs[0].cpu = buffer;
    return buffer;
  }

  /** The guard of ranges: whether the bytes of a step have left theirs, or hardly fill it. */
  private leftItsRange({ steps, plan }: Run, { index, guarded }: UnderWay): boolean {
    const { at, node } = steps[index];
    const { range } = plan.layers[at];
    return !!guarded?.spread && node.wanted && !!range && !!betterRange(range, guarded.spread);
  }

  /** Computes a step again, in the range that its result has. */
  private *repeat({ steps, plan }: Run, step: UnderWay): Generator<Pause, void> {
    const { at, node } = steps[step.index];
    const layer = plan.layers[at];
    const better = betterRange(layer.range!, step.guarded!.spread!)!;
    const isFinite = better.every(Number.isFinite);
    step.guarded = undefined;
    this.drop(steps[step.index]);
    try {
      if (isFinite) layer.range = better;
      this.computeIn(node, isFinite ? better : undefined);
      yield* this.cpuDone();
      step.mark = this.cpu.mark;
    } catch (error) {
      for (const value of node.outputs) value.error = error as Error;
    }
  }

  private *learnRange({ outputs: [output] }: Node, layer: Layer): Generator<Pause, void> {
    yield* this.cpuDone();
    if (!output.cpu) return;
    const range = this.cpu.range(output.cpu as CpuBuffer);
    if (!range.every(Number.isFinite)) return;
    const { range: old = range } = layer;
    layer.range = this.isCalibrating ? unionOf([old, range]) : (betterRange(old, range) ?? old);
  }

  private compute(node: Node, placement: Placement, int8: boolean): void {
    const kernel = this.kernelOf(node);
    if (placement.where === 'cpu') {
      const buffers = this.cpu.run(kernel, this.cpuCall(node, undefined, int8));
      node.outputs.forEach((value, i) => (value.cpu = buffers[i]));
    } else if (placement.where === 'gpu') {
      const buffers = this.gpu!.run(kernel, this.gpuCall(node, undefined));
      node.outputs.forEach((value, i) => (value.gpu = buffers[i]));
    } else {
      const { cut } = placement;
      const channels = node.outputs[0].shape.at(-1)!;
      const right = { from: cut, to: channels, rule: kernel.slice!(node, cut, channels)! };
      const left = { from: 0, to: cut, rule: kernel.slice!(node, 0, cut)! };
      // The CPU's inputs first: a read-back would otherwise wait for the GPU's new work as well.
      const call = this.cpuCall(node, left, int8);
      const [gpu] = this.gpu!.run(kernel, this.gpuCall(node, right));
      this.gpu!.flush();
      try {
        const [cpu] = this.cpu.run(kernel, call);
        node.outputs[0].slices = { cut, cpu: cpu, gpu: gpu };
      } catch (error) {
        gpu.free();
        throw error;
      }
    }
  }

  private cpuCall(node: Node, slice: Slice | undefined, int8: boolean): Call<CpuBuffer> {
    const argument = (use: Use, range?: Part) => this.transfers.cpuArgument(use, range);
    const correction = int8 ? this.corrections.get(node) : undefined;
    return { ...callOf(node, slice, int8, argument), ...(correction && { correction }) };
  }

  private gpuCall(node: Node, slice: Slice | undefined) {
    return callOf(node, slice, false, (use, range) => this.transfers.gpuArgument(use, range));
  }
}

/**
 * Whether a layer that can run in int8 does: only where the weights came twice, and under precision
 * `auto` only where it was chosen.
 */
function isInt8(node: Node, { weights, int8 }: Layer, { precision }: Settings): boolean {
  return weights.has(weightsOf(node)) && (precision === 'int8' || !!int8);
}

const weightsOf = ({ kernel, inputs }: Node): Value => inputs[kernel.weights!].value;

/** Output channels [from, to) of a node, and what they need. */
interface Slice {
  from: number;
  to: number;
  rule: SliceRule;
}

function callOf<B>(
  node: Node,
  slice: Slice | undefined,
  int8: boolean,
  argument: (use: Use, range?: Part) => Argument<B>,
): Call<B> {
  const inputs: Named<Argument<B>> = {};
  for (const [name, use] of Object.entries(node.inputs)) {
    const need: Need = slice?.rule.inputs[name] ?? 'whole';
    if (need === 'nothing') continue;
    inputs[name] = need === 'whole' ? argument(use) : argument(use, need);
  }
  const cut = (shape: readonly number[]) =>
    slice ? cutShape(shape, { axis: shape.length - 1, from: slice.from, to: slice.to }) : shape;
  return {
    name: node.kernel.name,
    inputs,
    isList: node.isList,
    attributes: slice?.rule.attributes ?? node.attributes,
    outputs: node.outputs.map(({ shape, dtype }) => ({ shape: cut(shape), dtype })),
    int8,
  };
}
