/**
 * Bands: how images (axis 0) or rows (axis 1) of a result [n,h,w,c] are computed alone. What goes number
 * by number needs the same ones of its inputs. A window needs some more, the halo, and no padding where
 * the image goes on:
 *
 *     rows of x     top ┌┄┄┄┄┄┐ padding, which the first band has
 *                     0 ├─────┤
 *                       │  ▓  │ ┐                              from = y.from * stride - top
 *                       │  ▓  │ ├ rows of x that              to   = (y.to - 1) * stride - top + reach
 *                       │  ▓  │ ┘ a band of y looks at
 *                     h └─────┘
 */
import type { backend_util } from '@tensorflow/tfjs-core';
import { util } from '@tensorflow/tfjs-core';

import type { Attributes, Named, Need, Problem, Range, SliceRule } from '../src/graph/kernel.js';

/** Of a convolution or a pool, whose other inputs (filter, bias) it needs whole. */
export function bandOfWindows(
  info: backend_util.Conv2DInfo,
  attributes: Attributes,
  { axis, from, to }: Range,
): SliceRule | undefined {
  if (axis === 0) return { inputs: { x: { axis, from, to } } };
  if (axis !== 1) return undefined;
  const { inHeight, strideHeight, effectiveFilterHeight, padInfo } = info;
  const { top, left, right } = padInfo;
  const first = from * strideHeight - top;
  const end = (to - 1) * strideHeight - top + effectiveFilterHeight;
  const rows = { axis, from: Math.max(first, 0), to: Math.min(end, inHeight) };
  if (rows.from >= rows.to) return undefined;
  const padding = [rows.from - first, end - rows.to];
  return {
    inputs: { x: rows },
    attributes: { ...attributes, pad: [[0, 0], padding, [left, right], [0, 0]] },
  };
}

/** Of what goes number by number, along axes of the inputs that are the result's or broadcast. */
export function bandOfNumbers({ inputs, outputs }: Problem, range: Range): SliceRule | undefined {
  const [{ shape }] = outputs;
  // The last axis is for channels.
  if (range.axis > 1 || range.axis >= shape.length - 1) return undefined;
  const needs: Named<Need> = {};
  for (const [name, x] of Object.entries(inputs)) {
    if (util.arraysEqual(x.shape as number[], shape as number[])) needs[name] = range;
    else if (x.shape.length === shape.length && x.shape[range.axis] !== 1) return undefined;
    else if (x.shape.length < shape.length && x.shape.length > shape.length - 1 - range.axis)
      return undefined;
  }
  return { inputs: needs };
}
