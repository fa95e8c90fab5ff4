/**
 * Graphs that repeat themselves: once a graph has run a few times on the CPU, all that its steps do
 * is known and on a tape (`processors/cpu/tape.ts`), but for those that look at numbers: the range of
 * an input that is new each time, what tfjs-cpu computes.
 *
 *     steps    0 ──► │ 1  2  3  4  5  6  7  8 │ ──► 9 ──► 10
 *            as ever │    from the tape       │  as ever
 *
 *     Takes      what a plan keeps of this
 *     Take       a run like any other, of which notes are taken
 *     Replay     what came of it: the longest stretch of steps that are pure, what must be the same
 *                so that it may be played, and where its results are
 *
 * Ranges are looked at when all is done. Where one was left, the graph runs again, as ever.
 */
import { util } from '@tensorflow/tfjs-core';

import type { Node, Use } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import type { Plan } from '../plan/plan.js';
import type { Place } from '../processors/cpu/buffer.js';
import type { CpuProcessor } from '../processors/cpu/processor.js';
import { CpuBuffer } from '../processors/cpu/processor.js';
import { betterRange } from '../processors/cpu/quantisation.js';
import type { Range } from '../processors/cpu/quantisation.js';
import type { Block, Tape } from '../processors/cpu/tape.js';
import { Recorder, Script, TOO_SMALL } from '../processors/cpu/tape.js';
import type { Step } from './fuser.js';
import type { Issued, Pause, UnderWay, Work } from './pipeline.js';
import { pipeline } from './pipeline.js';
import type { LayerReport } from './report.js';

/** Fewer steps are not worth it. */
const LEAST_STEPS = 4;

/** After a recording that came to nothing, twice as many runs are waited as before it, up to this. */
const LONGEST_WAIT = 1024;

/** A region is so much larger than what was in use at once, since blocks lie with gaps. */
const GAPS = 1.2;

/** A run of this plan, all of it on the CPU. */
interface Scene<Found> {
  /** Flags that decide what is called. */
  readonly key: string;
  readonly steps: readonly Step[];
  readonly plan: Plan;
  /** What the passes have found for these steps, by their index: good for the next run too. */
  readonly found?: Found;
}

/** What a step reads and no step has made. */
interface Outside {
  readonly step: number;
  readonly name: string;
  readonly value: Value;
}

/** An output of a step, and where it is. */
interface Result {
  readonly step: number;
  readonly output: number;
  readonly place: Place;
}

export class Takes<Found> {
  private replay: Replay<Found> | undefined;
  /** Runs until the next recording, and how many there were the last time. */
  private wait = 0;
  private waited = 1;
  /** Bytes of results and scratch at once; 0: not measured yet. */
  private peak = 0;
  /** Of the run before. */
  private outside: readonly Value[] = [];

  /** The replay, if this run can be one. */
  match(scene: Scene<Found>, cpu: CpuProcessor): Replay<Found> | undefined {
    if (this.replay && !this.replay.suits(scene, cpu)) this.drop();
    return this.replay;
  }

  drop(): void {
    this.replay?.tape.dispose();
    this.replay = undefined;
  }

  /** Before a run that is none: notes are to be taken of it, once all is known that it takes. */
  begin(scene: Scene<Found>, cpu: CpuProcessor): Take<Found> | undefined {
    const { heap } = cpu;
    heap.watchPeak();
    const outside = outsideOf(scene.steps);
    const before = this.outside;
    this.outside = outside.map(({ value }) => value);
    if (before.length !== outside.length || this.peak === 0 || this.wait-- > 0) return undefined;
    const isNew = outside.map(({ value }, i) => value !== before[i]);
    const live = liveOf(scene, new Set(outside.flatMap(({ step }, i) => (isNew[i] ? step : []))));
    const [from, to] = longest(live.map(isLive => !isLive));
    const region = to - from < LEAST_STEPS ? undefined : heap.regionOf(this.peak);
    return region && new Take(scene, cpu, new Recorder(region), outside, live);
  }

  /** After such a run. */
  end(take: Take<Found> | undefined, cpu: CpuProcessor): void {
    this.peak = Math.max(this.peak, Math.ceil(cpu.heap.peak * GAPS));
    if (!take) return;
    this.replay = take.finish();
    if (take.failure === TOO_SMALL) {
      this.peak = Math.ceil(this.peak * GAPS);
      return;
    }
    this.waited = this.replay ? 1 : Math.min(2 * this.waited, LONGEST_WAIT);
    this.wait = this.replay ? 0 : this.waited - 2;
  }
}

/** What was noted of a step. */
interface Note {
  readonly isPure: boolean;
  /** Whether its outputs are there alone. */
  readonly isOnHeap: boolean;
  /** Of each output, where it is, if it lies there without gaps. */
  readonly places: readonly (Place | undefined)[];
  readonly row: LayerReport | undefined;
  /** Values that it read in another form, made by a step before. */
  readonly formed: readonly Value[];
}

export class Take<Found> {
  private readonly notes: Note[] = [];
  /** Values that the user held when the run began. */
  private readonly held: ReadonlySet<Value>;
  /** Where the values of this run come from. */
  private readonly origins: ReadonlyMap<Value, { step: number; output: number }>;
  private isSpoilt = false;
  /** What was known of the steps when the run began. */
  private readonly known: readonly Known[];

  constructor(
    private readonly scene: Scene<Found>,
    private readonly cpu: CpuProcessor,
    private readonly recorder: Recorder,
    private readonly outside: readonly Outside[],
    private readonly live: readonly boolean[],
  ) {
    const { steps, plan } = scene;
    this.known = knownOf(steps, plan);
    const values = steps.flatMap(({ node }) => node.outputs);
    this.held = new Set(values.filter(({ refs }) => refs > 0));
    this.origins = new Map(
      steps.flatMap(({ node }, step) =>
        node.outputs.map((value, output) => [value, { step, output }] as const),
      ),
    );
    cpu.heap.useSource(recorder, recorder);
  }

  /** Why there will be no tape. */
  get failure(): string | undefined {
    return this.recorder.failure;
  }

  /** This is no run like those that will follow: a step was computed again, weights were new. */
  spoil(): void {
    this.isSpoilt = true;
  }

  /** Issues a step and takes a note of it. */
  *issue(index: number, issue: Generator<Pause, Issued>): Generator<Pause, Issued> {
    const { recorder, cpu, origins } = this;
    const { node } = this.scene.steps[index];
    const isLive = this.live[index];
    const inputs = Object.values(node.inputs).map(({ value }) => value);
    const formed = inputs.filter(value => origins.has(value) && value.derived.size > 0);
    const { waits } = cpu;
    recorder.begin(isLive);
    const issued = yield* during(recorder, issue);
    const buffers = node.outputs.map(({ cpu, error }) =>
      error ? undefined : (cpu as CpuBuffer | undefined),
    );
    const isOnHeap = buffers.every(buffer => buffer?.isOnHeapOnly);
    const isPure =
      !isLive &&
      !!issued.row &&
      cpu.waits === waits &&
      isOnHeap &&
      inputs.every(value => this.notes[origins.get(value)?.step ?? -1]?.isOnHeap ?? true);
    const places = buffers.map(buffer => buffer?.place);
    this.notes[index] = { isPure, isOnHeap, places, row: issued.row, formed };
    return issued;
  }

  /** After the run: what came of it. */
  finish(): Replay<Found> | undefined {
    const { cpu, scene, recorder, notes, held } = this;
    const { steps } = scene;
    cpu.heap.useSource(undefined);
    leaveHeap(steps);
    const [from, to] = longest(notes.map(({ isPure }) => isPure));
    const isSteady =
      !this.isSpoilt && this.known.every((known, i) => isStill(known, steps[i], scene.plan));
    if (!isSteady || to - from < LEAST_STEPS || !recorder.region.isEmpty) return undefined;
    const readBy = (value: Value, first: number, end: number) =>
      steps.slice(first, end).some(({ node }) => reads(node, value));
    const handed: Result[] = [];
    const results: Result[] = [];
    for (const [value, { step, output }] of this.origins) {
      const place = notes[step].places[output];
      if (step < from && readBy(value, from, to)) {
        // The tape would look for other forms of it where they were.
        const isFormed = notes.slice(from, to).some(({ formed }) => formed.includes(value));
        if (!place || (isFormed && readBy(value, 0, from))) return undefined;
        handed.push({ step, output, place });
      } else if (
        step >= from &&
        step < to &&
        (held.has(value) || readBy(value, to, steps.length))
      ) {
        if (!place) return undefined;
        results.push({ step, output, place });
      }
    }
    const tape = recorder.tape(cpu.heap, from, to);
    if (!tape) return undefined;
    const rows = notes.slice(from, to).map(({ row }) => row!);
    const outside = this.outside.filter(({ step }) => step >= from && step < to);
    const blocks = recorder.blocksOf(from);
    return new Replay(scene, tape, { from, to, held, handed, outside, results, rows, blocks });
  }
}

/** What a tape is of. */
interface Stretch {
  /** Steps [from, to) are on the tape. */
  readonly from: number;
  readonly to: number;
  /** Values that the user held. */
  readonly held: ReadonlySet<Value>;
  /** Results of the steps before that it reads. */
  readonly handed: readonly Result[];
  readonly outside: readonly Outside[];
  /** Its own that somebody else reads. */
  readonly results: readonly Result[];
  readonly rows: readonly LayerReport[];
  /** Memory for the results of the steps before. */
  readonly blocks: readonly (readonly Block[])[];
}

/** A replay under way. */
export class Performance {
  /** Goes on with it, until nothing is left but to wait. */
  readonly progress: Generator<Pause, void>;
  /** The steps before the tape. */
  readonly underWay: UnderWay[] = [];
  /** Whether results are where the tape looks for them. */
  fits = false;
  /** In milliseconds, as all times here. */
  readonly start = performance.now();
  /** Where the CPU is when each step is. */
  private readonly marks: number[] = [];
  /** When that was, noted on the way: the board forgets it when some hundred jobs more are. */
  private readonly ends: number[] = [];

  constructor(
    private readonly cpu: CpuProcessor,
    progress: (self: Performance) => Generator<Pause, void>,
  ) {
    this.progress = progress(this);
  }

  /** Steps that are done when the CPU is so far. */
  add(marks: readonly number[]): void {
    this.note();
    this.marks.push(...marks);
    // The board knows nothing of calls made on the spot, after which all is over.
    if (marks.length === 1 && this.cpu.isDone(marks[0]))
      this.ends.push(performance.timeOrigin + performance.now());
  }

  note(): void {
    const { cpu, marks, ends } = this;
    while (ends.length < marks.length && cpu.isDone(marks[ends.length])) {
      ends.push(cpu.overAt(marks[ends.length]));
    }
  }

  /** When all is done: the rows of the steps that have one, from the end of one to that of the next. */
  rowsOf(rows: readonly (LayerReport | undefined)[]): LayerReport[] {
    this.note();
    let last = this.start;
    return rows.flatMap((row, i) => {
      if (!row) return [];
      const start = last;
      last = Math.max(last, this.ends[i] - performance.timeOrigin);
      return { ...row, ms: last - start };
    });
  }
}

export class Replay<Found> {
  readonly found: Found;
  /** Whether it was foreseen, and another graph came. */
  isMistaken = false;
  readonly key: string;
  private readonly known: readonly Known[];
  private readonly held: readonly boolean[];

  constructor(
    { key, steps, plan, found }: Scene<Found>,
    readonly tape: Tape,
    private readonly stretch: Stretch,
  ) {
    this.key = key;
    this.found = found!;
    this.known = knownOf(steps, plan);
    const values = steps.flatMap(({ node }) => node.outputs);
    this.held = values.map(value => stretch.held.has(value));
  }

  /** Whether a run would call what the recorded one has called. */
  suits({ key, steps, plan }: Scene<Found>, cpu: CpuProcessor): boolean {
    const { tape, known, held, stretch } = this;
    if (tape.isVoid || key !== this.key || tape.threads !== cpu.threads) return false;
    let i = 0;
    return (
      steps.length === known.length &&
      steps.every(
        (step, index) =>
          isStill(known[index], step, plan) &&
          step.node.outputs.every(({ refs }) => refs > 0 === held[i++]),
      ) &&
      stretch.outside.every(({ step, name, value }) => {
        const use = steps[step].node.inputs[name] as Use | undefined;
        return use?.value === value && !value.error;
      })
    );
  }

  /**
   * Whether a graph that begins like this is likely to be the recorded one again: at most its first step
   * comes before the tape, and that is this node, of these weights.
   *
   * @param first step of the run before.
   */
  foresees(node: Node, { members }: Step, cpu: CpuProcessor): boolean {
    const { tape, stretch, isMistaken } = this;
    if (isMistaken || tape.isVoid || tape.threads !== cpu.threads) return false;
    if (stretch.from > (members.length > 1 ? 0 : 1)) return false;
    const [before] = members;
    const names = Object.keys(node.inputs);
    return (
      node.kernel === before.kernel &&
      names.length === Object.keys(before.inputs).length &&
      names.every((name, i) => {
        const [use, old] = [node.inputs[name], before.inputs[name] as Use | undefined];
        const isSame = (i === 0 && stretch.from === 1) || use.value === old?.value;
        const isThere = !use.value.pending && !use.value.error;
        return isSame && isThere && use.dtype === old?.dtype && isEqual(use.shape, old.shape);
      }) &&
      JSON.stringify(node.attributes) === JSON.stringify(before.attributes)
    );
  }

  /**
   * Issues the steps before the tape and posts its jobs. Needs only these steps: the others may not have
   * been recorded yet.
   */
  begin(steps: readonly Step[], work: Work, cpu: CpuProcessor): Performance {
    return new Performance(cpu, begun => this.start(begun, steps, work, cpu));
  }

  private *start(
    begun: Performance,
    steps: readonly Step[],
    work: Work,
    cpu: CpuProcessor,
  ): Generator<Pause, void> {
    const { tape, stretch } = this;
    const { from, handed, blocks } = stretch;
    const { queue } = cpu.heap;
    const script = new Script();
    cpu.heap.useSource(script);
    try {
      for (let index = 0; index < from; index++) {
        script.begin(blocks[index]);
        const issued = yield* during(script, work.issue(index));
        begun.underWay.push({ ...issued, index, mark: cpu.mark });
        begun.add([cpu.mark]);
      }
    } finally {
      cpu.heap.useSource(undefined);
    }
    const first = cpu.mark;
    begun.add(tape.ends.map(jobs => first + jobs));
    begun.fits =
      !script.failed &&
      !tape.isVoid &&
      handed.every(({ step, output, place }) => isAt(steps[step].node.outputs[output], place));
    if (!begun.fits) return;
    tape.rewind();
    for (const job of tape.jobs) {
      while (!queue.hasRoom(job)) yield { mark: queue.oldest };
      begun.note();
      queue.post(job);
    }
  }

  /**
   * Runs the steps.
   *
   * @param begun where this run has begun already.
   * @returns their rows; undefined where they must be run as ever, and nothing is left of this.
   */
  *play(
    { steps, plan }: Pick<Scene<Found>, 'steps' | 'plan'>,
    work: Work,
    cpu: CpuProcessor,
    begun = this.begin(steps, work, cpu),
  ): Generator<Pause, LayerReport[] | undefined> {
    const { tape, stretch } = this;
    const { to, results, rows } = stretch;
    yield* begun.progress;
    const { underWay, fits } = begun;
    const { mark } = cpu;
    while (!cpu.isDone(mark)) yield { mark };
    const error = cpu.takeError();
    const isGood = fits && !error && !tape.isVoid && !underWay.some(step => work.mustRepeat(step));
    if (!isGood || this.hasLeftRange(steps, plan)) {
      for (const { index } of underWay) work.drop(index);
      return undefined;
    }
    const done = begun.rowsOf([...underWay.map(({ row }) => row), ...rows]);
    for (const { step, output, place } of results) {
      const value = steps[step].node.outputs[output];
      const size = util.sizeFromShape(value.shape as number[]);
      value.cpu = CpuBuffer.ofTape(cpu.heap, value.dtype, size, place);
    }
    for (let index = 0; index < to; index++) work.retire(index);
    done.push(...(yield* pipeline(cpu, work, to)));
    leaveHeap(steps.slice(0, to));
    return done;
  }

  /** Whether the bytes of a step have left their range, or hardly fill it. */
  private hasLeftRange(steps: readonly Step[], { layers }: Plan): boolean {
    const { from, to } = this.stretch;
    for (let i = from; i < to; i++) {
      const { range } = layers[steps[i].at];
      const spread = range && this.tape.spreadOf(i - from);
      if (spread && betterRange(range, spread)) return true;
    }
    return false;
  }
}

/** For each step: whether it has to be thought of each time. `isNew`: those with inputs that are. */
const liveOf = <Found>({ steps, plan }: Scene<Found>, isNew: ReadonlySet<number>): boolean[] =>
  steps.map(({ at, isOpen }, step) => !!isOpen || !!plan.layers[at].looks || isNew.has(step));

/** What decides how a step is computed, beside its inputs. */
interface Known {
  readonly at: number;
  readonly range: Range | undefined;
  readonly noise: number | undefined;
  readonly int8: boolean | undefined;
}

const knownOf = (steps: readonly Step[], { layers }: Plan): Known[] =>
  steps.map(({ at }) => {
    const { range, noise, int8 } = layers[at];
    return { at, range, noise, int8 };
  });

function isStill(known: Known, { at }: Step, { layers }: Plan): boolean {
  const { range, noise, int8 } = layers[at];
  return at === known.at && range === known.range && noise === known.noise && int8 === known.int8;
}

/** Lets a source give memory for as long as a step is at work. */
function* during<T>(source: { isOn: boolean }, work: Generator<Pause, T>): Generator<Pause, T> {
  for (;;) {
    source.isOn = true;
    let next;
    try {
      next = work.next();
    } finally {
      source.isOn = false;
    }
    if (next.done) return next.value;
    yield next.value;
  }
}

/** What is left of a run goes to JavaScript memory: the next one has its results in the same place. */
function leaveHeap(steps: readonly Step[]): void {
  for (const value of steps.flatMap(({ node }) => node.outputs)) {
    if (!value.wanted) continue;
    for (const buffer of value.derived.values()) buffer.free();
    value.derived.clear();
    (value.cpu as CpuBuffer | undefined)?.leaveHeap();
  }
}

function outsideOf(steps: readonly Step[]): Outside[] {
  const made = new Set(steps.flatMap(({ node }) => node.outputs));
  return steps.flatMap(({ node }, step) =>
    Object.entries(node.inputs).flatMap(([name, { value }]) =>
      made.has(value) ? [] : [{ step, name, value }],
    ),
  );
}

const isEqual = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((length, i) => length === b[i]);

const reads = ({ inputs }: Node, value: Value): boolean =>
  Object.values(inputs).some(use => use.value === value);

function isAt({ cpu, error }: Value, { pointer, scale, zero }: Place): boolean {
  const place = error ? undefined : (cpu as CpuBuffer | undefined)?.place;
  return place?.pointer === pointer && place.scale === scale && place.zero === zero;
}

/** [from, to) of the longest stretch of these. */
function longest(flags: readonly boolean[]): [number, number] {
  let best: [number, number] = [0, 0];
  let from = 0;
  for (let i = 0; i <= flags.length; i++) {
    if (flags[i]) continue;
    if (i - from > best[1] - best[0]) best = [from, i];
    from = i + 1;
  }
  return best;
}
