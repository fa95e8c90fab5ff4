/** src/graph/graph.ts: who is reachable, and what is dropped with whom. */
import { given, kernel, Recorder } from './nodes.js';

const relu = kernel('Relu');

describe('Graph', () => {
  it('keeps calls in their order', () => {
    const recorder = new Recorder();
    const x = given(2);
    const y = recorder.call(kernel('A'), { x });
    recorder.call(kernel('B'), { x: y });
    expect(recorder.nodes.map(node => node.kernel.name)).toEqual(['A', 'B']);
    expect(y.pending).toBeTrue();
    expect(x.pending).toBeFalse();
  });

  it('counts a use for each call and each time it is an input', () => {
    const recorder = new Recorder();
    const x = given(2);
    recorder.call(relu, { a: x, b: x });
    recorder.call(relu, { x });
    expect(x.uses).toBe(3);
  });

  it('drops a node with its last reference, and what only it needed', () => {
    const recorder = new Recorder();
    const x = given(2);
    const y = recorder.call(relu, { x });
    const z = recorder.call(relu, { x: y });
    y.refs--;
    recorder.graph.release(y);
    expect(recorder.nodes.length).withContext('y is still used').toBe(2);
    z.refs--;
    recorder.graph.release(z);
    expect(recorder.nodes).toEqual([]);
    expect(recorder.dead.length).toBe(2);
    expect(x.uses).toBe(0);
    expect(x.wanted).withContext('the user has it').toBeTrue();
  });

  it('keeps what another one needs', () => {
    const recorder = new Recorder();
    const y = recorder.call(relu, { x: given(2) });
    const [a, b] = [recorder.call(relu, { x: y }), recorder.call(relu, { x: y })];
    for (const value of [y, a]) {
      value.refs--;
      recorder.graph.release(value);
    }
    expect(recorder.nodes.length).toBe(2);
    expect(b.wanted).toBeTrue();
  });

  it('keeps a node of two results until both are gone', () => {
    const recorder = new Recorder();
    const two = kernel('Split', {
      infer: ({ x: { shape, dtype } }) => [
        { shape, dtype },
        { shape, dtype },
      ],
    });
    const first = recorder.call(two, { x: given(2) });
    const [, second] = recorder.nodes[0].outputs;
    first.refs--;
    recorder.graph.release(first);
    expect(recorder.nodes.length).toBe(1);
    second.refs--;
    recorder.graph.release(second);
    expect(recorder.nodes.length).toBe(0);
  });

  it('drops a chain of 100,000 without running out of stack', () => {
    const recorder = new Recorder();
    let y = given(1);
    for (let i = 0; i < 100_000; i++) {
      const next = recorder.call(relu, { x: y });
      y.refs--;
      y = next;
    }
    y.refs--;
    recorder.graph.release(y);
    expect(recorder.nodes.length).toBe(0);
  });

  it('frees an input when the last node that needed it has run', () => {
    const recorder = new Recorder();
    const x = given(2);
    let freed = 0;
    x.cpu = { bytes: 8, free: () => freed++ };
    recorder.call(relu, { x });
    recorder.call(relu, { x });
    const [first, second] = recorder.graph.take();
    expect(recorder.nodes).toEqual([]);
    x.refs--;
    recorder.graph.release(x);
    recorder.graph.endUses(first);
    expect(freed).toBe(0);
    recorder.graph.endUses(second);
    expect(freed).toBe(1);
  });

  it('forgets a result that is released while its node is being run', () => {
    const recorder = new Recorder();
    const y = recorder.call(relu, { x: given(2) });
    const [node] = recorder.graph.take();
    y.refs--;
    recorder.graph.release(y);
    expect(node.wanted).toBeFalse();
    expect(recorder.dead).toEqual([]);
  });
});
