/**
 * Brings a value, or a part of it, to the processor that wants it, and counts what that costs.
 *
 *     whole on CPU ◄── read-back, blocks ──  whole on GPU
 *           │      ── upload ──────────────►      │
 *     part [0, to) ──┐                  ┌── part [from, length)      of channels, rows or images
 *                    └─ join on either side ─┘
 *
 * What travels are 32-bit floats; bytes (QUInt8) where the CPU has bytes or, of a result that lies on
 * both, a slice of bytes: then the GPU's slice becomes bytes of the same scale on its way. Should its
 * numbers have left that range, they come as floats, and the next run has a better one.
 */
import { util } from '@tensorflow/tfjs-core';

import type { Range, Spec } from '../graph/kernel.js';
import type { Use } from '../graph/graph.js';
import type { Buffer, Slices, Value } from '../graph/value.js';
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

  /** A use, or a part of it, on the GPU. */
  gpuBuffer({ value, shape }: Use, range?: Range): GpuBuffer {
    return range ? this.partOnGpu(value, shape, range) : this.onGpu(value, shape);
  }

  gpuArgument(use: Use, range?: Range): Argument<GpuBuffer> {
    const { value, shape, dtype } = use;
    const make = () => this.gpuBuffer(use, range);
    const prefix = `gpu:${range ? `${range.axis}:${range.from}:${range.to}:` : ''}`;
    return {
      // Made when it is asked for: of weights only the packed form may be wanted.
      get buffer() {
        return make();
      },
      shape: range ? cutShape(shape, range) : shape,
      dtype,
      of: value,
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

  /** Whether the CPU has this part of a value, or all of it where no part is meant. */
  hasOnCpu({ value, shape }: Use, range?: Range): boolean {
    if (value.cpu || !this.onlyOnGpu(value)) return true;
    const { slices } = value;
    return (
      !!range && !!slices?.cpu && isAlong(slices, value, shape, range) && range.to <= slices.to
    );
  }

  /** Whether the GPU has this part of a value, which may be under way still. */
  hasOnGpu({ value, shape }: Use, range: Range): boolean {
    const { slices } = value;
    return (
      !!value.gpu || (!!slices && isAlong(slices, value, shape, range) && range.from >= slices.from)
    );
  }

  private partOnCpu(value: Value, shape: readonly number[], range: Range): CpuBuffer {
    const { axis, from, to } = range;
    const { slices, dtype } = value;
    const isThere = slices?.cpu && isAlong(slices, value, shape, range) && to <= slices.to;
    if (isThere && from === 0 && to === slices.to) return slices.cpu as CpuBuffer;
    return derive(value, `cpu:${shape.join()}:${axis}:${from}:${to}`, () => {
      if (!isThere) return this.cpu.slice(this.onCpu(value), { shape, dtype }, axis, from, to);
      const mine = cutShape(shape, { axis, from: 0, to: slices.to });
      return this.cpu.slice(slices.cpu as CpuBuffer, { shape: mine, dtype }, axis, from, to);
    });
  }

  private partOnGpu(value: Value, shape: readonly number[], range: Range): GpuBuffer {
    this.dropOtherFormat(value);
    const { axis, from, to } = range;
    const { slices } = value;
    const part = { shape: cutShape(shape, range), dtype: value.dtype };
    const name = `gpu:${shape.join()}:${axis}:${from}:${to}`;
    if (slices && isAlong(slices, value, shape, range) && from >= slices.from) {
      const slice = slices.gpu as GpuBuffer;
      const mine = cutShape(shape, { axis, from: slices.from, to: shape[axis] });
      const isWhole = from === slices.from && to === shape[axis];
      if (isWhole && sameShape(shape, value.shape)) return slice;
      return derive(value, name, () =>
        isWhole
          ? this.theGpu().reshape(slice, part)
          : this.theGpu().slice(
              slice,
              { shape: mine, dtype: value.dtype },
              axis,
              from - slices.from,
              to - slices.from,
            ),
      );
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
    value.slices?.cpu?.free();
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
    const slices = value.slices!;
    const theirs = this.ofGpuAlone(value);
    const read = this.cpu.upload(this.readBack(theirs), right);
    const parts = [slices.cpu as CpuBuffer, read];
    const whole = this.cpu.join(parts, [left, right], value, slices.axis);
    read.free();
    return whole;
  }

  /** Undefined where the CPU's slice is no bytes, or the GPU's cannot be bytes of the same scale. */
  private joinBytes(value: Value): CpuBuffer | undefined {
    const slices = value.slices!;
    const { axis, to: cut, cpu } = slices;
    const mine = (cpu as CpuBuffer).quantised;
    if (!mine) return undefined;
    const theirs = this.ofGpuAlone(value);
    const length = this.theGpu().downloadLength(theirs);
    if (length === undefined) return undefined;
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
      const inner = util.sizeFromShape(value.shape.slice(axis + 1));
      const [pitch, left] = [value.shape[axis] * inner, cut * inner];
      const rows = (cpu as CpuBuffer).size / left;
      return this.cpu.fillBytes(value, { scale, zero }, ({ pointer: y }) => {
        const copy = (from: number, width: number, at: number) =>
          copyStrided(this.cpu, 1, from, [width, 1], y + at, [pitch, 1], [rows, width]);
        copy(mine.pointer, left, 0);
        copy(pointer, pitch - left, left);
      });
    });
  }

  private joinOnGpu(value: Value): GpuBuffer {
    const [left, right] = sliceSpecs(value);
    const slices = value.slices!;
    const sent = this.send(slices.cpu as CpuBuffer, left);
    const parts = [sent, this.ofGpuAlone(value)];
    // Bytes that the CPU has are guarded.
    const bytes = this.theGpu().half ? (value.cpu as CpuBuffer | undefined)?.quantised : undefined;
    const whole = this.theGpu().join(parts, [left, right], value, slices.axis, bytes);
    sent.free();
    return whole;
  }

  /** The GPU's slice of a value, without what the CPU has too. */
  private ofGpuAlone(value: Value): GpuBuffer {
    const { axis, to, from, gpu } = value.slices!;
    if (from === to) return gpu as GpuBuffer;
    const { dtype, shape } = value;
    return derive(value, `gpu:${shape.join()}:${axis}:${to}:${shape[axis]}`, () => {
      const spec = { shape: cutShape(shape, { axis, from, to: shape[axis] }), dtype };
      return this.theGpu().slice(gpu as GpuBuffer, spec, axis, to - from, shape[axis] - from);
    });
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

/**
 * Whether a part of a use is one along the axis in which its value is cut. Channels stay the same under
 * another shape while the last axis is the same.
 */
function isAlong(slices: Slices, value: Value, shape: readonly number[], { axis }: Range): boolean {
  const isOfChannels = axis === shape.length - 1 && slices.axis === value.shape.length - 1;
  return isOfChannels
    ? shape.at(-1) === value.shape.at(-1)
    : axis === slices.axis && sameShape(shape, value.shape);
}

/** The CPU's part, and what the GPU alone has. */
function sliceSpecs({ shape, dtype, slices }: Value): [Spec, Spec] {
  const { axis, to } = slices!;
  return [
    { shape: cutShape(shape, { axis, from: 0, to }), dtype },
    { shape: cutShape(shape, { axis, from: to, to: shape[axis] }), dtype },
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
