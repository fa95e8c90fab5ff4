/**
 * What is in the package, as a user meets it: `dist/`, in a page of its own, by the README's lines.
 * tfjs comes from the script files of its packages; for the ES module an import map gives them the
 * names that a bundler would resolve.
 */
const TFJS = '/node_modules/@tensorflow';
const SCRIPTS = [
  `${TFJS}/tfjs-core/dist/tf-core.min.js`,
  `${TFJS}/tfjs-backend-cpu/dist/tf-backend-cpu.min.js`,
  `${TFJS}/tfjs-backend-webgl/dist/tf-backend-webgl.min.js`,
];

/** [1, 2; 3, 4] times itself, and what the page says of its backend. */
const USE = `
  await tf.setBackend('mulayer');
  const x = tf.tensor2d([1, 2, 3, 4], [2, 2]);
  const product = await tf.matMul(x, x).data();
  parent.postMessage({ backend: tf.getBackend(), product: [...product], from: name }, '*');`;

interface Answer {
  backend?: string;
  product?: number[];
  error?: string;
}

/** Loads a page and waits for what it posts. */
function answerOf(body: string): Promise<Answer> {
  const name = `shipped ${Math.random()}`;
  const frame = document.createElement('iframe');
  frame.name = name;
  const answer = new Promise<Answer>(resolve => {
    addEventListener('message', function listen({ data }: MessageEvent<Answer & { from: string }>) {
      if (data.from !== name) return;
      removeEventListener('message', listen);
      resolve(data);
    });
  });
  const tell = `const tell = error => parent.postMessage({ error: String(error), from: name }, '*');
    addEventListener('error', event => tell(event.message || event.target.src), true);
    addEventListener('unhandledrejection', event => tell(event.reason));`;
  const scripts = SCRIPTS.map(url => `<script src="${url}"></script>`).join('');
  frame.srcdoc = `<!doctype html><script>${tell}</script>${scripts}${body}`;
  document.body.append(frame);
  return answer.finally(() => frame.remove());
}

const expected = jasmine.objectContaining({ backend: 'mulayer', product: [7, 10, 15, 22] });

describe('the shipped package', () => {
  it('works as an ES module', async () => {
    const answer = await answerOf(`<script>
      // A module that gives the global tf under the exports' own names.
      const names = Object.keys(tf).filter(key => /^\\w+$/.test(key) && key !== 'default');
      const text = 'export const {' + names + '} = globalThis.tf;';
      const asModule = text => URL.createObjectURL(new Blob([text], { type: 'text/javascript' }));
      const map = document.createElement('script');
      map.type = 'importmap';
      map.textContent = JSON.stringify({ imports: {
        '@tensorflow/tfjs-core': asModule(text),
        '@tensorflow/tfjs-backend-cpu': asModule(''),
        '@tensorflow/tfjs-backend-webgl': asModule(''),
        'tfjs-backend-mulayer': new URL('/dist/index.js', document.baseURI).href,
      } });
      document.head.append(map);
      const user = document.createElement('script');
      user.type = 'module';
      user.textContent = \`
        import * as tf from '@tensorflow/tfjs-core';
        import 'tfjs-backend-mulayer';
        ${USE}\`;
      document.head.append(user);
    </script>`);
    expect(answer)
      .withContext(answer.error ?? '')
      .toEqual(expected);
  }, 60_000);

  it('works as a script tag', async () => {
    const answer = await answerOf(`
      <script src="/dist/tfjs-backend-mulayer.min.js"></script>
      <script type="module">${USE}</script>`);
    expect(answer)
      .withContext(answer.error ?? '')
      .toEqual(expected);
  }, 60_000);
});
