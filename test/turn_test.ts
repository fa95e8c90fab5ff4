/** src/turn.ts */
import { nextTurn } from '../src/turn.js';

describe('nextTurn', () => {
  it('lets what has been posted before come first', async () => {
    const events: string[] = [];
    void Promise.resolve().then(() => events.push('microtask'));
    const { port1, port2 } = new MessageChannel();
    const message = new Promise<void>(resolve => {
      port1.onmessage = () => {
        events.push('message');
        resolve();
      };
    });
    port2.postMessage(null);
    await nextTurn();
    events.push('turn');
    await message;
    port1.close();
    expect(events[0]).toBe('microtask');
    expect(events).toContain('turn');
  });

  it('can be taken many times', async () => {
    for (let i = 0; i < 1000; i++) await nextTurn();
    expect().nothing();
  });
});
