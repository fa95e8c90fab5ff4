/** src/graph/value.ts */
import { Value } from '../../src/graph/value.js';

describe('Value', () => {
  it('is wanted while somebody refers to it or uses it', () => {
    const value = new Value([2], 'float32');
    expect(value.wanted).toBeTrue();
    value.refs = 0;
    expect(value.wanted).toBeFalse();
    value.uses = 1;
    expect(value.wanted).toBeTrue();
  });

  it('gives all memory back, and each piece once', () => {
    const value = new Value([4], 'float32');
    const freed: string[] = [];
    const buffer = (name: string) => ({ bytes: 4, free: () => freed.push(name) });
    value.cpu = buffer('cpu');
    value.gpu = buffer('gpu');
    value.slices = { axis: 0, to: 2, from: 2, cpu: buffer('left'), gpu: buffer('right') };
    value.derived.set('packed', buffer('packed'));
    value.free();
    value.free();
    expect(freed.sort()).toEqual(['cpu', 'gpu', 'left', 'packed', 'right']);
  });
});
