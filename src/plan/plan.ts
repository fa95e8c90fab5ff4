/**
 * A plan: what is known about one graph, kept under its structural key from one inference to the
 * next. `layers[i]` speaks of the i-th node, and of the layer into which it was fused as the last one.
 */
import type { Chain } from '../passes/fuse.js';
import type { Observations } from '../passes/precision.js';
import type { Settings } from '../flags.js';
import { Trial } from './trial.js';

/**
 * Where a node runs. `cut`: [0, cut) of the output's `axis` on the CPU, [from, length) on the GPU. The
 * axis is that of the channels, the last one, when absent; 0 are images, 1 rows. `from` is `cut` when
 * absent; below it, rows in between are computed on both.
 */
export type Placement =
  | { readonly where: 'cpu' }
  | { readonly where: 'gpu' }
  | {
      readonly where: 'split';
      readonly axis?: number;
      readonly cut: number;
      readonly from?: number;
    };

/** What earlier runs taught about one node. */
export interface Layer {
  /**
   * Values that have been this layer's weights. One that comes again is constant: it may be quantised
   * and packed. Training brings new ones every step; two models of one structure, each its own.
   */
  readonly weights: WeakSet<object>;
  /** What int8 does to it with each of these weights. */
  observations: WeakMap<object, Observations>;
  /** Noise to signal that int8 brought to its result, with the weights measured last. */
  noise?: number;
  /** What precision `auto` has chosen for this run. */
  int8?: boolean;
  /** [min, max] that its result has had as bytes; widened when something falls out of it. */
  range?: readonly [number, number];
  /** Its lowering looks at numbers, and so waits for all that is under way. */
  looks?: boolean;
  /** Its lowering took the main thread long. */
  isLong?: boolean;
  /** The GPU refused this node (a program that does not link, no memory): not again. */
  refused?: boolean;
}

export class Plan {
  /** Finished runs. The first one observes, in float32. */
  runs = 0;
  readonly layers: Layer[];
  /** What can be fused; found in the first run. */
  chains: readonly Chain[] | undefined;
  /** Values that could have been folded in an earlier run: constant, should they come again. */
  readonly constants = new WeakSet();
  /** See {@link trialFor}. */
  private readonly trials = new Map<string, Trial>();
  /** 16 bits were not enough for its numbers on the GPU, or there was a NaN: from then on 32. */
  isWide = false;
  private placements: readonly Placement[] | undefined;
  private placedFor = '';

  constructor(nodes: number) {
    this.layers = Array.from({ length: nodes }, () => ({
      weights: new WeakSet(),
      observations: new WeakMap(),
    }));
  }

  /** The placements for these circumstances, made once and kept until they change. */
  place(circumstances: string, make: () => readonly Placement[]): readonly Placement[] {
    if (!this.placements || this.placedFor !== circumstances) {
      this.placements = make();
      this.placedFor = circumstances;
    }
    return this.placements;
  }

  /** How `MULAYER_SPLIT=auto` finds its split; what is fastest may be another with other threads. */
  trialFor({ precision }: Settings, threads: number): Trial {
    const key = `${threads} ${precision}`;
    const trial = this.trials.get(key) ?? new Trial();
    this.trials.set(key, trial);
    return trial;
  }

  /** Makes the next run measure errors and ranges anew. */
  forgetNumbers(): void {
    for (const layer of this.layers) {
      layer.observations = new WeakMap();
      delete layer.noise;
      delete layer.range;
    }
  }
}

/** Plans of the graphs seen last. */
export class Plans {
  private readonly plans = new Map<string, Plan>();

  /** @param capacity plans kept; the one unused for longest goes first. */
  constructor(private readonly capacity = 64) {}

  has(key: string): boolean {
    return this.plans.has(key);
  }

  get(key: string, nodes: number): Plan {
    const plan = this.plans.get(key) ?? new Plan(nodes);
    this.plans.delete(key);
    this.plans.set(key, plan);
    if (this.plans.size > this.capacity) {
      const [oldest] = this.plans.keys();
      this.plans.delete(oldest);
    }
    return plan;
  }
}
