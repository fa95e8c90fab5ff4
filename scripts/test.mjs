/**
 * `npm test`: sets the machine up, builds, checks, and runs every suite in every browser. The exit
 * code and the last line, `N passed, N failed`, are the verdict.
 *
 *     npm test -- --browsers=chromium --suites=unit,conformance
 *     npm test -- --browsers=firefox --suites=conformance --grep=conv2d
 *     npm test -- --suites=conformance --backend=webgl          what tfjs itself does
 *     npm test -- --suites=unit --grep='random problems' --problems=10000     for each wasm kernel
 *     npm test -- --suites=unit --dot=sdot      as on a machine with that relaxed dot (`emulate-dot.mjs`)
 *
 * Begins with nothing but Node: what it needs from node_modules is imported after the set-up.
 */
import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { SYSTEM_BROWSERS, SetupError, command, setup } from './setup.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const ENV_OF = { chromium: 'CHROME_BIN', firefox: 'FIREFOX_BIN', webkit: 'MINIBROWSER_BIN' };

/** npm scripts that need no browser; each counts as one. */
const CHECKS = ['lint', 'types', 'docs', 'package'];

/**
 * The suites in the order they run. `specs` is the least number that must have run (karma is content
 * with none): for conformance, the specs of tfjs-core less those skipped; the exact number is
 * asserted in test/conformance. `flags` are tfjs's. `browsers`: all, unless it says otherwise.
 */
const SUITES = {
  unit: {},
  conformance: { specs: 4200 },
  'conformance-split': {
    bundle: 'conformance',
    specs: 4200,
    flags: { MULAYER_SPLIT: 0.5, MULAYER_PRECISION: 'float32' },
    browsers: ['chromium'],
  },
  'conformance-cpu': {
    bundle: 'conformance',
    specs: 4200,
    flags: { MULAYER_SPLIT: 'cpu' },
    browsers: ['chromium'],
  },
  models: {},
};

await command(async () => {
  const { values } = parseArgs({
    options: {
      browsers: { type: 'string', default: SYSTEM_BROWSERS.join() },
      suites: { type: 'string', default: ['checks', ...Object.keys(SUITES)].join() },
      grep: { type: 'string' },
      backend: { type: 'string' },
      problems: { type: 'string' },
      dot: { type: 'string' },
    },
  });
  const browsers = chosen('browser', values.browsers, SYSTEM_BROWSERS);
  const suites = chosen('suite', values.suites, ['checks', ...Object.keys(SUITES)]);

  const isLinux = process.platform === 'linux';
  const executables = setup(isLinux ? [...browsers, 'xvfb'] : browsers);
  for (const name of browsers) process.env[ENV_OF[name]] = executables[name];
  const { build } = await import('./build.mjs');
  const { bundleSuite, specFiles } = await import('./test-bundles.mjs');
  await build(['wasm', 'bundles']);

  const rows = [];
  if (suites.includes('checks')) rows.push(...CHECKS.map(check));

  const files = suite => specFiles(SUITES[suite].bundle ?? suite).length;
  const wanted = suites.filter(suite => suite !== 'checks' && files(suite) > 0);
  for (const bundle of new Set(wanted.map(suite => SUITES[suite].bundle ?? suite))) {
    await bundleSuite(bundle, 'browser', values.dot);
  }
  if (wanted.includes('models')) await fetchModels();

  const display = isLinux ? await openDisplay(executables.xvfb) : undefined;
  for (const browser of browsers) {
    for (const suite of wanted) {
      const { bundle = suite, specs = files(suite), flags = {}, browsers: only } = SUITES[suite];
      if (only && !only.includes(browser)) continue;
      const options = {
        flags,
        ...(values.backend && { backend: values.backend }),
        ...(values.problems && { problems: Number(values.problems) }),
      };
      const args = [...(values.grep ? ['--grep', values.grep] : []), JSON.stringify(options)];
      rows.push(
        await run(browser, suite, `build/test/${bundle}.js`, args, values.grep ? 1 : specs),
      );
    }
  }
  display?.kill();
  report(rows);
});

function chosen(what, text, all) {
  const names = text.split(',').filter(Boolean);
  const unknown = names.filter(name => !all.includes(name));
  if (unknown.length > 0) {
    throw new SetupError(`${what}: expected ${all.join(', ')}, got ${unknown.join(', ')}`);
  }
  return names;
}

function check(name) {
  console.log(`\n── ${name}`);
  const start = Date.now();
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const { status } = spawnSync(npm, ['run', '--silent', name], {
    cwd: ROOT,
    stdio: ['ignore', 'inherit', 'inherit'],
    shell: npm.endsWith('.cmd'),
  });
  const ok = status === 0;
  return row(name, 'checks', { passed: ok ? 1 : 0, failed: ok ? 0 : 1 }, start);
}

/**
 * Runs one suite in one browser. What cannot run at all counts as one failure. A browser that ends by
 * itself in the middle (WebKitGTK did, in one run of thirty) gets a second try, and no third.
 */
async function run(browser, suite, bundle, args, least) {
  console.log(`\n── ${suite} in ${browser}`);
  const start = Date.now();
  let { exitCode, tally } = await runKarma(browser, bundle, args);
  if (tally.isGone && tally.failed === 0) {
    console.log(`! ${browser} ended by itself, after: ${tally.last}. Once more`);
    ({ exitCode, tally } = await runKarma(browser, bundle, args));
  }
  const ran = tally.passed + tally.failed;
  if (ran < least) {
    console.log(`✗ ${suite} in ${browser}: expected at least ${least} specs, ${ran} ran`);
    tally.failed++;
  } else if (exitCode !== 0 && tally.failed === 0) {
    console.log(`✗ ${suite} in ${browser}: karma's exit code is ${exitCode}`);
    tally.failed++;
  }
  return row(browser, suite, tally, start);
}

async function runKarma(browser, bundle, args) {
  const { default: karma } = await import('karma');
  let tally = { passed: 0, failed: 0, skipped: 0, isGone: false, last: 'nothing' };
  const config = await karma.config.parseConfig(
    `${ROOT}karma.conf.js`,
    { browsers: [browser], mulayer: { bundle, args, done: result => (tally = result) } },
    { promiseConfig: true, throwErrors: true },
  );
  const exitCode = await new Promise(resolve => {
    new karma.Server(config, resolve).start();
  });
  return { exitCode, tally };
}

function row(where, what, { passed, failed, skipped = 0 }, start) {
  const result = { where, what, passed, failed, skipped, seconds: (Date.now() - start) / 1000 };
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped: ${result.seconds} s`);
  return result;
}

/** An X server of our own, so that no windows open on the user's screen, nor wait for one. */
async function openDisplay(xvfb) {
  const server = spawn(xvfb, ['-displayfd', '3', '-screen', '0', '1280x1024x24'], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  });
  process.once('exit', () => server.kill());
  const number = await new Promise((resolve, reject) => {
    server.stdio[3].once('data', data => resolve(String(data).trim()));
    server.once('error', reject);
    server.once('exit', code => reject(new SetupError(`Xvfb: exit code ${code}`)));
  });
  process.env.DISPLAY = `:${number}`;
  delete process.env.WAYLAND_DISPLAY;
  return server;
}

async function fetchModels() {
  console.log('\n── models and pictures');
  const { status } = spawnSync(process.execPath, ['scripts/models.mjs'], {
    cwd: ROOT,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (status !== 0) throw new SetupError('models: some could not be fetched');
}

function report(rows) {
  const line = (where, what, ...numbers) =>
    where.padEnd(10) + what.padEnd(20) + numbers.map(n => String(n).padStart(9)).join('');
  console.log(`\n${line('', '', 'passed', 'failed', 'skipped', 'seconds')}`);
  for (const { where, what, passed, failed, skipped, seconds } of rows) {
    console.log(line(where, what, passed, failed, skipped, seconds.toFixed(1)));
  }
  const sum = key => rows.reduce((total, one) => total + one[key], 0);
  const [passed, failed, skipped] = ['passed', 'failed', 'skipped'].map(sum);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
  const also = skipped > 0 ? `, ${skipped} skipped` : '';
  console.log(`\n${passed} passed, ${failed} failed${also}`);
}
