/** A picture and what was found in it, on the canvas. */
import { COCO, type Detection } from '../../test/models/nets.js';
import { must } from './dom.js';

/** Width of a picture below which labels are small. */
const NARROW = 480;

const canvas = must('canvas', HTMLCanvasElement);

/** A colour of its own for each class: hues a golden angle apart, dark enough under white text. */
export function colourOf(label: string): string {
  return `hsl(${(COCO.indexOf(label) * 137.5 + 20) % 360} 75% 36%)`;
}

/** Draws `source` and the boxes over it, as large as the canvas is on the screen. */
export function draw(
  source: CanvasImageSource,
  columns: number,
  rows: number,
  detections: readonly Detection[],
): void {
  const view = must('drop');
  // On a phone the view is as high as the picture; else the picture fits into the view.
  const room = Math.min(view.clientWidth / columns, (view.clientHeight || Infinity) / rows);
  const fit = getComputedStyle(view).minHeight === '0px' ? room : view.clientWidth / columns;
  const width = columns * Math.min(fit, 3);
  const height = rows * Math.min(fit, 3);
  const dots = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(width * dots));
  canvas.height = Math.max(1, Math.round(height * dots));
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext('2d');
  if (!context) throw new Error('this browser gives no 2D canvas');
  context.scale(dots, dots);
  context.drawImage(source, 0, 0, width, height);

  const frames = detections.map(({ label, box }) => {
    const [left, top, right, bottom] = box.map((at, i) => at * (i % 2 ? height : width));
    return { left, top, wide: right - left, high: bottom - top, colour: colourOf(label) };
  });
  for (const { left, top, wide, high, colour } of frames) {
    context.lineWidth = 4;
    context.strokeStyle = 'rgb(255 255 255 / 0.55)';
    context.strokeRect(left, top, wide, high);
    context.lineWidth = 2.5;
    context.strokeStyle = colour;
    context.strokeRect(left, top, wide, high);
  }
  const size = width < NARROW ? 11 : 13;
  const chipHeight = size + 6;
  context.font = `600 ${size}px system-ui, "DejaVu Sans", sans-serif`;
  context.textBaseline = 'middle';
  const taken: DOMRect[] = [];
  for (const [i, { left, top, colour }] of frames.entries()) {
    const text = `${detections[i].label} ${detections[i].score.toFixed(2)}`;
    const wide = context.measureText(text).width + 10;
    const x = Math.max(0, Math.min(left - 1, width - wide));
    const chip = freePlace(
      new DOMRect(x, Math.max(0, top - chipHeight), wide, chipHeight),
      taken,
      height,
    );
    taken.push(chip);
    context.fillStyle = colour;
    context.fillRect(chip.x, chip.y, chip.width, chip.height);
    context.fillStyle = '#fff';
    context.fillText(text, chip.x + 5, chip.y + chipHeight / 2 + 0.5);
  }
  canvas.setAttribute(
    'aria-label',
    detections.length
      ? `Picture with boxes: ${detections.map(d => d.label).join(', ')}`
      : 'Picture, nothing found in it yet',
  );
}

/** Where a label goes when better ones have taken places: under the one in its way. */
function freePlace(wanted: DOMRect, taken: readonly DOMRect[], bottom: number): DOMRect {
  const place = DOMRect.fromRect(wanted);
  const inTheWay = () =>
    taken.find(
      one =>
        one.left < place.right &&
        place.left < one.right &&
        one.top < place.bottom &&
        place.top < one.bottom,
    );
  for (let other = inTheWay(); other; other = inTheWay()) {
    if (other.bottom + place.height > bottom) break;
    place.y = other.bottom;
  }
  return place;
}
