/**
 * The accuracy table: real nets, unchanged, on mulayer against tfjs's own wasm backend, for every
 * share and precision. It takes some minutes where WebGL runs in software.
 *
 *     npm run bench -- accuracy                         everything
 *     npm run bench -- accuracy --nets=faceres,esrgan --splits=1 --precisions=int8
 *     npm run bench -- accuracy --leaks=200 --leaks-split=1 --splits=
 *
 *     --chromium-flags="--use-angle=gl"                 another WebGL than the default one
 *
 * It ends with exit code 1 when a bound is not kept, and says which.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { SetupError, setup } from '../setup.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const OUT = join(ROOT, 'build', 'accuracy');

/** On which pictures each net is judged: the six photographs, or what else there is. */
const SIX = ['dog', 'giraffe', 'horses', 'kite', 'eagle', 'person'];
const NETS = {
  centernet: SIX,
  faceres: ['face1', 'face2', 'face3', 'face4', 'face5', 'face6'],
  inception: SIX,
  esrgan: ['fixture'],
  nanodet: SIX,
};
/** dB that ESRGAN-slim has to reach against its shipped result. */
const PSNR = { float32: 55, int8: 40, auto: 40 };

export async function main(args) {
  const { values } = parseArgs({
    args,
    options: {
      nets: { type: 'string', default: 'centernet,faceres,inception,esrgan,nanodet' },
      splits: { type: 'string', default: '0,0.25,0.5,0.75,1' },
      precisions: { type: 'string', default: 'float32,int8' },
      pictures: { type: 'string' },
      leaks: { type: 'string', default: '0' },
      'leaks-split': { type: 'string', default: '0.5' },
      'chromium-flags': { type: 'string', default: '' },
    },
  });
  const nets = list(values.nets);
  const unknown = nets.filter(net => !(net in NETS));
  if (unknown.length) {
    throw new SetupError(`--nets: expected ${Object.keys(NETS).join(', ')}, got ${unknown}`);
  }
  const splits = list(values.splits).map(split => (split === 'auto' ? split : Number(split)));
  const precisions = list(values.precisions);
  const { chromium } = setup(['chromium']);
  const { MODELS_DIR, ensureModels } = await import('../models.mjs');
  await ensureModels([...nets, 'faces', 'pictures']);
  await buildPage();

  const { serve } = await import('../serve.mjs');
  const { launchChromium } = await import('../chromium.mjs');
  const server = await serve({ '/': OUT, '/models/': MODELS_DIR });
  const browser = await launchChromium(chromium, list(values['chromium-flags'], ' '));
  const broken = [];
  try {
    for (const net of nets) {
      // A page for each net: what one leaves behind is not the next one's.
      const page = await browser.page(`${server.url}/`, {
        log: (type, text) => ['error', 'warning'].includes(type) && console.error(text),
      });
      const call = (name, ...args) =>
        page.evaluate(`accuracy.${name}(${args.map(arg => JSON.stringify(arg)).join(', ')})`);

      const wanted = values.pictures ? list(values.pictures) : NETS[net];
      let pictures = await call('available', wanted);
      if (!pictures.length) pictures = ['people'];
      await call('open', net, pictures);
      console.log(`\n${net} on ${pictures.join(', ')}`);
      console.log(line(HEAD));
      for (const precision of precisions) {
        for (const split of splits) {
          const row = await call('row', { split, precision });
          console.log(line(cells(row)));
          for (const text of row.different) console.log(`    ${text}`);
          broken.push(...wrong(net, row));
        }
      }
      for (const precision of values.leaks === '0' ? [] : precisions) {
        const setting = { split: Number(values['leaks-split']), precision };
        const grown = await call('leaks', setting, Number(values.leaks));
        console.log(
          `  ${values.leaks} inferences, split ${setting.split}, ${precision}: ${grown[0] ?? 'flat'}`,
        );
        for (const text of grown) broken.push(`${net}, ${precision}: ${text}`);
      }
      await page.close();
    }
  } finally {
    await browser.close();
    await server.close();
  }
  console.log(
    broken.length ? `\nNot as it should be:\n  ${broken.join('\n  ')}` : '\nAll bounds kept.',
  );
  if (broken.length) process.exitCode = 1;
}

const HEAD =
  'precision,CPU,max abs,max rel,bound,rms rel,answers,PSNR,ms,recorded,read-backs,delegated'.split(
    ',',
  );

function cells(row) {
  const { maxAbs, maxRelative, bound, rmsRelative, psnr, delegated } = row;
  return [
    row.precision,
    row.split,
    maxAbs.toPrecision(2),
    maxRelative.toExponential(1),
    bound?.toExponential(1) ?? '',
    rmsRelative.toExponential(1),
    `${row.same}/${row.of}`,
    psnr?.toFixed(1) ?? '',
    row.ms.toFixed(0),
    row.recorded,
    row.readbacks,
    Object.entries(delegated)
      .map(([op, n]) => `${n} ${op}`)
      .join(' ') || 'none',
  ];
}

const WIDTHS = [9, 5, 8, 8, 8, 8, 7, 6, 6, 8, 10, 0];
const line = cells => `  ${cells.map((cell, i) => String(cell).padStart(WIDTHS[i])).join('  ')}`;

function wrong(net, { split, precision, maxRelative, bound, same, of, psnr }) {
  const at = `${net}, ${precision}, ${split}`;
  const all = [];
  if (bound !== undefined && !(maxRelative <= bound)) {
    all.push(`${at}: ${maxRelative.toExponential(1)} apart, bound ${bound.toExponential(1)}`);
  }
  if (same < of) all.push(`${at}: ${of - same} of ${of} answers are not tfjs's`);
  if (psnr !== undefined && !(psnr > PSNR[precision])) {
    all.push(`${at}: ${psnr.toFixed(1)} dB, wanted above ${PSNR[precision]}`);
  }
  return all;
}

/**
 * Builds the page of accuracy_page.ts.
 *
 * @returns the folder.
 */
export async function buildPage() {
  const { BUNDLE, buildWasm } = await import('../build.mjs');
  const { build } = await import('esbuild');
  await buildWasm();
  await mkdir(OUT, { recursive: true });
  await build({
    ...BUNDLE,
    entryPoints: [join(ROOT, 'scripts/bench/accuracy_page.ts')],
    outfile: join(OUT, 'accuracy.js'),
    format: 'iife',
    define: { global: 'globalThis' },
  });
  const page = '<!doctype html><title>Accuracy</title><script src="accuracy.js"></script>\n';
  await writeFile(join(OUT, 'index.html'), page);
  return OUT;
}

const list = (text, separator = ',') => text.split(separator).filter(Boolean);
