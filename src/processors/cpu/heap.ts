/**
 * The wasm memory of the CPU processor and the one kernel module that works on it. Two builds of
 * the same sources are inlined: `relaxed` uses relaxed SIMD and is taken where the engine validates
 * it, `baseline` runs everywhere. The allocator is AssemblyScript's own (TLSF), inside the module.
 *
 * A pointer is a byte address below 4 GiB; wasm hands it over as a signed number, hence `>>> 0`.
 * Growing the memory detaches every view, so views are made at the last moment, never kept.
 */
import baselineBytes from '../../../build/baseline.wasm';
import relaxedBytes from '../../../build/relaxed.wasm';
import type { WasmKernels } from '../../../wasm/exports.js';
import { MemoryError } from '../../errors.js';

/** Kernels may read (never write) this many bytes beyond the end of their operands. */
const SLACK_BYTES = 64;

const PAGE_BYTES = 65536;
const MAXIMUM_PAGES = 65536;

/**
 * Which int8 product a machine can use, see `wasm/relaxed-dot-kind/probe.ts`: the relaxed dot on
 * unsigned activations, on signed ones, on unsigned ones with weights of 7 bits (x86 without
 * AVX-VNNI), or the exact 16-bit product that is everywhere.
 */
export type DotKind = 'usdot' | 'sdot' | 'usdot7' | 'i16';

export class Heap {
  private constructor(
    readonly kernels: WasmKernels,
    private readonly memory: WebAssembly.Memory,
    /** The integer product of this machine, found by a probe. */
    readonly dot: DotKind,
    /** Whether the build with relaxed SIMD is in use. */
    readonly relaxed: boolean,
  ) {}

  /** Bytes handed out and not yet given back. */
  bytesUsed = 0;

  /** @param allowRelaxed false forces the baseline build (for tests). */
  static async create(allowRelaxed = true): Promise<Heap> {
    const relaxed = allowRelaxed && WebAssembly.validate(relaxedBytes as BufferSource);
    const memory = new WebAssembly.Memory({ initial: 16, maximum: MAXIMUM_PAGES });
    const imports = {
      env: {
        memory,
        abort: (): never => {
          throw new MemoryError('the wasm heap is damaged or full');
        },
      },
    };
    const bytes = (relaxed ? relaxedBytes : baselineBytes) as BufferSource;
    const instance = await instantiate(bytes, imports);
    const kernels = instance.exports as unknown as WasmKernels;
    const kinds: DotKind[] = ['i16', 'usdot', 'sdot', 'usdot7'];
    return new Heap(kernels, memory, kinds[kernels.relaxedDotKind()], relaxed);
  }

  /** Bytes of the whole memory, which never shrinks. */
  get size(): number {
    return this.memory.buffer.byteLength;
  }

  /** @throws MemoryError when the memory cannot grow that far. */
  allocate(bytes: number): number {
    const wanted = bytes + SLACK_BYTES;
    let pointer = 0;
    if (wanted < MAXIMUM_PAGES * PAGE_BYTES) {
      try {
        pointer = this.kernels.alloc(wanted) >>> 0;
      } catch {
        // A trap: the allocator could not grow the memory. Said below.
      }
    }
    if (pointer === 0) {
      throw new MemoryError(
        `wasm heap: ${bytes} bytes wanted, ${this.bytesUsed} in use, the memory cannot grow`,
      );
    }
    this.bytesUsed += bytes;
    return pointer;
  }

  free(pointer: number, bytes: number): void {
    this.kernels.free(pointer);
    this.bytesUsed -= bytes;
  }

  f32(pointer: number, length: number): Float32Array {
    return new Float32Array(this.memory.buffer, pointer, length);
  }

  i32(pointer: number, length: number): Int32Array {
    return new Int32Array(this.memory.buffer, pointer, length);
  }

  u8(pointer: number, length: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, pointer, length);
  }
}

/**
 * In a Worker at once: WebKitGTK 2.48 under load loses the promise of one instantiation in ten
 * there, and nothing waits for a Worker's thread. Pages have to be asynchronous.
 */
async function instantiate(
  bytes: BufferSource,
  imports: WebAssembly.Imports,
): Promise<WebAssembly.Instance> {
  if (typeof document === 'undefined') {
    return new WebAssembly.Instance(new WebAssembly.Module(bytes), imports);
  }
  return (await WebAssembly.instantiate(bytes, imports)).instance;
}
