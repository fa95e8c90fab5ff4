/** src/passes/rooms.ts: which results are written where a Concat wants them. */
import type { Value } from '../../src/graph/value.js';
import { placeRooms } from '../../src/passes/rooms.js';
import { given, kernel, layer, Recorder } from '../graph/nodes.js';

const concat = (putsSideBySide: boolean) =>
  kernel('Concat', {
    infer: inputs => {
      const channels = Object.values(inputs).reduce((sum, { shape }) => sum + shape.at(-1)!, 0);
      return [{ shape: [1, channels], dtype: 'float32' }];
    },
    putsSideBySide: () => putsSideBySide,
  });

const isLayer = ({ kernel: { name } }: Recorder['nodes'][number]) => name === 'Layer';

describe('placeRooms', () => {
  let recorder: Recorder;
  let x: Value;
  const conv = (channels: number) => recorder.call(layer(channels), { x, w: given(4, channels) });

  beforeEach(() => {
    recorder = new Recorder();
    x = given(1, 4);
  });

  it('puts each result behind those before it', () => {
    const parts = { '0': conv(3), '1': conv(5), '2': conv(2) };
    recorder.call(concat(true), parts);
    expect(placeRooms(recorder.nodes, isLayer)).toEqual([
      { concat: 3, at: 0 },
      { concat: 3, at: 3 },
      { concat: 3, at: 8 },
      undefined,
    ]);
  });

  it('leaves a gap for a part that comes from elsewhere', () => {
    recorder.call(concat(true), { '0': given(1, 7), '1': conv(5) });
    expect(placeRooms(recorder.nodes, isLayer)).toEqual([{ concat: 1, at: 7 }, undefined]);
  });

  it('leaves a result alone that somebody else reads, or the Concat twice', () => {
    const [a, b] = [conv(3), conv(5)];
    recorder.call(concat(true), { '0': a, '1': b, '2': b });
    recorder.call(layer(2), { x: a, w: given(3, 2) });
    expect(placeRooms(recorder.nodes, isLayer)).toEqual(Array(4).fill(undefined));
  });

  it('leaves results alone that do not fit, or are put one below the other', () => {
    recorder.call(concat(true), { '0': conv(3), '1': conv(5) });
    expect(placeRooms(recorder.nodes, (_, i) => i === 1)[0]).toBeUndefined();
    recorder.call(concat(false), { '0': conv(3), '1': conv(3) });
    expect(placeRooms(recorder.nodes, isLayer).slice(3)).toEqual(Array(3).fill(undefined));
  });
});
