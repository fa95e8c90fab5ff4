/** Seeded numbers for problems. */

/** Half a unit in the last place of 1 in float32: the relative error of one rounding. */
export const EPSILON = 2 ** -24;

/** Mulberry32 (T. Ettinger, public domain): uniform in [0, 1). */
export class Random {
  constructor(private state: number) {}

  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** Uniform in lo..hi, both included. */
  integer(lo: number, hi: number): number {
    return lo + Math.floor(this.next() * (hi - lo + 1));
  }

  one<T>(choices: readonly T[]): T {
    return choices[this.integer(0, choices.length - 1)];
  }

  /** Uniform in [-1, 1). */
  floats(length: number): Float32Array {
    return Float32Array.from({ length }, () => this.next() * 2 - 1);
  }

  bytes(length: number, lo = 0, hi = 255): Uint8Array {
    return Uint8Array.from({ length }, () => this.integer(lo, hi));
  }
}
