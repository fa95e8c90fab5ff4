/**
 * Benchmarks, each a file of scripts/bench/ that exports `main(args)`.
 *
 *     npm run bench -- gemm
 *     npm run bench -- models --nets=esrgan
 */
import { readdirSync } from 'node:fs';

import { SetupError, command } from './setup.mjs';

await command(async () => {
  const names = readdirSync(new URL('bench', import.meta.url))
    .filter(file => file.endsWith('.mjs'))
    .map(file => file.slice(0, -'.mjs'.length));
  const [name, ...args] = process.argv.slice(2);
  if (!names.includes(name)) {
    throw new SetupError(`benchmark: expected one of ${names.join(', ')}, got ${name}`);
  }
  const { main } = await import(`./bench/${name}.mjs`);
  await main(args);
});
