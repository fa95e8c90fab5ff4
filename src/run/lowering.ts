/**
 * From a node to calls of its kernel: on the CPU, on the GPU, or a slice of it on each. Values are
 * brought to where they are wanted (`transfers.ts`); the results are noted in the node's outputs.
 *
 * In a split layer the GPU's commands are submitted and flushed first, then the CPU computes its
 * slice: both work at once.
 */
import type { Node, Use } from '../graph/graph.js';
import type { Named, Need, Range as Part, SliceRule } from '../graph/kernel.js';
import type { Value } from '../graph/value.js';
import type { Placement } from '../plan/plan.js';
import type { CpuBuffer, CpuProcessor } from '../processors/cpu/processor.js';
import type { Room } from '../processors/cpu/joint.js';
import type { Range } from '../processors/cpu/quantisation.js';
import type { GpuBuffer, GpuProcessor } from '../processors/gpu/processor.js';
import type { Repeat } from '../processors/gpu/tape.js';
import type { Call, Kernel } from '../processors/kernel.js';
import type { Transfers } from './transfers.js';
import { cutShape } from './transfers.js';

export class Lowering {
  /** What layers of the run under way take off their int8 results. */
  readonly corrections = new WeakMap<Node, Float32Array>();

  /** What the GPU has drawn for nodes like these of the run under way. */
  readonly repeats = new WeakMap<Node, Repeat>();

  constructor(
    private readonly kernels: ReadonlyMap<string, Kernel>,
    private readonly cpu: CpuProcessor,
    private readonly gpu: GpuProcessor | undefined,
    private readonly transfers: Transfers,
  ) {}

  kernelOf(node: Node): Kernel {
    return this.kernels.get(node.kernel.name)!;
  }

  /** Whether the GPU can run a node at all. */
  gpuSupports(node: Node): boolean {
    const kernel = this.kernelOf(node);
    if (!this.gpu || kernel.gpuTakes?.(node, this.gpu) === false) return false;
    return this.gpu.supports(kernel, Object.values(node.inputs), node.outputs);
  }

  /** Whether the CPU can only have what it needs of the node's inputs by a blocking read-back. */
  mustReadBack(node: Node, placement: Placement): boolean {
    const { inputs } = this.cpuSlice(node, placement)?.rule ?? { inputs: {} };
    return Object.entries(node.inputs).some(([name, use]) => {
      const need = inputs[name] ?? 'whole';
      if (need === 'nothing') return false;
      return !this.transfers.hasOnCpu(use, need === 'whole' ? undefined : need);
    });
  }

  /** Sees to it that the GPU's programs for a node are being compiled; some values are bytes. */
  prepare(node: Node, placement: Placement, bytes?: ReadonlySet<Value>): void {
    if (placement.where === 'cpu') return;
    const slice = placement.where === 'split' ? this.gpuSlice(node, placement) : undefined;
    const comesAsBytes = (name: string) => !!bytes?.has(node.inputs[name].value);
    const call = callOf(node, slice, false, ({ shape, dtype }, part) => ({
      shape: part ? cutShape(shape, part) : shape,
      dtype,
    }));
    this.gpu!.prepare(this.kernelOf(node), call, comesAsBytes);
  }

  /**
   * Computes a node where it is placed, or submits that.
   *
   * @param bytes as which the CPU shall write its part, if it can.
   */
  compute(node: Node, placement: Placement, int8: boolean, bytes?: Bytes): void {
    const kernel = this.kernelOf(node);
    if (placement.where === 'cpu') {
      const buffers = this.cpu.run(kernel, { ...this.cpuCall(node, undefined, int8), ...bytes });
      node.outputs.forEach((value, i) => (value.cpu = buffers[i]));
    } else if (placement.where === 'gpu') {
      const buffers = this.onGpu(node, undefined);
      node.outputs.forEach((value, i) => (value.gpu = buffers[i]));
    } else {
      // The CPU's inputs first: a read-back would otherwise wait for the GPU's new work as well.
      const left = this.cpuSlice(node, placement)!;
      const call = { ...this.cpuCall(node, left, int8), ...bytes };
      const [output] = node.outputs;
      if (!output.slices) {
        this.submit(node, placement);
        this.gpu!.flush();
      }
      const cpu = this.cpu.run(kernel, call)[0];
      // What is only moved has the range of what it was.
      const moved = Object.values(node.inputs).map(({ value }) => value.slices?.learn);
      const learn = bytes?.learn ?? moved.find(tell => tell);
      output.slices = { ...output.slices!, cpu, learn };
    }
  }

  /** Submits the GPU's part of a split node, without waiting for the CPU's. */
  submit(node: Node, placement: Split): void {
    const [output] = node.outputs;
    const right = this.gpuSlice(node, placement);
    const { axis, from } = right.range;
    const [gpu] = this.onGpu(node, right);
    output.slices = { axis, to: placement.cut, from, gpu };
  }

  private gpuSlice(node: Node, { axis, cut, from = cut }: Split): Slice {
    const { shape } = node.outputs[0];
    const along = axis ?? shape.length - 1;
    return sliceOf(node, { axis: along, from, to: shape[along] });
  }

  /** The CPU's part of a split node. */
  cpuSlice(node: Node, placement: Placement): Slice | undefined {
    if (placement.where !== 'split') return undefined;
    const { axis = node.outputs[0].shape.length - 1, cut } = placement;
    return sliceOf(node, { axis, from: 0, to: cut });
  }

  /** The call of a node, or of a slice of it, on the CPU. */
  cpuCall(node: Node, slice: Slice | undefined, int8: boolean): Call<CpuBuffer> {
    const argument = (use: Use, range?: Part) => this.transfers.cpuArgument(use, range);
    const correction = int8 ? this.corrections.get(node) : undefined;
    return { ...callOf(node, slice, int8, argument), ...(correction && { correction }) };
  }

  private onGpu(node: Node, slice: Slice | undefined): GpuBuffer[] {
    const gpu = this.gpu!;
    const callOf = () => this.gpuCall(node, slice);
    const lower = (call: Call<GpuBuffer>) => gpu.run(this.kernelOf(node), call);
    const inputOf = (name: string) => {
      const need = slice?.rule.inputs[name];
      const range = typeof need === 'object' ? need : undefined;
      return this.transfers.gpuBuffer(node.inputs[name], range);
    };
    const repeat = this.repeats.get(node);
    const submit = () => (repeat ? repeat.run(gpu, node, inputOf, callOf, lower) : lower(callOf()));
    return gpu.timers ? gpu.timers.time(node, submit) : submit();
  }

  /** Whether the GPU has what it needs of the inputs of a split node, or they have been computed. */
  canSubmit(node: Node, placement: Split): boolean {
    const { inputs } = this.gpuSlice(node, placement).rule;
    return Object.entries(node.inputs).every(([name, use]) => {
      const need = inputs[name] ?? 'whole';
      if (need === 'nothing' || !use.value.pending) return true;
      return need !== 'whole' && this.transfers.hasOnGpu(use, need);
    });
  }

  private gpuCall(node: Node, slice: Slice | undefined) {
    return callOf(node, slice, false, (use, range) => this.transfers.gpuArgument(use, range));
  }
}

/** A result in int8 as bytes. */
export interface Bytes {
  readonly range: Range;
  /** Where they are wanted. */
  readonly room?: Room;
  /** See `Slices`. */
  readonly learn?: (seen: Range) => void;
}

/** The CPU's part of what a node has made. */
export const cpuPart = ({ outputs: [{ cpu, slices }] }: Node): CpuBuffer | undefined =>
  (slices?.cpu ?? cpu) as CpuBuffer | undefined;

export type Split = Extract<Placement, { where: 'split' }>;

/** A part of a node's output, and what it needs. */
interface Slice {
  readonly range: Part;
  readonly rule: SliceRule;
}

/** Of channels (the last axis), or of images or rows. */
function sliceOf(node: Node, range: Part): Slice {
  const isOfChannels = range.axis === node.outputs[0].shape.length - 1;
  const rule = isOfChannels
    ? node.kernel.slice!(node, range.from, range.to)!
    : node.kernel.band!(node, range)!;
  return { range, rule };
}

function callOf<A>(
  node: Node,
  slice: Slice | undefined,
  int8: boolean,
  argument: (use: Use, range?: Part) => A,
) {
  const inputs: Named<A> = {};
  for (const [name, use] of Object.entries(node.inputs)) {
    const need: Need = slice?.rule.inputs[name] ?? 'whole';
    if (need === 'nothing') continue;
    inputs[name] = need === 'whole' ? argument(use) : argument(use, need);
  }
  const cut = (shape: readonly number[]) => (slice ? cutShape(shape, slice.range) : shape);
  return {
    name: node.kernel.name,
    inputs,
    isList: node.isList,
    attributes: slice?.rule.attributes ?? node.attributes,
    outputs: node.outputs.map(({ shape, dtype }) => ({ shape: cut(shape), dtype })),
    int8,
  };
}
