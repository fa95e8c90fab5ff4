/**
 * The backend in a Worker: the package as built, and tfjs from the script files of its packages.
 */
const TFJS = '/node_modules/@tensorflow';
const SCRIPTS = [
  `${TFJS}/tfjs-core/dist/tf-core.min.js`,
  `${TFJS}/tfjs-backend-cpu/dist/tf-backend-cpu.min.js`,
  `${TFJS}/tfjs-backend-webgl/dist/tf-backend-webgl.min.js`,
  '/dist/tfjs-backend-mulayer.min.js',
];

interface Answer {
  /** Where it is, before it has the rest. */
  stage?: string;
  backend?: string;
  product?: number[];
  memory?: number;
  error?: string;
}

/** Milliseconds after which a Worker is given up; the error says how far it came. */
const PATIENCE = 25_000;

/** Runs the body of an async function there; `tf` is loaded, `stage(name)` says how far it is. */
function inWorker(body: string): Promise<Answer> {
  const scripts = SCRIPTS.map(path => JSON.stringify(new URL(path, location.href).href)).join();
  const text = `
    const stage = name => postMessage({ stage: name });
    const run = async () => {
      importScripts(${scripts});
      stage('scripts loaded');
      ${body}
    };
    run().then(postMessage, error => postMessage({ error: String(error) }));`;
  const url = URL.createObjectURL(new Blob([text], { type: 'text/javascript' }));
  const worker = new Worker(url);
  let stage = 'started';
  return new Promise<Answer>((resolve, reject) => {
    const late = () => reject(new Error(`silent for ${PATIENCE} ms after: ${stage}`));
    let timer = setTimeout(late, PATIENCE);
    worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      clearTimeout(timer);
      if (data.stage === undefined) {
        resolve(data);
        return;
      }
      stage = data.stage;
      timer = setTimeout(late, PATIENCE);
    };
    worker.onerror = event => reject(new Error(event.message));
  }).finally(() => {
    worker.terminate();
    URL.revokeObjectURL(url);
  });
}

describe('in a Worker', () => {
  for (const split of ['auto', 'cpu', 'gpu', 0.5]) {
    it(`gives what it gives in the page: split ${split}`, async () => {
      const answer = await inWorker(`
        await tf.setBackend('mulayer');
        stage('backend set');
        tf.env().set('MULAYER_SPLIT', ${JSON.stringify(split)});
        tf.env().set('MULAYER_PRECISION', 'float32');
        const a = tf.tensor2d(Array.from({ length: 12 }, (_, i) => i), [3, 4]);
        const b = tf.ones([4, 16]);
        const product = [];
        for (let run = 0; run < 3; run++) {
          product.push(...(await tf.relu(tf.matMul(a, b)).data()));
          stage('run ' + run);
        }
        return { backend: tf.getBackend(), product, memory: tf.memory().mulayerHeapSize };`);
      expect(answer.error).toBeUndefined();
      expect(answer.backend).toBe('mulayer');
      const row = (value: number) => new Array<number>(16).fill(value);
      const once = [...row(6), ...row(22), ...row(38)];
      expect(answer.product).toEqual([...once, ...once, ...once]);
      expect(answer.memory).toBeGreaterThan(0);
    }, 120_000);
  }
});
