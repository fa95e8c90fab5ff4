/**
 * Our products of patches on the convolutions of VGG-16: share of what register-only loops reach,
 * and tfjs-wasm's conv2d, in one process. One thread, unless more are asked for.
 *
 *     npm run bench -- gemm
 *     npm run bench -- gemm --node                    in this Node, without tfjs-wasm
 *     npm run bench -- gemm --shapes=56x56x256x3x256,14x14x512x1x512 --only='dot relaxed'
 *
 *     --shapes     ROWSxCOLUMNSxCIxKERNELxCO, stride 1, padding 'same'
 *     --only       columns: `dot relaxed`, `i16 relaxed`, `i16 baseline`, `f32 relaxed`,
 *                  `f32 baseline`, `tfjs-wasm`
 *     --threads    such as 1,2: columns of ours with so many, and what they gain over one
 *     --rounds     of which a figure is the median
 *
 * Medians over rounds in which all take their turn, the limits too: on a busy machine compare the
 * shares, not the figures.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

import { SetupError, setup } from '../setup.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const OUT = join(ROOT, 'build', 'bench-gemm');
const VGG = '224x224x64x3x64,112x112x128x3x128,56x56x256x3x256,28x28x512x3x512,14x14x512x3x512';

export async function main(args) {
  const { values } = parseArgs({
    args,
    options: {
      shapes: { type: 'string', default: VGG },
      only: { type: 'string', default: '' },
      threads: { type: 'string', default: '1' },
      rounds: { type: 'string', default: '7' },
      sample: { type: 'string', default: '50' },
      node: { type: 'boolean', default: false },
    },
  });
  const shapes = values.shapes.split(',').map(text => text.split('x').map(Number));
  for (const shape of shapes) {
    if (shape.length !== 5 || !shape.every(n => Number.isInteger(n) && n > 0)) {
      throw new SetupError(`--shapes: expected ROWSxCOLUMNSxCIxKERNELxCO, got ${shape.join('x')}`);
    }
  }
  const plan = {
    shapes,
    only: values.only ? values.only.split(',') : [],
    threads: values.threads.split(',').map(Number),
    rounds: Number(values.rounds),
    sample: Number(values.sample),
  };
  await buildPage(values.node ? 'node' : 'browser');
  print(values.node ? await runInNode(plan) : await runInChromium(plan));
}

async function buildPage(platform) {
  const { BUNDLE, buildWasm } = await import('../build.mjs');
  const { build } = await import('esbuild');
  await buildWasm();
  await buildLimits();
  await mkdir(OUT, { recursive: true });
  await build({
    ...BUNDLE,
    entryPoints: [join(ROOT, 'scripts/bench/gemm_page.ts')],
    outfile: join(OUT, platform === 'node' ? 'bench.cjs' : 'bench.js'),
    platform,
    mainFields: platform === 'node' ? ['module', 'main'] : ['browser', 'module', 'main'],
    format: platform === 'node' ? 'cjs' : 'iife',
    define: { global: 'globalThis' },
  });
  await writeFile(join(OUT, 'index.html'), '<!doctype html><script src="bench.js"></script>\n');
}

/** build/bench.wasm, of wasm/bench.ts. */
export async function buildLimits() {
  const { default: asc } = await import('assemblyscript/asc');
  const { error, stderr } = await asc.main(
    ['wasm/bench.ts', '--config', 'wasm/asconfig.json', '--target', 'bench'],
    { baseDir: ROOT },
  );
  if (error) throw new SetupError(`asc, bench: ${error.message}\n${stderr.toString()}`);
}

async function runInNode(plan) {
  await import(pathToFileURL(join(OUT, 'bench.cjs')).href);
  return globalThis.benchGemm.run(plan);
}

async function runInChromium(plan) {
  const { chromium } = setup(['chromium']);
  const { serve } = await import('../serve.mjs');
  const { launchChromium } = await import('../chromium.mjs');
  const server = await serve({ '/': OUT });
  const browser = await launchChromium(chromium);
  try {
    const page = await browser.page(`${server.url}/`, {
      log: (type, text) => type === 'error' && console.error(text),
    });
    return await page.evaluate(`benchGemm.run(${JSON.stringify(plan)})`);
  } finally {
    await browser.close();
    await server.close();
  }
}

const KINDS = {
  0: 'of no use',
  1: 'exact, second operand unsigned',
  2: 'exact, second operand signed',
  3: 'pairs saturate: exact for weights within 64',
};

function print({ relaxedDotKind, rows }) {
  console.log(`relaxed dot here: ${KINDS[relaxedDotKind] ?? 'none'}`);
  console.log('limit: register-only loops of the relaxed dot, the i16 dot, the relaxed madd\n');
  const names = Object.keys(rows[0]?.gmacs ?? {});
  const widths = names.map(name => Math.max(name.length, 12));
  const line = (first, limits, cells) => {
    const columns = cells.map((cell, i) => cell.padStart(widths[i] + 2));
    console.log(first.padEnd(20) + limits.padStart(20) + columns.join(''));
  };
  line('GMAC/s', 'limit dot/i16/f32', names);
  for (const { shape, gmacs, limits } of rows) {
    const [h, w, ci, k, co] = shape;
    const cells = names.map(name => {
      const one = gmacs[name.replace(/ x\d+$/, '')];
      if (one !== gmacs[name]) {
        return `${gmacs[name].toFixed(1)}${one ? ` (${(gmacs[name] / one).toFixed(2)}x)` : ''}`;
      }
      const limit = limits[name.split(' ')[0]];
      const share = limit ? ` (${((100 * gmacs[name]) / limit).toFixed(0)} %)` : '';
      return gmacs[name].toFixed(1) + share;
    });
    const bounds = Object.values(limits).map(limit => limit.toFixed(1));
    line(`${h}x${w}x${ci} ${k}x${k} ${co}`, bounds.join(' / '), cells);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
