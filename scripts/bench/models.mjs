/**
 * Whole nets: mulayer's settings against tfjs's backends, in turn in one page of headless Chromium.
 *
 *     npm run bench -- models
 *     npm run bench -- models --nets=esrgan --settings=wasm,cpu/int8 --rounds=7 --layers
 *
 *     --settings   wasm, webgl, or SPLIT/PRECISION for mulayer
 *     --threads    such as 1,2: mulayer's settings with so many, and what they gain over the first
 *     --size       rows and columns for nets that take any
 *     --layers     milliseconds by kernel of mulayer's last inference
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { setup } from '../setup.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const OUT = join(ROOT, 'build', 'bench');

export async function main(args) {
  const { values } = parseArgs({
    args,
    options: {
      nets: { type: 'string', default: 'esrgan,centernet,faceres,inception,nanodet' },
      settings: { type: 'string', default: 'wasm,cpu/float32,cpu/int8,cpu/auto' },
      threads: { type: 'string', default: '1' },
      size: { type: 'string', default: '128' },
      rounds: { type: 'string', default: '5' },
      layers: { type: 'boolean', default: false },
    },
  });
  const plan = {
    nets: values.nets.split(','),
    settings: values.settings
      .split(',')
      .flatMap(setting =>
        setting.includes('/')
          ? values.threads.split(',').map(threads => `${setting}/${threads}`)
          : [setting],
      ),
    size: Number(values.size),
    rounds: Number(values.rounds),
    models: '/models',
    layers: values.layers,
  };
  const { chromium } = setup(['chromium']);
  const { ensureModels } = await import('../models.mjs');
  await ensureModels(plan.nets);
  await buildPage();
  const { serve } = await import('../serve.mjs');
  const { launchChromium } = await import('../chromium.mjs');
  const server = await serve({ '/': OUT, '/models/': join(ROOT, '.models') });
  const browser = await launchChromium(chromium);
  try {
    for (const net of plan.nets) {
      const page = await browser.page(`${server.url}/`, {
        log: (type, text) => ['error', 'warning'].includes(type) && console.error(text),
      });
      const rows = await page.evaluate(`bench.run(${JSON.stringify({ ...plan, nets: [net] })})`);
      print(net, rows);
      await page.close();
    }
  } finally {
    await browser.close();
    await server.close();
  }
}

/** build/bench/index.html and its script. */
export async function buildPage(out = OUT) {
  const { BUNDLE, buildWasm } = await import('../build.mjs');
  const { build } = await import('esbuild');
  await buildWasm();
  await mkdir(out, { recursive: true });
  await build({
    ...BUNDLE,
    entryPoints: [join(ROOT, 'scripts/bench/models_page.ts')],
    outfile: join(out, 'bench.js'),
    format: 'iife',
    minify: true,
    define: { global: 'globalThis' },
  });
  await writeFile(join(out, 'index.html'), '<!doctype html><script src="bench.js"></script>\n');
}

function print(net, rows) {
  const wasm = rows.find(({ setting }) => setting === 'wasm');
  console.log(
    `\n${net}                 first   median   against wasm   threads' gain   int8 layers   read-backs   MB read`,
  );
  for (const row of rows) {
    const [split, precision] = row.setting.split('/');
    const first = rows.find(({ setting }) => setting.startsWith(`${split}/${precision}/`));
    const gain = first && first !== row ? (first.median / row.median).toFixed(2) : '';
    const ratio = wasm ? (wasm.median / row.median).toFixed(2) : '';
    console.log(
      `  ${row.setting.padEnd(16)} ${row.first.toFixed(0).padStart(7)} ${row.median.toFixed(1).padStart(8)}` +
        ` ${ratio.padStart(14)} ${gain.padStart(15)} ${`${row.int8Layers}/${row.nodes}`.padStart(13)}` +
        ` ${String(row.readbacks).padStart(12)} ${row.megabytesRead.toFixed(1).padStart(9)}`,
    );
    if (row.layers) printLayers(row.layers);
  }
}

function printLayers(layers) {
  const groups = new Map();
  for (const { op, precision, ms, where } of layers) {
    const key = `${op} ${where} ${precision}`;
    const group = groups.get(key) ?? { n: 0, ms: 0 };
    groups.set(key, { n: group.n + 1, ms: group.ms + ms });
  }
  for (const [key, { n, ms }] of [...groups].sort(([, a], [, b]) => b.ms - a.ms).slice(0, 12)) {
    console.log(`      ${ms.toFixed(2).padStart(8)} ms  ${String(n).padStart(3)} x ${key}`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
