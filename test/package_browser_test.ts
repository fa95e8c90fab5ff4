/**
 * dist/, as built for script tags: after tfjs's own scripts in a page, and in a worker. Each has a
 * tfjs of its own, apart from the one in this bundle.
 */
const SCRIPTS = [
  '/node_modules/@tensorflow/tfjs-core/dist/tf-core.min.js',
  '/node_modules/@tensorflow/tfjs-backend-cpu/dist/tf-backend-cpu.min.js',
  '/node_modules/@tensorflow/tfjs-backend-webgl/dist/tf-backend-webgl.min.js',
  '/dist/tfjs-backend-mulayer.min.js',
].map(path => new URL(path, location.href).href);

/** Runs in the page or worker: 3x3 ones over 4x4 ones. */
const PROGRAM = `(async () => {
  await tf.setBackend('mulayer');
  const y = tf.conv2d(tf.ones([1, 4, 4, 1]), tf.ones([3, 3, 1, 1]), 1, 'valid');
  const values = [...await y.data()];
  return { backend: tf.getBackend(), values, layers: tf.mulayer.explain().layers.length };
})()`;

const EXPECTED = { backend: 'mulayer', values: [9, 9, 9, 9], layers: 1 };

interface Page extends Window {
  eval(program: string): unknown;
}

describe('tfjs-backend-mulayer.min.js', () => {
  let frame: HTMLIFrameElement;

  beforeEach(() => {
    frame = document.createElement('iframe');
    document.body.append(frame);
  });
  afterEach(() => frame.remove());

  /** Adds a script tag to the page and waits for it; what it threw comes back. */
  async function load(src: string): Promise<string | undefined> {
    const page = frame.contentDocument!;
    let thrown: string | undefined;
    frame.contentWindow!.onerror = (_event, _source, _line, _column, error) => {
      thrown = error?.message;
      return true;
    };
    await new Promise((resolve, reject) => {
      const script = page.createElement('script');
      script.onload = resolve;
      script.onerror = () => reject(new Error(`${src}: not there`));
      script.src = src;
      page.head.append(script);
    });
    return thrown;
  }

  it('runs in a page of script tags', async () => {
    for (const src of SCRIPTS) expect(await load(src)).toBeUndefined();
    expect(await (frame.contentWindow as Page).eval(PROGRAM)).toEqual(EXPECTED);
  });

  it('says what is missing when it comes first', async () => {
    expect(await load(SCRIPTS.at(-1)!)).toContain('load tf.min.js before');
  });

  it('runs in a worker', async () => {
    const program = `importScripts(${SCRIPTS.map(src => `'${src}'`).join()});
      ${PROGRAM}.then(postMessage, error => postMessage(String(error)));`;
    const url = URL.createObjectURL(new Blob([program], { type: 'text/javascript' }));
    const worker = new Worker(url);
    const answer = await new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = ({ message }) => reject(new Error(message));
    });
    worker.terminate();
    URL.revokeObjectURL(url);
    expect(answer).toEqual(EXPECTED);
  });
});
