/**
 * What int8 layers share: the machine's integer product, images and weights as it wants them, and
 * how a result becomes bytes.
 *
 *     y[m,n] = act( (sum_k qx[m,k]*qw[k,n] - zero * sum_k qw[k,n]) * (scaleX * scaleW[n]) + bias[n] )
 *
 * Weights are signed bytes with one scale for each output channel, packed once.
 */
import { env, util } from '@tensorflow/tfjs-core';

import type { Spec } from '../../graph/kernel.js';
import type { Buffer } from '../../graph/value.js';
import type { Argument } from '../kernel.js';
import type { Activation } from './activation.js';
import { finish } from './activation.js';
import type { Quantised } from './buffer.js';
import type { DotKind } from './heap.js';
import type { Room } from './joint.js';
import type { Patches } from './patches.js';
import { imageSize, needsNoPadding, paddedSize } from './patches.js';
import type { Block, CpuBuffer, CpuProcessor } from './processor.js';
import type { Quantisation, Range } from './quantisation.js';
import { NO_SPREAD, quantisationOf, rangeOfSpread } from './quantisation.js';

/** Which integer product the machine has; tests force one with MULAYER_DOT. */
export function dotKind(cpu: CpuProcessor): DotKind {
  const forced = env().get('MULAYER_DOT') as DotKind | 'auto';
  const { dot } = cpu.heap;
  if (forced === 'auto' || forced === dot) return dot;
  return forced === 'usdot7' && dot === 'usdot' ? forced : 'i16';
}

/**
 * Whether int8 pays for a depthwise filter: where the dot is one instruction. Elsewhere the 16-bit
 * products take 2.3 times as long as float32 (MobileNet v1, EPYC without AVX-VNNI: 5.6 and 2.4 ms).
 * Forcing a product forces int8 too.
 */
export function paysForTaps(cpu: CpuProcessor): boolean {
  return env().get('MULAYER_DOT') !== 'auto' || isOneInstruction(dotKind(cpu));
}

/** Whether the machine has the dot as one instruction, with exact sums. */
export const isOneInstruction = (dot: DotKind): boolean => dot === 'usdot' || dot === 'sdot';

/** Sums stay far from 2^31 with it; NaN and infinity are above it. */
const LARGEST_SHIFT = 2 ** 28;

/** How weights are packed: for a product, or for the taps of a depthwise filter. */
export type Layout = DotKind | 'taps';

const PACKED = { pack: 'qs8Pack', packedBytes: 'qs8PackedBytes', largest: 127 } as const;
const LAYOUTS = {
  usdot: PACKED,
  sdot: PACKED,
  usdot7: { ...PACKED, largest: 64 },
  i16: { pack: 'qs8PackI16', packedBytes: 'qs8PackedBytesI16', largest: 127 },
  taps: { pack: 'qs8PackTaps', packedBytes: 'qs8PackedBytesTaps', largest: 127 },
} as const;

/** What a kernel reads beside its operands; pointers. */
interface Parameters {
  /** i32 [n], added to the sums */
  readonly corrections: number;
  /** f32 [n] */
  readonly scales: number;
  /** i32, of the segments or taps of a patch */
  readonly offsets: number;
}

/** What parameters are made of. */
interface Ingredients {
  readonly x: Quantisation;
  /** `Call.correction` */
  readonly mean: Float32Array | undefined;
  readonly offsets: readonly number[];
}

/** Weights of n columns on the heap, packed; scale and sum of each column are for the epilogue. */
export class PackedWeights implements Buffer {
  readonly isFinite: boolean;
  /** Of the last call; the next one is mostly of the same layer, whose input has the same range. */
  private last: { of: Ingredients; block: Block } | undefined;

  constructor(
    private readonly block: Block,
    /** [n] */
    readonly scales: Float32Array,
    /** [n] */
    readonly sums: Int32Array,
  ) {
    this.isFinite = scales.every(Number.isFinite);
  }

  get pointer(): number {
    return this.block.pointer;
  }

  get bytes(): number {
    return this.block.bytes + (this.last?.block.bytes ?? 0);
  }

  free(): void {
    this.block.free();
    this.last?.block.free();
    this.last = undefined;
  }

  /**
   * The mean of what int8 adds is taken off the sums, in whole units of them: a unit is far below the
   * noise.
   */
  parameters(cpu: CpuProcessor, of: Ingredients): Parameters {
    const n = this.scales.length;
    if (!this.last || !isSame(this.last.of, of)) {
      const { x, mean, offsets } = of;
      const scales = this.scales.map(scale => x.scale * scale);
      const corrections = this.sums.map((sum, i) => {
        const units = mean ? Math.round(mean[i] / scales[i]) : 0;
        return -x.zero * sum - (Math.abs(units) < LARGEST_SHIFT ? units : 0);
      });
      const block = cpu.block(8 * n + 4 * offsets.length, 'packed');
      this.last?.block.free();
      this.last = { of, block };
      cpu.heap.put(block.pointer, corrections);
      cpu.heap.put(block.pointer + 4 * n, scales);
      cpu.heap.put(block.pointer + 8 * n, Int32Array.from(offsets));
    }
    const { pointer } = this.last.block;
    return { corrections: pointer, scales: pointer + 4 * n, offsets: pointer + 8 * n };
  }
}

const isSame = (a: Ingredients, b: Ingredients): boolean =>
  a.x.scale === b.x.scale &&
  a.x.zero === b.x.zero &&
  a.mean === b.mean &&
  a.offsets.length === b.offsets.length &&
  a.offsets.every((offset, i) => offset === b.offsets[i]);

/** The weights packed for the machine's product, once; undefined where one is not finite. */
export function packWeights(
  cpu: CpuProcessor,
  product: Layout,
  w: Argument<CpuBuffer>,
  segments: number,
  segmentLength: number,
  n: number,
): PackedWeights | undefined {
  const packed = w.derived(`qs8:${product}:${segments}x${segmentLength}x${n}`, () => {
    const { kernels } = cpu.heap;
    const { pack, packedBytes, largest } = LAYOUTS[product];
    return cpu.withScratch(8 * n, scales => {
      const sums = scales + 4 * n;
      // Before the block, which nobody would give back if there were no memory for this.
      const from = w.buffer.address();
      const block = cpu.block(kernels[packedBytes](segments, segmentLength, n), 'packed');
      const [to, pitch] = [block.pointer, w.buffer.pitch(n)];
      kernels[pack](from, segments, segmentLength, n, pitch, to, scales, sums, largest);
      return new PackedWeights(
        block,
        cpu.heap.f32(scales, n).slice(),
        cpu.heap.i32(sums, n).slice(),
      );
    });
  });
  if (!packed.isFinite) return undefined;
  w.buffer.evict();
  return packed;
}

/** Pointer to the padded images as bytes: where they lie, or a copy kept with the value. */
export function imageOf(
  cpu: CpuProcessor,
  x: Argument<CpuBuffer>,
  patches: Patches,
  quantisation: Quantisation,
  xor: number,
): number {
  const from = x.buffer.quantised;
  if (from && xor === 0 && needsNoPadding(patches)) return from.pointer;
  return x.derived(`qu8:${patchKey(patches)}:${xor}`, () =>
    from ? pad(cpu, from, patches, xor) : quantise(cpu, x, patches, quantisation, xor),
  ).pointer;
}

/** Images of bytes, padded with zeros. */
function pad(
  cpu: CpuProcessor,
  { pointer, zero }: Quantised,
  patches: Patches,
  xor: number,
): Block {
  return paddedImages(cpu, patches, (image, geometry, to) =>
    cpu.heap.kernels.x8Pad(pointer + image, ...geometry, zero, xor, to),
  );
}

/** The padded images as QUInt8; consumers with the same padding share them. */
function quantise(
  cpu: CpuProcessor,
  x: Argument<CpuBuffer>,
  patches: Patches,
  { scale, zero }: Quantisation,
  xor: number,
): Block {
  return cpu.withDense(x.buffer, pointer =>
    paddedImages(cpu, patches, (image, geometry, to) =>
      cpu.heap.kernels.f32ToQu8(pointer + 4 * image, ...geometry, 1 / scale, zero, xor, to),
    ),
  );
}

/** [h, w, c, top, left, hp, wp] of an image and its border. */
type Geometry = readonly [number, number, number, number, number, number, number];

/** A block of padded images, each written by `write`; `image`: elements before it. */
function paddedImages(
  cpu: CpuProcessor,
  patches: Patches,
  write: (image: number, geometry: Geometry, to: number) => void,
): Block {
  const { height, width, channels, top, left, paddedHeight, paddedWidth, batch } = patches;
  const geometry = [height, width, channels, top, left, paddedHeight, paddedWidth] as const;
  const size = paddedSize(patches);
  const block = cpu.block(batch * size);
  for (let i = 0; i < batch; i++) {
    write(i * imageSize(patches), geometry, block.pointer + i * size);
  }
  return block;
}

/** A layer that computes in int8 or in float32, and what either needs. */
export interface Int8Layer {
  readonly x: Argument<CpuBuffer>;
  /** Channels of y. */
  readonly n: number;
  readonly activation: Activation;
  readonly int8: boolean;
  /** Of y, where it shall be bytes. */
  readonly range?: Range;
  /** Where they are wanted. */
  readonly room?: Room;
  /** See `Call.correction`. */
  readonly correction?: Float32Array;
}

/** How y becomes bytes, and where its own range is noted. */
export type Bytes = Quantisation & { readonly spread: number };

/**
 * y of a layer: in int8 where that is wanted and both operands are finite, as bytes where a range is
 * given and the epilogue can. Floats become bytes when all of them are there.
 *
 * @param pack packs the weights; undefined where they are not finite
 * @param inInt8 fills `to`, a pointer to floats, or to bytes where `bytes` says which
 */
export function computeLayer(
  cpu: CpuProcessor,
  spec: Spec,
  { x, activation, int8, range, room }: Int8Layer,
  pack: () => PackedWeights | undefined,
  inInt8: (input: Quantisation, packed: PackedWeights, to: number, bytes?: Bytes) => void,
  inFloat32: (y: CpuBuffer) => void,
): CpuBuffer {
  const input = int8 ? (x.buffer.quantised ?? quantisationOf(x.range())) : undefined;
  const packed = input && pack();
  const target = packed && bytesOf(range, activation);
  if (target) {
    const write = (y: Quantised) =>
      withSpread(cpu, y, spread => inInt8(input, packed, y.pointer, { ...target, spread }));
    return cpu.fillBytes(spec, target, write, room);
  }
  const y = cpu.fill(spec, y => {
    if (packed) inInt8(input, packed, y.address());
    else inFloat32(y);
    finish(cpu, activation, y);
  });
  const rounded = !int8 && range && quantisationOf(range);
  if (!rounded) return y;
  try {
    return round(cpu, y, spec, rounded);
  } finally {
    y.free();
  }
}

/** y as bytes; a NaN shows in their spread. */
function round(cpu: CpuProcessor, y: CpuBuffer, spec: Spec, to: Quantisation): CpuBuffer {
  const { scale, zero } = to;
  const row = util.sizeFromShape(spec.shape.slice(-2));
  const rows = y.size / row;
  const [from, { kernels }] = [y.address(), cpu.heap];
  return cpu.fillBytes(spec, to, bytes => {
    withSpread(cpu, bytes, spread => kernels.f32MinMax(from, y.size, spread));
    kernels.f32ToQu8(from, rows, 1, row, 0, 0, rows, 1, 1 / scale, zero, 0, bytes.pointer);
  });
}

/** How y shall become bytes, where it can: with an activation and a bias of the epilogue. */
function bytesOf(range: Range | undefined, activation: Activation): Quantisation | undefined {
  if (!range || activation.after || activation.prelu) return undefined;
  // The spread passes over NaNs, which nothing else can bring.
  return activation.isFinite() ? quantisationOf(range) : undefined;
}

/** Lends room for [min x4 | max x4], and notes the smallest and the largest when all is done. */
export function withSpread(cpu: CpuProcessor, y: Quantised, use: (pointer: number) => void): void {
  cpu.withNumbers(NO_SPREAD, pointer => {
    use(pointer);
    cpu.heap.queue.afterwards(() => {
      y.spread = rangeOfSpread(cpu.heap.peek(pointer, 8));
    });
  });
}

/** What decides the bytes of a padded image. */
function patchKey({ top, left, paddedHeight, paddedWidth }: Patches): string {
  return `${top},${left},${paddedHeight}x${paddedWidth}`;
}
