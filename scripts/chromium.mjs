/**
 * Chromium without a window, driven over its debugging pipe (Chrome DevTools Protocol: JSON with a
 * zero byte after each message, on file descriptors 3 and 4). That is all a page that computes and
 * then is looked at needs, so there is no automation library among the dependencies.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const FLAGS = [
  '--headless=new',
  '--remote-debugging-pipe',
  '--no-first-run',
  '--no-default-browser-check',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-default-apps',
  '--disable-extensions',
  '--disable-sync',
  '--disable-quic',
  '--metrics-recording-only',
  '--password-store=basic',
  '--use-mock-keychain',
  '--force-color-profile=srgb',
  '--hide-scrollbars',
  // Without a GPU, WebGL runs in software instead of not at all.
  '--enable-unsafe-swiftshader',
  // Nothing watches the page: its timers are not to be slowed down.
  '--disable-background-timer-throttling',
  '--disable-renderer-backgrounding',
  '--disable-backgrounding-occluded-windows',
];

/** What went wrong in the page or between us and it. */
export class PageError extends Error {
  name = 'PageError';
}

/**
 * Starts Chromium.
 *
 * @param executable path of Chromium or Chrome.
 * @param flags more of its flags, or others than ours.
 * @returns `page(url, size)` opens a page; `close()` ends the browser and removes its profile.
 */
export async function launchChromium(executable, flags = []) {
  const profile = await mkdtemp(join(tmpdir(), 'mulayer-chromium-'));
  const root = process.platform === 'linux' && process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  const child = spawn(
    executable,
    [...FLAGS, ...root, `--user-data-dir=${profile}`, ...flags, 'about:blank'],
    { stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'] },
  );
  const waiting = new Map();
  const listeners = new Set();
  let said = '';
  let ended;
  let lastId = 0;

  const exit = new Promise(resolve => {
    const end = why => {
      ended ??= new PageError(`Chromium ended (${why})${said ? `:\n${said.trim()}` : ''}`);
      for (const { reject } of waiting.values()) reject(ended);
      waiting.clear();
      resolve();
    };
    child.once('error', error => end(error.message));
    child.once('exit', (code, signal) => end(signal ?? `exit code ${code}`));
  });
  child.stderr.on('data', text => (said = (said + text).slice(-2000)));
  child.stdio[3].on('error', () => undefined);
  let rest = Buffer.alloc(0);
  child.stdio[4].on('data', bytes => {
    rest = Buffer.concat([rest, bytes]);
    for (let zero = rest.indexOf(0); zero >= 0; zero = rest.indexOf(0)) {
      const message = JSON.parse(rest.toString('utf8', 0, zero));
      rest = rest.subarray(zero + 1);
      const { resolve, reject } = waiting.get(message.id) ?? {};
      waiting.delete(message.id);
      if (message.error) reject?.(new PageError(message.error.message));
      else if (message.id) resolve?.(message.result);
      else for (const listener of listeners) listener(message);
    }
  });

  function send(method, params = {}, sessionId) {
    if (ended) return Promise.reject(ended);
    const id = ++lastId;
    return new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject });
      child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  return {
    /** Opens `url`; `log` receives what the page writes to its console, errors included. */
    async page(url, { width = 1280, height = 800, scale = 1, dark = false, log } = {}) {
      const { targetId } = await send('Target.createTarget', { url: 'about:blank' });
      const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true });
      const call = (method, params) => send(method, params, sessionId);
      let onLoad;
      const loaded = new Promise(resolve => (onLoad = resolve));
      listeners.add(({ method, params, sessionId: from }) => {
        if (from !== sessionId) return;
        if (method === 'Page.loadEventFired') onLoad();
        if (method === 'Runtime.consoleAPICalled') {
          log?.(params.type, params.args.map(a => a.value ?? a.description ?? a.type).join(' '));
        }
        if (method === 'Runtime.exceptionThrown') log?.('error', textOf(params.exceptionDetails));
      });
      const size = (w, h) =>
        call('Emulation.setDeviceMetricsOverride', {
          width: w,
          height: h,
          deviceScaleFactor: scale,
          mobile: false,
        });
      await call('Page.enable');
      await call('Runtime.enable');
      await size(width, height);
      await call('Emulation.setEmulatedMedia', {
        features: [{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }],
      });
      await call('Page.navigate', { url });
      await loaded;
      return {
        /** Value of a JavaScript expression in the page; a promise is awaited. */
        async evaluate(expression) {
          const { result, exceptionDetails } = await call('Runtime.evaluate', {
            expression,
            awaitPromise: true,
            returnByValue: true,
          });
          if (exceptionDetails) throw new PageError(textOf(exceptionDetails));
          return result.value;
        },
        /** PNG of the whole page, however long it is. */
        async screenshot() {
          const { cssContentSize } = await call('Page.getLayoutMetrics');
          await size(width, Math.max(height, Math.ceil(cssContentSize.height)));
          const { data } = await call('Page.captureScreenshot', { format: 'png' });
          await size(width, height);
          return Buffer.from(data, 'base64');
        },
        /** Any method of the protocol. */
        call,
        close: () => send('Target.closeTarget', { targetId }),
      };
    },
    async close() {
      await Promise.race([send('Browser.close').catch(() => undefined), exit]);
      const kill = setTimeout(() => child.kill('SIGKILL'), 5000);
      await exit;
      clearTimeout(kill);
      await rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    },
  };
}

const textOf = details =>
  details.exception?.description ?? details.exception?.value ?? details.text;
