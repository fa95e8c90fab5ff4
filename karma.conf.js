/**
 * One suite, bundled beforehand, in one browser. `scripts/test.mjs` says which through the
 * configuration it passes: `mulayer: { bundle, args, done }`.
 *
 * Pages are cross-origin isolated, so that shared memory is there where the browser has it. Models
 * and the package as built are served beside the specs: `/models/`, `/dist/`, `/node_modules/`.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** Nobody waits for a picture, and no connection leaves the machine. */
const CHROMIUM_FLAGS = [
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  ...(process.platform === 'linux'
    ? // Under Xvfb WebGL is Mesa's, 4 times as fast as the SwiftShader of a headless Chromium.
      ['--use-gl=angle', '--use-angle=gl', '--disable-gpu-sandbox', '--ignore-gpu-blocklist']
    : []),
  ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
];

/** Firefox gives WebGL to nobody without a GPU unless forced; its sandbox keeps it from the X server. */
const FIREFOX_PREFS = {
  'security.sandbox.content.level': 0,
  'webgl.force-enabled': true,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'browser.region.network.url': '',
  'services.settings.server': 'data:,',
};

/** What the specs may load; `.models` is there when a suite needs it. */
const SERVED = [
  'dist/*',
  'node_modules/@tensorflow/*/dist/*.min.js',
  ...(existsSync('.models') ? ['.models/**/*'] : []),
];

/** WebKitGTK's own small browser; there is no launcher for it among the packages. */
function MiniBrowser(baseBrowserDecorator) {
  baseBrowserDecorator(this);
  this.name = 'WebKitGTK';
  this.ENV_CMD = 'MINIBROWSER_BIN';
  this._getOptions = url => ['--private', url];
}
MiniBrowser.$inject = ['baseBrowserDecorator'];

/** Milliseconds from which on a spec is named: the whole of `npm test` has half an hour. */
const SLOW = 10_000;

/** Collects what ran; prints what failed as soon as it has. */
function Tally(settings) {
  const tally = { passed: 0, failed: 0, skipped: 0, isGone: false, last: 'nothing' };
  this.adapters = [];
  this.onSpecComplete = (browser, { skipped, success, fullName, log, time }) => {
    tally[skipped ? 'skipped' : success ? 'passed' : 'failed']++;
    tally.last = fullName;
    if (!skipped && !success) console.log(`✗ ${fullName}\n${indented(log.join('\n'))}`);
    if (time > SLOW) console.log(`  ${(time / 1000).toFixed(1)} s: ${fullName}`);
  };
  this.onBrowserError = (browser, error) => {
    const text = String(error?.message ?? error);
    tally.isGone ||= text.startsWith('Disconnected');
    console.log(`✗ ${browser.name}: ${indented(text).trim()}`);
  };
  this.onBrowserLog = (browser, log, type) => {
    if (type === 'error') console.log(indented(`console.${type}: ${log}`));
  };
  this.onRunComplete = () => settings.done(tally);
}
Tally.$inject = ['config.mulayer'];

function indented(text) {
  const lines = text.split('\n').filter(line => !line.includes('node_modules/jasmine-core'));
  return lines
    .slice(0, 12)
    .map(line => `    ${line}`)
    .join('\n');
}

export default config => {
  const { bundle, args } = config.mulayer;
  config.set({
    frameworks: ['jasmine'],
    plugins: [
      require('karma-jasmine'),
      require('karma-chrome-launcher'),
      require('karma-firefox-launcher'),
      { 'launcher:MiniBrowser': ['type', MiniBrowser] },
      { 'reporter:tally': ['type', Tally] },
    ],
    files: [
      { pattern: bundle, watched: false },
      ...SERVED.map(pattern => ({ pattern, watched: false, included: false, nocache: true })),
    ],
    proxies: {
      '/models/': '/base/.models/',
      '/dist/': '/base/dist/',
      '/node_modules/': '/base/node_modules/',
    },
    customHeaders: [
      ['Cross-Origin-Opener-Policy', 'same-origin'],
      ['Cross-Origin-Embedder-Policy', 'require-corp'],
      ['Cross-Origin-Resource-Policy', 'same-origin'],
    ].map(([name, value]) => ({ match: '.*', name, value })),
    // Isolation is a property of the top page, so no iframe; MiniBrowser opens no second window.
    client: { args, useIframe: false, runInParent: true, jasmine: { random: false } },
    customLaunchers: {
      chromium: { base: 'Chrome', flags: CHROMIUM_FLAGS },
      firefox: { base: 'Firefox', prefs: FIREFOX_PREFS },
      webkit: { base: 'MiniBrowser' },
    },
    reporters: ['tally'],
    logLevel: config.LOG_WARN,
    singleRun: true,
    autoWatch: false,
    captureTimeout: 120_000,
    // A page that compiles shaders or blocks on a model answers no pings; it has not gone away.
    pingTimeout: 300_000,
    browserNoActivityTimeout: 300_000,
    browserDisconnectTimeout: 30_000,
  });
};
