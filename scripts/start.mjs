/**
 * `npm start`: fetches what the demo needs, builds it, serves it and opens it.
 *
 *     npm start                            in your browser, where there is a display
 *     npm start -- --headless              in Chromium without a window: prints what it finds, and
 *                                          writes a screenshot to build/demo.png
 *     npm start -- --port 8080 --picture holiday.jpg
 *
 * It needs only Node and npm: what else is missing, `scripts/setup.mjs` installs first.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, writeFile } from 'node:fs/promises';
import { dirname, extname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { SetupError, command, setup } from './setup.mjs';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const OUT = join(ROOT, 'build', 'demo');
const SCREENSHOT = join(ROOT, 'build', 'demo.png');
const PORT = 8420;

const USAGE = `npm start -- [--headless] [--port N] [--picture FILE]
  --headless      no window: print the results and write ${relative(ROOT, SCREENSHOT)}
  --port N        serve there (default: ${PORT}, or a free one when that is taken)
  --picture FILE  a picture of yours, or the name of a shipped one (dog, horses, sample1, …)`;

await command(() => main(options()));

function options() {
  try {
    const { values } = parseArgs({
      options: {
        headless: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
        picture: { type: 'string' },
        port: { type: 'string' },
      },
    });
    return values;
  } catch (error) {
    throw new SetupError(`${error.message}\n${USAGE}`);
  }
}

async function main({ headless = !hasDisplay(), help, picture, port }) {
  if (help) {
    console.log(USAGE);
    return;
  }
  if (port !== undefined && !(Number.isInteger(Number(port)) && port >= 0 && port < 65536)) {
    throw new SetupError(`--port: expected 0 to 65535, got ${port}\n${USAGE}`);
  }
  const { chromium } = setup(headless ? ['chromium'] : []);
  const { DEMO, MODELS_DIR, ensureModels } = await import('./models.mjs');
  await ensureModels(DEMO);
  const { routes, query } = pictureRoute(picture, MODELS_DIR);
  console.log('start: building the page');
  await buildPage();

  const server = await listen(
    {
      '/': OUT,
      '/models/': MODELS_DIR,
      ...routes,
    },
    port,
  );
  const url = `${server.url}/${query}`;
  if (headless) {
    try {
      await showHeadless(url, chromium);
    } finally {
      await server.close();
    }
    return;
  }
  console.log(`start: ${url}   (Ctrl-C ends it)`);
  open(url);
}

function hasDisplay() {
  if (process.env.CI) return false;
  if (process.platform !== 'linux') return true;
  return Boolean(process.env.DISPLAY || process.env.WAYLAND_DISPLAY);
}

async function listen(routes, port) {
  const { serve } = await import('./serve.mjs');
  try {
    return await serve(routes, Number(port ?? PORT));
  } catch (error) {
    if (error.code !== 'EADDRINUSE' && error.code !== 'EACCES') throw error;
    if (port !== undefined) throw new SetupError(`--port ${port}: ${error.message}`);
    return serve(routes, 0);
  }
}

/** A shipped picture by its name, or any file, which is then served beside the page. */
function pictureRoute(picture, models) {
  if (picture === undefined) return { routes: {}, query: '' };
  for (const item of ['pictures', 'faces']) {
    if (existsSync(join(models, item, `${picture}.jpg`))) {
      return { routes: {}, query: `?picture=models/${item}/${picture}.jpg` };
    }
  }
  const file = resolve(picture);
  if (!existsSync(file)) throw new SetupError(`--picture: there is no ${file}\n${USAGE}`);
  const name = `/yours${extname(file)}`;
  return { routes: { [name]: file }, query: `?picture=${encodeURIComponent(name.slice(1))}` };
}

async function buildPage() {
  // Only now: setup has to install what these import.
  const { BUNDLE, buildWasm } = await import('./build.mjs');
  const { build } = await import('esbuild');
  await buildWasm();
  await build({
    ...BUNDLE,
    entryPoints: [join(ROOT, 'scripts/demo/main.ts')],
    outfile: join(OUT, 'main.js'),
    format: 'esm',
  });
  for (const file of ['index.html', 'style.css']) {
    await cp(join(ROOT, 'scripts/demo', file), join(OUT, file));
  }
}

function open(url) {
  const [command, ...args] = {
    darwin: ['open', url],
    win32: ['cmd', '/c', 'start', '', url],
  }[process.platform] ?? ['xdg-open', url];
  const say = () => console.log(`start: open ${url} in a browser`);
  const child = spawn(command, args, { stdio: 'ignore', detached: true });
  child.on('error', say);
  child.on('exit', code => code && say());
  child.unref();
}

async function showHeadless(url, chromium) {
  const { launchChromium } = await import('./chromium.mjs');
  const browser = await launchChromium(chromium);
  try {
    console.log(`start: opening ${url} in Chromium without a window`);
    const page = await browser.page(url, {
      width: 1280,
      height: 900,
      log: (type, text) => type === 'error' && console.error(`page: ${text}`),
    });
    const outcome = await page.evaluate('window.compareAll()');
    print(outcome);
    await writeFile(SCREENSHOT, await page.screenshot());
    console.log(`\nscreenshot: ${relative(process.cwd(), SCREENSHOT)}`);
    if (!Object.keys(outcome.runs).length || outcome.errors.mulayer) process.exitCode = 1;
  } finally {
    await browser.close();
  }
}

/** What a person wants to know of {@link Outcome} of `scripts/demo/main.ts`. */
function print({ picture, runs, errors, summary, report }) {
  console.log(`\nCenterNet on ${picture}`);
  for (const [backend, { first, median, times, detections }] of Object.entries(runs)) {
    console.log(
      `\n${backend}: first ${first.toFixed(0)} ms, then ${median.toFixed(1)} ms` +
        ` (median of ${times.length})`,
    );
    for (const { label, score, box } of detections) {
      const at = box.map(share => `${Math.round(100 * share)} %`.padStart(6)).join('');
      console.log(`  ${label.padEnd(16)} ${score.toFixed(2)}  ${at}`);
    }
    if (!detections.length) console.log('  nothing found');
  }
  for (const [backend, why] of Object.entries(errors)) console.log(`\n${backend}: ${why}`);
  if (!summary) return;
  console.log('\nmulayer, the last inference');
  for (const [name, value] of Object.entries(summary)) console.log(`  ${name}: ${value}`);
  const slowest = [...report.layers].sort((a, b) => b.ms - a.ms).slice(0, 8);
  console.log('  the slowest layers:');
  for (const { op, shape, ms, p, precision } of slowest) {
    const share = `${Math.round(100 * p)} % CPU`;
    console.log(
      `    ${ms.toFixed(2).padStart(8)} ms  ${op.padEnd(22)} ${shape.join('x').padEnd(16)}` +
        ` ${share.padStart(9)}  ${precision}`,
    );
  }
}
