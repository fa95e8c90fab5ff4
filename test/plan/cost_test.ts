/** src/plan/cost.ts: work is rounded up at every edge. */
import { Value } from '../../src/graph/value.js';
import {
  contended,
  cpuCounts,
  cpuFormat,
  cpuTime,
  gpuTime,
  transferTime,
  workOf,
} from '../../src/plan/cost.js';
import { called } from './nets.js';
import { PROFILES } from './profiles.js';

const profile = PROFILES['GPU, 4 threads'];
const gpu = profile.gpu!;

/** x [1,h,h,16] * [3,3,16,co] */
function conv(h: number, co: number) {
  const x = new Value([1, h, h, 16], 'float32');
  const filter = new Value([3, 3, 16, co], 'float32');
  const attributes = { strides: [1, 1], pad: 'same', dataFormat: 'NHWC', dilations: [1, 1] };
  return workOf(called('Conv2D', { x, filter }, attributes));
}

describe('the cost of a layer', () => {
  it('of a convolution is in rows, blocks of 2x2 pixels, and steps of 4 deep', () => {
    const wanted = { family: 'product', rows: 49, channels: 8, blocks: 16, depth: 36 } as const;
    expect(conv(7, 8)).toEqual(jasmine.objectContaining(wanted));
  });

  it('of no channels is nothing', () => {
    expect(cpuTime(conv(8, 8), 0, 'int8', profile)).toBe(0);
    expect(gpuTime(conv(8, 8), 0, 'f16', gpu)).toBe(0);
  });

  it('on the CPU is paid in tiles of 8 channels, shared by the threads', () => {
    const time = (channels: number) => cpuTime(conv(64, 64), channels, 'int8', profile);
    expect(time(1)).toBe(time(8));
    expect(time(9)).toBeGreaterThan(time(8));
    const { call, perUnit } = profile.cpu.units.product.int8!;
    // 1,024 rows of tiles x 2 of 8 channels, on 4 threads, 36 deep.
    expect(time(16)).toBeCloseTo(call + 512 * 36 * perUnit[4], 6);
  });

  it('on the CPU counts results, weights for each block of rows, and what is copied before', () => {
    const counts = cpuCounts(conv(64, 32), 32, 'float32', false, 2);
    expect(counts.perUnit).toBe((1024 * 4 * 36) / 2);
    expect(counts.perResult).toBe((4096 * 32) / 2);
    // 4,096 rows of 16 numbers are one block of 65,536.
    expect(counts.perWeight).toBe((4 * 144 * 32) / 2);
    expect(counts.perCopy).toBe((64 * 64 * 16) / 2);
    expect(cpuCounts(conv(128, 32), 32, 'float32', false, 2).perWeight).toBe(4 * counts.perWeight);
    expect(cpuCounts(conv(64, 32), 32, 'int8', true, 2).perCopy).toBe(0);
    expect(cpuCounts(conv(64, 32), 32, 'int8', false, 2).perCopy).toBe(counts.perCopy);
  });

  it('on the CPU is not shared where it is too small for that', () => {
    const { call, perUnit } = profile.cpu.units.product.int8!;
    // 4 rows of tiles x 1, 36 deep.
    expect(cpuTime(conv(4, 8), 8, 'int8', profile)).toBeCloseTo(call + 4 * 36 * perUnit[4], 6);
  });

  it('of few rows is that of their weights', () => {
    const a = new Value([1, 1, 64], 'float32');
    const b = new Value([1, 64, 16], 'float32');
    const attributes = { transposeA: false, transposeB: false };
    const work = workOf(called('BatchMatMul', { a, b }, attributes));
    expect(work.family).toBe('vector');
    expect(cpuCounts(work, 16, 'float32', false, 1).perUnit).toBe(2 * 16);
  });

  it('of a polynomial that follows a product is a pass of its own', () => {
    const work = conv(32, 16);
    const more = cpuTime({ ...work, hasPass: true }, 16, 'float32', profile);
    const { call, perUnit } = profile.cpu.units.polynomial.float32;
    const pass = call + (1024 * 16 * perUnit[4]) / 64 / 4;
    expect(more - cpuTime(work, 16, 'float32', profile)).toBeCloseTo(pass, 6);
  });

  it('of a Concat of bytes is nothing: they were written where it wants them', () => {
    const parts = [0, 1].map(() => new Value([1, 32, 32, 16], 'float32'));
    const work = workOf(called('Concat', { 0: parts[0], 1: parts[1] }, { axis: 3 }));
    expect(cpuTime(work, 32, 'int8', profile, true)).toBe(0);
    expect(cpuTime(work, 32, 'float32', profile, false)).toBeGreaterThan(0);
  });

  it('on the GPU is paid in fragments of 4 channels, as many as run at once', () => {
    const time = (channels: number) => gpuTime(conv(64, 64), channels, 'f16', gpu);
    const { draw, perUnit } = gpu.units.product.f16!;
    // 1,024 blocks: 16 channels fill 4,096 fragments.
    expect(time(1)).toBeCloseTo(draw + 36 * perUnit, 6);
    expect(time(16)).toBe(time(1));
    expect(time(17)).toBeCloseTo(draw + 2 * 36 * perUnit, 6);
  });

  it('is in the fastest format that is allowed', () => {
    const work = conv(8, 8);
    expect(cpuFormat(work, 8, { int8: true, f16: true }, profile)).toBe('int8');
    expect(cpuFormat(work, 8, { int8: false, f16: true }, profile)).toBe('float32');
  });

  it('of an exchange is a + b * bytes', () => {
    const { a, b } = gpu.readBack.f16;
    expect(transferTime(gpu.readBack, 100, 'f16')).toBeCloseTo(a + 200 * b, 9);
  });

  it('grows while the other processor works, and only then', () => {
    expect(contended(10, 0, 2)).toBe(10);
    expect(contended(10, 20, 2)).toBe(20);
    expect(contended(10, 100, 2)).toBe(20);
    // Half of the work in the first 10, the other half alone.
    expect(contended(10, 10, 2)).toBe(15);
  });
});
