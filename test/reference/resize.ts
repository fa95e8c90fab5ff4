/**
 * The oracle for resizing images: x [h,w,c] -> y [oh,ow,c], tfjs-cpu's coordinates and doubles.
 */

export interface Resize {
  h: number;
  w: number;
  c: number;
  oh: number;
  ow: number;
  alignCorners: boolean;
  halfPixelCenters: boolean;
}

function ratio(from: number, to: number, alignCorners: boolean): number {
  const align = alignCorners && to > 1;
  return (align ? from - 1 : from) / (align ? to - 1 : to);
}

export function resizeBilinear(x: ArrayLike<number>, p: Resize): Float32Array {
  const y = new Float32Array(p.oh * p.ow * p.c);
  const rowRatio = ratio(p.h, p.oh, p.alignCorners);
  const columnRatio = ratio(p.w, p.ow, p.alignCorners);
  const position = (i: number, scale: number) =>
    p.halfPixelCenters ? scale * (i + 0.5) - 0.5 : scale * i;
  let at = 0;
  for (let r = 0; r < p.oh; ++r) {
    const row = position(r, rowRatio);
    const top = Math.max(0, Math.floor(row));
    const bottom = Math.min(p.h - 1, Math.ceil(row));
    for (let c = 0; c < p.ow; ++c) {
      const column = position(c, columnRatio);
      const left = Math.max(0, Math.floor(column));
      const right = Math.min(p.w - 1, Math.ceil(column));
      for (let k = 0; k < p.c; ++k) {
        const cell = (i: number, j: number) => x[(i * p.w + j) * p.c + k];
        const upper = cell(top, left) + (cell(top, right) - cell(top, left)) * (column - left);
        const lower =
          cell(bottom, left) + (cell(bottom, right) - cell(bottom, left)) * (column - left);
        y[at++] = upper + (lower - upper) * (row - top);
      }
    }
  }
  return y;
}

export function resizeNearestNeighbor(x: ArrayLike<number>, p: Resize): Float32Array {
  const y = new Float32Array(p.oh * p.ow * p.c);
  const rowRatio = ratio(p.h, p.oh, p.alignCorners);
  const columnRatio = ratio(p.w, p.ow, p.alignCorners);
  const nearest = (i: number, scale: number, size: number) => {
    const position = p.halfPixelCenters ? scale * (i + 0.5) : scale * i;
    return Math.min(size - 1, p.alignCorners ? Math.round(position) : Math.floor(position));
  };
  let at = 0;
  for (let r = 0; r < p.oh; ++r) {
    for (let c = 0; c < p.ow; ++c) {
      const cell = nearest(r, rowRatio, p.h) * p.w + nearest(c, columnRatio, p.w);
      for (let k = 0; k < p.c; ++k) y[at++] = x[cell * p.c + k]!;
    }
  }
  return y;
}
