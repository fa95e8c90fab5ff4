/**
 * src/processors/cpu/lookup.ts: what it leaves to floats. The tables themselves are compared with
 * floats in test/kernels/bytes_test.ts.
 */
import { unaryOps } from '../../../src/processors/cpu/elementwise.js';
import { clampBytes, lookUp } from '../../../src/processors/cpu/lookup.js';
import { CpuBuffer, CpuProcessor } from '../../../src/processors/cpu/processor.js';

const SPEC = { shape: [3], dtype: 'float32' } as const;

describe('lookUp', () => {
  let cpu: CpuProcessor;
  let bytes: CpuBuffer;
  let floats: CpuBuffer;

  beforeAll(async () => {
    cpu = await CpuProcessor.create(true, false);
    bytes = CpuBuffer.asBytes(cpu.heap, 3, { scale: 0.5, zero: 100 });
    cpu.heap.u8(bytes.quantised!.pointer, 3).set([0, 100, 255]);
    floats = cpu.upload(Float32Array.of(-50, 0, 77.5), SPEC);
  });

  const apply = (x: CpuBuffer, op: number, range: readonly [number, number] = [-100, 100]) => {
    const y = lookUp(cpu, x, SPEC, range, (from, n, to) =>
      cpu.heap.kernels.f32Unary(op, from, n, 0, 0, to),
    );
    const result = y && { numbers: Array.from(y.numbers()), spread: y.quantised?.spread };
    y?.free();
    return result;
  };

  it('notes the range of all 256 results, whatever x has', () => {
    expect(apply(bytes, unaryOps.Neg)?.spread).toEqual([-77.5, 50]);
    expect(apply(bytes, unaryOps.Abs)?.spread).toEqual([0, 77.5]);
  });

  it('clamps what the range does not hold', () => {
    const { numbers } = apply(bytes, unaryOps.Neg, [-10, 10])!;
    const step = 20 / 255;
    [10, 0, -10].forEach((v, i) => expect(Math.abs(numbers[i] - v)).toBeLessThanOrEqual(step));
  });

  it('notes that a function is not finite everywhere, for the guard to see', () => {
    for (const op of [unaryOps.Reciprocal, unaryOps.Sqrt]) {
      expect(apply(bytes, op)!.spread!.every(Number.isFinite)).toBeFalse();
    }
  });

  it('leaves ranges that are not finite, and floats', () => {
    expect(apply(bytes, unaryOps.Neg, [-Infinity, 1])).toBeUndefined();
    expect(apply(floats, unaryOps.Neg)).toBeUndefined();
    expect(clampBytes(cpu, floats, SPEC, 0, 6)).toBeUndefined();
  });

  afterAll(() => {
    bytes.free();
    floats.free();
    expect(cpu.heap.bytesUsed).toBe(0);
  });
});
