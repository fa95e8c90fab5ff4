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
import { roundTripError } from '../passes/precision.js';
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
    const rule = this.resolve(settings.split, plan, nodes);
    const gpuMayRun = !!this.gpu && !this.gpu.isLost && rule !== 'cpu' && rule !== 1;
    const steps = this.fuser.steps(nodes, plan, gpuMayRun);
    const placements = plan.place(this.circumstances(rule, steps), () =>
      partition(
        steps.map(({ node }) => node),
        rule,
        { gpuCan: (node, i) => !plan.layers[steps[i].at].refused && this.gpuSupports(node) },
      ),
    );
    const bytes = this.placeBytes(steps, placements, plan, settings);
    this.layers = yield* this.all({ steps, placements, bytes, plan, settings, isRehearsal });
    if (settings.split === 'auto' && plan.runs > 0 && plan.trial.isRunning) {
      yield* this.bringHome(nodes);
      plan.trial.add(rule, performance.now() - start);
    }
    if (isRehearsal) plan.forgetNumbers();
    else plan.runs++;
    this.ms = performance.now() - start;
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
  private mayIssue(
    { placements, plan }: Run,
    index: number,
    underWay: readonly UnderWay[],
  ): boolean {
    if (underWay.length === 0) return true;
    const waits = placements[index].where !== 'cpu' || plan.runs === 0 || this.cpu.threads === 1;
    const bytes = underWay.reduce((sum, step) => sum + step.bytes, 0);
    return !waits && underWay.length < AHEAD && bytes < AHEAD_BYTES;
  }

  private *issue(run: Run, index: number): Generator<Pause, UnderWay> {
    const { node, members, at } = run.steps[index];
    const placement = run.placements[index];
    const layer = run.plan.layers[at];
    if (!node.wanted && !run.isRehearsal) return { index, mark: this.cpu.mark, bytes: 0 };
    if (placement.where !== 'gpu' && this.mustReadBack(node)) yield 'gpu';
    // What it will wait for, the page need not.
    if (layer.looks) yield* this.cpuDone();
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
    { layers: byNode, runs }: Plan,
    settings: Settings,
  ): (readonly Layer[] | undefined)[] {
    const nodes = steps.map(({ node }) => node);
    const layers = steps.map(({ at }) => byNode[at]);
    if (runs === 0 || settings.precision === 'float32') return nodes.map(() => undefined);
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
    { steps, placements, bytes, plan, settings }: Run,
    index: number,
  ): Generator<Pause, { row: LayerReport; guarded: Quantised | undefined }> {
    const { node, at } = steps[index];
    const [placement, group, layer] = [placements[index], bytes[index], plan.layers[at]];
    const observing = plan.runs === 0;
    const { transfers } = this;
    const { bytesToGpu, bytesFromGpu, readbacks } = transfers;
    let int8 = false;
    let taken = placement;
    let guarded: Quantised | undefined;
    try {
      for (const { value } of Object.values(node.inputs)) if (value.error) throw value.error;
      int8 = yield* this.decideInt8(node, placement, layer, settings, observing);
      try {
        const isBlend = this.kernelOf(node).writesBytes?.(node) === 'blend';
        if (group && (int8 || isBlend)) guarded = yield* this.computeBytes(node, layer, group);
        else this.compute(node, placement, int8);
        const mayBeBytes =
          settings.precision !== 'float32' &&
          (isBlend || this.mayBeInt8(node, placement, settings));
        if (placement.where !== 'cpu') yield* this.cpuDone();
        if (observing && mayBeBytes) yield* this.learnRange(node, layer);
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
      ...(layer.error === undefined ? {} : { int8Error: layer.error }),
    };
    return { row, guarded };
  }

  /**
   * Whether the CPU's part runs in int8: only where the weights came twice, and under precision
   * `auto` only where the layer's own error, measured once, is within the budget.
   */
  private *decideInt8(
    node: Node,
    placement: Placement,
    layer: Layer,
    settings: Settings,
    observing: boolean,
  ): Generator<Pause, boolean> {
    if (!this.mayBeInt8(node, placement, settings)) return false;
    if (settings.precision === 'auto') layer.error ??= yield* this.measureError(node);
    const can = !observing && isInt8(node, layer, settings);
    layer.weights.add(node.inputs[node.kernel.weights!].value);
    return can;
  }

  private mayBeInt8(node: Node, { where }: Placement, { precision }: Settings): boolean {
    return (
      where !== 'gpu' &&
      precision !== 'float32' &&
      !!this.kernelOf(node).quantises?.(node, this.cpu)
    );
  }

  /** Relative RMS difference of the int8 from the float32 result of the whole layer on the CPU. */
  private *measureError(node: Node): Generator<Pause, number> {
    const kernel = this.kernelOf(node);
    const [exact] = kernel.cpu(this.cpu, this.cpuCall(node, undefined, false));
    yield* this.cpuDone();
    const [rounded] = kernel.cpu(this.cpu, this.cpuCall(node, undefined, true));
    yield* this.cpuDone();
    const error = roundTripError(exact.numbers(), rounded.numbers());
    exact.free();
    rounded.free();
    return error;
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
    if (range.every(Number.isFinite)) layer.range = range;
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
    return callOf(node, slice, int8, argument);
  }

  private gpuCall(node: Node, slice: Slice | undefined) {
    return callOf(node, slice, false, (use, range) => this.transfers.gpuArgument(use, range));
  }
}

/**
 * Whether a layer that can run in int8 does: only where the weights came twice, and under precision
 * `auto` only where its own error is known to be within the budget.
 */
function isInt8(node: Node, layer: Layer, { precision, budget }: Settings): boolean {
  if (!layer.weights.has(node.inputs[node.kernel.weights!].value)) return false;
  return precision === 'int8' || (layer.error !== undefined && layer.error <= budget);
}

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
