/**
 * Applies the fuse pass (`passes/fuse.ts`) to one run: the recorded nodes become steps, some of
 * which stand for several nodes, and the constants they are folded from get a folded form.
 *
 * A form lies with the filter, under a name that says all that went into it, and goes with the
 * first of its constants:
 *
 *     filter.derived ──► Form { filter', bias' } ◄── mean.derived, variance.derived, ...
 *
 * It is made when all its constants have come before in a run of this plan, so training, where
 * weights are new every step, folds nothing. The numbers of filter' are computed from those of the
 * filter whenever they are wanted, so that no second copy of them stays: packed weights do.
 */
import type { Node } from '../graph/graph.js';
import type { Buffer } from '../graph/value.js';
import { Value } from '../graph/value.js';
import { affineOf, canScale, scaled } from '../passes/fold.js';
import type { Fold, Folded } from '../passes/fuse.js';
import { fuse, shorten } from '../passes/fuse.js';
import type { Plan } from '../plan/plan.js';
import { CpuBuffer } from '../processors/cpu/buffer.js';
import type { CpuProcessor } from '../processors/cpu/processor.js';
import type { Kernel } from '../processors/kernel.js';
import type { GpuProcessor } from '../processors/gpu/processor.js';
import { isGpuActivation } from '../processors/kernel.js';

/** What a run computes at once. */
export interface Step {
  readonly node: Node;
  /** The recorded nodes it stands for, in their order; `node` itself where nothing was fused. */
  readonly members: readonly Node[];
  /** Index of the last of them: `plan.layers[at]` is what is known of the step. */
  readonly at: number;
  /** Whether more will be folded into it should its constants come again. */
  readonly isOpen?: boolean;
}

export class Fuser {
  /** Numbers for values, to tell which constants went into a form. */
  private readonly numbers = new WeakMap<Value, number>();
  private count = 0;

  constructor(
    private readonly kernels: ReadonlyMap<string, Kernel>,
    private readonly cpu: CpuProcessor,
    private readonly gpu: GpuProcessor | undefined,
  ) {}

  /**
   * The steps of a run, each where the last of its nodes was recorded.
   *
   * @param gpuMayRun false: what only the CPU has is fused too.
   */
  steps(nodes: readonly Node[], plan: Plan, gpuMayRun: boolean): Step[] {
    const gpu = gpuMayRun ? this.gpu : undefined;
    const steps: (Step | undefined)[] = nodes.map((node, at) => ({ node, members: [node], at }));
    const seen: Value[] = [];
    plan.chains ??= fuse(nodes);
    for (const chain of plan.chains) {
      // Folded weights are as constant as what they are made of.
      let isFolded = false;
      let isOpen = false;
      const fusion = shorten(chain, nodes, {
        rules: name => this.kernels.get(name)!,
        has: (activation, name) =>
          !gpu || (isGpuActivation(activation, gpu) && !!this.kernels.get(name)!.gpu),
        numbers: value => this.atHand(value),
        fold: fold => {
          seen.push(...fold.constants);
          const areConstant = fold.constants.every(value => plan.constants.has(value));
          const folded = areConstant ? this.folded(fold) : undefined;
          isFolded = !!folded;
          isOpen = !areConstant;
          return folded;
        },
      });
      if (!fusion) {
        steps[chain.base] = { ...steps[chain.base]!, isOpen };
        continue;
      }
      const { node, members } = fusion;
      for (const index of members) steps[index] = undefined;
      const at = members.at(-1)!;
      steps[at] = { node, members: members.map(index => nodes[index]), at, isOpen };
      if (isFolded) plan.layers[at].weights.add(node.inputs[node.kernel.weights!].value);
    }
    for (const value of seen) plan.constants.add(value);
    return steps.filter(step => step !== undefined);
  }

  /** Numbers that nobody has to wait for. */
  private atHand({ error, cpu, pending }: Value): ArrayLike<number> | undefined {
    return error || pending || !cpu ? undefined : this.cpu.download(cpu as CpuBuffer);
  }

  private folded(fold: Fold): Folded | undefined {
    const { base, constants } = fold;
    const [filter] = constants;
    const name = this.nameOf(fold);
    let form = filter.derived.get(name) as Form | undefined;
    if (!form) {
      if (constants.some(value => !this.atHand(value))) return undefined;
      form = this.make(fold, name);
      for (const value of constants) value.derived.set(name, form);
    }
    if (!form.bias) return undefined;
    const { shape } = base.inputs[base.kernel.weights!];
    return {
      filter: { value: form.filter ?? filter, shape, dtype: 'float32' },
      bias: { value: form.bias, shape: form.bias.shape, dtype: 'float32' },
    };
  }

  private make(fold: Fold, name: string): Form {
    const { base, constants } = fold;
    const [filter] = constants;
    const use = base.inputs[base.kernel.weights!];
    const channels = base.outputs[0].shape.at(-1)!;
    const numbersOf = (value: Value) => this.cpu.download(value.cpu as CpuBuffer);
    const affine = affineOf(fold, channels, numbersOf);
    const isScaled = affine?.factor.some(factor => factor !== 1);
    if (!affine || (isScaled && !canScale(numbersOf(filter)))) return new Form(name, constants);
    const { factor, term } = affine;
    const bias = new Value([channels], 'float32');
    bias.cpu = this.cpu.upload(Float32Array.from(term), bias);
    if (!isScaled) return new Form(name, constants, bias);
    // Where the channels of the result are the last axis but one of the weights.
    const isLastButOne = !!base.attributes.transposeB || base.kernel.name === 'Conv2DBackpropInput';
    const inner = isLastButOne ? use.shape.at(-1)! : 1;
    const result = new Value(use.shape, 'float32');
    const { heap } = this.cpu;
    const { size } = filter.cpu as CpuBuffer;
    const recipe = () => scaled(numbersOf(filter), factor, inner);
    result.cpu = CpuBuffer.ofRecipe(heap, 'float32', size, recipe);
    evict(filter);
    return new Form(name, constants, bias, result);
  }

  /** All that decides what is in the folded filter and bias. */
  private nameOf({ base, stages, constants }: Fold): string {
    const isConstant = new Set(constants);
    const describe = ({ kernel, attributes, inputs }: Node) => {
      const uses = Object.entries(inputs).map(([name, { value, shape }]) =>
        isConstant.has(value) ? `${name}:${this.numberOf(value)}[${shape.join()}]` : name,
      );
      return `${kernel.name}${Number(attributes.varianceEpsilon)}(${uses.join()})`;
    };
    const transposed = base.attributes.transposeB ? 'T' : '';
    return `folded ${transposed}${[base, ...stages].map(describe).join(' ')}`;
  }

  private numberOf(value: Value): number {
    let number = this.numbers.get(value);
    if (number === undefined) this.numbers.set(value, (number = this.count++));
    return number;
  }
}

/** A folded filter and bias; without them where the constants could not be folded. */
class Form implements Buffer {
  constructor(
    private readonly name: string,
    private readonly constants: readonly Value[],
    readonly bias?: Value,
    /** Absent where only the bias changes. */
    readonly filter?: Value,
  ) {}

  get bytes(): number {
    return (this.bias?.cpu?.bytes ?? 0) + (this.filter?.cpu?.bytes ?? 0);
  }

  free(): void {
    for (const { derived } of this.constants) derived.delete(this.name);
    this.bias?.free();
    this.filter?.free();
  }
}

/** Gives back what was made of a filter that is no longer used itself: it can be made again. */
function evict(filter: Value): void {
  for (const [name, buffer] of filter.derived) {
    if (buffer instanceof Form) continue;
    filter.derived.delete(name);
    buffer.free();
  }
  filter.gpu?.free();
  filter.gpu = undefined;
  (filter.cpu as CpuBuffer).evict();
}
