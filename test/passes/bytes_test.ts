/** src/passes/bytes.ts: which results go on as bytes, and which of them share a scale. */
import type { Value } from '../../src/graph/value.js';
import type { ByteRules } from '../../src/passes/bytes.js';
import { placeBytes } from '../../src/passes/bytes.js';
import { given, kernel, layer, Recorder } from '../graph/nodes.js';

const conv = () => layer(4);
const pool = kernel('MaxPool');
const concat = kernel('Concat');
const add = kernel('Add');
const softmax = kernel('Softmax');
const split = kernel('Split', { infer: ({ x }) => [x, x] });

const WRITES: Record<string, ReturnType<ByteRules['writes']>> = {
  ...{ Layer: 'range', Add: 'blend', MaxPool: 'same', Concat: 'same', Split: 'same' },
};

/** Who is int8 and who moves bytes goes by the names here. */
function place({ nodes }: Recorder, int8: (index: number) => boolean = () => true) {
  return placeBytes(nodes, {
    int8: (node, i) => node.kernel.name === 'Layer' && int8(i),
    writes: node => WRITES[node.kernel.name],
  });
}

/** The user holds no intermediate tensor. */
const drop = (...values: Value[]) => values.forEach(value => (value.refs = 0));

describe('placeBytes', () => {
  it('hands bytes from an int8 layer to an int8 layer, and floats to the user', () => {
    const recorder = new Recorder();
    const a = recorder.call(conv(), { x: given(1, 4), w: given(4, 4) });
    recorder.call(conv(), { x: a, w: given(4, 4) });
    drop(a);
    expect(place(recorder)).toEqual([[0], undefined]);
  });

  it('hands floats to a layer that stays in float32, and bytes on to one in int8', () => {
    const recorder = new Recorder();
    const a = recorder.call(conv(), { x: given(1, 4), w: given(4, 4) });
    const b = recorder.call(conv(), { x: a, w: given(4, 4) });
    recorder.call(conv(), { x: b, w: given(4, 4) });
    drop(a, b);
    expect(place(recorder, i => i !== 1)).toEqual([undefined, [1], undefined]);
  });

  it('leaves a sum in floats that a layer in float32 has a part in, behind a pooling too', () => {
    for (const isPooled of [false, true]) {
      const recorder = new Recorder();
      const a = recorder.call(conv(), { x: given(1, 4), w: given(4, 4) });
      const b = recorder.call(conv(), { x: given(1, 4), w: given(4, 4) });
      const part = isPooled ? recorder.call(pool, { x: b }) : b;
      const sum = recorder.call(add, { a, b: part });
      recorder.call(conv(), { x: sum, w: given(4, 4) });
      drop(a, b, part, sum);
      expect(place(recorder, i => i !== 1).every(group => !group)).toBeTrue();
      expect(place(recorder).every(group => !group)).toBeFalse();
    }
  });

  it('hands floats where the result is the weights of its reader', () => {
    const recorder = new Recorder();
    const w = recorder.call(conv(), { x: given(4, 4), w: given(4, 4) });
    recorder.call(conv(), { x: given(1, 4), w });
    drop(w);
    expect(place(recorder)).toEqual([undefined, undefined]);
  });

  it('hands floats where one of two readers wants them, or the user keeps the tensor', () => {
    const recorder = new Recorder();
    const a = recorder.call(conv(), { x: given(1, 4), w: given(4, 4) });
    recorder.call(conv(), { x: a, w: given(4, 4) });
    recorder.call(softmax, { x: a });
    drop(a);
    expect(place(recorder)[0]).toBeUndefined();

    const other = new Recorder();
    const kept = other.call(conv(), { x: given(1, 4), w: given(4, 4) });
    other.call(conv(), { x: kept, w: given(4, 4) });
    expect(place(other)[0]).toBeUndefined();
  });

  it('goes through pooling, to layers and to those alone', () => {
    const recorder = new Recorder();
    const a = recorder.call(conv(), { x: given(1, 4), w: given(4, 4) });
    const b = recorder.call(pool, { x: a });
    recorder.call(conv(), { x: b, w: given(4, 4) });
    const c = recorder.call(conv(), { x: given(1, 4), w: given(4, 4) });
    const d = recorder.call(pool, { x: c });
    recorder.call(softmax, { x: d });
    drop(a, b, c, d);
    expect(place(recorder)).toEqual([[0], undefined, undefined, undefined, undefined, undefined]);
  });

  it('gives the parts of a concatenation one scale, those behind a pooling too', () => {
    const recorder = new Recorder();
    const a = recorder.call(conv(), { x: given(1, 4), w: given(4, 4) });
    const b = recorder.call(conv(), { x: given(1, 4), w: given(4, 4) });
    const pooled = recorder.call(pool, { x: b });
    const joined = recorder.call(concat, { 0: a, 1: pooled });
    recorder.call(conv(), { x: joined, w: given(4, 4) });
    drop(a, b, pooled, joined);
    expect(place(recorder).slice(0, 2)).toEqual([
      [0, 1],
      [0, 1],
    ]);
  });

  it('goes through a sum of bytes, which has a scale of its own', () => {
    const recorder = new Recorder();
    const a = recorder.call(conv(), { x: given(1, 4), w: given(4, 4) });
    const b = recorder.call(conv(), { x: a, w: given(4, 4) });
    const sum = recorder.call(add, { a, b });
    recorder.call(conv(), { x: sum, w: given(4, 4) });
    drop(a, b, sum);
    expect(place(recorder)).toEqual([[0], [1], [2], undefined]);
  });

  it('leaves a sum in floats that somebody else has a part in, or that nobody wants as bytes', () => {
    const recorder = new Recorder();
    const a = recorder.call(conv(), { x: given(1, 4), w: given(4, 4) });
    const sum = recorder.call(add, { a, b: given(1, 4) });
    recorder.call(conv(), { x: sum, w: given(4, 4) });
    drop(a, sum);
    expect(place(recorder)).toEqual([undefined, undefined, undefined]);

    const other = new Recorder();
    const b = other.call(conv(), { x: given(1, 4), w: given(4, 4) });
    const twice = other.call(add, { a: b, b });
    other.call(softmax, { x: twice });
    drop(b, twice);
    expect(place(other)).toEqual([undefined, undefined, undefined]);
  });

  it('goes through a split when all of its parts are wanted as bytes', () => {
    for (const other of [conv(), softmax]) {
      const recorder = new Recorder();
      const a = recorder.call(conv(), { x: given(1, 4), w: given(4, 4) });
      const left = recorder.call(split, { x: a });
      const right = left.producer!.outputs[1];
      recorder.call(conv(), { x: left, w: given(4, 4) });
      recorder.call(other, other === softmax ? { x: right } : { x: right, w: given(4, 4) });
      drop(a, left, right);
      expect(place(recorder)[0]).toEqual(other === softmax ? undefined : [0]);
    }
  });

  it('leaves a concatenation in floats when one part of it is', () => {
    const recorder = new Recorder();
    const a = recorder.call(conv(), { x: given(1, 4), w: given(4, 4) });
    const b = recorder.call(softmax, { x: given(1, 4) });
    const joined = recorder.call(concat, { 0: a, 1: b });
    recorder.call(conv(), { x: joined, w: given(4, 4) });
    drop(a, b, joined);
    expect(place(recorder)[0]).toBeUndefined();
  });
});
