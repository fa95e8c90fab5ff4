/**
 * The wasm memory of the CPU processor and the one kernel module that works on it. Two builds of
 * the same sources are inlined: `relaxed` uses relaxed SIMD and is taken where the engine validates
 * it, `baseline` runs everywhere. Blocks are handed out by `arena.ts`.
 *
 * A pointer is a byte address below 4 GiB.
 * Growing the memory detaches every view (or, where it is shared, leaves it too short), so views are
 * made at the last moment, never kept. Making one waits for the kernels under way (`queue.ts`).
 *
 * Where the page may share memory it is shared, for the workers. A module says of the memory it
 * imports whether that is shared, and is otherwise the same: `withSharedMemory` changes that one
 * bit, which spares the package 21 kB of a third and a fourth build (gzip).
 */
import baselineBytes from '../../../build/baseline.wasm';
import relaxedBytes from '../../../build/relaxed.wasm';
import type { WasmKernels } from '../../../wasm/exports.js';
import { MemoryError } from '../../errors.js';
import { Arena } from './arena.js';
import { canShareMemory, Pool } from './pool.js';
import { Queue } from './queue.js';
import type { Recorder, Source, Tape } from './tape.js';
import { Region } from './tape.js';

const MAXIMUM_PAGES = 65536;

/**
 * Which int8 product a machine can use, see `wasm/relaxed-dot-kind/probe.ts`: the relaxed dot on
 * unsigned activations, on signed ones, on unsigned ones with weights of 7 bits (x86 without
 * AVX-VNNI), or the exact 16-bit product that is everywhere.
 */
export type DotKind = 'usdot' | 'sdot' | 'usdot7' | 'i16';

/** Bytes of a worker's scratch block: `wasm/memory/scratch.ts`. */
const SCRATCH_BYTES = 16384;

/** How a module imports its memory: its name, kind 2, a maximum (1); shared: 3. */
const MEMORY_IMPORT = Array.from('\x03env\x06memory\x02', character => character.charCodeAt(0));
const HAS_MAXIMUM = 1;
const HAS_MAXIMUM_AND_IS_SHARED = 3;

/**
 * What bytes on the heap are for: results of kernels; packed weights; numbers copied from JavaScript
 * memory for a kernel to read; and what is made on the way to a result (padded images, tables).
 */
export type Purpose = 'result' | 'packed' | 'copy' | 'scratch';

export class Heap {
  private constructor(
    private readonly arena: Arena,
    readonly queue: Queue,
    private readonly memory: WebAssembly.Memory,
    /** The integer product of this machine, found by a probe. */
    readonly dot: DotKind,
    /** Whether the build with relaxed SIMD is in use. */
    readonly relaxed: boolean,
  ) {}

  /** Bytes handed out and not yet given back. */
  readonly bytes: Record<Purpose, number> = { result: 0, packed: 0, copy: 0, scratch: 0 };
  /** Bytes of results and scratch that came and went at once, at most, since `watchPeak`. */
  get peak(): number {
    return this.most - this.least;
  }
  private most = 0;
  private least = 0;
  /** Bytes kept for tapes (`tape.ts`): where their runs have results, and what is their own. */
  kept = 0;
  /** Who gives memory for results while a run is recorded or played. */
  private source: Source | undefined;
  private recorder: Recorder | undefined;
  /** Where recorded runs have their results. */
  region: Region | undefined;
  /** Tapes, and the blocks they read. */
  private readonly watchers = new Map<Tape, readonly number[]>();
  private readonly watched = new Map<number, Set<Tape>>();

  /**
   * @param allowRelaxed false forces the baseline build (for tests).
   * @param allowShared false forces one thread (for tests).
   */
  static async create(allowRelaxed = true, allowShared = true): Promise<Heap> {
    const relaxed = allowRelaxed && WebAssembly.validate(relaxedBytes as BufferSource);
    const limits = { initial: 16, maximum: MAXIMUM_PAGES };
    const shared = allowShared && canShareMemory() ? sharedMemory(limits) : undefined;
    const memory = shared ?? new WebAssembly.Memory(limits);
    const imports = {
      env: {
        memory,
        abort: (): never => {
          throw new MemoryError('the wasm heap is damaged');
        },
      },
    };
    const bytes = relaxed ? relaxedBytes : baselineBytes;
    const { module, instance } = await instantiate(
      shared ? withSharedMemory(bytes) : bytes,
      imports,
    );
    const kernels = instance.exports as unknown as WasmKernels;
    const kinds: DotKind[] = ['i16', 'usdot', 'sdot', 'usdot7'];
    const arena = new Arena(memory, kernels.heapBase() >>> 0);
    kernels.setScratch(arena.alloc(SCRATCH_BYTES));
    // Workers of one pool after the other have the same blocks.
    const scratches: number[] = [];
    const openPool = (helpers: number) => {
      while (scratches.length < helpers) {
        const scratch = arena.alloc(SCRATCH_BYTES);
        // No memory for it: a worker less.
        if (scratch === 0) break;
        scratches.push(scratch);
      }
      return new Pool({ module, memory }, scratches.slice(0, helpers));
    };
    const queue = new Queue(kernels, memory, arena, relaxed, shared && openPool);
    return new Heap(arena, queue, memory, kinds[kernels.relaxedDotKind()], relaxed);
  }

  /** The kernels. Large calls may be under way for a while after they return. */
  get kernels(): WasmKernels {
    return this.queue.kernels;
  }

  /** Bytes handed out and not yet given back, for whatever purpose. */
  get bytesUsed(): number {
    const { result, packed, copy, scratch } = this.bytes;
    return result + packed + copy + scratch;
  }

  /** Bytes of the whole memory, which never shrinks. */
  get size(): number {
    return this.memory.buffer.byteLength;
  }

  /** @throws MemoryError when the memory cannot grow that far. */
  allocate(bytes: number, purpose: Purpose): number {
    this.queue.settle();
    const given = this.source?.alloc(bytes, purpose) ?? 0;
    const pointer = given > 0 ? given : this.arena.alloc(bytes);
    if (pointer === 0) {
      throw new MemoryError(
        `wasm heap: ${bytes} bytes wanted, ${this.bytesUsed} in use, the memory cannot grow`,
      );
    }
    if (given === 0) this.recorder?.gave(pointer);
    this.bytes[purpose] += bytes;
    const { result, scratch } = this.bytes;
    if (result + scratch > this.most) this.most = result + scratch;
    return pointer;
  }

  free(pointer: number, bytes: number, purpose: Purpose): void {
    const { region } = this;
    if (region?.holds(pointer)) {
      this.queue.afterwards(() => region.free(pointer));
    } else {
      this.recorder?.freed(pointer, bytes);
      for (const tape of this.watched.get(pointer) ?? []) tape.dispose();
      this.queue.afterwards(() => this.arena.free(pointer));
    }
    this.bytes[purpose] -= bytes;
  }

  watchPeak(): void {
    this.most = this.least = this.bytes.result + this.bytes.scratch;
  }

  /** Lets somebody give memory for results, and hear of all calls, until it is nobody. */
  useSource(source: Source | undefined, recorder?: Recorder): void {
    this.source = source;
    this.recorder = recorder;
    this.queue.heard = recorder && ((kernel, args) => recorder.heard(kernel, args));
  }

  /** Makes something that outlives the run. */
  aside<T>(make: () => T): T {
    const { source } = this;
    this.source = undefined;
    try {
      return make();
    } finally {
      this.source = source;
    }
  }

  /**
   * A region of so many bytes at least, the one there is if it will do; undefined where there is no
   * memory for it, or somebody still has a block of the last one.
   */
  regionOf(bytes: number): Region | undefined {
    if (this.region && !this.region.isEmpty) return undefined;
    if (this.region && this.region.bytes >= bytes) return this.region;
    this.dropRegion();
    const pointer = this.keep(bytes);
    if (pointer === 0) return undefined;
    const arena = new Arena(this.memory, pointer, pointer + bytes);
    return (this.region = new Region(pointer, bytes, arena));
  }

  /** A block for tapes, not counted with the others; 0 where there is no memory for it. */
  keep(bytes: number): number {
    this.queue.settle();
    const pointer = this.arena.alloc(bytes);
    if (pointer > 0) this.kept += bytes;
    return pointer;
  }

  /** Disposes a tape as soon as one of the blocks that hold these addresses is given back. */
  watch(tape: Tape, addresses: readonly number[]): void {
    const blocks = this.arena.blocksOf(addresses);
    this.watchers.set(tape, blocks);
    for (const block of blocks) {
      const tapes = this.watched.get(block) ?? new Set();
      this.watched.set(block, tapes.add(tape));
    }
  }

  /** Gives the tape's own block back; after the last tape the region. */
  unwatch(tape: Tape, own: number, bytes: number): void {
    for (const block of this.watchers.get(tape) ?? []) {
      const tapes = this.watched.get(block)!;
      tapes.delete(tape);
      if (tapes.size === 0) this.watched.delete(block);
    }
    this.watchers.delete(tape);
    this.giveBack(own, bytes);
    if (this.watchers.size === 0 && !this.recorder && this.region?.isEmpty) this.dropRegion();
  }

  private dropRegion(): void {
    const { region } = this;
    this.region = undefined;
    if (region) this.giveBack(region.pointer, region.bytes);
  }

  private giveBack(pointer: number, bytes: number): void {
    this.kept -= bytes;
    this.queue.afterwards(() => this.arena.free(pointer));
  }

  /**
   * Copies numbers into a block in which nothing has been put since it was handed out. Calls under
   * way cannot know it, so none is waited for.
   */
  put(pointer: number, numbers: Float32Array | Int32Array | Uint8Array): void {
    this.recorder?.wrote(pointer, numbers);
    const { buffer, byteOffset, byteLength } = numbers;
    new Uint8Array(this.memory.buffer, pointer).set(new Uint8Array(buffer, byteOffset, byteLength));
  }

  /** Numbers that no call under way writes: none is waited for. */
  peek(pointer: number, length: number): Float32Array {
    return new Float32Array(this.memory.buffer, pointer, length);
  }

  f32(pointer: number, length: number): Float32Array {
    this.queue.wait();
    return new Float32Array(this.memory.buffer, pointer, length);
  }

  i32(pointer: number, length: number): Int32Array {
    this.queue.wait();
    return new Int32Array(this.memory.buffer, pointer, length);
  }

  u8(pointer: number, length: number): Uint8Array {
    this.queue.wait();
    return new Uint8Array(this.memory.buffer, pointer, length);
  }
}

/** Undefined where the engine refuses (32-bit ones have no room for a maximum of 4 GiB). */
function sharedMemory(limits: WebAssembly.MemoryDescriptor): WebAssembly.Memory | undefined {
  try {
    return new WebAssembly.Memory({ ...limits, shared: true });
  } catch {
    return undefined;
  }
}

/** The same module for a shared memory. */
export function withSharedMemory(module: Uint8Array): Uint8Array {
  const at = module.findIndex((_, i) => MEMORY_IMPORT.every((byte, j) => module[i + j] === byte));
  const flags = at + MEMORY_IMPORT.length;
  if (at < 0 || module[flags] !== HAS_MAXIMUM) {
    throw new Error('wasm: expected a module that imports env.memory with a maximum');
  }
  const patched = module.slice();
  patched[flags] = HAS_MAXIMUM_AND_IS_SHARED;
  return patched;
}

/**
 * In a Worker at once: WebKitGTK 2.50 under load loses the promise of one instantiation in ten
 * there, and nothing waits for a Worker's thread. Pages have to be asynchronous.
 */
async function instantiate(
  bytes: Uint8Array,
  imports: WebAssembly.Imports,
): Promise<WebAssembly.WebAssemblyInstantiatedSource> {
  const source = bytes as Uint8Array<ArrayBuffer>;
  if (typeof document === 'undefined') {
    const module = new WebAssembly.Module(source);
    return { module, instance: new WebAssembly.Instance(module, imports) };
  }
  return WebAssembly.instantiate(source, imports);
}
