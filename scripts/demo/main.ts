/** The demo page: what the person asks for, in order, and what comes back. */
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-webgl';
import * as tf from '@tensorflow/tfjs-core';

import { type RunReport, explain } from '../../src/index.js';
import type { Detection } from '../../test/models/nets.js';
import { type Picture, decode, pictureOf } from '../../test/models/pictures.js';
import '../../test/models/tfjs_wasm.js';
import { colourOf, draw } from './boxes.js';
import { element, must } from './dom.js';
import {
  BACKENDS,
  type BackendName,
  type Input,
  type Progress,
  type Run,
  median,
  missing,
  prepare,
  run,
} from './inference.js';
import { showLayers, summaryOf } from './layers.js';

/** A picture on the stage: what is drawn, its pixels, and what the nets get. */
interface Stage {
  readonly source: CanvasImageSource;
  readonly columns: number;
  readonly rows: number;
  readonly input: Promise<Input>;
}

/** What the page gives to a script that drives it. */
interface Outcome {
  readonly picture: string;
  readonly runs: Partial<Record<BackendName, Omit<Run, 'backend'> & { median: number }>>;
  readonly errors: Partial<Record<BackendName, string>>;
  readonly summary?: Record<string, string>;
  readonly report?: RunReport;
}

declare global {
  interface Window {
    /** For scripts: resolves with what a comparison of all backends gave. */
    compareAll(): Promise<Outcome>;
  }
}

const results = new Map<BackendName, Run>();
const errors = new Map<BackendName, string>();
let stage: Stage | undefined;
let stageName = '';
let detections: readonly Detection[] = [];
let report: RunReport | undefined;
/** The flags under which mulayer's result came about. */
let flags = '';
/** The run under way, and how to stop it. */
let running: Promise<void> = Promise.resolve();
let stopping = new AbortController();

// --- Asking -------------------------------------------------------------------------------------

/** Stops what is under way, then runs the net on these backends, one after the other. */
function request(
  names: readonly BackendName[],
  { keepGoing = false, repeats = 5 } = {},
): Promise<void> {
  stopping.abort();
  const { signal } = (stopping = new AbortController());
  running = running.then(async () => {
    if (signal.aborted) return;
    showError();
    try {
      for (const name of names) {
        try {
          await runOn(name, repeats, signal);
        } catch (error) {
          if (signal.aborted || !keepGoing) throw error;
          fail(name, error);
        }
      }
    } catch (error) {
      if (!signal.aborted) fail(names[0], error);
    }
  });
  return running;
}

async function runOn(name: BackendName, repeats: number, signal: AbortSignal): Promise<void> {
  if (!stage) throw new Error('There is no picture: choose or open one first.');
  const on = stage;
  step('Preparing the picture');
  const input = await on.input;
  if (name === 'mulayer') setFlags();
  const progress: Progress = {
    step,
    found(found) {
      if (stage !== on) return;
      detections = found;
      showFound();
    },
  };
  const plan = name === 'mulayer' ? `${flag('SPLIT')} ${flag('PRECISION')}` : '';
  const result = await run(name, input, { repeats, plan }, progress, signal);
  errors.delete(name);
  results.set(name, result);
  if (name === 'mulayer') {
    report = explain();
    flags = `split ${flag('SPLIT')}, ${flag('PRECISION')}`;
    showLayers(report);
  }
  showTimes();
  const n = detections.length;
  idle(
    `${name}: found ${n === 1 ? 'one thing' : `${n} things`} in ${ms(median(result.times))} ms.`,
  );
}

function fail(name: BackendName, error: unknown): void {
  const text = textOf(error);
  console.error(error);
  errors.set(name, text);
  showError(`${name}: ${text}`);
  showTimes();
  idle('It did not work; the reason is below.');
}

function setFlags(): void {
  const split = must('split', HTMLSelectElement).value;
  tf.env().set('MULAYER_SPLIT', Number.isNaN(Number(split)) ? split : Number(split));
  tf.env().set('MULAYER_PRECISION', must('precision', HTMLSelectElement).value);
}

const chosenBackend = () =>
  (document.querySelector<HTMLInputElement>('input[name=backend]:checked')?.value ??
    'wasm') as BackendName;

const availableBackends = () => BACKENDS.filter(name => missing(name) === undefined);

// --- Pictures -----------------------------------------------------------------------------------

async function put(name: string, blob: Blob): Promise<void> {
  let source: ImageBitmap;
  try {
    source = await decode(blob);
  } catch {
    showError(`${name}: this browser cannot read it as a picture.`);
    return;
  }
  stopWebcam();
  showStage(name, source, pictureOf(source, source.width, source.height));
  await request([chosenBackend()]);
}

function showStage(
  name: string,
  source: CanvasImageSource,
  picture: Picture,
  meanwhile: readonly Detection[] = [],
): void {
  // One after the other: preparing switches to the cpu backend for a moment.
  const input = running.then(() => prepare(picture));
  input.catch(() => undefined);
  const { columns, rows } = picture;
  stage = { source, columns, rows, input };
  stageName = name;
  detections = meanwhile;
  showFound();
}

async function fetchBlob(url: string): Promise<Blob> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  return response.blob();
}

/** The shipped choices, and a picture named in the address (`?picture=URL`) before them. */
async function offerPictures(): Promise<void> {
  const index = JSON.parse(await (await fetchBlob('models/index.json')).text()) as Record<
    string,
    string[]
  >;
  const urls = ['pictures', 'faces'].flatMap(item =>
    (index[item] ?? []).map(file => `models/${item}/${file}`),
  );
  const asked = new URLSearchParams(location.search).get('picture');
  if (asked !== null) urls.unshift(asked);
  must('choices').replaceChildren(...urls.map(choice));
  const first = document.querySelector<HTMLInputElement>('input[name=picture]');
  if (!first) {
    idle('No pictures were fetched; open one of yours.');
    return;
  }
  first.checked = true;
  await putUrl(first.value);
}

async function putUrl(url: string): Promise<void> {
  try {
    await put(nameOf(url), await fetchBlob(url));
  } catch (error) {
    showError(textOf(error));
    idle('Choose or open a picture.');
  }
}

function choice(url: string): HTMLElement {
  const radio = element('input', { type: 'radio', name: 'picture', value: url });
  radio.addEventListener('change', () => void putUrl(url));
  return element('label', {}, radio, element('img', { src: url, alt: nameOf(url) }));
}

const nameOf = (url: string) => (url.split('/').pop() ?? url).replace(/\.\w+$/, '');

function forgetChoice(): void {
  const checked = document.querySelector<HTMLInputElement>('input[name=picture]:checked');
  if (checked) checked.checked = false;
}

const file = must('file', HTMLInputElement);
file.addEventListener('change', () => {
  const chosen = file.files?.[0];
  file.value = '';
  if (!chosen) return;
  forgetChoice();
  void put(chosen.name, chosen);
});

const view = must('drop');
view.addEventListener('dragover', event => {
  event.preventDefault();
  view.classList.add('dropping');
});
view.addEventListener('dragleave', () => view.classList.remove('dropping'));
view.addEventListener('drop', event => {
  event.preventDefault();
  view.classList.remove('dropping');
  const dropped = event.dataTransfer?.files[0];
  if (!dropped) {
    showError('What was dropped is no file.');
    return;
  }
  forgetChoice();
  void put(dropped.name, dropped);
});

// --- Webcam -------------------------------------------------------------------------------------

const webcam = must('webcam', HTMLButtonElement);
let video: HTMLVideoElement | undefined;

webcam.addEventListener('click', () => {
  if (video) {
    stopWebcam();
    idle('The webcam is off.');
  } else {
    void startWebcam();
  }
});

async function startWebcam(): Promise<void> {
  showError();
  let stream: MediaStream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
  } catch (error) {
    showError(`The webcam cannot be used: ${textOf(error)}`);
    return;
  }
  const playing = element('video', { playsinline: '' });
  playing.muted = true;
  playing.srcObject = stream;
  video = playing;
  webcam.setAttribute('aria-pressed', 'true');
  forgetChoice();
  await playing.play();
  while (video === playing) {
    const still = await createImageBitmap(playing);
    // The boxes of the frame before stay until there are new ones: no flicker.
    showStage('webcam', still, pictureOf(still, still.width, still.height), detections);
    await request([chosenBackend()], { repeats: 1 });
    if (errors.has(chosenBackend())) stopWebcam();
  }
}

function stopWebcam(): void {
  for (const track of (video?.srcObject as MediaStream | null)?.getTracks() ?? []) track.stop();
  video = undefined;
  webcam.setAttribute('aria-pressed', 'false');
}

// --- Showing ------------------------------------------------------------------------------------

function step(text: string, share?: number): void {
  const bar = must('progress', HTMLProgressElement);
  bar.hidden = false;
  if (share === undefined) bar.removeAttribute('value');
  else bar.value = share;
  must('status-text').textContent = `${text}…`;
}

function idle(text: string): void {
  must('progress').hidden = true;
  must('status-text').textContent = text;
}

function showError(text?: string): void {
  must('error').hidden = text === undefined;
  must('error').textContent = text ?? '';
}

function showFound(): void {
  if (stage) draw(stage.source, stage.columns, stage.rows, detections);
  const rows = detections.slice(0, 8).map(({ label, score }) => {
    const colour = element('i', {});
    colour.style.background = colourOf(label);
    const bar = element('span', { class: 'bar' });
    bar.style.width = `${100 * score}%`;
    return element(
      'li',
      {},
      colour,
      label,
      element('span', { class: 'score' }, score.toFixed(2)),
      element('span', {}, bar),
    );
  });
  const none = element('li', { class: 'none' }, 'Nothing yet.');
  must('found').replaceChildren(...(rows.length ? rows : [none]));
}

function showTimes(): void {
  const slowest = Math.max(...[...results.values()].map(({ times }) => median(times)));
  must('times').replaceChildren(
    ...BACKENDS.map(name => {
      const result = results.get(name);
      const why = missing(name) ?? (errors.has(name) ? 'failed' : 'not run yet');
      const title = element('td', {}, name);
      if (name === 'mulayer' && result) title.append(element('small', {}, flags));
      const bar = element('span', { class: 'bar' });
      if (result) bar.style.width = `${(100 * median(result.times)) / slowest}%`;
      const cells = result
        ? [
            element('td', {}, ms(result.first)),
            element('td', {}, ms(median(result.times))),
            element('td', { class: 'bar-cell' }, bar),
          ]
        : [element('td', { class: 'none', colspan: '3' }, why)];
      const current = name === chosenBackend() ? { class: 'current' } : {};
      return element('tr', current, title, ...cells);
    }),
  );
}

const textOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
const flag = (name: string) => String(tf.env().get(`MULAYER_${name}`));
const ms = (value: number) => (value < 100 ? value.toFixed(1) : value.toFixed(0));

// --- Starting -----------------------------------------------------------------------------------

function offerBackends(): void {
  const available = availableBackends();
  for (const name of BACKENDS) {
    const why = missing(name);
    const radio = element('input', { type: 'radio', name: 'backend', value: name });
    radio.checked = name === available[0];
    radio.disabled = why !== undefined;
    const label = element('label', {}, radio, name);
    if (why !== undefined) label.append(element('small', {}, why));
    must('backends').append(label);
    radio.addEventListener('change', () => {
      followBackend();
      void request([name]);
    });
  }
  followBackend();
  showTimes();
}

function followBackend(): void {
  const isMulayer = chosenBackend() === 'mulayer';
  for (const select of must('mulayer-fields').querySelectorAll('select')) {
    select.disabled = !isMulayer;
  }
}

for (const id of ['split', 'precision']) {
  must(id).addEventListener('change', () => void request([chosenBackend()]));
}
must('run').addEventListener('click', () => void request([chosenBackend()]));
must('run-all').addEventListener(
  'click',
  () => void request(availableBackends(), { keepGoing: true }),
);
addEventListener('resize', showFound);
addEventListener('error', event => showError(event.message));
addEventListener('unhandledrejection', event => showError(String(event.reason)));

offerBackends();
showFound();
const ready = offerPictures().catch((error: unknown) => {
  idle('The page could not start.');
  showError(textOf(error));
});

window.compareAll = async () => {
  await ready;
  await request(availableBackends(), { keepGoing: true });
  return {
    picture: stageName,
    runs: Object.fromEntries(
      [...results].map(([name, run]) => [name, { ...run, median: median(run.times) }]),
    ),
    errors: Object.fromEntries(
      BACKENDS.flatMap(name => {
        const why = missing(name) ?? errors.get(name);
        return why === undefined ? [] : [[name, why]];
      }),
    ),
    ...(report && { report, summary: summaryOf(report) }),
  };
};
