/**
 * Lets a run be run again: while one is under way whose textures may prove too small for its numbers,
 * what it began with stays, and of what it makes only the memory goes when the last step that reads it
 * is over. The bookkeeping of the graph follows when the run has proved right.
 */
import type { Value } from '../graph/value.js';
import type { Step } from './fuser.js';

export class Keeper {
  /** Steps still to read a value. */
  private readonly readers = new Map<Value, number>();
  /** Uses of a value by the calls of the run, which end with it. */
  private readonly uses = new Map<Value, number>();
  private readonly made: ReadonlySet<Value>;

  constructor(steps: readonly Step[]) {
    const count = (counts: Map<Value, number>, value: Value) =>
      counts.set(value, (counts.get(value) ?? 0) + 1);
    for (const { node, members } of steps) {
      for (const { value } of Object.values(node.inputs)) count(this.readers, value);
      for (const { inputs } of members) {
        for (const { value } of Object.values(inputs)) count(this.uses, value);
      }
    }
    this.made = new Set(steps.flatMap(({ node }) => node.outputs));
  }

  /** Results that somebody will want after the run. */
  get results(): Value[] {
    return [...this.made].filter(value => this.isResult(value));
  }

  /** A step is over: gives back what nobody reads any more. */
  leave({ node: { inputs } }: Step): void {
    for (const { value } of Object.values(inputs)) {
      const left = this.readers.get(value)! - 1;
      this.readers.set(value, left);
      if (left === 0 && this.made.has(value) && !this.isResult(value)) value.free();
    }
  }

  private isResult(value: Value): boolean {
    return value.refs > 0 || value.uses > (this.uses.get(value) ?? 0);
  }
}
