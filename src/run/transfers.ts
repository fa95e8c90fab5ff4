/**
 * Brings a value, or a part of it, to the processor that wants it, and counts what that costs.
 *
 *     whole on CPU ◄── read-back, blocks ──  whole on GPU
 *           │      ── upload ──────────────►      │
 *     columns [0, cut) ──┐              ┌── columns [cut, C)
 *                        └─ join on either side ─┘
 *
 * What travels are 32-bit floats; bytes (QUInt8) where the CPU has bytes or, of a result that lies on
 * both, a slice of bytes: then the GPU's slice becomes bytes of the same scale on its way. Should its
 * numbers have left that range, they come as floats, and the next run has a better one.
 */
import { util } from '@tensorflow/tfjs-core';

import type { Range, Spec } from '../graph/kernel.js';
import type { Use } from '../graph/graph.js';
import type { Buffer, Value } from '../graph/value.js';
import { UnsupportedError } from '../errors.js';
import { copyStrided } from '../processors/cpu/moves.js';
import type { CpuBuffer, CpuProcessor } from '../processors/cpu/processor.js';
import { betterRange, rangeOf, unionOf, widthOf } from '../processors/cpu/quantisation.js';
import type { GpuProcessor } from '../processors/gpu/processor.js';
import { GpuBuffer } from '../processors/gpu/processor.js';
import type { Argument } from '../processors/kernel.js';
import type { Numbers } from '../processors/processor.js';

/** Bytes of a float. */
const WIRE_BYTES = 4;

/**
 * Numbers up to which a result of 16 bits is read back to see whether they held it: it will be wanted
 * on the CPU, nearly always, and this is sooner done than a look at it on the GPU.
 */
const FEW = 2 ** 16;

export class Transfers {
  bytesToGpu = 0;
  bytesFromGpu = 0;
  readbacks = 0;
  /** Whether numbers came back from 16 bits that are none, since somebody has set this to false. */
  hasOverflowed = false;

  /** Results of the run that is recorded or played; what is made of others outlives it. */
  inner: ReadonlySet<Value> | undefined;

  constructor(
    readonly cpu: CpuProcessor,
    readonly gpu: GpuProcessor | undefined,
  ) {}

  /** The whole value on the CPU. */
  onCpu(value: Value): CpuBuffer {
    value.cpu ??= value.slices
      ? this.joinOnCpu(value)
      : this.cpu.upload(this.readBack(value.gpu as GpuBuffer), value);
    return value.cpu as CpuBuffer;
  }

  /** The whole value on the GPU, under the shape of a use. */
  onGpu(value: Value, shape: readonly number[]): GpuBuffer {
    this.dropOtherFormat(value);
    value.gpu ??= value.slices ? this.joinOnGpu(value) : this.send(value.cpu as CpuBuffer, value);
    const buffer = value.gpu as GpuBuffer;
    if (sameShape(shape, value.shape)) return buffer;
    return derive(value, `gpu:${shape.join()}`, () =>
      this.theGpu().reshape(buffer, { shape, dtype: value.dtype }),
    );
  }

  cpuArgument({ value, shape, dtype }: Use, range?: Range): Argument<CpuBuffer> {
    const buffer = range ? this.partOnCpu(value, shape, range) : this.onCpu(value);
    // A form depends on the shape, which is the use's: a reshaped matrix transposes differently.
    const prefix = `${shape.join()}:${range ? `${range.axis}:${range.from}:${range.to}:` : ''}`;
    return {
      buffer,
      shape: range ? cutShape(shape, range) : shape,
      dtype,
      range: () => (value.range ??= this.cpu.range(this.onCpu(value))),
      derived: (name, make) => derive(value, prefix + name, () => this.made(value, make)),
    };
  }

  gpuArgument({ value, shape, dtype }: Use, range?: Range): Argument<GpuBuffer> {
    const make = () => (range ? this.partOnGpu(value, shape, range) : this.onGpu(value, shape));
    const prefix = `gpu:${range ? `${range.axis}:${range.from}:${range.to}:` : ''}`;
    return {
      // Made when it is asked for: of weights only the packed form may be wanted.
      get buffer() {
        return make();
      },
      shape: range ? cutShape(shape, range) : shape,
      dtype,
      range: () => (value.range ??= this.cpu.range(this.onCpu(value))),
      ...(!this.onlyOnGpu(value) && {
        host: () => {
          const part = range ? this.partOnCpu(value, shape, range) : this.onCpu(value);
          this.bytesToGpu += part.size * WIRE_BYTES;
          return this.cpu.download(part);
        },
      }),
      derived: (name, make) => derive(value, `${prefix}${shape.join()}:${name}`, make),
    };
  }

  /** Looks whether 16 bits have held a value that lies on the GPU alone; blocks. */
  examine(value: Value): void {
    const buffer = value.gpu as GpuBuffer | undefined;
    const isLarge = buffer && util.sizeFromShape(value.shape as number[]) > FEW;
    const isSound = isLarge && buffer.half ? this.theGpu().isSound(buffer) : undefined;
    if (isSound === undefined) this.onCpu(value);
    else if (!isSound) this.hasOverflowed = true;
  }

  /** Whether the CPU could only get at this value by a blocking read-back. */
  onlyOnGpu(value: Value): boolean {
    return !value.cpu && (!!value.gpu || !!value.slices);
  }

  private made<T>(value: Value, make: () => T): T {
    return this.inner && !this.inner.has(value) ? this.cpu.heap.aside(make) : make();
  }

  private partOnCpu(value: Value, shape: readonly number[], range: Range): CpuBuffer {
    const { axis, from, to } = range;
    const { slices } = value;
    if (slices && from === 0 && to === slices.cut && isLastAxis(value, shape, axis)) {
      return slices.cpu as CpuBuffer;
    }
    return derive(value, `cpu:${shape.join()}:${axis}:${from}:${to}`, () =>
      this.cpu.slice(this.onCpu(value), { shape, dtype: value.dtype }, axis, from, to),
    );
  }

  private partOnGpu(value: Value, shape: readonly number[], range: Range): GpuBuffer {
    this.dropOtherFormat(value);
    const { axis, from, to } = range;
    const { slices } = value;
    const part = { shape: cutShape(shape, range), dtype: value.dtype };
    const name = `gpu:${shape.join()}:${axis}:${from}:${to}`;
    if (from === slices?.cut && to === shape[axis] && isLastAxis(value, shape, axis)) {
      const slice = slices.gpu as GpuBuffer;
      if (sameShape(shape, value.shape)) return slice;
      return derive(value, name, () => this.theGpu().reshape(slice, part));
    }
    return derive(value, name, () => {
      if (value.gpu) {
        const whole = this.onGpu(value, shape);
        return this.theGpu().slice(whole, { shape, dtype: value.dtype }, axis, from, to);
      }
      // Cut before the wire: only the part travels.
      return this.send(this.partOnCpu(value, shape, range), part);
    });
  }

  /** Textures made under another precision are not mixed with new ones: back to the CPU with them. */
  private dropOtherFormat(value: Value): void {
    const { half } = this.theGpu();
    const isOther = (buffer: Buffer | undefined) =>
      buffer instanceof GpuBuffer && buffer.half !== half;
    let hasOther = isOther(value.gpu) || isOther(value.slices?.gpu);
    for (const buffer of value.derived.values()) hasOther ||= isOther(buffer);
    if (!hasOther) return;
    this.onCpu(value);
    value.gpu?.free();
    value.slices?.cpu.free();
    value.slices?.gpu.free();
    value.gpu = value.slices = undefined;
    for (const [name, buffer] of value.derived) {
      if (!isOther(buffer)) continue;
      buffer.free();
      value.derived.delete(name);
    }
  }

  private joinOnCpu(value: Value): CpuBuffer {
    const bytes = this.joinBytes(value);
    if (bytes) return bytes;
    const [left, right] = sliceSpecs(value);
    const read = this.cpu.upload(this.readBack(value.slices!.gpu as GpuBuffer), right);
    const whole = this.cpu.join([value.slices!.cpu as CpuBuffer, read], [left, right], value);
    read.free();
    return whole;
  }

  /** Undefined where the CPU's slice is no bytes, or the GPU's cannot be bytes of the same scale. */
  private joinBytes(value: Value): CpuBuffer | undefined {
    const slices = value.slices!;
    const { cut, cpu, gpu } = slices;
    const mine = (cpu as CpuBuffer).quantised;
    const theirs = gpu as GpuBuffer;
    const length = this.theGpu().downloadLength(theirs);
    if (!mine || length === undefined) return undefined;
    return this.cpu.withScratch(length, pointer => {
      const to = this.cpu.heap.u8(pointer, length);
      const seen = this.theGpu().downloadBytes(theirs, mine, to);
      this.readbacks++;
      this.bytesFromGpu += length;
      const isNumber = !Number.isNaN(seen[0]);
      if (!isNumber && theirs.half) this.hasOverflowed = true;
      const whole = mine.spread ? unionOf([mine.spread, seen]) : seen;
      const range = rangeOf(mine);
      const better = betterRange(range, whole);
      const isBeyond = !!better && widthOf(better) > widthOf(range);
      if (isBeyond) slices.learn?.(whole);
      if (isBeyond || !isNumber) return undefined;
      if (mine.spread) slices.spread = whole;
      const { scale, zero } = mine;
      const channels = value.shape.at(-1)!;
      const rows = (cpu as CpuBuffer).size / cut;
      return this.cpu.fillBytes(value, { scale, zero }, ({ pointer: y }) => {
        const copy = (from: number, width: number, at: number) =>
          copyStrided(this.cpu, 1, from, [width, 1], y + at, [channels, 1], [rows, width]);
        copy(mine.pointer, cut, 0);
        copy(pointer, channels - cut, cut);
      });
    });
  }

  private joinOnGpu(value: Value): GpuBuffer {
    const [left, right] = sliceSpecs(value);
    const sent = this.send(value.slices!.cpu as CpuBuffer, left);
    const parts = [sent, value.slices!.gpu as GpuBuffer];
    // Bytes that the CPU has are guarded.
    const bytes = this.theGpu().half ? (value.cpu as CpuBuffer | undefined)?.quantised : undefined;
    const whole = this.theGpu().join(parts, [left, right], value, bytes);
    sent.free();
    return whole;
  }

  private readBack(buffer: GpuBuffer) {
    const numbers = this.theGpu().download(buffer);
    this.readbacks++;
    this.bytesFromGpu += numbers.length * WIRE_BYTES;
    if (buffer.half && !areFinite(numbers)) this.hasOverflowed = true;
    return numbers;
  }

  private send(buffer: CpuBuffer, spec: Spec): GpuBuffer {
    const { quantised } = buffer;
    if (quantised && this.theGpu().takesBytes(spec)) {
      this.bytesToGpu += buffer.size;
      const bytes = this.cpu.heap.u8(quantised.pointer, buffer.size);
      return this.theGpu().upload(bytes, spec, quantised);
    }
    this.bytesToGpu += buffer.size * WIRE_BYTES;
    return this.theGpu().upload(this.cpu.download(buffer), spec);
  }

  private theGpu(): GpuProcessor {
    if (!this.gpu) throw new UnsupportedError('GPU: expected WebGL, this device has none');
    return this.gpu;
  }
}

/** Whether none is infinite or NaN, whose product with 0 is NaN. */
function areFinite(numbers: Numbers): boolean {
  let sum = 0;
  for (const v of numbers) sum += v * 0;
  return sum === 0;
}

/** A cut of the last axis means the same channels only while the last axis is the same. */
function isLastAxis(value: Value, shape: readonly number[], axis: number): boolean {
  return axis === shape.length - 1 && shape.at(-1) === value.shape.at(-1);
}

export function sliceSpecs(value: Value): [Spec, Spec] {
  const axis = value.shape.length - 1;
  const channels = value.shape[axis];
  const { cut } = value.slices!;
  const { dtype } = value;
  return [
    { shape: cutShape(value.shape, { axis, from: 0, to: cut }), dtype },
    { shape: cutShape(value.shape, { axis, from: cut, to: channels }), dtype },
  ];
}

export function cutShape(shape: readonly number[], { axis, from, to }: Range): number[] {
  return shape.map((length, i) => (i === axis ? to - from : length));
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((length, i) => length === b[i]);
}

function derive<D extends Buffer>(value: Value, name: string, make: () => D): D {
  let buffer = value.derived.get(name) as D | undefined;
  if (!buffer) value.derived.set(name, (buffer = make()));
  return buffer;
}
