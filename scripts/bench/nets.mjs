/**
 * The five nets of the muLayer paper, seeded weights, batch 1, on the CPU: mulayer, tfjs-wasm,
 * onnxruntime-web and LiteRT.js, in one run of headless Chromium.
 *
 *     npm run bench -- nets
 *     npm run bench -- nets --nets=googlenet,mobilenet --peers=litert --threads=1,2 --precision=auto
 *
 *     --nets         of vgg16, alexnet, googlenet, squeezenet, mobilenet, vgg16-convolutions
 *     --peers        of ort, litert; '' for none. tfjs-wasm is always there, on one thread
 *     --threads      list; of mulayer, and of the peers each time
 *     --precision    of auto, int8, float32, i16 (int8 with MULAYER_DOT=i16: as without relaxed SIMD);
 *                    peers run int8 and float32 where those are wanted or `auto` is
 *     --rounds       of turns; a figure is the median of all inferences in all turns
 *     --turn         milliseconds
 *     --seeds        how many inputs the answers are compared on
 *
 * Every contestant has a page of its own; all those of one net and one thread count take turns, so
 * that all see the same machine; the register-only loops of wasm/bench.ts take theirs. A time is from
 * the call to the numbers, the input being there. Before that, each computes the same inputs, and its
 * answers are held against tfjs-wasm's, so that no figure is of a wrong result: a row whose PSNR is
 * under the floor is marked, and ends the run with exit code 1.
 *
 * `ms`: the median; `least`: the quickest, on a busy machine the better guess of a quiet one's.
 * `int8`: share of mulayer's multiply-accumulates in int8. `wasm MB`: of its memory, which never
 * shrinks, so the peak. `JS MB`: objects and array buffers after a garbage collection.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { SetupError, setup } from '../setup.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const OUT = join(ROOT, 'build', 'bench-nets');

const NETS = ['vgg16', 'alexnet', 'googlenet', 'squeezenet', 'mobilenet', 'vgg16-convolutions'];
const PEERS = ['ort', 'litert'];
const PRECISIONS = ['auto', 'int8', 'float32', 'i16'];
/** dB under which an answer is wrong, not rounded. */
const FLOOR = { float32: 80, other: 20 };

export async function main(args) {
  const { values } = parseArgs({
    args,
    options: {
      nets: { type: 'string', default: NETS.join(',') },
      peers: { type: 'string', default: PEERS.join(',') },
      threads: { type: 'string', default: '1,2' },
      precision: { type: 'string', default: PRECISIONS.join(',') },
      rounds: { type: 'string', default: '7' },
      turn: { type: 'string', default: '300' },
      seeds: { type: 'string', default: '4' },
    },
  });
  const nets = oneOf('--nets', NETS, values.nets);
  const peers = oneOf('--peers', PEERS, values.peers);
  const precisions = oneOf('--precision', PRECISIONS, values.precision);
  const threads = numbers('--threads', values.threads);
  const [rounds] = numbers('--rounds', values.rounds);
  const [turn] = numbers('--turn', values.turn);
  const [seeds] = numbers('--seeds', values.seeds);
  const { chromium } = setup(['chromium']);
  const { ensurePeer } = await import('../peers.mjs');
  let routes = { '/': OUT };
  const there = [];
  for (const peer of peers) {
    const more = await ensurePeer(peer);
    if (more) there.push(peer);
    routes = { ...routes, ...more };
  }
  await buildPage();

  const { serve } = await import('../serve.mjs');
  const { launchChromium } = await import('../chromium.mjs');
  const server = await serve(routes);
  const rows = [];
  try {
    for (const net of nets) {
      // A browser for each: VGG-16 leaves gigabytes behind.
      const browser = await launchChromium(chromium);
      try {
        const plan = { net, rounds, turn, seeds: Array.from({ length: seeds }, (_, i) => i) };
        const groups = threads.map(count => contestants(count, precisions, there));
        rows.push(...(await ofNet(browser, server.url, plan, groups)));
      } finally {
        await browser.close();
      }
    }
  } finally {
    await server.close();
  }
  printGoals(rows);
  const wrong = rows.filter(isWrong);
  for (const row of wrong) console.log(`WRONG: ${row.net}, ${nameOf(row)}: ${dB(row.psnr)}`);
  if (wrong.length) process.exitCode = 1;
}

/** Everyone with one thread count, but tfjs-wasm. */
function contestants(threads, precisions, peers) {
  const wanted = ['int8', 'float32'].filter(
    precision => precisions.includes('auto') || precisions.includes(precision),
  );
  return [
    ...precisions.map(precision => ({ runtime: 'mulayer', precision, threads })),
    ...peers.flatMap(runtime => wanted.map(precision => ({ runtime, precision, threads }))),
  ];
}

const REFERENCE = { runtime: 'tfjs-wasm', precision: 'float32', threads: 1 };

/** Measures one net; prints a table for each group, and returns its rows. */
async function ofNet(browser, url, { net, rounds, turn, seeds }, groups) {
  const open = async () => {
    const page = await browser.page(`${url}/`, {
      // LiteRT tells of itself through console.error.
      log: (type, text) =>
        type === 'error' && !/^(INFO|WARNING): /.test(text) && console.error(text),
    });
    const call = (name, ...args) =>
      page.evaluate(`nets.${name}(${args.map(arg => JSON.stringify(arg)).join(', ')})`);
    return { page, call, times: [] };
  };
  const loops = await open();
  const reference = { ...(await open()), ...REFERENCE, net };
  Object.assign(reference, await reference.call('open', net, REFERENCE));
  const expected = await reference.call('outputs', seeds);
  const ranges = await reference.call('ranges', seeds);

  const all = [];
  for (const group of groups) {
    const limits = [];
    const opened = [];
    reference.times = [];
    for (const contestant of group) {
      const one = { ...(await open()), ...contestant, net };
      try {
        Object.assign(one, await one.call('open', net, contestant, ranges));
        Object.assign(one, agreement(await one.call('outputs', seeds), expected));
        opened.push(one);
      } catch (error) {
        console.log(`${net}, ${nameOf(one)}: ${error.message}`);
        await one.page.close();
      }
    }
    for (let round = 0; round < rounds; round++) {
      limits.push(await loops.call('limits'));
      for (const one of [reference, ...opened]) {
        // As a user has it: not hidden, which a browser gives less to.
        await one.page.call('Page.bringToFront');
        // The threads of whoever had its turn before spin for a while before they sleep.
        await setTimeout(50);
        one.times.push(...(await one.call('turn', turn)));
      }
    }
    const [{ threads }] = group;
    const limit = limits[0] && {
      dot: median(limits.map(({ dot }) => dot)),
      i16: median(limits.map(({ i16 }) => i16)),
      f32: median(limits.map(({ f32 }) => f32)),
    };
    const rows = [];
    for (const one of [reference, ...opened]) rows.push(await rowOf(one, reference, limit));
    print(net, threads, limit, rows);
    all.push(...rows.slice(all.length ? 1 : 0));
    for (const { page } of opened) await page.close();
  }
  for (const { page } of [loops, reference]) await page.close();
  return all;
}

async function rowOf(one, reference, limits) {
  const { net, runtime, precision, threads, macs, load, first, top, of, psnr } = one;
  const ms = median(one.times);
  // float32 is held against the relaxed madd, everything else against the dot that it uses.
  const limit = limits?.[{ float32: 'f32', i16: 'i16' }[precision] ?? 'dot'];
  await one.page.call('HeapProfiler.collectGarbage');
  const { usedSize, backingStorageSize = 0 } = await one.page.call('Runtime.getHeapUsage');
  const gmacs = macs / ms / 1e6;
  return {
    ...{ net, runtime, precision, threads, macs, load, first, top, of, psnr, ms, gmacs },
    least: Math.min(...one.times),
    ratio: median(reference.times) / ms,
    share: limit && gmacs / limit / threads,
    heap: await one.call('heap'),
    js: usedSize + backingStorageSize,
    ...(runtime === 'mulayer' ? { int8Share: int8Share(await one.call('explain')) } : {}),
  };
}

function int8Share({ layers }) {
  const sum = layers => layers.reduce((sum, { macs }) => sum + macs, 0);
  return sum(layers.filter(({ precision }) => precision === 'int8')) / sum(layers);
}

/** How answers differ from those expected; PSNR against the greatest magnitude of each. */
function agreement(got, expected) {
  const argMax = values => values.reduce((best, value, i) => (value > values[best] ? i : best), 0);
  let top = 0;
  let worst = Infinity;
  for (const [i, values] of expected.entries()) {
    if (got[i].length !== values.length) {
      throw new Error(`expected ${values.length} numbers, got ${got[i].length}`);
    }
    if (argMax(got[i]) === argMax(values)) top++;
    const peak = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const sum = values.reduce((sum, value, j) => sum + (value - got[i][j]) ** 2, 0);
    const psnr = 10 * Math.log10((peak * peak * values.length) / sum);
    // NaN is the worst of all.
    if (!(psnr >= worst)) worst = psnr;
  }
  return { top, of: expected.length, psnr: worst };
}

const isWrong = ({ precision, psnr }) =>
  psnr !== undefined && !(psnr >= (FLOOR[precision] ?? FLOOR.other));

const COLUMNS = [
  ['', -18, nameOf],
  ['threads', 7, ({ threads }) => String(threads)],
  ['ms', 8, ({ ms }) => ms.toFixed(ms < 100 ? 2 : 1)],
  ['least', 8, ({ least }) => least.toFixed(least < 100 ? 2 : 1)],
  ['GMAC/s', 7, ({ gmacs }) => gmacs.toFixed(1)],
  ['x tfjs', 6, ({ ratio }) => ratio.toFixed(2)],
  ['of limit', 8, ({ share }) => percent(share)],
  ['int8', 6, ({ int8Share }) => percent(int8Share)],
  ['wasm MB', 7, ({ heap }) => (heap ? (heap / 1e6).toFixed(0) : '')],
  ['JS MB', 6, ({ js }) => (js / 1e6).toFixed(0)],
  ['load ms', 8, ({ load }) => load.toFixed(0)],
  ['first ms', 8, ({ first }) => first.toFixed(0)],
  ['top-1', 6, ({ top, of }) => (of === undefined ? '' : `${top}/${of}`)],
  ['PSNR', 8, ({ psnr }) => dB(psnr)],
];

function print(net, threads, limit, rows) {
  const loops = limit
    ? `register-only loops, one thread: relaxed dot ${limit.dot.toFixed(1)}, ` +
      `i16 dot ${limit.i16.toFixed(1)}, relaxed madd ${limit.f32.toFixed(1)} GMAC/s`
    : 'no relaxed SIMD here';
  console.log(`\n${net}, ${(rows[0].macs / 1e9).toFixed(3)} GMAC, threads: ${threads}; ${loops}`);
  const line = cells =>
    cells
      .map((cell, i) => {
        const width = COLUMNS[i][1];
        return width < 0 ? cell.padEnd(-width) : cell.padStart(width);
      })
      .join('  ');
  console.log(line(COLUMNS.map(([title]) => title)));
  for (const row of rows) {
    console.log(line(COLUMNS.map(([, , cell]) => cell(row))) + (isWrong(row) ? '  WRONG' : ''));
  }
}

function nameOf({ runtime, precision }) {
  return `${runtime} ${precision}`;
}

/** What mulayer, under precision `auto`, has to reach, with what it came to, where it was measured. */
function printGoals(rows) {
  const find = (net, runtime, precision, threads) =>
    rows.find(
      row =>
        row.net === net &&
        row.runtime === runtime &&
        row.precision === precision &&
        row.threads === threads,
    );
  const lines = [];
  const add = (what, wanted, got, text = got => `${got.toFixed(2)} times`) => {
    if (got !== undefined) lines.push([what, wanted, text(got)]);
  };
  const faster = (a, b) => a && b && b.ms / a.ms;
  const ours = (net, threads = 1, precision = 'auto') => find(net, 'mulayer', precision, threads);
  add(
    'VGG-16 convolutions, share of the relaxed dot limit',
    '80 %',
    ours('vgg16-convolutions')?.share,
    percent,
  );
  for (const [net, goals] of Object.entries(GOALS)) {
    const one = ours(net);
    add(`${net}: against tfjs-wasm`, goals.tfjs, one?.ratio);
    for (const threads of [1, 2]) {
      const add2 = (peer, wanted) =>
        add(
          `${net}: against ${peer} int8, threads: ${threads}`,
          wanted,
          faster(ours(net, threads), find(net, peer, 'int8', threads)),
        );
      add2('litert', goals.litert);
      add2('ort', 2.5);
    }
    add(`${net}: float32 against tfjs-wasm`, 1.3, ours(net, 1, 'float32')?.ratio);
    for (const [threads, wanted] of Object.entries(goals.threads ?? {})) {
      add(`${net}: ${threads} threads over 1`, wanted, faster(ours(net, Number(threads)), one));
    }
    if (net !== 'vgg16') continue;
    add('vgg16: i16 against tfjs-wasm', 1.5, ours(net, 1, 'i16')?.ratio);
    const reference = find(net, 'tfjs-wasm', 'float32', 1);
    if (!one || !reference) continue;
    const [wasm, all] = [({ heap }) => heap, ({ heap, js }) => heap + js];
    add('vgg16: wasm heap against tfjs-wasm, at most', 1.35, wasm(one) / wasm(reference));
    add('vgg16: the same with JavaScript memory', 1.35, all(one) / all(reference));
  }
  if (!lines.length) return;
  console.log('\nmulayer, precision auto, one thread unless said:');
  for (const [what, wanted, got] of lines) {
    console.log(`  ${what.padEnd(52)} wanted ${String(wanted).padStart(5)}, got ${got}`);
  }
}

const GOALS = {
  vgg16: { tfjs: 4.5, litert: 1.1, threads: { 2: 1.8, 16: 10 } },
  alexnet: { tfjs: 4, litert: 1.1 },
  googlenet: { tfjs: 4.7, litert: 1.2 },
  squeezenet: { tfjs: 4, litert: 1.05 },
  mobilenet: { tfjs: 3.7, litert: 1.05, threads: { 2: 1.6, 16: 5 } },
};

async function buildPage() {
  const { BUNDLE, buildWasm } = await import('../build.mjs');
  const { buildLimits } = await import('./gemm.mjs');
  const { build } = await import('esbuild');
  await buildWasm();
  await buildLimits();
  await mkdir(OUT, { recursive: true });
  await build({
    ...BUNDLE,
    entryPoints: [join(ROOT, 'scripts/bench/nets_page.ts')],
    outfile: join(OUT, 'nets.js'),
    format: 'iife',
    minify: true,
    define: { global: 'globalThis' },
  });
  const page = '<!doctype html><title>Nets</title><script src="nets.js"></script>\n';
  await writeFile(join(OUT, 'index.html'), page);
}

const percent = share => (share === undefined ? '' : `${(100 * share).toFixed(0)} %`);
const dB = psnr => (psnr === undefined ? '' : `${psnr.toFixed(1)} dB`);
const median = values => [...values].sort((a, b) => a - b)[values.length >> 1];

function oneOf(option, known, text) {
  const names = text.split(',').filter(Boolean);
  const unknown = names.filter(name => !known.includes(name));
  if (unknown.length) {
    throw new SetupError(`${option}: expected ${known.join(', ')}, got ${unknown.join(', ')}`);
  }
  return names;
}

function numbers(option, text) {
  const all = text.split(',').map(Number);
  if (!all.every(n => Number.isInteger(n) && n > 0)) {
    throw new SetupError(`${option}: expected whole numbers above 0, got ${text}`);
  }
  return all;
}
