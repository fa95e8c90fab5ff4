/**
 * Builds the package.
 *
 *     node scripts/build.mjs           everything
 *     node scripts/build.mjs wasm      what the bundles hold: build/relaxed.wasm and baseline.wasm
 *                                      from wasm/, deflated (.wasm.deflate), and build/worker.txt
 *                                      from src/processors/cpu/worker.ts
 *     node scripts/build.mjs bundles   dist/index.js, dist/tfjs-backend-mulayer.min.js, from src/;
 *                                      dist/worker.js, the same as build/worker.txt
 *     node scripts/build.mjs types     dist/index.d.ts: one file for all of the public API
 *
 * The order is the one above: the bundles hold the wasm and the worker, so that nobody has a path
 * to configure.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deflateSync } from 'node:zlib';

import { SetupError, command } from './setup.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** What every bundle of this project shares, those of the specs and of the demo included. */
export const BUNDLE = {
  absWorkingDir: ROOT,
  bundle: true,
  target: 'es2022',
  loader: { '.wasm': 'binary', '.deflate': 'binary', '.txt': 'text' },
  logLevel: 'warning',
};

/** The packages that the user brings; ours holds no copy of them. */
const { peerDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const PEERS = Object.keys(peerDependencies);

const STEPS = { wasm: buildWasm, bundles: buildBundles, types: buildTypes };

export async function build(steps = Object.keys(STEPS)) {
  for (const step of steps) await STEPS[step]();
}

/** Both instruction sets; the options are in wasm/asconfig.json. Nothing is done twice. */
export async function buildWasm() {
  const sources = readdirSync(join(ROOT, 'wasm'), { recursive: true });
  const newest = Math.max(...sources.map(file => modified(join('wasm', file))));
  for (const target of ['relaxed', 'baseline']) {
    if (modified(`build/${target}.wasm.deflate`) > newest) continue;
    const { default: asc } = await import('assemblyscript/asc');
    const { error, stderr } = await asc.main(
      ['wasm/index.ts', '--config', 'wasm/asconfig.json', '--target', target],
      { baseDir: ROOT },
    );
    if (error) throw new SetupError(`asc, ${target}: ${error.message}\n${stderr.toString()}`);
    writeDeflated(`build/${target}.wasm`);
  }
  await buildWorker('build/worker.txt');
}

/**
 * The bundles hold modules as base64, which has no pattern left that gzip could find: deflated first
 * they are 33 kB of the package as it travels, instead of 49.
 */
export function writeDeflated(path) {
  const file = join(ROOT, path);
  writeFileSync(`${file}.deflate`, deflateSync(readFileSync(file), { level: 9 }));
}

/** The script of the CPU's workers, as classic script: a blob of text is all that it takes. */
async function buildWorker(outfile) {
  const { build } = await import('esbuild');
  const entryPoints = ['src/processors/cpu/worker.ts'];
  await build({ ...BUNDLE, entryPoints, format: 'iife', minify: true, outfile });
}

async function buildBundles() {
  const { build } = await import('esbuild');
  const shared = { ...BUNDLE, entryPoints: ['src/index.ts'], sourcemap: true };
  await build({
    ...shared,
    format: 'esm',
    external: PEERS,
    outfile: 'dist/index.js',
  });
  await build({
    ...shared,
    format: 'iife',
    globalName: 'tf.mulayer',
    minify: true,
    plugins: [peersAreGlobal],
    outfile: 'dist/tfjs-backend-mulayer.min.js',
  });
  await buildWorker('dist/worker.js');
}

/**
 * In a page of script tags tfjs is the global `tf`: from tf.min.js, or put together by the scripts
 * of its packages. Only tfjs-core's exports are there in both cases, so the backends' modules are
 * empty here and importing a name from them fails the build.
 */
const peersAreGlobal = {
  name: 'peers are global',
  setup(build) {
    const core = `
      const { tf } = globalThis;
      if (!tf.engine) throw new Error('tfjs-backend-mulayer: load tf.min.js before this script');
      module.exports = tf;`;
    build.onResolve({ filter: /^@tensorflow\// }, ({ path }) =>
      PEERS.includes(path)
        ? { path, namespace: 'peer' }
        : { errors: [{ text: `${path}: not among the peer dependencies` }] },
    );
    build.onLoad({ filter: /./, namespace: 'peer' }, ({ path }) => ({
      contents: path === '@tensorflow/tfjs-core' ? core : 'export {};',
    }));
  },
};

/** Checks the types of everything, specs included; of what that emits, the public part is kept. */
async function buildTypes() {
  const emit =
    '--noEmit false --emitDeclarationOnly --declaration --rootDir . --outDir build/types';
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const { status } = spawnSync(process.execPath, [tsc, '-p', '.', ...emit.split(' ')], {
    cwd: ROOT,
    stdio: 'inherit',
  });
  if (status !== 0) throw new SetupError('types: tsc found the errors above');
  const { generateDtsBundle } = await import('dts-bundle-generator');
  const [types] = generateDtsBundle(
    [
      {
        filePath: join(ROOT, 'build/types/src/index.d.ts'),
        output: { exportReferencedTypes: false, noBanner: true },
      },
    ],
    { preferredConfigPath: join(ROOT, 'tsconfig.json') },
  );
  mkdirSync(join(ROOT, 'dist'), { recursive: true });
  writeFileSync(join(ROOT, 'dist/index.d.ts'), types);
}

/** When a file was written; -Infinity for one that is not there. */
export function modified(path) {
  return statSync(join(ROOT, path), { throwIfNoEntry: false })?.mtimeMs ?? -Infinity;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await command(() => {
    const steps = process.argv.slice(2);
    const unknown = steps.filter(step => !(step in STEPS));
    if (unknown.length > 0) {
      throw new SetupError(`step: expected ${Object.keys(STEPS).join(', ')}, got ${unknown}`);
    }
    return build(steps.length > 0 ? steps : undefined);
  });
}
