/** What the kinds of relaxed dot multiply exactly, for the specs of all kernels that use it. */
import type { WasmKernels } from '../../wasm/exports';
import type { Build } from './instantiate';

export interface DotOperands {
  /** Activations are stored as x ^ xor. */
  xor: number;
  /** Greatest activation. */
  greatest: number;
  /** Greatest weight. */
  largest: number;
}

export const WHOLE: DotOperands = { xor: 0, greatest: 255, largest: 127 };

/** With 7 bits the specification leaves no machine a choice. */
const SEVEN_BITS: DotOperands = { ...WHOLE, greatest: 127 };

/** By what `relaxedDotKind` says. */
const BY_KIND = [SEVEN_BITS, WHOLE, { ...WHOLE, xor: 0x80 }, { ...WHOLE, largest: 64 }] as const;

/** A build with a relaxed dot, and what to give it. */
export interface DotPath {
  name: string;
  build: Exclude<Build['name'], 'baseline'>;
  operands(kernels: WasmKernels): DotOperands;
}

/** This machine's dot, then those of others. */
export const DOT_PATHS: readonly DotPath[] = [
  { name: "this machine's dot, 7 bits", build: 'relaxed', operands: () => SEVEN_BITS },
  ...(['relaxed', 'usdot', 'sdot', 'usdot7', 'i16'] as const).map(build => ({
    ...{ name: build === 'relaxed' ? "this machine's dot" : 'emulated dot', build },
    operands: (kernels: WasmKernels) => BY_KIND[kernels.relaxedDotKind()],
  })),
];
