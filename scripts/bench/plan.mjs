/**
 * The planner against the best there is, in Node, by its own simulation: the five nets of the muLayer
 * paper, CenterNet and Inception v3 on eight device profiles.
 *
 *     npm run bench -- plan
 *     npm run bench -- plan --nets=googlenet --profiles='4:1;1:4' --window=3
 *     npm run bench -- plan --record    records CenterNet and Inception v3 anew, for test/plan/nets.ts
 *
 *     --window    nodes of the longest subgraphs that are searched exhaustively, 0 for none
 *
 * First what each mapping comes to, in simulated milliseconds; then how far the plan of each small
 * subgraph is from the best of all shares in steps of 1/16. Exit code 1 when a plan is slower than the
 * better processor alone, or a small one more than 3 % from the best.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { setup } from '../setup.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const OUT = join(ROOT, 'build', 'bench-plan');
const RECORDED = ['centernet', 'inception'];

export async function main(args) {
  const { values } = parseArgs({
    args,
    options: {
      nets: { type: 'string', default: '' },
      profiles: { type: 'string', default: '' },
      window: { type: 'string', default: '3' },
      record: { type: 'boolean', default: false },
    },
  });
  setup([]);
  if (values.record) return record();
  const { bench } = await bundled('plan_node');
  const list = (text, between = ',') => text.split(between).filter(Boolean);
  const { text, isRight } = bench(
    list(values.nets),
    list(values.profiles, ';'),
    Number(values.window),
  );
  console.log(text);
  if (!isRight) process.exitCode = 1;
}

async function record() {
  const { buildWasm } = await import('../build.mjs');
  const { MODELS_DIR, ensureModels } = await import('../models.mjs');
  const { serve } = await import('../serve.mjs');
  await buildWasm();
  await ensureModels(RECORDED);
  const { record } = await bundled('plan_record');
  const server = await serve({ '/models/': MODELS_DIR });
  try {
    for (const net of RECORDED) {
      const graph = await record(net, `${server.url}/models`);
      const file = join(ROOT, 'test', 'plan', 'recorded', `${net}.json`);
      await writeFile(file, `${JSON.stringify(graph)}\n`);
      console.log(`${file}: ${graph.nodes.length} steps`);
    }
  } finally {
    await server.close();
  }
}

/** A script of this folder, with all it needs. */
async function bundled(name) {
  const { build } = await import('esbuild');
  const { BUNDLE } = await import('../build.mjs');
  const outfile = join(OUT, `${name}.mjs`);
  await build({
    ...BUNDLE,
    entryPoints: [join(ROOT, 'scripts', 'bench', `${name}.ts`)],
    format: 'esm',
    platform: 'node',
    mainFields: ['module', 'main'],
    banner: {
      js: 'import{createRequire}from"node:module";const require=createRequire(import.meta.url);',
    },
    outfile,
  });
  return import(outfile);
}
