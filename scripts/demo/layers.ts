/** Which share of each layer ran where: the picture of what `explain()` returns. */
import type { LayerReport, RunReport } from '../../src/index.js';
import { element, must } from './dom.js';

const strip = must('strip');
let layers: readonly LayerReport[] = [];
let chosen = 0;

/** Shows a run; undefined shows that there was none. */
export function showLayers(report: RunReport | undefined): void {
  must('layers-none').hidden = report !== undefined;
  must('layers-some').hidden = report === undefined;
  if (!report) return;
  layers = report.layers;
  chosen = 0;

  must('summary').replaceChildren(
    ...Object.entries(summaryOf(report)).map(([name, value]) =>
      element('div', {}, element('dt', {}, name), element('dd', {}, value)),
    ),
  );
  strip.replaceChildren(
    ...layers.map(layer => {
      const column = element('span', {}, ...shares(layer, 'height'));
      column.style.flexGrow = String(layer.ms);
      column.style.flexBasis = '0';
      return column;
    }),
  );
  strip.setAttribute('aria-valuemin', '1');
  strip.setAttribute('aria-valuemax', String(layers.length));
  choose(slowest());

  const longest = Math.max(...layers.map(layer => layer.ms), Number.MIN_VALUE);
  must('all').replaceChildren(
    ...layers.map(layer => {
      const bar = element('span', { class: 'share' }, ...shares(layer, 'width'));
      bar.style.width = `${(100 * layer.ms) / longest}%`;
      const cells = [
        element('th', { scope: 'row' }, nameOf(layer)),
        element('td', {}, layer.shape.join(' × ')),
        element('td', {}, bar),
        element('td', {}, layer.ms.toFixed(2)),
        element('td', {}, percent(layer.p)),
        element('td', {}, layer.precision),
        element('td', {}, bytes(layer.bytesToGpu)),
        element('td', {}, bytes(layer.bytesFromGpu)),
      ];
      return element('tr', {}, ...cells);
    }),
  );

  const delegated = Object.entries(report.delegated).sort(([, a], [, b]) => b - a);
  must('delegated').textContent = delegated.length
    ? `Run by tfjs's own backends: ${delegated.map(([op, n]) => `${n} × ${op}`).join(', ')}.`
    : '';
}

/** The numbers above the picture, name -> text. */
export function summaryOf(report: RunReport): Record<string, string> {
  const sum = (of: (layer: LayerReport) => number) =>
    report.layers.reduce((total, layer) => total + of(layer), 0);
  const time = sum(layer => layer.ms) || 1;
  const int8 = sum(layer => (layer.precision === 'int8' ? layer.ms * layer.p : 0));
  const count = (where: LayerReport['where']) =>
    report.layers.filter(layer => layer.where === where).length;
  return {
    Layers: String(report.layers.length),
    'On CPU / split / GPU': `${count('cpu')} / ${count('split')} / ${count('gpu')}`,
    "CPU's share of the time": percent(sum(layer => layer.ms * layer.p) / time),
    'of it in int8': percent(int8 / (sum(layer => layer.ms * layer.p) || 1)),
    'Read-backs': String(sum(layer => layer.readbacks)),
    'To GPU': bytes(sum(layer => layer.bytesToGpu)),
    'From GPU': bytes(sum(layer => layer.bytesFromGpu)),
    Run: `${report.ms.toFixed(1)} ms`,
  };
}

/** One part a processor, in its colour, as high or as wide as its share. */
function shares(layer: LayerReport, along: 'width' | 'height'): HTMLElement[] {
  const part = (name: string, share: number) => {
    const piece = element('i', { class: name });
    piece.style[along] = `${100 * share}%`;
    return piece;
  };
  const cpu = layer.precision === 'int8' ? 'cpu-int8' : 'cpu-float32';
  return [part(cpu, layer.p), part('gpu', 1 - layer.p)];
}

/** The kernel and what is fused into it. */
const nameOf = ({ op, fused }: LayerReport): string => [op, ...fused].join(' + ');

function slowest(): number {
  return layers.reduce((best, layer, i) => (layer.ms > layers[best].ms ? i : best), 0);
}

function choose(index: number): void {
  strip.children[chosen]?.classList.remove('chosen');
  chosen = Math.min(layers.length - 1, Math.max(0, index));
  const layer = layers[chosen];
  if (!layer) return;
  strip.children[chosen].classList.add('chosen');
  const where = { cpu: 'on the CPU', gpu: 'on the GPU', split: `${percent(layer.p)} on the CPU` };
  const moved = layer.bytesToGpu + layer.bytesFromGpu;
  const text = [
    `${chosen + 1} of ${layers.length}: ${nameOf(layer)} ${layer.shape.join(' × ')}`,
    `${layer.ms.toFixed(2)} ms`,
    where[layer.where],
    layer.precision,
    moved ? `${bytes(moved)} moved` : 'nothing moved',
  ].join(' · ');
  strip.setAttribute('aria-valuenow', String(chosen + 1));
  strip.setAttribute('aria-valuetext', text);
  must('strip-text').textContent = text;
}

strip.addEventListener('keydown', event => {
  const to = {
    ArrowLeft: chosen - 1,
    ArrowDown: chosen - 1,
    ArrowRight: chosen + 1,
    ArrowUp: chosen + 1,
    PageDown: chosen - 10,
    PageUp: chosen + 10,
    Home: 0,
    End: layers.length - 1,
  }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  choose(to);
});

const chooseUnder = (event: PointerEvent) => {
  const column = (event.target as Element).closest('.strip > span');
  if (column) choose([...strip.children].indexOf(column));
};
strip.addEventListener('pointermove', chooseUnder);
strip.addEventListener('pointerdown', chooseUnder);

const percent = (share: number) => `${Math.round(100 * share)} %`;

function bytes(n: number): string {
  if (n < 1000) return `${n} B`;
  return n < 1e6 ? `${(n / 1e3).toFixed(0)} kB` : `${(n / 1e6).toFixed(1)} MB`;
}
