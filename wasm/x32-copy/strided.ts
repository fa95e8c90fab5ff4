/**
 * y[i . yStrides] = x[i . xStrides] for every index i of shape [rank], elements of 4 bytes,
 * rank <= 8. Strides are in elements; those of x may be 0 (repeat) or negative (reverse; x then
 * points at the element of index 0). Serves pad, slice, concat, split, transpose, tile, reverse,
 * depth-to-space.
 *
 * Dimensions of size 1 are dropped and pairs that are one run are merged. What is innermost is
 * then one of
 *
 *     run         x and y contiguous               copyRun
 *     transpose   y contiguous along one           4 x 4 blocks in registers
 *                 dimension, x along another
 *     line        anything else                    element by element
 *
 * and the other dimensions are walked in their order. They lie in the scratch block:
 *
 *     ┌──────┬─────────┬─────────┐
 *     │ size │ xStride │ yStride │  strides in bytes
 *     └──────┴─────────┴─────────┘
 *     0      4         8        12
 *
 * Reads only the elements named. x and y do not overlap.
 */
import { scratch } from '../memory/scratch';
import { copyRun } from '../simd';

const MAX_RANK: i32 = 8;
const DIM_BYTES: usize = 12;
const ELEMENT: i32 = 4;

/** What is innermost; globals, since they belong to the instance and not to the memory. */
const RUN: i32 = 0;
const TRANSPOSE: i32 = 1;
const LINE: i32 = 2;
let leaf: i32 = RUN;
let dimsEnd: usize = 0;
/** Bytes of a run; elements of a line. */
let leafSize: i32 = 0;
let leafX: i32 = 0;
let leafY: i32 = 0;
/** TRANSPOSE: elements along x's contiguous dimension. */
let leafColumns: i32 = 0;

/** y[j][i] = x[i][j]: x has `rows` rows, xRow bytes apart, y has `columns` rows, yRow apart. */
function transpose(x: usize, rows: i32, columns: i32, xRow: usize, yRow: usize, y: usize): void {
  // 16 rows of x at a time, so that whole cache lines of y are written.
  for (let start = 0; start < rows; start += 16) {
    const stop = min(rows, start + 16);
    let j = 0;
    for (; j + 4 <= columns; j += 4) {
      let i = start;
      for (; i + 4 <= stop; i += 4) {
        const p = x + <usize>i * xRow + ((<usize>j) << 2);
        const q = y + <usize>j * yRow + ((<usize>i) << 2);
        const r0 = v128.load(p);
        const r1 = v128.load(p + xRow);
        const r2 = v128.load(p + xRow * 2);
        const r3 = v128.load(p + xRow * 3);
        const low01 = v128.shuffle<i32>(r0, r1, 0, 4, 1, 5);
        const low23 = v128.shuffle<i32>(r2, r3, 0, 4, 1, 5);
        const high01 = v128.shuffle<i32>(r0, r1, 2, 6, 3, 7);
        const high23 = v128.shuffle<i32>(r2, r3, 2, 6, 3, 7);
        v128.store(q, v128.shuffle<i64>(low01, low23, 0, 2));
        v128.store(q + yRow, v128.shuffle<i64>(low01, low23, 1, 3));
        v128.store(q + yRow * 2, v128.shuffle<i64>(high01, high23, 0, 2));
        v128.store(q + yRow * 3, v128.shuffle<i64>(high01, high23, 1, 3));
      }
      // Remainder: rows one at a time.
      for (; i < stop; ++i) {
        const v = v128.load(x + <usize>i * xRow + ((<usize>j) << 2));
        const q = y + <usize>j * yRow + ((<usize>i) << 2);
        v128.store32_lane(q, v, 0);
        v128.store32_lane(q + yRow, v, 1);
        v128.store32_lane(q + yRow * 2, v, 2);
        v128.store32_lane(q + yRow * 3, v, 3);
      }
    }
    // Remainder: columns one at a time.
    for (; j < columns; ++j) {
      for (let i = start; i < stop; ++i) {
        const p = x + <usize>i * xRow + ((<usize>j) << 2);
        store<u32>(y + <usize>j * yRow + ((<usize>i) << 2), load<u32>(p));
      }
    }
  }
}


@inline
function line(x: usize, y: usize): void {
  for (let i = leafSize; i > 0; --i) {
    store<u32>(y, load<u32>(x));
    x += leafX;
    y += leafY;
  }
}

function walk(dim: usize, x: usize, y: usize): void {
  if (dim == dimsEnd) {
    if (leaf == RUN) copyRun(y, x, leafSize);
    else if (leaf == LINE) line(x, y);
    else transpose(x, leafSize, leafColumns, leafX, leafY, y);
    return;
  }
  const size = load<i32>(dim);
  const xStride = load<i32>(dim, 4);
  const yStride = load<i32>(dim, 8);
  const next = dim + DIM_BYTES;
  if (next == dimsEnd && leaf == RUN) {
    // The usual case, without a call for each run.
    for (let i = size; i > 0; --i) {
      copyRun(y, x, leafSize);
      x += xStride;
      y += yStride;
    }
  } else {
    for (let i = size; i > 0; --i) {
      walk(next, x, y);
      x += xStride;
      y += yStride;
    }
  }
}

/** Takes one dimension out of the list. */
function remove(dim: usize): void {
  dimsEnd -= DIM_BYTES;
  memory.copy(dim, dim + DIM_BYTES, dimsEnd - dim);
}

export function copyStrided(
  x: usize,
  y: usize,
  rank: i32,
  shape: usize,
  xStrides: usize,
  yStrides: usize,
): void {
  assert(rank >= 0 && rank <= MAX_RANK);
  const dims = scratch();
  dimsEnd = dims;
  for (let i: usize = 0; i < (<usize>rank) << 2; i += 4) {
    const size = load<i32>(shape + i);
    const xStride = load<i32>(xStrides + i) * ELEMENT;
    const yStride = load<i32>(yStrides + i) * ELEMENT;
    if (size == 0) return;
    if (size == 1) continue;
    const last = dimsEnd - DIM_BYTES;
    if (
      dimsEnd > dims &&
      load<i32>(last, 4) == xStride * size &&
      load<i32>(last, 8) == yStride * size
    ) {
      store<i32>(last, load<i32>(last) * size);
      store<i32>(last, xStride, 4);
      store<i32>(last, yStride, 8);
    } else {
      store<i32>(dimsEnd, size);
      store<i32>(dimsEnd, xStride, 4);
      store<i32>(dimsEnd, yStride, 8);
      dimsEnd += DIM_BYTES;
    }
  }
  if (dimsEnd == dims) {
    store<u32>(y, load<u32>(x));
    return;
  }
  const last = dimsEnd - DIM_BYTES;
  if (load<i32>(last, 4) == ELEMENT && load<i32>(last, 8) == ELEMENT) {
    leaf = RUN;
    leafSize = load<i32>(last) * ELEMENT;
    dimsEnd = last;
  } else {
    let along: usize = 0;
    let across: usize = 0;
    for (let dim = dims; dim < dimsEnd; dim += DIM_BYTES) {
      if (load<i32>(dim, 8) == ELEMENT) along = dim;
      if (load<i32>(dim, 4) == ELEMENT) across = dim;
    }
    if (along && across && along != across) {
      leaf = TRANSPOSE;
      leafSize = load<i32>(along);
      leafColumns = load<i32>(across);
      leafX = load<i32>(along, 4);
      leafY = load<i32>(across, 8);
      remove(max(along, across));
      remove(min(along, across));
    } else {
      leaf = LINE;
      leafSize = load<i32>(last);
      leafX = load<i32>(last, 4);
      leafY = load<i32>(last, 8);
      dimsEnd = last;
    }
  }
  walk(dims, x, y);
}
