/** src/plan/cost.ts: work is rounded up at every edge. */
import { Value } from '../../src/graph/value.js';
import {
  contended,
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
