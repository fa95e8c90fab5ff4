/**
 * The profile of this device (`src/run/profiler.ts`), and what it predicts for the layers of whole nets on
 * the CPU, in int8 and float32, against what they take.
 *
 *     npm run bench -- profile
 *     npm run bench -- profile --nets=mobilenet --threads=1 --runs=50 --layers
 *     npm run bench -- profile --page=DIR    only puts the page there: profile.html?threads=1,4 POSTs to /result
 *
 *     --budget    milliseconds of calibration
 *     --software  measures a GPU that is a program on the CPU, too
 *     --layers    every layer with its prediction
 *     --json      file for all that was measured; the profiles go to build/bench-profile/THREADS.json
 *
 * Inferences are read at once (`dataSync`), so that layers hold no turns of the page. Medians. A layer is
 * right within 15 % or 5 µs, a step of the clock; `large` are those of 50 µs and more. `refined` is the
 * same after the profile has learnt from that net (`src/plan/refine.ts`).
 */
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { setup } from '../setup.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const OUT = join(ROOT, 'build', 'bench-profile');

export async function main(args) {
  const { values } = parseArgs({
    args,
    options: {
      nets: { type: 'string', default: 'vgg16,alexnet,googlenet,squeezenet,mobilenet,centernet' },
      threads: { type: 'string', default: '1,2' },
      runs: { type: 'string', default: '20' },
      budget: { type: 'string', default: '200' },
      software: { type: 'boolean', default: false },
      layers: { type: 'boolean', default: false },
      json: { type: 'string' },
      page: { type: 'string' },
    },
  });
  const nets = values.nets.split(',').filter(Boolean);
  const { chromium } = setup(values.page ? [] : ['chromium']);
  const { MODELS_DIR, ensureModels } = await import('../models.mjs');
  if (nets.includes('centernet')) await ensureModels(['centernet']);
  const out = values.page ?? OUT;
  await buildPage(out);
  if (values.page) {
    await cp(join(MODELS_DIR, 'centernet'), join(out, 'models', 'centernet'), { recursive: true });
    return;
  }
  const { serve } = await import('../serve.mjs');
  const { launchChromium } = await import('../chromium.mjs');
  const server = await serve({ '/': `${out}/`, '/models/': `${MODELS_DIR}/` });
  const browser = await launchChromium(chromium);
  const all = { profiles: [], nets: [] };
  try {
    // A page for each net, so that none has another's heap; each measures the profile anew.
    for (const net of nets) {
      const page = await browser.page(`${server.url}/profile.html`, {
        log: (type, text) => ['error', 'warning'].includes(type) && console.error(text),
      });
      const plan = {
        nets: [net],
        threads: values.threads.split(',').map(Number),
        runs: Number(values.runs),
        budget: Number(values.budget),
        models: '/models',
        software: values.software,
      };
      const report = await page.evaluate(`bench.run(${JSON.stringify(plan)})`);
      await page.close();
      all.profiles = report.profiles;
      all.nets.push(...report.nets);
    }
  } finally {
    await browser.close();
    await server.close();
  }
  for (const { profile } of all.profiles) {
    printProfile(profile);
    const file = join(OUT, `${profile.cpu.threads}.json`);
    await writeFile(file, `${JSON.stringify(profile, undefined, 2)}\n`);
  }
  printNets(all.nets, values.layers);
  if (values.json) await writeFile(values.json, JSON.stringify(all));
}

/** profile.html and its script, in a folder. */
async function buildPage(out) {
  const { BUNDLE, buildWasm } = await import('../build.mjs');
  const { build } = await import('esbuild');
  await buildWasm();
  await mkdir(out, { recursive: true });
  await build({
    ...BUNDLE,
    entryPoints: [join(ROOT, 'scripts/bench/profile_page.ts')],
    outfile: join(out, 'profile.js'),
    format: 'iife',
    minify: true,
    define: { global: 'globalThis' },
  });
  await writeFile(join(out, 'profile.html'), '<!doctype html><script src="profile.js"></script>\n');
}

function printProfile({ name, cpu, gpu }) {
  console.log(`\n${name}, ${cpu.threads} thread${cpu.threads > 1 ? 's' : ''}: nanoseconds`);
  console.log(`  wake ${cpu.wake.toFixed(0)}, slow-down ${cpu.slowDown.toFixed(2)}`);
  const number = value => (value === undefined ? '' : value.toPrecision(3)).padStart(10);
  const terms = ['perResult', 'perWeight', 'perCopy', 'perFar'];
  console.log(
    `  ${''.padEnd(24)}${['perUnit', 'call', ...terms].map(term => term.padStart(10)).join('')}`,
  );
  for (const [family, units] of Object.entries(cpu.units)) {
    for (const [format, unit] of Object.entries(units)) {
      const times = [unit.perUnit[cpu.threads], unit.call, ...terms.map(term => unit[term])];
      console.log(`  ${`${family} ${format}`.padEnd(24)}${times.map(number).join('')}`);
    }
  }
  if (!gpu) return;
  console.log(`  GPU: ${gpu.lanes} lanes, slow-down ${gpu.slowDown.toFixed(2)}`);
  for (const [family, units] of Object.entries(gpu.units)) {
    for (const [format, { perUnit, draw }] of Object.entries(units)) {
      console.log(`  ${`${family} ${format}`.padEnd(24)}${number(perUnit)}${number(draw)}`);
    }
  }
  for (const way of ['upload', 'readBack']) {
    for (const [format, { a, b }] of Object.entries(gpu[way])) {
      console.log(`  ${`${way} ${format}`.padEnd(24)}${number(a)} + ${number(b)} a byte`);
    }
  }
}

function printNets(nets, layers) {
  const share = ({ within, of }) => `${within}/${of}`.padStart(9);
  const error = (got, wanted) => `${((got / wanted - 1) * 100).toFixed(1)} %`.padStart(8);
  console.log(
    `\n${'net'.padEnd(12)}${'threads'.padStart(8)}${'format'.padStart(9)}${'ms'.padStart(9)}` +
      `${'predicted'.padStart(11)}${'error'.padStart(8)}${'layers'.padStart(9)}${'large'.padStart(9)}` +
      `${'refined'.padStart(9)}${'error'.padStart(8)}`,
  );
  const total = {
    all: { within: 0, of: 0 },
    large: { within: 0, of: 0 },
    refined: { within: 0, of: 0 },
  };
  for (const one of nets) {
    for (const key of Object.keys(total)) {
      total[key].within += one[key].within;
      total[key].of += one[key].of;
    }
    console.log(
      `${one.net.padEnd(12)}${String(one.threads).padStart(8)}${one.precision.padStart(9)}` +
        `${one.ms.toFixed(2).padStart(9)}${one.predictedMs.toFixed(2).padStart(11)}` +
        `${error(one.predictedMs, one.ms)}${share(one.all)}${share(one.large)}${share(one.refined)}` +
        `${error(one.refinedMs, one.ms)}`,
    );
    if (!layers) continue;
    for (const { op, shape, family, ms, predicted } of one.layers) {
      console.log(
        `    ${op.padEnd(24)}${family.padEnd(12)}${shape.join('x').padEnd(16)}` +
          `${ms.toFixed(3).padStart(9)}${predicted.toFixed(3).padStart(9)}${error(predicted, ms)}`,
      );
    }
  }
  for (const [key, { within, of }] of Object.entries(total)) {
    console.log(`${key.padEnd(8)} ${((within / of) * 100).toFixed(1)} % of ${of} layers are right`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
