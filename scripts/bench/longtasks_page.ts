/**
 * The page of `scripts/bench/longtasks.mjs`: a real net runs while the page tries to live.
 *
 * The Long Tasks API tells of tasks above 50 ms only. What is shorter is seen by a message that the
 * page keeps posting to itself: the time between two arrivals is what the tasks in between took.
 */
import '@tensorflow/tfjs-backend-webgl';
import * as tf from '@tensorflow/tfjs-core';

import '../../test/models/tfjs_wasm.js';
import '../../src/index.js';
import { NETS, type NetName } from '../../test/models/nets.js';
import { MODELS_URL } from '../../test/models/urls.js';

export interface Plan {
  net: NetName;
  /** tfjs's name. */
  backend: string;
  precision: 'auto' | 'int8' | 'float32';
  threads: number;
  inferences: number;
}

/** One inference, in milliseconds. */
export interface Lived {
  /** From the call to the numbers. */
  ms: number;
  /** The call: tfjs walks the model and every kernel is recorded. */
  call: number;
  /** The longest that the page had to wait while the numbers were awaited. */
  longest: number;
  /** How often it waited for longer than 8 ms. */
  above8: number;
  /** What the Long Tasks API told: durations. */
  longTasks: number[];
}

async function run({ net, backend, precision, threads, inferences }: Plan): Promise<Lived[]> {
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  tf.env().set('MULAYER_SPLIT', 'cpu');
  tf.env().set('MULAYER_THREADS', threads);
  tf.env().set('MULAYER_PRECISION', precision);
  await tf.setBackend(backend);
  const loaded = await NETS[net].load(MODELS_URL);
  const x = tf.randomUniform<tf.Rank.R4>(NETS[net].inputShape(128, 128), 0, 255, 'float32', 7);
  await x.data();
  const all: Lived[] = [];
  for (let i = 0; i < inferences; i++) {
    const longTasks: number[] = [];
    const observer = new PerformanceObserver(list => {
      for (const { duration } of list.getEntries()) longTasks.push(duration);
    });
    // What came before is not this inference's.
    await rest();
    observer.observe({ type: 'longtask' });
    const start = performance.now();
    const outputs = loaded.run(x);
    const call = performance.now() - start;
    const gaps = watch();
    await Promise.all(outputs.map(output => output.data()));
    const ms = performance.now() - start;
    const waits = gaps.stop();
    tf.dispose(outputs);
    await rest();
    observer.disconnect();
    all.push({
      ms,
      call,
      longest: waits.reduce((most, wait) => Math.max(most, wait), 0),
      above8: waits.filter(wait => wait > 8).length,
      longTasks,
    });
  }
  x.dispose();
  loaded.dispose();
  return all;
}

/**
 * Collects the times between turns of the event loop. Several messages are on their way at any time:
 * after one alone two of our turns may come.
 */
function watch() {
  const { port1, port2 } = new MessageChannel();
  const waits: number[] = [];
  let last = performance.now();
  const arrive = () => {
    const now = performance.now();
    waits.push(now - last);
    last = now;
  };
  port2.onmessage = () => {
    arrive();
    port1.postMessage(null);
  };
  for (let i = 0; i < 4; i++) port1.postMessage(null);
  return {
    stop(): number[] {
      arrive();
      port1.close();
      port2.close();
      return waits;
    },
  };
}

/** Long enough that the observer is told. */
const rest = () => new Promise(resolve => setTimeout(resolve, 100));

declare global {
  interface Window {
    longTasks: { run: typeof run };
  }
}
window.longTasks = { run };
