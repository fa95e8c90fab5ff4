/**
 * Whether the page can live while a net runs: how long the main thread is held at a time.
 *
 *     npm run bench -- longtasks
 *     npm run bench -- longtasks --net=faceres --threads=1 --precision=int8 --backend=wasm
 *
 * `call` is tfjs's own walk through the model; while the numbers are awaited no task should be
 * longer than 8 ms. The first inference observes, the second plans.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { setup } from '../setup.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const OUT = join(ROOT, 'build', 'bench-longtasks');

export async function main(args) {
  const { values } = parseArgs({
    args,
    options: {
      net: { type: 'string', default: 'centernet' },
      backend: { type: 'string', default: 'mulayer' },
      precision: { type: 'string', default: 'auto' },
      threads: { type: 'string', default: '0' },
      inferences: { type: 'string', default: '10' },
    },
  });
  const { net, backend, precision } = values;
  const { chromium } = setup(['chromium']);
  const { MODELS_DIR, ensureModels } = await import('../models.mjs');
  await ensureModels([net]);
  await buildPage();
  const { serve } = await import('../serve.mjs');
  const { launchChromium } = await import('../chromium.mjs');
  const server = await serve({ '/': OUT, '/models/': MODELS_DIR });
  const browser = await launchChromium(chromium);
  try {
    const page = await browser.page(`${server.url}/`, {
      log: (type, text) => ['error', 'warning'].includes(type) && console.error(text),
    });
    const plan = { net, backend, precision };
    plan.threads = Number(values.threads);
    plan.inferences = Number(values.inferences);
    const lived = await page.evaluate(`longTasks.run(${JSON.stringify(plan)})`);
    console.log(
      `${net} on ${backend}, precision ${precision}, threads ${plan.threads || 'auto'}\n`,
    );
    console.log('inference       ms     call  longest while awaited  above 8 ms  long tasks, ms');
    lived.forEach(({ ms, call, longest, above8, longTasks }, i) =>
      console.log(
        [
          String(i + 1).padStart(9),
          ms.toFixed(1).padStart(7),
          call.toFixed(1).padStart(7),
          longest.toFixed(1).padStart(21),
          String(above8).padStart(10),
          longTasks.map(duration => duration.toFixed(0)).join(' ') || 'none',
        ].join('  '),
      ),
    );
  } finally {
    await browser.close();
    await server.close();
  }
}

async function buildPage() {
  const { BUNDLE, buildWasm } = await import('../build.mjs');
  const { build } = await import('esbuild');
  await buildWasm();
  await mkdir(OUT, { recursive: true });
  await build({
    ...BUNDLE,
    entryPoints: [join(ROOT, 'scripts/bench/longtasks_page.ts')],
    outfile: join(OUT, 'longtasks.js'),
    format: 'iife',
    minify: true,
    define: { global: 'globalThis' },
  });
  const page = '<!doctype html><title>Long tasks</title><script src="longtasks.js"></script>\n';
  await writeFile(join(OUT, 'index.html'), page);
}
