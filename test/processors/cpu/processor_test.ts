/** src/processors/cpu/processor.ts: what the CPU does beside running kernels. */
import { CpuProcessor } from '../../../src/processors/cpu/processor.js';

describe('CpuProcessor', () => {
  let cpu: CpuProcessor;
  beforeAll(async () => {
    cpu = await CpuProcessor.create();
  });
  afterEach(() => {
    expect(cpu.memory()).withContext('left on the heap').toBe(0);
  });

  const upload = (...numbers: number[]) =>
    cpu.upload(Float32Array.from(numbers), { shape: [numbers.length], dtype: 'float32' });

  it('takes the baseline where relaxed SIMD is not allowed', async () => {
    const { heap } = await CpuProcessor.create(false);
    expect([heap.relaxed, heap.dot]).toEqual([false, 'i16']);
  });

  it('gives back what it was given', () => {
    const buffer = upload(1, 2, 3);
    expect([...cpu.download(buffer)]).toEqual([1, 2, 3]);
    expect(cpu.reshape(buffer)).toBe(buffer);
    buffer.free();
  });

  it('slices any axis', () => {
    const buffer = upload(...Array.from({ length: 12 }, (_, i) => i));
    const spec = { shape: [2, 3, 2], dtype: 'float32' } as const;
    const numbers = (axis: number, from: number, to: number) => {
      const part = cpu.slice(buffer, spec, axis, from, to);
      const values = [...cpu.download(part)];
      part.free();
      return values;
    };
    expect(numbers(0, 1, 2)).toEqual([6, 7, 8, 9, 10, 11]);
    expect(numbers(1, 1, 3)).toEqual([2, 3, 4, 5, 8, 9, 10, 11]);
    expect(numbers(2, 0, 1)).toEqual([0, 2, 4, 6, 8, 10]);
    expect(numbers(2, 1, 1)).toEqual([]);
    buffer.free();
  });

  /** Without shared memory growing takes all views away. */
  const grow = ({ heap }: CpuProcessor) => {
    const bytes = heap.size;
    heap.free(heap.allocate(bytes, 'copy'), bytes, 'copy');
    expect(heap.size).toBeGreaterThan(bytes);
  };

  it('a slice stays what it is when the heap grows', async () => {
    const own = await CpuProcessor.create(true, false);
    const spec = { shape: [3, 2], dtype: 'float32' } as const;
    const buffer = own.fill(spec, y => own.heap.f32(y.address(), 6).set([1, 2, 3, 4, 5, 6]));
    const part = own.slice(buffer, spec, 0, 1, 2);
    grow(own);
    expect([...own.download(part)]).toEqual([3, 4]);
    buffer.free();
    expect([...own.download(part)]).toEqual([3, 4]);
  });

  it('tfjs gets all its inputs where one more of them makes the heap grow', async () => {
    const own = await CpuProcessor.create(true, false);
    const size = own.heap.size;
    const spec = { shape: [size], dtype: 'float32' } as const;
    const a = own.fill({ shape: [1], dtype: 'float32' }, y => own.heap.f32(y.address(), 1).fill(7));
    // As floats it is four times as large.
    const b = own.fillBytes(spec, { scale: 1, zero: 0 }, ({ pointer }) =>
      own.heap.u8(pointer, size).fill(2),
    );
    const [sum] = own.tfjs({
      ...{ name: 'Add', isList: false, attributes: {}, outputs: [spec], int8: false },
      inputs: {
        a: { buffer: a, shape: [1], dtype: 'float32' },
        b: { buffer: b, shape: [size], dtype: 'float32' },
      } as never,
    });
    expect(own.download(sum).length).toBe(size);
    expect(own.download(sum).every(v => v === 9)).toBeTrue();
    for (const buffer of [a, b, sum]) buffer.free();
    expect(own.memory()).toBe(0);
  });

  it('joins parts along the last axis', () => {
    const [a, b] = [upload(1, 2, 5, 6), upload(3, 7)];
    const spec = (width: number) => ({ shape: [2, width], dtype: 'float32' }) as const;
    const whole = cpu.join([a, b], [spec(2), spec(1)], spec(3), 1);
    expect([...cpu.download(whole)]).toEqual([1, 2, 3, 5, 6, 7]);
    for (const buffer of [a, b, whole]) buffer.free();
  });

  it('measures ranges: NaN in it, views, nothing', () => {
    const range = (...numbers: number[]) => {
      const buffer = upload(...numbers);
      const result = cpu.range(buffer);
      buffer.free();
      return [...result];
    };
    expect(range(3, -1, 2, 0, 7, 7, 7, 7, 9)).toEqual([-1, 9]);
    expect(range(5)).toEqual([5, 5]);
    expect(range()).toEqual([0, 0]);
    expect(range(1, NaN, 2, 3, 4, 5)).toEqual([-Infinity, Infinity]);
    expect(range(1, -Infinity, Infinity)).toEqual([-Infinity, Infinity]);
    const base = upload(1, 100, 2, 200);
    const view = cpu.slice(base, { shape: [2, 2], dtype: 'float32' }, 1, 0, 1);
    expect([...cpu.range(view)]).toEqual([1, 2]);
    base.free();
  });

  it('gives scratch memory back, also after an error', () => {
    expect(cpu.withScratch(100, () => cpu.memory())).toBe(100);
    expect(() =>
      cpu.withScratch(100, () => {
        throw new Error('in between');
      }),
    ).toThrowError('in between');
    expect(() =>
      cpu.fill({ shape: [5], dtype: 'float32' }, () => {
        throw new Error('in between');
      }),
    ).toThrowError('in between');
  });
});
