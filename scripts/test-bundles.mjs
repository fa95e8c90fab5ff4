/**
 * The specs as bundles, one for each suite, in build/test/. They have src/ in them, not dist/, and
 * share with the page they run in nothing but jasmine.
 */
import { readdirSync } from 'node:fs';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

import { BUNDLE } from './build.mjs';
import { emulateDots, withDot } from './emulate-dot.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/**
 * The files of a suite. `unit` is every `*_test.ts` that is not conformance or models; of these,
 * `*_browser_test.ts` are left out in Node.
 */
export function specFiles(suite, platform = 'browser') {
  if (suite === 'conformance') return ['test/conformance/conformance.ts'];
  const all = readdirSync(join(ROOT, 'test'), { recursive: true })
    .map(file => `test/${file.split(sep).join('/')}`)
    .filter(file => file.endsWith('_test.ts'))
    .sort();
  if (suite === 'models') return all.filter(file => file.startsWith('test/models/'));
  return all
    .filter(file => !/^test\/(models|conformance)\//.test(file))
    .filter(file => platform === 'browser' || !file.endsWith('_browser_test.ts'));
}

/**
 * Bundles one suite.
 *
 * @param platform `browser` or `node`
 * @param dot of DOTS, to have the whole suite on a machine with this relaxed dot; absent: on this one
 * @returns path of the bundle, relative to the project.
 */
export async function bundleSuite(suite, platform = 'browser', dot = undefined) {
  const { build } = await import('esbuild');
  await emulateDots();
  const outfile = `build/test/${suite}.${platform === 'node' ? 'cjs' : 'js'}`;
  await build({
    ...BUNDLE,
    stdin: {
      contents: specFiles(suite, platform)
        .map(file => `import './${file}';`)
        .join('\n'),
      resolveDir: ROOT,
      sourcefile: `${suite}.ts`,
    },
    platform,
    // tfjs's ES modules in Node too: its CommonJS bundles are other copies of the same code.
    mainFields: platform === 'node' ? ['module', 'main'] : ['browser', 'module', 'main'],
    // tfjs-core says of its specs, gradients and chained methods that they have no side effects.
    ignoreAnnotations: true,
    define: { global: 'globalThis' },
    plugins: withDot(dot),
    sourcemap: 'inline',
    outfile,
  });
  return outfile;
}
