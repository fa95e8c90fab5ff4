/**
 * Compares the public API as built, dist/index.d.ts, with the copy in etc/api.d.ts. The copy is
 * committed, so every change of the API is a diff that somebody has looked at.
 *
 *     npm run types                  fails on a difference, and shows it
 *     npm run types -- --update      takes the API as built for the new copy
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const BUILT = 'dist/index.d.ts';
const COPY = 'etc/api.d.ts';

if (process.argv.includes('--update')) {
  mkdirSync('etc', { recursive: true });
  copyFileSync(BUILT, COPY);
} else if (!existsSync(COPY) || readFileSync(COPY, 'utf8') !== readFileSync(BUILT, 'utf8')) {
  spawnSync('git', ['--no-pager', 'diff', '--no-index', COPY, BUILT], { stdio: 'inherit' });
  console.error('The public API changed. If that is meant: npm run types -- --update');
  process.exitCode = 1;
}
