/**
 * The `MULAYER_*` flags, each with its meaning and default. They are read through `tf.env()`, so
 * the URL (`?tfjsflags=MULAYER_SPLIT:cpu`) and `tf.env().set(...)` both work, at any time: a graph
 * looks them up when it runs. A wrong value throws at `set` and leaves the old one in force.
 */
import { env } from '@tensorflow/tfjs-core';

import { FlagError } from './errors.js';

/** `MULAYER_SPLIT`: a rule, or p, the CPU's share of each layer's output channels, 0 to 1. */
export type Split = 'auto' | 'cpu' | 'gpu' | 'layer' | 'bands' | number;

/** `MULAYER_PRECISION`: the CPU's arithmetic. */
export type Precision = 'auto' | 'int8' | 'float32';

/** What the flags say at the moment. */
export interface Settings {
  split: Split;
  precision: Precision;
  /** Noise to signal that int8 may bring to a net's outputs under precision `auto`, by estimate. */
  budget: number;
  /** CPU threads wanted, the calling one among them; 0 means the backend's own choice. */
  threads: number;
}

interface Flag {
  initial: string | number;
  wanted: string;
  valid: (value: unknown) => boolean;
}

const oneOf = (...names: string[]) => ({
  wanted: names.map(name => `'${name}'`).join(', '),
  valid: (value: unknown) => names.includes(value as string),
});

const SPLITS = oneOf('auto', 'cpu', 'gpu', 'layer', 'bands');

const FLAGS: Record<string, Flag> = {
  /** Who runs what: see {@link Split}. */
  MULAYER_SPLIT: {
    initial: 'auto',
    wanted: `${SPLITS.wanted} or a number from 0 to 1`,
    valid: value => SPLITS.valid(value) || (isNumber(value) && value >= 0 && value <= 1),
  },
  /** `int8` and `float32` force the CPU's arithmetic; `auto` decides per layer by its error. */
  MULAYER_PRECISION: { initial: 'auto', ...oneOf('auto', 'int8', 'float32') },
  /**
   * Under precision `auto`, the noise to signal that all int8 layers of a net together may bring to
   * its outputs, by estimate (`passes/precision.ts`).
   */
  MULAYER_ERROR_BUDGET: {
    initial: 0.1,
    wanted: 'a number of at least 0',
    valid: value => isNumber(value) && value >= 0,
  },
  /** Which integer product the CPU uses; what the machine lacks falls back to `i16`. For tests. */
  MULAYER_DOT: { initial: 'auto', ...oneOf('auto', 'usdot', 'sdot', 'usdot7', 'i16') },
  /** CPU threads, the calling one among them; 0 lets the backend choose. */
  MULAYER_THREADS: {
    initial: 0,
    wanted: 'a whole number from 0 to 64',
    valid: value => isNumber(value) && Number.isInteger(value) && value >= 0 && value <= 64,
  },
};

/** The flags as they stand now. */
export function settings(): Settings {
  const flag = (name: string) => env().get(name) as unknown;
  return {
    split: flag('MULAYER_SPLIT') as Split,
    precision: flag('MULAYER_PRECISION') as Precision,
    budget: flag('MULAYER_ERROR_BUDGET') as number,
    threads: flag('MULAYER_THREADS') as number,
  };
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && !Number.isNaN(value);
}

function register(name: string, { initial, wanted, valid }: Flag): void {
  let inForce = initial;
  env().registerFlag(
    name,
    () => initial,
    value => {
      if (!valid(value)) {
        env().set(name, inForce);
        throw new FlagError(`${name}: expected ${wanted}, got ${JSON.stringify(value)}`);
      }
      inForce = value as string | number;
    },
  );
}

for (const [name, flag] of Object.entries(FLAGS)) register(name, flag);
