/**
 * What int8 costs a user: real nets on pictures that nothing was calibrated or tuned on, every
 * layer on the CPU, without calibration and without retraining.
 *
 *     npm run bench -- labelled
 *     npm run bench -- labelled --nets=centernet --precisions=auto --classes
 *
 *     --classes    of the pictures whose labels are known: how many are right in each class
 *     --dot=i16    another integer product (MULAYER_DOT): with i16 the answers of machines whose dot
 *                  takes 8 bits exactly, depthwise filters in int8 among them
 *
 * CenterNet, NanoDet-g: 82 labelled pictures, how many are right. faceres: 66 face crops, on how
 * many the age is tfjs-wasm's. Inception v3: the same of 61 photographs. ESRGAN-slim: PSNR against
 * the result it is shipped with. `int8` is the share of all multiply-accumulates that ran on 8-bit
 * integers, but for those of the first inference.
 *
 * It ends with exit code 1 when precision `auto` misses what it has to reach, and says where.
 */
import { parseArgs } from 'node:util';

import { SetupError, setup } from '../setup.mjs';

/**
 * What each net needs, and what `auto` has to reach: `right` answers, answers `as` tfjs-wasm, dB of
 * `psnr`, and the `share` of multiply-accumulates in int8.
 */
const NETS = {
  centernet: { items: ['stamps'], wanted: { right: 65, share: 0.8 } },
  nanodet: { items: ['stamps'], wanted: { right: 57 } },
  faceres: { items: ['faces'], wanted: { as: 64 } },
  inception: { items: ['foods', 'pictures'], wanted: { as: Infinity } },
  esrgan: { items: [], wanted: { psnr: 45 } },
};

export async function main(args) {
  const { values } = parseArgs({
    args,
    options: {
      nets: { type: 'string', default: Object.keys(NETS).join(',') },
      precisions: { type: 'string', default: 'float32,int8,auto' },
      classes: { type: 'boolean', default: false },
      dot: { type: 'string', default: 'auto' },
    },
  });
  const nets = values.nets.split(',');
  const unknown = nets.filter(net => !Object.hasOwn(NETS, net));
  if (unknown.length) {
    throw new SetupError(`--nets: expected ${Object.keys(NETS).join(', ')}, got ${unknown}`);
  }
  const precisions = values.precisions.split(',');
  const { chromium } = setup(['chromium']);
  const { MODELS_DIR, ensureModels } = await import('../models.mjs');
  const items = [...new Set(nets.flatMap(net => [net, ...NETS[net].items]))];
  const there = await ensureModels(items);
  const { buildPage } = await import('./accuracy.mjs');
  const { serve } = await import('../serve.mjs');
  const { launchChromium } = await import('../chromium.mjs');
  const server = await serve({ '/': await buildPage(), '/models/': MODELS_DIR });
  const browser = await launchChromium(chromium);
  const missed = [];
  console.log(line(['net', 'precision', 'right', 'as tfjs', 'PSNR', 'int8', 'wanted']));
  try {
    for (const net of nets) {
      if (['centernet', 'nanodet'].includes(net) && !there.includes('stamps')) {
        missed.push(`${net}: the labelled pictures are not here`);
        continue;
      }
      const page = await browser.page(`${server.url}/`, {
        log: (type, text) => ['error', 'warning'].includes(type) && console.error(text),
      });
      const { dot } = values;
      const settings = JSON.stringify(
        precisions.map(precision => ({ split: 'cpu', precision, dot })),
      );
      const rows =
        net === 'esrgan'
          ? ofShipped(await page.evaluate(`accuracy.shipped(${settings})`))
          : ofTops(await page.evaluate(`accuracy.tops('${net}', ${settings})`));
      for (const row of rows) {
        const wanted = row.precision === 'auto' ? NETS[net].wanted : {};
        console.log(line(cells(net, row, wanted)));
        if (values.classes && row.classes) printClasses(row.classes);
        missed.push(...misses(net, row, wanted));
      }
      await page.close();
    }
  } finally {
    await browser.close();
    await server.close();
  }
  console.log(missed.length ? `\nNot reached:\n  ${missed.join('\n  ')}` : '\nAll reached.');
  if (missed.length) process.exitCode = 1;
}

/** tfjs's row and ours, of dB. */
function ofShipped({ tfjs, settings }) {
  return [{ precision: 'tfjs-wasm', psnr: tfjs }, ...settings.map(ofSetting)];
}

/** tfjs's row and ours, of top answers. */
function ofTops({ labels, tfjs, settings }) {
  const known = labels.some(Boolean);
  const row = ({ answers, ...setting }) => ({
    ...setting,
    of: labels.length,
    as: answers.filter((answer, i) => answer === tfjs[i]).length,
    ...(known
      ? {
          right: answers.filter((answer, i) => answer === labels[i]).length,
          classes: perClass(labels, answers),
        }
      : {}),
  });
  const reference = { ...row({ answers: tfjs, precision: 'tfjs-wasm' }), as: undefined };
  return [reference, ...settings.map(ofSetting).map(row)];
}

const ofSetting = ({ int8Share, ...setting }) => ({ ...setting, share: int8Share });

function perClass(labels, answers) {
  const classes = {};
  labels.forEach((label, i) => {
    const one = (classes[label] ??= { right: 0, of: 0 });
    one.of++;
    if (answers[i] === label) one.right++;
  });
  return classes;
}

function cells(net, { precision, right, as, of, psnr, share }, wanted) {
  const percent = part => (part === undefined ? '' : `${(100 * part).toFixed(0)} %`);
  const text = {
    right: least => `${least} right`,
    as: least => (least === Infinity ? 'all as tfjs' : `${least} as tfjs`),
    psnr: least => `${least} dB`,
    share: least => `${percent(least)} in int8`,
  };
  return [
    net,
    precision,
    right === undefined ? '' : `${right}/${of}`,
    as === undefined ? '' : `${as}/${of}`,
    psnr === undefined ? '' : `${psnr.toFixed(1)} dB`,
    percent(share),
    Object.entries(wanted)
      .map(([key, least]) => text[key](least))
      .join(', '),
  ];
}

const WIDTHS = [-10, -9, 7, 7, 9, 6, 0];
function line(cells) {
  const padded = cells.map((cell, i) =>
    WIDTHS[i] < 0 ? cell.padEnd(-WIDTHS[i]) : cell.padStart(WIDTHS[i]),
  );
  return padded.join('  ').trimEnd();
}

function printClasses(classes) {
  const parts = Object.entries(classes)
    .sort(([, a], [, b]) => b.of - a.of)
    .map(([label, { right, of }]) => `${label} ${right}/${of}`);
  for (let at = 0; at < parts.length; at += 6) {
    console.log(`      ${parts.slice(at, at + 6).join(', ')}`);
  }
}

function misses(net, row, wanted) {
  return Object.entries(wanted)
    .filter(([key, least]) => !(row[key] >= Math.min(least, row.of ?? Infinity)))
    .map(([key, least]) => `${net}, ${key}: wanted ${least}, got ${row[key]}`);
}
