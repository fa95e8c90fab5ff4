/**
 * Sets a machine up for `npm start` and `npm test`, with nothing but Node and npm: the packages of
 * package-lock.json, and browsers. Browsers are taken where they are found; missing ones are
 * installed where that can be done without asking (root on Debian and its relatives), and otherwise
 * the error says what to install. Doing it again costs nothing.
 *
 *     node scripts/setup.mjs [chromium] [firefox] [webkit] [xvfb]    (all, if none is named)
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** What is missing, and what to do about it. */
export class SetupError extends Error {
  name = 'SetupError';
}

/**
 * Where each program may be. `env` names the variable that settles it; `paths` are tried in order,
 * a bare name in every folder of PATH; `apt` are Debian's packages; `advice` is for everyone else.
 */
const PROGRAMS = {
  chromium: {
    env: 'CHROME_BIN',
    paths: {
      linux: ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'],
      darwin: [
        '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
        '/Applications/Chromium.app/Contents/MacOS/Chromium',
      ],
      win32: ['PROGRAMFILES', 'PROGRAMFILES(X86)', 'LOCALAPPDATA'].map(name =>
        join(process.env[name] ?? 'C:\\', 'Google\\Chrome\\Application\\chrome.exe'),
      ),
    },
    apt: ['chromium', 'fonts-liberation'],
    advice: 'Chromium or Google Chrome',
  },
  firefox: {
    env: 'FIREFOX_BIN',
    paths: {
      linux: ['firefox-esr', 'firefox'],
      darwin: ['/Applications/Firefox.app/Contents/MacOS/firefox'],
      win32: ['PROGRAMFILES', 'PROGRAMFILES(X86)'].map(name =>
        join(process.env[name] ?? 'C:\\', 'Mozilla Firefox\\firefox.exe'),
      ),
    },
    // The second package brings the H.264 decoder that Firefox looks for (libavcodec).
    apt: ['firefox-esr', 'gstreamer1.0-libav'],
    advice: 'Firefox',
  },
  webkit: {
    env: 'MINIBROWSER_BIN',
    // Inside the library's package, one folder for each API version and, on Debian, architecture.
    paths: {
      linux: ['4.1', '6.0', '4.0'].flatMap(version =>
        ['x86_64-linux-gnu/', 'aarch64-linux-gnu/', ''].flatMap(folder =>
          [`/usr/lib/${folder}`, `/usr/libexec/${folder}`].flatMap(lib => [
            `${lib}webkit2gtk-${version}/MiniBrowser`,
            `${lib}webkitgtk-${version}/MiniBrowser`,
          ]),
        ),
      ),
    },
    apt: ['libwebkit2gtk-4.1-0', 'gstreamer1.0-libav'],
    advice: 'WebKitGTK with its MiniBrowser (Fedora: webkit2gtk4.1, Arch: webkit2gtk-4.1)',
  },
  // The X server without a screen in which the browsers of the specs open their windows.
  xvfb: {
    env: 'XVFB_BIN',
    paths: { linux: ['Xvfb'] },
    apt: ['xvfb'],
    advice: 'Xvfb',
  },
};

/** The programs there are for this system: WebKitGTK and Xvfb are Linux's alone. */
export const SYSTEM_PROGRAMS = Object.keys(PROGRAMS).filter(
  name => process.platform in PROGRAMS[name].paths,
);
/** Those of them that are browsers. */
export const SYSTEM_BROWSERS = SYSTEM_PROGRAMS.filter(name => name !== 'xvfb');

/**
 * Brings the machine to where builds, tests and the demo run.
 *
 * @param wanted names of programs that must be there.
 * @returns path of the executable for each of them.
 * @throws SetupError naming what could not be had and how to install it.
 */
export function setup(wanted = SYSTEM_PROGRAMS) {
  installPackages();
  const missing = wanted.filter(name => !findProgram(name));
  if (missing.length > 0) installPrograms(missing);
  return Object.fromEntries(wanted.map(name => [name, findProgram(name)]));
}

/**
 * The executable of a program, or undefined.
 *
 * @throws SetupError when the variable that should name it names nothing that can be run.
 */
export function findProgram(name) {
  const { env, paths } = PROGRAMS[name];
  const chosen = process.env[env];
  if (chosen) {
    const found = locate(chosen);
    if (!found) throw new SetupError(`${env}: ${chosen} is no program`);
    return found;
  }
  for (const path of paths[process.platform] ?? []) {
    const found = locate(path);
    if (found) return found;
  }
  return undefined;
}

function installPackages() {
  if (!stale()) return;
  console.log('Installing npm packages');
  run(npm(), ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
}

/** Whether some package of the lock file is absent from node_modules or there in another version. */
function stale() {
  const installed = join(ROOT, 'node_modules/.package-lock.json');
  if (!existsSync(installed)) return true;
  const has = readJson(installed).packages;
  return Object.entries(readJson(join(ROOT, 'package-lock.json')).packages).some(
    ([path, { version, optional, peer }]) =>
      path !== '' && has[path]?.version !== version && !(optional || (peer && !has[path])),
  );
}

function installPrograms(missing) {
  const packages = [...new Set(missing.flatMap(name => PROGRAMS[name].apt))];
  const isRoot = process.getuid?.() === 0;
  if (isRoot && locate('apt-get')) {
    console.log(`Installing ${packages.join(' ')}`);
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    run('apt-get', ['update', '-qq'], { env });
    run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], { env });
    missing = missing.filter(name => !findProgram(name));
  }
  if (missing.length === 0) return;
  throw new SetupError(
    [
      ...missing.map(name => {
        const { env, advice } = PROGRAMS[name];
        return `${name}: install ${advice}, or set ${env} to the path of its executable`;
      }),
      `On Debian and Ubuntu: apt-get install ${packages.join(' ')}`,
      'The specs run with fewer browsers, too: npm test -- --browsers=chromium',
    ].join('\n'),
  );
}

/** The path itself, or where in PATH a bare name is found; undefined when it is not executable. */
function locate(name) {
  const folders = /[/\\]/.test(name) ? [''] : (process.env.PATH ?? '').split(delimiter);
  return folders.map(folder => join(folder, name)).find(isProgram);
}

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** npm's name for a shell, which Windows needs. */
function npm() {
  return process.platform === 'win32' ? 'npm.cmd' : 'npm';
}

function run(command, args, options) {
  const done = spawnSync(command, args, {
    cwd: ROOT,
    stdio: ['ignore', 'ignore', 'inherit'],
    shell: command.endsWith('.cmd'),
    ...options,
  });
  if (done.status !== 0) {
    const why = done.error?.message ?? `exit code ${done.status ?? done.signal}`;
    throw new SetupError(`${command} ${args.join(' ')}: ${why}`);
  }
}

function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}

/** Runs `main` and ends the process as a command should: what a person got wrong has no stack. */
export async function command(main) {
  try {
    await main();
  } catch (error) {
    const theirs = error instanceof SetupError || error.code?.startsWith('ERR_PARSE_ARGS');
    console.error(theirs ? error.message : error);
    process.exitCode = 1;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await command(() => {
    const names = process.argv.slice(2);
    const unknown = names.filter(name => !(name in PROGRAMS));
    if (unknown.length > 0) {
      throw new SetupError(
        `program: expected ${Object.keys(PROGRAMS).join(', ')}, got ${unknown.join(', ')}`,
      );
    }
    const found = setup(names.length > 0 ? names : undefined);
    for (const [name, path] of Object.entries(found)) console.log(`${name.padEnd(9)} ${path}`);
  });
}
