/**
 * Runs what was recorded: fuses it, places it, and lets the steps go through the pipeline
 * (`pipeline.ts`), each as a call of its kernel (`lowering.ts`). What a step learns, the range of its
 * result and what int8 does to it, is kept in its plan for the runs that follow.
 *
 * A run is a generator that pauses after each step, before each blocking read-back and where it has
 * to wait, so one piece of code serves both readers: `readSync` exhausts it at once, `read` lets the
 * page live between the steps.
 */
import { env } from '@tensorflow/tfjs-core';

import type { Settings } from '../flags.js';
import type { Graph, Node } from '../graph/graph.js';
import { keyOf } from '../graph/key.js';
import type { Value } from '../graph/value.js';
import { placeBytes } from '../passes/bytes.js';
import { chooseInt8, FAR, Observation, Observations, sharesOf } from '../passes/precision.js';
import type { Place } from '../passes/rooms.js';
import { placeRooms } from '../passes/rooms.js';
import { LAYER_MACS, totalMacs } from '../plan/partition.js';
import type { Layer, Placement, Plan } from '../plan/plan.js';
import { Plans } from '../plan/plan.js';
import type { Tried } from '../plan/trial.js';
import type { Quantised } from '../processors/cpu/buffer.js';
import type { CpuProcessor } from '../processors/cpu/processor.js';
import type { Range } from '../processors/cpu/quantisation.js';
import { betterRange, unionOf, widthOf } from '../processors/cpu/quantisation.js';
import type { GpuProcessor } from '../processors/gpu/processor.js';
import type { Kernel } from '../processors/kernel.js';
import type { Step } from './fuser.js';
import { Fuser } from './fuser.js';
import { Keeper } from './keeper.js';
import { cpuPart, Lowering } from './lowering.js';
import { observe, scaleOf } from './observer.js';
import { Placer } from './placer.js';
import type { Issued, Pause, UnderWay, Work } from './pipeline.js';
import { pipeline } from './pipeline.js';
import type { Performance, Replay, Take } from './replay.js';
import { Takes } from './replay.js';
import type { LayerReport } from './report.js';
import { Rooms } from './rooms.js';
import { Transfers } from './transfers.js';

/** Milliseconds of the main thread from which the page may want a turn before a step. */
const LONG_MS = 1;

/** What the passes have found, for each step. */
interface Found {
  /** Of a step whose result shall be bytes: the layers with whose results it shares a scale. */
  readonly bytes: readonly (readonly Layer[] | undefined)[];
  /** Where a Concat wants them. */
  readonly places: readonly (Place | undefined)[];
}

/** What is the same for all steps of a run. */
interface Run {
  readonly steps: readonly Step[];
  readonly placements: readonly Placement[];
  readonly bytes: Found['bytes'];
  readonly rooms: Rooms;
  /** Where notes of it are taken. */
  readonly take?: Take<Found> | undefined;
  /** Where it may have to be run again. */
  readonly keeper: Keeper | undefined;
  /** For each step: whether its weights have come before, so that they are constant. */
  readonly constant: (boolean | undefined)[];
  readonly plan: Plan;
  readonly settings: Settings;
  readonly isRehearsal: boolean;
  /** Whether it computes in float32 and learns, from the beginning or from a step on. */
  observing: boolean;
}

export class Executor {
  /** Rows of the last run, and its time in milliseconds. */
  layers: LayerReport[] = [];
  ms = 0;
  /** Calls of `calibrate` under way: each run observes as a first one does, and adds to what is known. */
  calibrations = 0;
  /** Weights that came for the first time, or unfolded: a run with some is no whole observation. */
  news = 0;
  /** `sharesOf` the steps so placed, which takes 0.4 ms of 200. */
  private readonly shares = new WeakMap<readonly Placement[], readonly number[]>();
  /** Those whose GPU programs for bytes have been compiled, or are being. */
  private readonly preparedForBytes = new WeakSet<readonly Placement[]>();
  private readonly plans = new Plans();
  /** What repeats itself from run to run of a plan; a tape goes with the weights it reads. */
  private readonly takes = new WeakMap<Plan, Takes<Found>>();
  /** The last run, where it was a replay. */
  private last: { replay: Replay<Found>; run: Run } | undefined;
  /** What was begun when the first node of a graph had been recorded. */
  private foreseen: { replay: Replay<Found>; step: Step; begun: Performance } | undefined;
  private readonly transfers: Transfers;
  private readonly lowering: Lowering;
  private readonly placer: Placer;

  constructor(
    private readonly graph: Graph,
    kernels: ReadonlyMap<string, Kernel>,
    readonly cpu: CpuProcessor,
    readonly gpu: GpuProcessor | undefined,
  ) {
    this.transfers = new Transfers(cpu, gpu);
    this.lowering = new Lowering(kernels, cpu, gpu, this.transfers);
    this.placer = new Placer(new Fuser(kernels, cpu, gpu), this.lowering, cpu, gpu);
  }

  /** What was tried for the graph of the last run. */
  get tried(): readonly Tried[] {
    return this.placer.tried;
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
    try {
      yield* this.runAll(nodes, settings, isRehearsal);
    } catch (error) {
      // Of no step alone: so of all that are left, whose readers are told and whose inputs freed.
      const left = nodes.filter(({ outputs }) => outputs.some(value => value.pending));
      if (left.length === 0) throw error;
      for (const value of left.flatMap(({ outputs }) => outputs)) value.error = error as Error;
      this.retire({ members: left });
    }
  }

  private *runAll(
    nodes: readonly Node[],
    settings: Settings,
    isRehearsal: boolean,
  ): Generator<Pause, void> {
    const start = performance.now();
    this.cpu.useThreads(settings.threads);
    const plan = this.plans.get(keyOf(nodes), nodes.length);
    const isHalf = settings.precision !== 'float32' && !plan.isWide;
    this.gpu?.beginRun(isHalf);
    const observing = plan.runs === 0 || this.isCalibrating;
    const placed = this.placer.place(nodes, plan, settings, this.isCalibrating);
    const { gpuMayRun, steps, placements } = placed;
    const isForCpu = placements.some(({ where }) => where !== 'gpu');
    if (isForCpu && plan.runs > 0 && totalMacs(nodes) >= LAYER_MACS) this.cpu.wake();
    const order = steps.map(({ node }) => node);
    const repeats = !gpuMayRun && !observing && !isRehearsal;
    const scene = { key: keyOfScene(settings), steps, plan };
    const takes = this.takesOf(plan);
    const constant: Run['constant'] = [];
    const all = { steps, placements, constant, plan, settings, isRehearsal, observing };
    const replay = repeats ? takes.match(scene, this.cpu) : undefined;
    const begun = this.begunOf(replay, steps);
    this.last = undefined;
    if (replay) {
      const { bytes, places } = replay.found;
      const run = { ...all, bytes, rooms: new Rooms(this.cpu, order, places), keeper: undefined };
      if (yield* this.replay(replay, run, begun)) {
        plan.runs++;
        this.ms = performance.now() - (begun?.start ?? start);
        this.placer.note(placed, this.ms, this.layers);
        if (!placed.trial) this.last = { replay, run };
        return;
      }
      takes.drop();
    }
    if (settings.precision === 'auto') this.choose(steps, placements, plan, settings);
    const bytes = observing ? [] : this.placeBytes(steps, placements, plan, settings);
    if (isHalf && bytes.some(group => group)) this.prepareForBytes(order, placements, bytes);
    const places = placeRooms(order, (_, i) => !!bytes[i] && placements[i].where === 'cpu');
    const mayOverflow = isHalf && placements.some(({ where }) => where !== 'cpu');
    const rooms = () => new Rooms(this.cpu, order, places);
    const keeper = mayOverflow ? new Keeper(steps) : undefined;
    const take = repeats
      ? takes.begin({ ...scene, found: { bytes, places } }, this.cpu)
      : undefined;
    let run: Run = { ...all, bytes, keeper, rooms: rooms(), take };
    this.transfers.hasOverflowed = false;
    this.placer.begin(placed);
    yield* this.compute(run);
    if (repeats) takes.end(take, this.cpu);
    if (keeper && (yield* this.hasOverflowed(keeper))) {
      plan.isWide = true;
      this.gpu!.beginRun(false);
      for (const step of steps) this.drop(step);
      run = { ...all, bytes, keeper: undefined, rooms: rooms() };
      yield* this.compute(run);
    } else if (keeper) for (const step of steps) this.retire(step);
    if (placed.trial && !run.observing) {
      yield* this.bringHome(nodes);
      this.placer.note(placed, performance.now() - start, this.layers);
    }
    if (isRehearsal) plan.forgetNumbers();
    else plan.runs++;
    this.ms = performance.now() - start;
  }

  /** The GPU's programs that will read bytes: after the first inference, when there are some. */
  private prepareForBytes(
    order: readonly Node[],
    placements: readonly Placement[],
    bytes: Run['bytes'],
  ): void {
    if (this.preparedForBytes.has(placements)) return;
    this.preparedForBytes.add(placements);
    const asBytes = new Set<Value>();
    const reads = (node: Node) => Object.values(node.inputs).some(use => asBytes.has(use.value));
    order.forEach((node, i) => {
      const isMoved = this.lowering.kernelOf(node).writesBytes?.(node) === 'same' && reads(node);
      if (bytes[i] || isMoved) for (const value of node.outputs) asBytes.add(value);
    });
    const areRead = order.map((node, i) => placements[i].where !== 'cpu' && reads(node));
    if (areRead.includes(true)) this.gpu!.prepareWire();
    order.forEach((node, i) => {
      if (areRead[i]) this.lowering.prepare(node, placements[i], asBytes);
    });
  }

  private *compute(run: Run): Generator<Pause, void> {
    try {
      this.transfers.inner = run.take && valuesOf(run.steps);
      this.layers = yield* pipeline(this.cpu, this.workOf(run));
    } finally {
      this.transfers.inner = undefined;
      this.gpu?.timers?.stop();
      run.rooms.dispose();
    }
  }

  private takesOf(plan: Plan): Takes<Found> {
    const takes = this.takes.get(plan) ?? new Takes();
    this.takes.set(plan, takes);
    return takes;
  }

  /**
   * The first node of a graph was recorded. Where it looks like the last run's, its first step is issued
   * and its tape posted: workers compute while the rest is recorded.
   */
  foresee(node: Node, settings: Settings): void {
    const { last, cpu } = this;
    if (!last || cpu.threads === 1 || this.isCalibrating) return;
    const { replay, run } = last;
    const isSame = settings.split === run.settings.split && keyOfScene(settings) === replay.key;
    if (!isSame || !replay.foresees(node, run.steps[0], cpu)) return;
    this.forget();
    const steps = [{ ...run.steps[0], node, members: [node] }];
    const work = this.workOf({ ...run, steps, constant: [], rooms: new Rooms(cpu, [node], []) });
    const begun = replay.begin(steps, work, cpu);
    this.foreseen = { replay, step: steps[0], begun };
    try {
      this.transfers.inner = valuesOf(steps);
      const mayGoOn = (pause: unknown) => pause === 'turn' || pause === 'long';
      while (mayGoOn(begun.progress.next().value));
    } catch {
      // Told by the run.
      this.forget();
    } finally {
      this.transfers.inner = undefined;
    }
  }

  /** What was begun of a run, if this is it. */
  private begunOf(replay: Replay<Found> | undefined, [first]: readonly Step[]) {
    const { foreseen } = this;
    if (foreseen?.replay !== replay || foreseen?.step.node !== first.members[0]) {
      this.forget();
      return undefined;
    }
    this.foreseen = undefined;
    return foreseen.begun;
  }

  /** What was foreseen did not come. */
  private forget(): void {
    const { foreseen } = this;
    if (!foreseen) return;
    const { replay, step, begun } = foreseen;
    this.foreseen = undefined;
    replay.isMistaken = true;
    begun.progress.return();
    this.cpu.work(this.cpu.mark, Infinity);
    this.cpu.takeError();
    this.drop(step);
  }

  /** @returns whether that was possible; else nothing has happened. */
  private *replay(
    replay: Replay<Found>,
    run: Run,
    begun: Performance | undefined,
  ): Generator<Pause, boolean> {
    try {
      this.transfers.inner = valuesOf(run.steps);
      const rows = yield* replay.play(run, this.workOf(run), this.cpu, begun);
      if (rows) this.layers = rows;
      return !!rows;
    } finally {
      this.transfers.inner = undefined;
      run.rooms.dispose();
    }
  }

  /**
   * Whether a number that 16 bits cannot hold (or an infinity, or a NaN) was part of what came back
   * from the GPU, or is part of what somebody might want of it later.
   */
  private *hasOverflowed({ results }: Keeper): Generator<Pause, boolean> {
    for (const value of results) {
      if (!value.wanted || value.error || !this.transfers.onlyOnGpu(value)) continue;
      yield 'gpu';
      if (value.wanted && this.transfers.onlyOnGpu(value)) this.transfers.examine(value);
    }
    return this.transfers.hasOverflowed;
  }

  private get isCalibrating(): boolean {
    return this.calibrations > 0;
  }

  /** A run, as the pipeline sees it. */
  private workOf(run: Run): Work {
    return {
      length: run.steps.length,
      isAlone: index => this.isAlone(run, index),
      issue: index => run.take?.issue(index, this.issue(run, index)) ?? this.issue(run, index),
      mustRepeat: step => this.leftItsRange(run, step),
      repeat: step => this.repeat(run, step),
      drop: index => this.drop(run.steps[index]),
      fail: (index, error) => {
        for (const value of run.steps[index].node.outputs) value.error = error;
      },
      retire: index => {
        if (run.keeper) run.keeper.leave(run.steps[index]);
        else this.retire(run.steps[index]);
        run.rooms.leave(index);
      },
    };
  }

  /** Whether a step is only issued when all before it are over. */
  private isAlone(run: Run, index: number): boolean {
    const { node, at } = run.steps[index];
    const placement = run.placements[index];
    if (run.observing) return true;
    if (placement.where !== 'cpu' && !this.isAsync(node, placement)) return true;
    // What a lowering would wait for, the page need not.
    if (run.plan.layers[at].looks || this.lowering.mustReadBack(node, placement)) return true;
    // What is learned from an input must not have to be computed again.
    return this.isNews(run, index);
  }

  private *issue(run: Run, index: number): Generator<Pause, Issued> {
    const { node, members, at } = run.steps[index];
    const placement = run.placements[index];
    const layer = run.plan.layers[at];
    if (!node.wanted && !run.isRehearsal) return { bytes: 0 };
    if (placement.where !== 'gpu' && this.lowering.mustReadBack(node, placement)) yield 'gpu';
    if (layer.isLong) yield 'long';
    const { waits } = this.cpu;
    const start = performance.now();
    const { row, guarded } = yield* this.step(run, index);
    layer.looks = this.cpu.waits > waits;
    layer.isLong = performance.now() - start > LONG_MS;
    row.fused = members.slice(1).map(({ kernel }) => kernel.name);
    const bytes = node.outputs.reduce((sum, { cpu }) => sum + (cpu?.bytes ?? 0), 0);
    return { bytes, row, guarded };
  }

  /** Whether the GPU's part of a step can be submitted before the CPU is done with the steps before. */
  private isAsync(node: Node, placement: Placement): boolean {
    return (
      isBand(placement) && (!!node.outputs[0].slices || this.lowering.canSubmit(node, placement))
    );
  }

  /**
   * Submits the GPU's bands of this step and of those after it, so that it is at work while this thread
   * goes through the CPU's. With more threads they take turns: these have work at once, too. What the
   * GPU refuses it will refuse again when that step is there.
   */
  private submitBands({ steps, placements }: Run, from: number): void {
    if (this.cpu.threads > 1) return;
    try {
      for (let i = from; i < steps.length; i++) {
        const [{ node }, placement] = [steps[i], placements[i]];
        if (!isBand(placement) || !this.isAsync(node, placement)) break;
        if (!node.outputs[0].slices) this.lowering.submit(node, placement);
      }
    } catch {
      // Told by the step.
    }
    this.gpu!.flush();
  }

  /** The step is done, and needs its inputs no longer. */
  private retire({ members }: Pick<Step, 'members'>): void {
    const outputs = members.flatMap(member => member.outputs);
    for (const value of outputs) value.producer = undefined;
    for (const member of members) this.graph.endUses(member);
    for (const value of outputs) this.graph.release(value);
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
  ): Found['bytes'] {
    if (settings.precision === 'float32' || placements.every(({ where }) => where === 'gpu')) {
      return steps.map(() => undefined);
    }
    const nodes = steps.map(({ node }) => node);
    const layers = steps.map(({ at }) => byNode[at]);
    const groups = placeBytes(nodes, {
      int8: (node, i) =>
        this.mayBeInt8(node, placements[i], settings) && isInt8(node, layers[i], settings),
      writes: (node, i) =>
        this.mayWriteBytes(node, layers[i], placements[i], settings)
          ? this.lowering.kernelOf(node).writesBytes?.(node)
          : undefined,
    });
    return groups.map(group => group?.map(i => layers[i]));
  }

  /** A layer in float32 does where its readers in int8 would otherwise look for its range each time. */
  private mayWriteBytes(
    node: Node,
    layer: Layer,
    placement: Placement,
    settings: Settings,
  ): boolean {
    const isLayer = this.lowering.kernelOf(node).writesBytes?.(node) === 'range';
    if (!isLayer || placement.where === 'gpu') return placement.where !== 'gpu';
    if (!this.mayBeInt8(node, placement, settings)) return false;
    const isWhole = placement.where === 'cpu' && layer.weights.has(weightsOf(node));
    return isWhole || isInt8(node, layer, settings);
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
      if (isBand(placement) && !node.outputs[0].slices) this.submitBands(run, index);
      try {
        const isBlend = this.lowering.kernelOf(node).writesBytes?.(node) === 'blend';
        const asBytes = group && !run.observing && (int8 || isBlend || placement.where === 'cpu');
        if (asBytes) guarded = yield* this.computeBytes(run, index, group, int8);
        else this.lowering.compute(node, placement, int8);
        const mayBeBytes =
          settings.precision !== 'float32' &&
          (isBlend || this.mayBeInt8(node, placement, settings));
        if (placement.where !== 'cpu' && !isBand(placement)) yield* this.cpuDone();
        if (run.observing && mayBeBytes) yield* this.learnRange(node, layer);
      } catch (error) {
        if (placement.where === 'cpu') throw error;
        console.warn(`mulayer: ${node.kernel.name} goes to the CPU, the GPU refused it:`, error);
        layer.refused = true;
        taken = { where: 'cpu' };
        this.lowering.compute(node, taken, int8);
        yield* this.cpuDone();
      }
    } catch (error) {
      for (const value of node.outputs) value.error = error as Error;
    }
    const [output] = node.outputs;
    const { where } = taken;
    const row: LayerReport = {
      op: node.kernel.name,
      fused: [],
      shape: [...output.shape],
      where,
      p: taken.where === 'split' ? shareOf(taken, output) : where === 'cpu' ? 1 : 0,
      precision: int8 ? 'int8' : where === 'gpu' && this.gpu!.half ? 'f16' : 'float32',
      quantised: !!cpuPart(node)?.written,
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
    const { steps, placements, constant, plan, settings } = run;
    const { node, at, isOpen } = steps[index];
    if (!this.mayBeInt8(node, placements[index], settings)) return false;
    const layer = plan.layers[at];
    // The same when the run is repeated.
    const isConstant = (constant[index] ??= layer.weights.has(weightsOf(node)));
    const wanted = isConstant && isInt8(node, layer, settings);
    if (isOpen || !isConstant) {
      this.news++;
      run.take?.spoil();
    }
    layer.weights.add(weightsOf(node));
    if (settings.precision === 'int8' || isOpen) return wanted && !run.observing;
    // Weights that are new each time, as in training, are measured once.
    if (!isConstant && layer.noise !== undefined) return false;
    const isAsChosen = yield* this.observe(run, index);
    return wanted && !run.observing && isAsChosen;
  }

  /** Whether the input of a layer chosen for int8 is of another scale than all that were observed. */
  private isNews(run: Run, index: number): boolean {
    const { steps, settings, plan } = run;
    const { node, at } = steps[index];
    const { observations, int8 } = plan.layers[at];
    if (settings.precision !== 'auto' || !int8) return false;
    if (Object.values(node.inputs).some(({ value }) => value.error)) return false;
    const known = observations.get(weightsOf(node));
    const scale = known && scaleOf(this.cpuCall(run, index));
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
    const scale = scaleOf(this.cpuCall(run, index));
    if (scale === undefined) return true;
    let observation = known?.near(scale);
    if (!observation || run.observing) {
      observation ??= new Observation(scale);
      yield* this.measure(run, index, observation);
    }
    const expected = layer.noise ?? Infinity;
    layer.observations.set(weightsOf(node), (known ?? new Observations()).add(observation));
    layer.noise = observation.noise;
    const { correction } = observation;
    if (correction) this.lowering.corrections.set(node, correction);
    return observation.noise <= FAR * expected;
  }

  private mayBeInt8(node: Node, { where }: Placement, { precision }: Settings): boolean {
    return (
      where !== 'gpu' &&
      precision !== 'float32' &&
      !!this.lowering.kernelOf(node).quantises?.(node, this.cpu)
    );
  }

  /** The call of a whole layer on the CPU; of its band where that is all the CPU has of the input. */
  private cpuCall({ steps, placements }: Run, index: number) {
    const [{ node }, placement] = [steps[index], placements[index]];
    const slice = isBand(placement) ? this.lowering.cpuSlice(node, placement) : undefined;
    return this.lowering.cpuCall(node, slice, false);
  }

  /** Measures what int8 does to the whole layer, or its band, on the CPU. */
  private *measure(run: Run, index: number, observation: Observation): Generator<Pause, void> {
    const kernel = this.lowering.kernelOf(run.steps[index].node);
    const { cpu } = this;
    const done = () => this.cpuDone();
    yield* observe(observation, this.cpuCall(run, index), function* (call) {
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
    run: Run,
    index: number,
    group: readonly Layer[],
    int8: boolean,
  ): Generator<Pause, Quantised | undefined> {
    const { node, at } = run.steps[index];
    const layer = run.plan.layers[at];
    if (!layer.range) {
      this.lowering.compute(node, run.placements[index], int8);
      yield* this.learnRange(node, layer);
      return undefined;
    }
    const range = unionOf(group.flatMap(member => (member.range ? [member.range] : [])));
    return this.computeIn(run, index, int8, range);
  }

  /** A layer as bytes of this range, where there is room for them. */
  private computeIn(
    { steps, placements, plan, rooms }: Run,
    index: number,
    int8: boolean,
    range: Range,
  ): Quantised | undefined {
    const { node, at } = steps[index];
    const layer = plan.layers[at];
    const room = rooms.of(index);
    const learn = (seen: Range) => {
      const better = betterRange(layer.range ?? range, seen);
      if (better?.every(Number.isFinite)) layer.range = better;
    };
    this.lowering.compute(node, placements[index], int8, { range, learn, ...(room && { room }) });
    return cpuPart(node)?.written;
  }

  /** The guard of ranges: whether the bytes of a step have left theirs, or hardly fill it. */
  private leftItsRange({ steps, placements, plan }: Run, { index, guarded }: UnderWay): boolean {
    const { at, node } = steps[index];
    const { range } = plan.layers[at];
    if (!guarded?.spread || !node.wanted || !range) return false;
    const better = betterRange(range, guarded.spread);
    if (!better || placements[index].where === 'cpu' || widthOf(better) > widthOf(range))
      return !!better;
    // A band says little of the others, and they stay where they are.
    if (isBand(placements[index])) return false;
    // It hardly fills its range, but it is a part: the GPU's may.
    const [output] = node.outputs;
    this.transfers.onCpu(output);
    const { spread } = output.slices!;
    if (spread) guarded.spread = spread;
    return !!spread && !!betterRange(range, spread);
  }

  /** Computes a step again, in the range that its result has. */
  private *repeat(run: Run, step: UnderWay): Generator<Pause, void> {
    const { steps, plan, placements } = run;
    const { at, node } = steps[step.index];
    const layer = plan.layers[at];
    run.take?.spoil();
    const int8 = step.row?.precision === 'int8';
    const better = betterRange(layer.range!, step.guarded!.spread!)!;
    // Whole steps of a range say little of a smaller one, and nothing of what is far beyond it.
    const isKnown = better.every(Number.isFinite) && widthOf(better) > widthOf(layer.range!);
    step.guarded = undefined;
    this.drop(steps[step.index]);
    try {
      if (isKnown) layer.range = better;
      else delete layer.range;
      if (layer.range) this.computeIn(run, step.index, int8, layer.range);
      else this.lowering.compute(node, placements[step.index], int8);
      if (!isKnown) yield* this.learnRange(node, layer);
      yield* this.cpuDone();
      step.mark = this.cpu.mark;
    } catch (error) {
      for (const value of node.outputs) value.error = error as Error;
    }
  }

  private *learnRange({ outputs: [output] }: Node, layer: Layer): Generator<Pause, void> {
    yield* this.cpuDone();
    if (!output.cpu && !output.slices) return;
    const range = this.cpu.range(this.transfers.onCpu(output));
    if (!range.every(Number.isFinite)) return;
    const { range: old = range } = layer;
    layer.range = this.isCalibrating ? unionOf([old, range]) : (betterRange(old, range) ?? old);
  }
}

/**
 * Whether a layer that can run in int8 does: only where the weights came twice, and under precision
 * `auto` only where it was chosen.
 */
function isInt8(node: Node, { weights, int8 }: Layer, { precision }: Settings): boolean {
  return weights.has(weightsOf(node)) && (precision === 'int8' || !!int8);
}

/** What of the flags decides which kernels are called, once a graph is placed on the CPU. */
const keyOfScene = ({ precision, budget }: Settings): string =>
  `${precision} ${budget} ${env().get('MULAYER_DOT') as string}`;

type Band = Extract<Placement, { where: 'split' }> & { readonly axis: number };

/** Whether images or rows are split, not channels. */
const isBand = (placement: Placement): placement is Band =>
  placement.where === 'split' && placement.axis !== undefined;

/** The CPU's share of a split node. */
function shareOf({ axis, cut }: Extract<Placement, { where: 'split' }>, { shape }: Value): number {
  return cut / (shape.at(axis ?? -1) ?? 1);
}

const valuesOf = (steps: readonly Step[]): ReadonlySet<Value> =>
  new Set(steps.flatMap(({ node }) => node.outputs));

const weightsOf = ({ kernel, inputs }: Node): Value => inputs[kernel.weights!].value;
