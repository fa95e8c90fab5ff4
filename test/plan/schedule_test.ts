/** src/plan/schedule.ts: two clocks, uploads that do not block, read-backs that do. */
import type { Node } from '../../src/graph/graph.js';
import { Value } from '../../src/graph/value.js';
import { ALL_ON_CPU as CPU, ALL_ON_GPU as GPU, jobOf, simulate } from '../../src/plan/schedule.js';
import { called } from './nets.js';
import { PROFILES } from './profiles.js';

const profile = PROFILES['1:4'];
const ATTRIBUTES = { strides: [1, 1], pad: 'same', dataFormat: 'NHWC', dilations: [1, 1] };

function conv(x: Value, co: number): Node {
  const filter = new Value([3, 3, x.shape[3], co], 'float32');
  return called('Conv2D', { x, filter }, ATTRIBUTES);
}

const picture = () => new Value([1, 32, 32, 32], 'float32');
const run = (nodes: readonly Node[], cuts: readonly number[]) =>
  simulate(jobOf(nodes, { profile }), cuts);
const kinds = (nodes: readonly Node[], cuts: readonly number[]) =>
  run(nodes, cuts).exchanges.map(({ kind, step }) => `${kind} ${step}`);

describe('simulate', () => {
  const first = conv(picture(), 64);
  const second = conv(first.outputs[0], 64);
  const relu = called('Relu', { x: first.outputs[0] });

  it('all on the CPU exchanges nothing and takes the sum of its steps', () => {
    const { ms, steps, exchanges } = run([first, second], [CPU, CPU]);
    expect(exchanges).toEqual([]);
    expect(steps[1].cpu!.start).toBe(steps[0].cpu!.end);
    expect(ms).toBe(steps[1].cpu!.end);
  });

  it('all on the GPU sends the input and reads the result back, in bytes', () => {
    const { exchanges } = run([first, second], [GPU, GPU]);
    expect(exchanges.map(({ kind, bytes, step }) => [kind, bytes, step])).toEqual([
      ['upload', 32 ** 3, 0],
      ['readBack', 64 * 32 ** 2, 2],
    ]);
  });

  it('a split works on both at once, and exchanges what each lacks', () => {
    const { steps } = run([first, second], [32, 32]);
    expect(steps[0].gpu!.start).toBeLessThan(steps[0].cpu!.end);
    expect(kinds([first, second], [32, 32])).toEqual([
      'upload 0',
      'readBack 1',
      'upload 1',
      'readBack 2',
    ]);
  });

  it('what goes channel by channel keeps its slices', () => {
    expect(kinds([first, relu], [32, 32])).toEqual(['upload 0', 'readBack 2']);
    expect(kinds([first, relu], [32, 16]).length).toBeGreaterThan(2);
  });

  it('a read-back blocks the CPU, an upload does not', () => {
    const x = picture();
    const [a, b] = [conv(x, 64), conv(x, 64)];
    const both = run([a, b], [GPU, CPU]);
    expect(both.steps[1].cpu!.start).toBe(0);
    const back = run([first, second], [GPU, CPU]);
    expect(back.steps[1].cpu!.start).toBeGreaterThanOrEqual(
      back.exchanges.find(({ kind }) => kind === 'readBack')!.end,
    );
  });

  it('in turn, nothing starts before all before it is done', () => {
    const x = picture();
    const nodes = [conv(x, 64), conv(x, 64)];
    const { steps } = simulate(jobOf(nodes, { profile }), [GPU, CPU], () => true);
    expect(steps[1].cpu!.start).toBeGreaterThanOrEqual(steps[0].gpu!.end);
  });

  it('a cut that a node cannot have is an error', () => {
    expect(() => run([first], [64])).toThrowError(/cannot be cut/);
    expect(() => simulate(jobOf([first], { profile, gpuCan: () => false }), [GPU])).toThrowError();
  });
});
