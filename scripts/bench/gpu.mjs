/**
 * Our convolution programs and whole nets on mulayer's GPU against tfjs-webgl, in turn on one page.
 *
 *     npm run bench -- gpu
 *     npm run bench -- gpu --only='3x3 56' --rounds=7
 *     npm run bench -- gpu --only=none --nets=squeezenet,mobilenet
 *     npm run bench -- gpu --page=DIR      only puts the page there: gpu.html?rounds=7 POSTs to /result
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { setup } from '../setup.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export async function main(args) {
  const { values } = parseArgs({
    args,
    options: {
      rounds: { type: 'string', default: '5' },
      only: { type: 'string', default: '' },
      nets: { type: 'string', default: '' },
      page: { type: 'string' },
    },
  });
  const out = values.page ?? join(ROOT, 'build', 'bench-gpu');
  await buildPage(out);
  if (values.page) return;
  const { chromium } = setup(['chromium']);
  const { serve } = await import('../serve.mjs');
  const { launchChromium } = await import('../chromium.mjs');
  const server = await serve({ '/': `${out}/` });
  const browser = await launchChromium(chromium);
  try {
    const page = await browser.page(`${server.url}/gpu.html`, {
      log: (type, text) => ['error', 'warning'].includes(type) && console.error(text),
    });
    const nets = values.nets.split(',').filter(Boolean);
    const plan = { rounds: Number(values.rounds), only: values.only, nets };
    print(await page.evaluate(`bench.run(${JSON.stringify(plan)})`));
  } finally {
    await browser.close();
    await server.close();
  }
}

/** gpu.html and its script, in a folder. */
async function buildPage(out) {
  const { BUNDLE, buildWasm } = await import('../build.mjs');
  const { build } = await import('esbuild');
  await buildWasm();
  await mkdir(out, { recursive: true });
  await build({
    ...BUNDLE,
    entryPoints: [join(ROOT, 'scripts/bench/gpu_page.ts')],
    outfile: join(out, 'gpu.js'),
    format: 'iife',
    minify: true,
    define: { global: 'globalThis' },
  });
  await writeFile(join(out, 'gpu.html'), '<!doctype html><script src="gpu.js"></script>\n');
}

function print({ renderer, isMediumHalf, errors, rows }) {
  console.log(`${renderer}; mediump is ${isMediumHalf ? '16' : '32'} bits`);
  for (const [place, error] of Object.entries(errors)) {
    console.log(`  relative RMS of halves, weights in ${place}: ${error.toExponential(2)}`);
  }
  for (const row of rows) {
    const [webgl, f16] = ['webgl', 'webgl f16'].map(
      name => rows.find(other => other.shape === row.shape && other.contestant === name).ms,
    );
    const more =
      row.bytes === undefined
        ? ''
        : `   ${(row.bytes / 2 ** 20).toFixed(0)} MiB   error ${row.error.toExponential(1)}`;
    console.log(
      `  ${row.shape.padEnd(18)} ${row.contestant.padEnd(22)} ${row.ms.toFixed(3).padStart(9)} ms` +
        ` ${row.gflops.toFixed(0).padStart(6)} GFLOP/s ${(webgl / row.ms).toFixed(1).padStart(5)}` +
        ` ${(f16 / row.ms).toFixed(1).padStart(5)}   first ${row.first.toFixed(1)}${more}`,
    );
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
