/**
 * The joints of one run: made when the first result for a Concat is (`passes/rooms.ts`), and given up
 * when the Concat is done with; its result holds on to its own.
 */
import { util } from '@tensorflow/tfjs-core';

import type { Node } from '../graph/graph.js';
import type { Place } from '../passes/rooms.js';
import type { Room } from '../processors/cpu/joint.js';
import { Joint } from '../processors/cpu/joint.js';
import type { CpuProcessor } from '../processors/cpu/processor.js';

export class Rooms {
  private readonly joints = new Map<number, Joint>();

  constructor(
    private readonly cpu: CpuProcessor,
    private readonly nodes: readonly Node[],
    private readonly places: readonly (Place | undefined)[],
  ) {}

  /** Where a node's bytes are wanted, if a Concat wants them. */
  of(index: number): Room | undefined {
    const place = this.places[index];
    if (!place) return undefined;
    const { concat, at } = place;
    let joint = this.joints.get(concat);
    if (!joint) {
      const { shape } = this.nodes[concat].outputs[0];
      joint = new Joint(this.cpu.heap, util.sizeFromShape(shape as number[]), shape.at(-1)!);
      this.joints.set(concat, joint);
    }
    return { joint, at };
  }

  /** The node is done: if it is a Concat, its joint is nobody's but its result's. */
  leave(index: number): void {
    this.joints.get(index)?.free();
    this.joints.delete(index);
  }

  dispose(): void {
    for (const index of [...this.joints.keys()]) this.leave(index);
  }
}
