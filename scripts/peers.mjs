/**
 * What a user would pick instead of mulayer, fetched into `.peers/` for the benchmark that compares
 * with it; never committed, and no devDependencies, for they weigh 200 MB.
 *
 * `scripts/peers/NAME/` holds a package.json and a package-lock.json with versions and integrity
 * hashes; `npm ci` in `.peers/NAME/` follows them. A peer appears by one rename, complete.
 */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const DIR = join(ROOT, '.peers');

/**
 * For each peer: `routes`, URL path -> folder in its node_modules, and `bundles`, name of a script
 * below `.peers/NAME/bundles/` -> the module that it consists of.
 */
const PEERS = {
  ort: {
    routes: { '/ort/': 'onnxruntime-web/dist/' },
    // CommonJS, whose names a bundler cannot know.
    bundles: { 'onnx-proto': `export { onnx } from 'onnx-proto';` },
  },
  litert: {
    routes: { '/litert/': '@litertjs/core/wasm/' },
    bundles: {
      litert: `export * from '@litertjs/core';`,
      flatbuffers: `export * from 'flatbuffers';`,
    },
  },
};

/**
 * Installs a peer where that has not been done.
 *
 * @returns routes for the server: the peer's own files, and `/NAME-bundles/`; undefined when the peer
 *   cannot be had, which is said through `log`.
 */
export async function ensurePeer(name, log = console.log) {
  const target = join(DIR, name);
  const from = join(ROOT, 'scripts', 'peers', name);
  const lock = folder => readFile(join(folder, 'package-lock.json'), 'utf8').catch(() => undefined);
  if ((await lock(target)) !== (await lock(from))) {
    log(`peers: fetching ${name}`);
    await mkdir(DIR, { recursive: true });
    const temp = await mkdtemp(join(DIR, '.fetching-'));
    try {
      await cp(from, temp, { recursive: true });
      const npm = ['ci', '--ignore-scripts', '--no-audit', '--no-fund'];
      await run('npm', npm, { cwd: temp, shell: process.platform === 'win32' });
      await bundle(temp, PEERS[name].bundles);
      await rm(target, { recursive: true, force: true });
      await rename(temp, target);
    } catch (error) {
      const said = String(error.stderr || error.message).split('\n');
      const why = said.filter(line => line && !line.startsWith('npm warn')).slice(0, 4);
      log(`peers: no ${name}: ${why.join('\n  ')}`);
      return undefined;
    } finally {
      await rm(temp, { recursive: true, force: true });
    }
  }
  const routes = Object.entries(PEERS[name].routes).map(([path, folder]) => [
    path,
    join(target, 'node_modules', folder),
  ]);
  return { ...Object.fromEntries(routes), [`/${name}-bundles/`]: join(target, 'bundles') };
}

async function bundle(folder, bundles) {
  const { build } = await import('esbuild');
  for (const [name, contents] of Object.entries(bundles)) {
    await build({
      stdin: { contents, resolveDir: folder },
      bundle: true,
      format: 'esm',
      target: 'es2022',
      mainFields: ['module', 'main'],
      outfile: join(folder, 'bundles', `${name}.js`),
      logLevel: 'error',
    });
  }
}
