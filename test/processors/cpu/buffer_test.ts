/** src/processors/cpu/buffer.ts: numbers in JavaScript memory, on the heap, or a view on columns. */
import { CpuBuffer } from '../../../src/processors/cpu/buffer.js';
import { Heap } from '../../../src/processors/cpu/heap.js';

describe('CpuBuffer', () => {
  let heap: Heap;
  beforeAll(async () => {
    heap = await Heap.create();
  });
  afterEach(() => {
    expect(heap.bytesUsed).withContext('left on the heap').toBe(0);
  });

  const floats = (...numbers: number[]) =>
    CpuBuffer.ofNumbers(heap, 'float32', Float32Array.from(numbers));

  it('goes to the heap when a kernel asks for its address, and comes back', () => {
    const buffer = floats(1, 2, 3);
    expect([buffer.bytes, buffer.size, buffer.isOnHeapOnly]).toEqual([0, 3, false]);
    const pointer = buffer.address();
    expect(buffer.bytes).toBe(12);
    expect([...heap.f32(pointer, 3)]).toEqual([1, 2, 3]);
    expect(buffer.address()).toBe(pointer);
    buffer.evict();
    expect(buffer.bytes).toBe(0);
    expect([...buffer.numbers()]).toEqual([1, 2, 3]);
    buffer.free();
  });

  it('on the heap alone is not evicted', () => {
    const buffer = CpuBuffer.onHeap(heap, 'float32', 2);
    heap.f32(buffer.address(), 2).set([5, 6]);
    expect(buffer.isOnHeapOnly).toBeTrue();
    buffer.evict();
    expect([...buffer.numbers()]).toEqual([5, 6]);
    buffer.free();
  });

  it('keeps booleans in bytes and integers in words', () => {
    const bools = CpuBuffer.ofNumbers(heap, 'bool', Uint8Array.of(1, 0, 1));
    const ints = CpuBuffer.ofNumbers(heap, 'int32', Int32Array.of(-1, 2 ** 30));
    bools.address();
    ints.address();
    expect([bools.bytes, ints.bytes]).toEqual([3, 8]);
    expect([...bools.numbers(), ...ints.numbers()]).toEqual([1, 0, 1, -1, 2 ** 30]);
    bools.free();
    ints.free();
  });

  it('free twice frees once, and use afterwards is found out', () => {
    const buffer = floats(1);
    buffer.address();
    buffer.free();
    buffer.free();
    expect(() => buffer.address()).toThrow();
  });

  it('of no numbers', () => {
    const buffer = floats();
    expect([...buffer.numbers()]).toEqual([]);
    buffer.address();
    buffer.free();
  });

  describe('a view on columns', () => {
    // Rows of 4: 0 1 2 3 | 4 5 6 7 | 8 9 10 11
    const matrix = () => floats(...Array.from({ length: 12 }, (_, i) => i));

    it('reads its columns in place', () => {
      const base = matrix();
      const view = CpuBuffer.view(base, 4, 1, 3);
      expect(view.size).toBe(6);
      expect([...view.numbers()]).toEqual([1, 2, 5, 6, 9, 10]);
      expect(view.isContiguous).toBeFalse();
      expect(view.pitch(2)).toBe(4);
      expect(view.address()).toBe(base.address() + 4);
      expect(view.bytes).withContext('it owns nothing').toBe(0);
      base.free();
    });

    it('is copied where it has to be dense', () => {
      const base = matrix();
      const view = CpuBuffer.view(base, 4, 2, 4);
      const dense = view.dense();
      expect(dense).not.toBe(view);
      expect([...heap.f32(dense.address(), 6)]).toEqual([2, 3, 6, 7, 10, 11]);
      dense.free();
      base.free();
    });

    it('of one row, or of all columns, has no gaps', () => {
      const base = matrix();
      const row = CpuBuffer.view(base, 12, 4, 8);
      expect([row.isContiguous, row.pitch(2), row.dense() === row]).toEqual([true, 2, true]);
      expect([...row.numbers()]).toEqual([4, 5, 6, 7]);
      const all = CpuBuffer.view(base, 4, 0, 4);
      expect([...all.numbers()]).toEqual([...base.numbers()]);
      base.free();
    });

    it('gives back nothing of what it looks at', () => {
      const base = matrix();
      base.address();
      const view = CpuBuffer.view(base, 4, 0, 2);
      view.free();
      expect(base.bytes).toBe(48);
      base.free();
    });
  });
});
