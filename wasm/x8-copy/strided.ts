/**
 * y[i . yStrides] = x[i . xStrides] for every index i of shape [n0,...,n5], elements of 1 or 4
 * bytes. Fewer dimensions are filled up with ones. Strides are in elements; those of x may be 0
 * (repeat) or negative (reverse; x then points at the element of index 0). Serves pad, slice,
 * concat, split, transpose, reverse, depth-to-space.
 *
 * Dimensions of size 1 are dropped and pairs that are one run are merged. What is innermost is
 * then one of
 *
 *     run         x and y contiguous               copyRun
 *     transpose   y contiguous along one           blocks of 4 x 4 words or 8 x 8 bytes in
 *                 dimension, x along another       registers
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

const DIM_BYTES: usize = 12;

/** What is innermost; globals, since they belong to the instance and not to the memory. */
const RUN: i32 = 0;
const TRANSPOSE: i32 = 1;
const LINE: i32 = 2;
let leaf: i32 = RUN;
let dims: usize = 0;
let dimsEnd: usize = 0;
/** Bytes of an element. */
let unit: i32 = 4;
/** Bytes of a run; elements of a line. */
let leafSize: i32 = 0;
let leafX: i32 = 0;
let leafY: i32 = 0;
/** TRANSPOSE: elements along x's contiguous dimension. */
let leafColumns: i32 = 0;


@inline
function copyElement(elementBytes: i32, x: usize, y: usize): void {
  if (elementBytes == 4) store<u32>(y, load<u32>(x));
  else store<u8>(y, load<u8>(x));
}

/** Words q[j][i] = p[i][j] of a 4 x 4 block. */
@inline
function transpose4(p: usize, xRow: usize, q: usize, yRow: usize): void {
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

/** Eight bytes of a row and of the next, in turn. */
@inline
function twoRows(p: usize, row: usize): v128 {
  const a = v128.load64_zero(p);
  const b = v128.load64_zero(p + row);
  return v128.shuffle<i8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}


@inline
function storeRows(q: usize, row: usize, v: v128): void {
  v128.store64_lane(q, v, 0);
  v128.store64_lane(q + row, v, 1);
}

/** Bytes q[j][i] = p[i][j] of an 8 x 8 block. */
@inline
function transpose8(p: usize, xRow: usize, q: usize, yRow: usize): void {
  const r01 = twoRows(p, xRow);
  const r23 = twoRows(p + xRow * 2, xRow);
  const r45 = twoRows(p + xRow * 4, xRow);
  const r67 = twoRows(p + xRow * 6, xRow);
  const low03 = v128.shuffle<i16>(r01, r23, 0, 8, 1, 9, 2, 10, 3, 11);
  const high03 = v128.shuffle<i16>(r01, r23, 4, 12, 5, 13, 6, 14, 7, 15);
  const low47 = v128.shuffle<i16>(r45, r67, 0, 8, 1, 9, 2, 10, 3, 11);
  const high47 = v128.shuffle<i16>(r45, r67, 4, 12, 5, 13, 6, 14, 7, 15);
  storeRows(q, yRow, v128.shuffle<i32>(low03, low47, 0, 4, 1, 5));
  storeRows(q + yRow * 2, yRow, v128.shuffle<i32>(low03, low47, 2, 6, 3, 7));
  storeRows(q + yRow * 4, yRow, v128.shuffle<i32>(high03, high47, 0, 4, 1, 5));
  storeRows(q + yRow * 6, yRow, v128.shuffle<i32>(high03, high47, 2, 6, 3, 7));
}

/** y[j][i] = x[i][j]: x has `rows` rows, xRow bytes apart, y has `columns` rows, yRow apart. */
@inline
function transpose(
  elementBytes: i32,
  x: usize,
  rows: i32,
  columns: i32,
  xRow: usize,
  yRow: usize,
  y: usize,
): void {
  const edge = elementBytes == 4 ? 4 : 8;
  // 64 bytes of rows of y at a time, so that whole cache lines are written.
  const strip = 64 / elementBytes;
  for (let start = 0; start < rows; start += strip) {
    const stop = min(rows, start + strip);
    let j = 0;
    for (; j + edge <= columns; j += edge) {
      let p = x + <usize>start * xRow + <usize>(j * elementBytes);
      let q = y + <usize>j * yRow + <usize>(start * elementBytes);
      let i = start;
      for (; i + edge <= stop; i += edge) {
        if (elementBytes == 4) transpose4(p, xRow, q, yRow);
        else transpose8(p, xRow, q, yRow);
        p += <usize>edge * xRow;
        q += <usize>(edge * elementBytes);
      }
      // Remainder: rows one at a time.
      for (; i < stop; ++i, p += xRow, q += <usize>elementBytes) {
        for (let k = 0; k < edge; ++k) {
          copyElement(elementBytes, p + <usize>(k * elementBytes), q + <usize>k * yRow);
        }
      }
    }
    // Remainder: columns one at a time.
    for (; j < columns; ++j) {
      let p = x + <usize>start * xRow + <usize>(j * elementBytes);
      let q = y + <usize>j * yRow + <usize>(start * elementBytes);
      for (let i = start; i < stop; ++i, p += xRow, q += <usize>elementBytes) {
        copyElement(elementBytes, p, q);
      }
    }
  }
}

function transposeWords(x: usize, y: usize): void {
  transpose(4, x, leafSize, leafColumns, leafX, leafY, y);
}

function transposeBytes(x: usize, y: usize): void {
  transpose(1, x, leafSize, leafColumns, leafX, leafY, y);
}


@inline
function line(elementBytes: i32, x: usize, y: usize): void {
  for (let i = leafSize; i > 0; --i) {
    copyElement(elementBytes, x, y);
    x += leafX;
    y += leafY;
  }
}

function walk(dim: usize, x: usize, y: usize): void {
  if (dim == dimsEnd) {
    if (leaf == RUN) copyRun(y, x, leafSize);
    else if (leaf == LINE) {
      if (unit == 4) line(4, x, y);
      else line(1, x, y);
    } else if (unit == 4) transposeWords(x, y);
    else transposeBytes(x, y);
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

/** Puts one dimension behind the others, or into the last one if the two are one run. */
function add(size: i32, x: i32, y: i32): void {
  if (size == 1) return;
  const last = dimsEnd - DIM_BYTES;
  const xStride = x * unit;
  const yStride = y * unit;
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

export function copyStrided(
  elementBytes: i32,
  x: usize,
  y: usize,
  n0: i32,
  n1: i32,
  n2: i32,
  n3: i32,
  n4: i32,
  n5: i32,
  x0: i32,
  x1: i32,
  x2: i32,
  x3: i32,
  x4: i32,
  x5: i32,
  y0: i32,
  y1: i32,
  y2: i32,
  y3: i32,
  y4: i32,
  y5: i32,
): void {
  assert(elementBytes == 1 || elementBytes == 4);
  if (n0 == 0 || n1 == 0 || n2 == 0 || n3 == 0 || n4 == 0 || n5 == 0) return;
  unit = elementBytes;
  dims = scratch();
  dimsEnd = dims;
  add(n0, x0, y0);
  add(n1, x1, y1);
  add(n2, x2, y2);
  add(n3, x3, y3);
  add(n4, x4, y4);
  add(n5, x5, y5);
  if (dimsEnd == dims) {
    copyElement(unit, x, y);
    return;
  }
  const last = dimsEnd - DIM_BYTES;
  if (load<i32>(last, 4) == unit && load<i32>(last, 8) == unit) {
    leaf = RUN;
    leafSize = load<i32>(last) * unit;
    dimsEnd = last;
  } else {
    let along: usize = 0;
    let across: usize = 0;
    for (let dim = dims; dim < dimsEnd; dim += DIM_BYTES) {
      if (load<i32>(dim, 8) == unit) along = dim;
      if (load<i32>(dim, 4) == unit) across = dim;
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
