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
 * What bytes on the heap are for: results of kernels; packed weights; and what is only there for a
 * kernel to read (numbers copied from JavaScript memory, padded images, scratch).
 */
export type Purpose = 'result' | 'packed' | 'copy';

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
  readonly bytes: Record<Purpose, number> = { result: 0, packed: 0, copy: 0 };

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
    const { result, packed, copy } = this.bytes;
    return result + packed + copy;
  }

  /** Bytes of the whole memory, which never shrinks. */
  get size(): number {
    return this.memory.buffer.byteLength;
  }

  /** @throws MemoryError when the memory cannot grow that far. */
  allocate(bytes: number, purpose: Purpose): number {
    this.queue.settle();
    const pointer = this.arena.alloc(bytes);
    if (pointer === 0) {
      throw new MemoryError(
        `wasm heap: ${bytes} bytes wanted, ${this.bytesUsed} in use, the memory cannot grow`,
      );
    }
    this.bytes[purpose] += bytes;
    return pointer;
  }

  free(pointer: number, bytes: number, purpose: Purpose): void {
    this.queue.afterwards(() => this.arena.free(pointer));
    this.bytes[purpose] -= bytes;
  }

  /**
   * Copies numbers into a block in which nothing has been put since it was handed out. Calls under
   * way cannot know it, so none is waited for.
   */
  put(pointer: number, numbers: Float32Array | Int32Array | Uint8Array): void {
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
