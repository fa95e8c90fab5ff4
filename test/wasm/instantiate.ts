/**
 * The builds of the kernels, for specs in a browser and in Node, and memory whose ends are watched:
 * `Arena` puts arrays into a build's heap, each with a guard before and behind, so that a kernel that
 * writes where it should not is found out.
 *
 * Two are what is shipped. The others are the relaxed one with the dot of other machines, by the names
 * of MULAYER_DOT (`scripts/emulate-dot.mjs`): they run on any engine.
 */
import baselineBytes from '../../build/baseline.wasm';
import relaxedBytes from '../../build/relaxed.wasm';
import i16Bytes from '../../build/test/relaxed-i16.wasm';
import sdotBytes from '../../build/test/relaxed-sdot.wasm';
import usdotBytes from '../../build/test/relaxed-usdot.wasm';
import usdot7Bytes from '../../build/test/relaxed-usdot7.wasm';
import { Arena as Allocator } from '../../src/processors/cpu/arena';
import type { Pointer, WasmKernels } from '../../wasm/exports';
import { options } from '../options';
import { Random } from './random';

/** One build, instantiated once and kept. */
export interface Build {
  name: keyof typeof BYTES;
  /** Why it cannot run here; null when it can. */
  missing: string | null;
  kernels: WasmKernels;
  memory: WebAssembly.Memory;
  allocator: Allocator;
}

const BYTES = {
  baseline: baselineBytes,
  relaxed: relaxedBytes,
  usdot: usdotBytes,
  sdot: sdotBytes,
  usdot7: usdot7Bytes,
  i16: i16Bytes,
};

async function instantiate(name: Build['name']): Promise<Build> {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
  const bytes = BYTES[name] as Uint8Array<ArrayBuffer>;
  if (!WebAssembly.validate(bytes)) {
    const missing = `this engine has no ${name === 'relaxed' ? 'relaxed SIMD' : 'SIMD'}`;
    const kernels = null as unknown as WasmKernels;
    return { name, missing, kernels, memory, allocator: new Allocator(memory, 0) };
  }
  const abort = () => {
    throw new Error('wasm: abort');
  };
  const { instance } = await WebAssembly.instantiate(bytes, { env: { memory, abort } });
  const kernels = instance.exports as unknown as WasmKernels;
  const allocator = new Allocator(memory, kernels.heapBase());
  kernels.setScratch(allocator.alloc(16384));
  return { name, missing: null, kernels, memory, allocator };
}

const instances = new Map<Build['name'], Promise<Build>>();

function build(name: Build['name']): Promise<Build> {
  const instance = instances.get(name) ?? instantiate(name);
  instances.set(name, instance);
  return instance;
}

/**
 * `it` for each build; pending, with the reason, where the engine cannot run it.
 *
 * @param body gets the kernels and an arena, which is checked and freed afterwards.
 */
export function itOnBothBuilds(what: string, body: (kernels: WasmKernels, arena: Arena) => void) {
  for (const name of ['baseline', 'relaxed'] as const) itOn(name, what, body);
}

/** `it` for one build. */
export function itOn(
  name: Build['name'],
  what: string,
  body: (kernels: WasmKernels, arena: Arena) => void,
) {
  it(`${what} (${name})`, async () => {
    const { missing, kernels, memory, allocator } = await build(name);
    if (missing) {
      pending(missing);
      return;
    }
    const arena = new Arena(allocator, memory);
    body(kernels, arena);
    arena.finish();
  });
}

/**
 * Calls `check` on as many random problems as the run is asked for (`--problems`), each with an
 * arena of its own.
 */
export function forRandomProblems(arena: Arena, seed: number, check: (random: Random) => void) {
  const random = new Random(seed);
  for (let i = 0; i < options.problems; i++) {
    check(random);
    arena.finish();
  }
}

type Typed = Float32Array | Int32Array | Uint8Array | Int8Array;

const GUARD_BYTES = 64;
/** As a float a NaN, as an integer -1: it shows when it takes part in anything. */
const GUARD = 0xff;

interface Block {
  at: Pointer;
  bytes: number;
  /** What an input held; null for an output. */
  before: Uint8Array | null;
}

/**
 * Guarded arrays:
 *
 *     ┌─ ─ ─ ─ ─ ─ ─ ─┬──────────────┬─ ─ ─ ─ ─ ─ ─ ─┐
 *     │ 64 bytes 0xff │ the array    │ 64 bytes 0xff │
 *     └─ ─ ─ ─ ─ ─ ─ ─┴──────────────┴─ ─ ─ ─ ─ ─ ─ ─┘
 *                     ▲ what put and reserve return
 */
export class Arena {
  private readonly blocks: Block[] = [];

  constructor(
    private readonly allocator: Allocator,
    private readonly memory: WebAssembly.Memory,
  ) {}

  /** Bytes of the whole memory. */
  get bytes(): number {
    return this.memory.buffer.byteLength;
  }

  /** An input. */
  put(values: Typed): Pointer {
    const at = this.block(values.byteLength);
    const before = new Uint8Array(
      values.buffer.slice(values.byteOffset, values.byteOffset + values.byteLength) as ArrayBuffer,
    );
    new Uint8Array(this.memory.buffer, at, before.length).set(before);
    this.blocks[this.blocks.length - 1].before = before;
    return at;
  }

  /** An array that is read and written. */
  lend(values: Typed): Pointer {
    const at = this.put(values);
    this.blocks[this.blocks.length - 1].before = null;
    return at;
  }

  /** Room for an output of `bytes` bytes, filled with 0xff. */
  reserve(bytes: number): Pointer {
    return this.block(bytes);
  }

  /** Fills an output with 0xff again. */
  clear(at: Pointer, bytes: number) {
    new Uint8Array(this.memory.buffer, at, bytes).fill(GUARD);
  }

  f32(at: Pointer, length: number): Float32Array {
    return new Float32Array(this.memory.buffer.slice(at, at + length * 4));
  }

  i32(at: Pointer, length: number): Int32Array {
    return new Int32Array(this.memory.buffer.slice(at, at + length * 4));
  }

  u8(at: Pointer, length: number): Uint8Array {
    return new Uint8Array(this.memory.buffer.slice(at, at + length));
  }

  /** Fails the spec when a guard or an input has changed; frees everything. */
  finish() {
    for (const { at, bytes, before } of this.blocks) {
      const all = new Uint8Array(this.memory.buffer, at - GUARD_BYTES, bytes + 2 * GUARD_BYTES);
      const isGuard = (v: number) => v === GUARD;
      if (!all.subarray(0, GUARD_BYTES).every(isGuard)) fail(`written before a block of ${bytes}`);
      if (!all.subarray(GUARD_BYTES + bytes).every(isGuard)) fail(`written behind one of ${bytes}`);
      if (before && !before.every((v, i) => v === all[GUARD_BYTES + i])) fail('input overwritten');
      this.allocator.free(at - GUARD_BYTES);
    }
    this.blocks.length = 0;
    // So that jasmine sees an expectation even where nothing else was compared.
    expect(this.blocks.length).toBe(0);
  }

  private block(bytes: number): Pointer {
    const start = this.allocator.alloc(bytes + 2 * GUARD_BYTES);
    new Uint8Array(this.memory.buffer, start, bytes + 2 * GUARD_BYTES).fill(GUARD);
    this.blocks.push({ at: start + GUARD_BYTES, bytes, before: null });
    return start + GUARD_BYTES;
  }
}

/**
 * Numbers in order are equal as floats, NaNs to NaNs; -0 and 0 are equal.
 *
 * @param tolerance for element i; 0 unless given.
 */
export function expectFloats(
  got: ArrayLike<number>,
  wanted: ArrayLike<number>,
  context: string,
  tolerance: (i: number) => number = () => 0,
) {
  expect(got.length).withContext(context).toBe(wanted.length);
  for (let i = 0; i < wanted.length; ++i) {
    const a = got[i];
    const b = wanted[i];
    if (a === b || (Number.isNaN(a) && Number.isNaN(b)) || Math.abs(a - b) <= tolerance(i))
      continue;
    fail(`${context}: [${i}] expected ${b}, got ${a}, tolerance ${tolerance(i)}`);
    return;
  }
}
