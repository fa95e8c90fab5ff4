/**
 * Both processors at once against each alone: nets on mulayer with each `MULAYER_SPLIT`, with so many
 * threads, inputs and images, and on tfjs-webgl and tfjs-wasm, in turn on one page.
 *
 *     npm run bench -- coop --nets=squeezenet --threads=1,2 --batches=1,4
 *     npm run bench -- coop --splits=cpu,gpu,0.5,bands,auto,webgl,wasm
 *     --rounds, --turn: turns of each, and inferences in each of them
 *     npm run bench -- coop --page=DIR     only puts the page there: coop.html?nets=... POSTs to /result
 *
 * A GPU in software tells nothing of speed: `--page` is for a machine that has one.
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
      nets: { type: 'string', default: 'squeezenet' },
      threads: { type: 'string', default: '1,2' },
      sizes: { type: 'string', default: '0' },
      batches: { type: 'string', default: '1' },
      splits: { type: 'string', default: 'cpu,gpu,auto' },
      precision: { type: 'string', default: 'int8' },
      rounds: { type: 'string', default: '5' },
      turn: { type: 'string', default: '3' },
      page: { type: 'string' },
    },
  });
  const out = values.page ?? join(ROOT, 'build', 'bench-coop');
  await buildPage(out);
  if (values.page) return;
  const { chromium } = setup(['chromium']);
  const { serve } = await import('../serve.mjs');
  const { launchChromium } = await import('../chromium.mjs');
  const server = await serve({ '/': `${out}/` });
  const browser = await launchChromium(chromium);
  const { nets, threads, sizes, batches, splits, precision, rounds, turn } = values;
  const numbers = text => text.split(',').map(Number);
  const plan = {
    ...{ nets: nets.split(','), splits: splits.split(','), precision },
    ...{ rounds: Number(rounds), turn: Number(turn) },
    ...{ threads: numbers(threads), sizes: numbers(sizes), batches: numbers(batches) },
  };
  try {
    const page = await browser.page(`${server.url}/coop.html`, {
      log: (type, text) => ['error', 'warning'].includes(type) && console.error(text),
    });
    print(await page.evaluate(`bench.run(${JSON.stringify(plan)})`));
  } finally {
    await browser.close();
    await server.close();
  }
}

/** coop.html and its script, in a folder. */
async function buildPage(out) {
  const { BUNDLE, buildWasm } = await import('../build.mjs');
  const { build } = await import('esbuild');
  await buildWasm();
  await mkdir(out, { recursive: true });
  await build({
    ...BUNDLE,
    entryPoints: [join(ROOT, 'scripts/bench/coop_page.ts')],
    outfile: join(out, 'coop.js'),
    format: 'iife',
    minify: true,
    define: { global: 'globalThis' },
  });
  await writeFile(join(out, 'coop.html'), '<!doctype html><script src="coop.js"></script>\n');
}

/** Of each net, input and thread count; the ratio is to the better processor alone, by the quickest. */
function print(rows) {
  const keyOf = ({ net, size, batch, threads }) => `${net} ${size} x${batch}, ${threads} threads`;
  for (const key of new Set(rows.map(keyOf))) {
    console.log(key);
    const group = rows.filter(row => keyOf(row) === key);
    const alone = group.filter(({ split }) => ['cpu', 'gpu'].includes(split));
    const best = Math.min(...alone.map(({ least }) => least));
    for (const { split, ms, least, error, layers, readbacks, bytes } of group) {
      const more = layers
        ? `   layers ${layers.join('/')}   read-backs ${readbacks}   ${(bytes / 1e6).toFixed(2)} MB`
        : '';
      console.log(
        `  ${split.padEnd(8)} ${ms.toFixed(2).padStart(9)} ms   least ${least.toFixed(2).padStart(8)}` +
          `   ${(best / least).toFixed(2)} times   error ${error.toExponential(1)}${more}`,
      );
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
