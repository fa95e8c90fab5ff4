/**
 * Who runs the steps of a run: what `MULAYER_SPLIT` means for its graph now, and under `auto` what the
 * runs so far have taught (`plan/trial.ts`), which it is told of each.
 *
 *     place ──► steps, placements ──► run ──► note: milliseconds, of the run and of its steps
 *                                      └────► the GPU's clock, which answers before a later run
 */
import type { Settings } from '../flags.js';
import type { Node } from '../graph/graph.js';
import { planBands } from '../plan/bands.js';
import type { Rule } from '../plan/partition.js';
import { LAYER_MACS, partition, totalMacs } from '../plan/partition.js';
import type { Placement, Plan } from '../plan/plan.js';
import type { Trial, Tried } from '../plan/trial.js';
import type { CpuProcessor } from '../processors/cpu/processor.js';
import type { GpuProcessor } from '../processors/gpu/processor.js';
import { Repeat } from '../processors/gpu/tape.js';
import type { Fuser, Step } from './fuser.js';
import type { Lowering } from './lowering.js';
import type { LayerReport } from './report.js';

/** `MULAYER_SPLIT=bands`: by the work there is. */
const EVEN: Rule = { round: 0 };

/** Steps, and where they run. */
export interface Placed {
  readonly steps: readonly Step[];
  readonly placements: readonly Placement[];
  /** False: all are on the CPU, and stay there as long as the flags do. */
  readonly gpuMayRun: boolean;
  readonly rule: Rule;
  /** Who is to be told how long they took; absent where nothing is tried. */
  readonly trial?: Trial | undefined;
}

export class Placer {
  /** What was tried for the graph placed last. */
  tried: Tried[] = [];
  /** What the GPU draws for steps so placed; their programs have been compiled, or are being. */
  private readonly repeats = new WeakMap<readonly Placement[], readonly Repeat[]>();
  /** Who wants to know what the GPU took for the steps of an earlier run. */
  private hear: ((times: ReadonlyMap<object, number>) => void) | undefined;

  constructor(
    private readonly fuser: Fuser,
    private readonly lowering: Lowering,
    private readonly cpu: CpuProcessor,
    private readonly gpu: GpuProcessor | undefined,
  ) {}

  /** @param isCalibrating all is on the CPU. */
  place(nodes: readonly Node[], plan: Plan, settings: Settings, isCalibrating: boolean): Placed {
    const { split } = settings;
    const trial = plan.trialFor(settings, this.cpu.threads);
    this.hearTimes();
    this.tried = trial.tried;
    if (isCalibrating) return this.by('cpu', nodes, plan, trial);
    if (split === 'bands') return this.by(EVEN, nodes, plan, trial);
    if (split !== 'auto') return this.by(split, nodes, plan, trial);
    if (!this.isWorthTrying(nodes, plan)) return this.by('cpu', nodes, plan, trial);
    const isTried = trial.isRunning;
    const placed = this.by(trial.next(), nodes, plan, trial);
    if (!isTried) return placed;
    const isReady = !placed.gpuMayRun || !this.gpu?.isCompiling;
    return { ...(isReady ? placed : this.by(trial.known, nodes, plan, trial)), trial };
  }

  /** Before a run: whether the GPU shall tell what its steps take. */
  begin({ trial, rule, steps, placements }: Placed): void {
    const { timers } = this.gpu ?? {};
    if (!timers || !trial?.wantsTimes(rule)) return;
    timers.start();
    this.hear = times => {
      const ofSteps = steps.flatMap(({ node, at }): [number, number][] => {
        const ms = times.get(node);
        return ms === undefined ? [] : [[at, ms]];
      });
      trial.hear(rule, new Map(ofSteps), nodesOf(steps), indicesOf(steps), placements);
    };
  }

  /** After a run that took so long, its results on the CPU; `rows` are of its steps. */
  note({ trial, rule, steps }: Placed, ms: number, rows: readonly LayerReport[]): void {
    // A step that nobody wanted has no row.
    const areAll = steps.length === rows.length;
    trial?.add(rule, ms, new Map(areAll ? steps.map(({ at }, i) => [at, rows[i].ms]) : []));
  }

  private hearTimes(): void {
    const times = this.hear && this.gpu?.timers?.take();
    if (!times) return;
    this.hear!(times);
    this.hear = undefined;
  }

  private isWorthTrying(nodes: readonly Node[], { runs }: Plan): boolean {
    const gpuIsReal = !!this.gpu && !this.gpu.isSoftware && !this.gpu.isLost;
    return gpuIsReal && runs > 0 && totalMacs(nodes) >= LAYER_MACS;
  }

  /** By a rule; the GPU's programs for it are being compiled from then on. */
  private by(rule: Rule, nodes: readonly Node[], plan: Plan, trial: Trial): Placed {
    const gpuMayRun = !!this.gpu && !this.gpu.isLost && rule !== 'cpu' && rule !== 1;
    const steps = this.fuser.steps(nodes, plan, gpuMayRun);
    const circumstances = this.circumstances(rule, steps, plan);
    const placements = plan.place(circumstances, () =>
      this.partition(steps, rule, plan, trial, circumstances),
    );
    let repeats = this.repeats.get(placements);
    if (!repeats) {
      this.repeats.set(placements, (repeats = placements.map(() => new Repeat())));
      steps.forEach(({ node }, i) => this.lowering.prepare(node, placements[i]));
    }
    if (gpuMayRun) steps.forEach(({ node }, i) => this.lowering.repeats.set(node, repeats[i]));
    return { steps, placements, gpuMayRun, rule };
  }

  private partition(
    steps: readonly Step[],
    rule: Rule,
    { layers }: Plan,
    trial: Trial,
    name: string,
  ): readonly Placement[] {
    const nodes = nodesOf(steps);
    const gpuCan = (node: Node, i: number) =>
      !layers[steps[i].at].refused && this.lowering.gpuSupports(node);
    if (typeof rule !== 'object') return partition(nodes, rule, { gpuCan });
    return trial.plan(rule, name, () => {
      const prices = trial.prices(nodes, indicesOf(steps), this.cpu.threads);
      return planBands(nodes, prices, i => gpuCan(nodes[i], i));
    });
  }

  /** Everything placements depend on beside the graph. */
  private circumstances(rule: Rule, steps: readonly Step[], { layers }: Plan): string {
    const fused = steps.flatMap(({ members: { length }, at }) =>
      length > 1 ? `${at}-${length}` : [],
    );
    const refused = steps.flatMap(({ at }) => (layers[at].refused ? at : []));
    const gpu = this.gpu && !this.gpu.isLost ? `gpu but for ${refused.join()}` : 'no gpu';
    return `${JSON.stringify(rule)} ${this.cpu.threads} ${gpu} ${fused.join()}`;
  }
}

const nodesOf = (steps: readonly Step[]): Node[] => steps.map(({ node }) => node);

const indicesOf = (steps: readonly Step[]): number[] => steps.map(({ at }) => at);
