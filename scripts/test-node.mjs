/**
 * The fast inner loop: unit specs and conformance in Node, in seconds, without a browser and so
 * without WebGL; `*_browser_test.ts` are left out. `npm test` is the judge, not this.
 *
 *     npm run test:node
 *     npm run test:node -- --suites=conformance --grep='conv2d' --backend=cpu
 *     npm run test:node -- --flags=MULAYER_SPLIT:0.5,MULAYER_PRECISION:float32
 *     MULAYER_SPLIT=cpu npm run test:node
 *     npm run test:node -- --suites=unit --grep='random problems' --problems=10000
 *     npm run test:node -- --dot=sdot     as on a machine with that relaxed dot (`emulate-dot.mjs`)
 */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { command, setup } from './setup.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);

await command(async () => {
  const { values } = parseArgs({
    options: {
      suites: { type: 'string', default: 'unit,conformance' },
      grep: { type: 'string', default: '' },
      backend: { type: 'string', default: 'mulayer' },
      flags: { type: 'string', default: '' },
      problems: { type: 'string', default: '200' },
      dot: { type: 'string' },
    },
  });
  const { suites, ...rest } = values;
  const [suite, ...others] = suites.split(',');
  if (others.length > 0) return eachInItsOwnProcess([suite, ...others], rest);
  setup([]);
  const { buildWasm } = await import('./build.mjs');
  const { bundleSuite } = await import('./test-bundles.mjs');
  await buildWasm();
  const bundle = await bundleSuite(suite, 'node', values.dot);

  const { backend, problems } = values;
  const options = { backend, flags: flags(values.flags), problems: Number(problems) };
  globalThis.__karma__ = { config: { args: [JSON.stringify(options)] } };
  const jasmineCore = require('jasmine-core');
  const env = jasmineCore.boot(jasmineCore).getEnv();
  env.clearReporters();
  env.configure({ random: false, specFilter: spec => spec.getFullName().includes(values.grep) });
  env.addReporter(reporter(suite));
  require(join(ROOT, bundle));
  const { overallStatus } = await env.execute();
  process.exit(overallStatus === 'passed' ? 0 : 1);
});

/** Two copies of tfjs in one process share the engine and each other's kernels. */
function eachInItsOwnProcess(suites, values) {
  const args = Object.entries(values).map(([name, value]) => `--${name}=${value}`);
  for (const suite of suites) {
    const own = [process.argv[1], ...args, `--suites=${suite}`];
    const { status } = spawnSync(process.execPath, own, { stdio: 'inherit' });
    process.exitCode ||= status ?? 1;
  }
}

/** MULAYER_* of the environment, then what `--flags` says. */
function flags(text) {
  const pairs = Object.entries(process.env).filter(([name]) => name.startsWith('MULAYER_'));
  if (text) pairs.push(...text.split(',').map(pair => pair.split(':')));
  return Object.fromEntries(pairs.map(([name, value]) => [name, parse(value)]));
}

function parse(value) {
  return value !== '' && Number.isFinite(Number(value)) ? Number(value) : value;
}

function reporter(suite) {
  const counts = { passed: 0, failed: 0, pending: 0, excluded: 0 };
  const show = ({ fullName, failedExpectations }) => {
    console.log(`\n✗ ${fullName}`);
    for (const { message, stack } of failedExpectations) {
      const ours = stack?.split('\n').filter(line => !line.includes('jasmine-core')) ?? [];
      console.log(`  ${message}\n${ours.slice(1, 6).join('\n')}`);
    }
  };
  return {
    specDone(result) {
      counts[result.status]++;
      if (result.status === 'failed') show(result);
    },
    suiteDone(result) {
      if (result.failedExpectations.length > 0) show(result);
    },
    jasmineDone({ totalTime, failedExpectations }) {
      if (failedExpectations.length > 0) show({ fullName: 'jasmine', failedExpectations });
      const { passed, failed, pending } = counts;
      const counted = `${passed} passed, ${failed} failed, ${pending} skipped`;
      console.log(`${suite}: ${counted}, ${(totalTime / 1000).toFixed(1)} s`);
    },
  };
}
