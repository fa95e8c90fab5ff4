/**
 * The exports of both builds (`wasm/index.ts`), as TypeScript sees them. Pointers are byte
 * addresses in the imported memory, 0 where an operand is absent; strides, sizes and counts are in
 * elements. Layouts, rounding and what is read past the end: `wasm/README.md`.
 */

/** A byte address in the module's memory. */
export type Pointer = number;

export interface WasmKernels {
  /** The first address behind the module's static data: from here on memory is the caller's. */
  heapBase(): Pointer;
  /** Makes 16 KiB at `block` the scratch of this instance; before any kernel that needs one. */
  setScratch(block: Pointer): void;
  /**
   * How relaxed_dot reads its second operand here: 1 unsigned, 2 signed (store x ^ 0x80), both with
   * exact sums; 3 unsigned, exact while weights are within ±64 (`largest`); 0 none of these (use the
   * ...I16 functions).
   */
  relaxedDotKind(): 0 | 1 | 2 | 3;

  /** y [m,n] = act(patches(x) [m,K] * w [K,n] + bias [n]), K = segments * segmentLength. */
  f32Gemm(
    x: Pointer,
    m: number,
    ow: number,
    pixelStride: number,
    rowStride: number,
    segments: number,
    segmentLength: number,
    segmentOffsets: Pointer,
    w: Pointer,
    n: number,
    ldw: number,
    bias: Pointer,
    alpha: Pointer,
    lo: number,
    hi: number,
    y: Pointer,
    ldy: number,
  ): void;

  /** Bytes of `packed` for qs8Pack. */
  qs8PackedBytes(segments: number, segmentLength: number, n: number): number;
  /**
   * w [K,ldw] -> signed bytes within ±`largest` for qu8Gemm, scale f32 [n], sum i32 [n] of the bytes.
   */
  qs8Pack(
    w: Pointer,
    segments: number,
    segmentLength: number,
    n: number,
    ldw: number,
    packed: Pointer,
    scale: Pointer,
    sum: Pointer,
    largest: number,
  ): void;
  /**
   * y [m,n] = act(f32(patches(x) * w + correction [n]) * scale [n] + bias [n]), in floats; or, where
   * `spread` (f32 [min x4 | max x4], widened by y in whole steps of 1 / inverse) is given, in bytes:
   * trunc(y * inverse + zero + 1/2).
   */
  qu8Gemm(
    x: Pointer,
    m: number,
    ow: number,
    pixelStride: number,
    rowStride: number,
    segments: number,
    segmentLength: number,
    segmentOffsets: Pointer,
    packed: Pointer,
    n: number,
    correction: Pointer,
    scale: Pointer,
    bias: Pointer,
    alpha: Pointer,
    lo: number,
    hi: number,
    y: Pointer,
    ldy: number,
    inverse: number,
    zero: number,
    spread: Pointer,
  ): void;
  /**
   * For specs: makes qu8Gemm's tile 4 or 6 rows high on the relaxed dot, 0 what suits the machine.
   */
  setTileRows(rows: 0 | 4 | 6): void;
  /** qs8PackedBytes for the path without the relaxed dot. */
  qs8PackedBytesI16: WasmKernels['qs8PackedBytes'];
  /** qs8Pack for the path without the relaxed dot. */
  qs8PackI16: WasmKernels['qs8Pack'];
  /** qu8Gemm without the relaxed dot; x is u8. */
  qu8GemmI16: WasmKernels['qu8Gemm'];

  /** y [hp,wp,c] u8; returns 1 when some value was NaN or had to be clamped, else 0. */
  f32ToQu8(
    x: Pointer,
    h: number,
    w: number,
    c: number,
    top: number,
    left: number,
    hp: number,
    wp: number,
    inverseScale: number,
    zeroPoint: number,
    xor: number,
    y: Pointer,
  ): 0 | 1;
  /** y [n] = (x - zero) * scale. */
  qu8ToF32(x: Pointer, n: number, scale: number, zero: number, y: Pointer): void;
  /** y [hp,wp,c] = x [h,w,c] ^ xor at (top, left), `value` ^ xor elsewhere; bytes. */
  x8Pad(
    x: Pointer,
    h: number,
    w: number,
    c: number,
    top: number,
    left: number,
    hp: number,
    wp: number,
    value: number,
    xor: number,
    y: Pointer,
  ): void;
  /** y [rows,yPitch] = round((x [rows,width] - xZero) * factor) + yZero. */
  qu8Requantise(
    x: Pointer,
    rows: number,
    width: number,
    factor: number,
    xZero: number,
    yZero: number,
    y: Pointer,
    yPitch: number,
  ): void;
  /** y [hp,wp,c] = x [h,w,c] at (top, left), `value` elsewhere. */
  f32Pad(
    x: Pointer,
    h: number,
    w: number,
    c: number,
    top: number,
    left: number,
    hp: number,
    wp: number,
    value: number,
    y: Pointer,
  ): void;
  /** Widens spread, f32 [min x4 | max x4], by x; by both infinities when x holds a NaN. */
  f32MinMax(x: Pointer, n: number, spread: Pointer): void;
  /** y [oh,ow,c*multiplier] of x [h,w,c]; filter element (ky, kx, k) at (ky*kw + kx)*ldw + k. */
  f32Depthwise(
    x: Pointer,
    h: number,
    w: number,
    c: number,
    filter: Pointer,
    ldw: number,
    kh: number,
    kw: number,
    multiplier: number,
    strideH: number,
    strideW: number,
    dilationH: number,
    dilationW: number,
    top: number,
    left: number,
    oh: number,
    ow: number,
    bias: Pointer,
    alpha: Pointer,
    lo: number,
    hi: number,
    y: Pointer,
  ): void;
  /** Bytes of `packed` for qs8PackTaps. */
  qs8PackedBytesTaps: WasmKernels['qs8PackedBytes'];
  /** qs8Pack of a depthwise filter [taps,c], one segment, for qu8Depthwise in both builds. */
  qs8PackTaps: WasmKernels['qs8Pack'];
  /**
   * y [oh,ow,c] of a padded image; tap: i32 [ceil4(taps)] offsets. `exact`: 16-bit products even
   * where there is a relaxed dot. Floats or bytes as qu8Gemm.
   */
  qu8Depthwise(
    exact: 0 | 1,
    x: Pointer,
    oh: number,
    ow: number,
    pixelStride: number,
    rowStride: number,
    taps: number,
    tap: Pointer,
    packed: Pointer,
    c: number,
    correction: Pointer,
    scale: Pointer,
    bias: Pointer,
    alpha: Pointer,
    lo: number,
    hi: number,
    y: Pointer,
    inverse: number,
    zero: number,
    spread: Pointer,
  ): void;
  /** op: 0 max, 1 avg. */
  f32Pool(
    op: number,
    x: Pointer,
    h: number,
    w: number,
    c: number,
    kh: number,
    kw: number,
    strideH: number,
    strideW: number,
    dilationH: number,
    dilationW: number,
    top: number,
    left: number,
    oh: number,
    ow: number,
    y: Pointer,
  ): void;
  /** The maximum of bytes; 0 where no cell is inside. */
  qu8MaxPool(
    x: Pointer,
    h: number,
    w: number,
    c: number,
    kh: number,
    kw: number,
    strideH: number,
    strideW: number,
    dilationH: number,
    dilationW: number,
    top: number,
    left: number,
    oh: number,
    ow: number,
    y: Pointer,
  ): void;
  /** The mean of bytes in a scale of its own; there must be a cell in every window. */
  qu8AvgPool(
    x: Pointer,
    h: number,
    w: number,
    c: number,
    kh: number,
    kw: number,
    strideH: number,
    strideW: number,
    dilationH: number,
    dilationW: number,
    top: number,
    left: number,
    oh: number,
    ow: number,
    xZero: number,
    xScale: number,
    y: Pointer,
    inverse: number,
    zero: number,
    spread: Pointer,
  ): void;
  /** op: 0 add, 1 sub, 2 mul, 3 div, 4 max, 5 min, 6 squaredDifference, 7 prelu. */
  f32Binary(
    op: number,
    outer: number,
    inner: number,
    a: Pointer,
    aOuter: number,
    aInner: 0 | 1,
    b: Pointer,
    bOuter: number,
    bInner: 0 | 1,
    y: Pointer,
  ): void;
  /** Bytes y [rows,n] = op(a [rows,n], b); op: 0 add, 1 sub, 2 mul; bPitch: n, or 0 for b [n]. */
  qu8Binary(
    op: number,
    rows: number,
    n: number,
    a: Pointer,
    aZero: number,
    aScale: number,
    b: Pointer,
    bPitch: number,
    bZero: number,
    bScale: number,
    y: Pointer,
    inverse: number,
    zero: number,
    spread: Pointer,
  ): void;
  /**
   * op: 0 relu, 1 relu6, 2 leakyRelu(p0), 3 clip(p0, p1), 4 neg, 5 abs, 6 square, 7 sqrt, 8 rsqrt,
   * 9 reciprocal, 10 exp, 11 log, 12 sigmoid, 13 tanh, 14 elu, 15 softplus, 16 step(p0),
   * 17 floor, 18 ceil, 19 round.
   */
  f32Unary(op: number, x: Pointer, n: number, p0: number, p1: number, y: Pointer): void;
  /** y [n] = table [256] at x [n]; bytes. */
  x8Lookup(x: Pointer, n: number, table: Pointer, y: Pointer): void;
  /** y [n] = min(max(x [n], lo), hi); bytes. */
  x8Clamp(x: Pointer, n: number, lo: number, hi: number, y: Pointer): void;
  /** y [rows,c] = x * scale [c] + offset [c]. */
  f32Affine(x: Pointer, rows: number, c: number, scale: Pointer, offset: Pointer, y: Pointer): void;
  /** Elements of 1 or 4 bytes, sizes n, strides in elements; those of x may be 0 or negative. */
  copyStrided(
    elementBytes: 1 | 4,
    x: Pointer,
    y: Pointer,
    n0: number,
    n1: number,
    n2: number,
    n3: number,
    n4: number,
    n5: number,
    x0: number,
    x1: number,
    x2: number,
    x3: number,
    x4: number,
    x5: number,
    y0: number,
    y1: number,
    y2: number,
    y3: number,
    y4: number,
    y5: number,
  ): void;
  /** n elements of the lowest byte or all 32 bits of `valueBits`. */
  fill(elementBytes: 1 | 4, y: Pointer, n: number, valueBits: number): void;
  /** Rows [from, to) of y [oh,ow,c], bilinear; y points at row `from`. */
  f32Resize(
    x: Pointer,
    h: number,
    w: number,
    c: number,
    oh: number,
    ow: number,
    alignCorners: 0 | 1,
    halfPixelCenters: 0 | 1,
    from: number,
    to: number,
    y: Pointer,
  ): void;
  /** The same of bytes, rounded to the nearest. */
  qu8Resize: WasmKernels['f32Resize'];
  /** The same to the nearest cell, of `c` bytes. */
  x8ResizeNearest: WasmKernels['f32Resize'];
  /** x [outer,reduce,inner] -> y [outer,inner]; op: 0 sum, 1 mean, 2 max, 3 min, 4 prod. */
  f32Reduce(op: number, x: Pointer, outer: number, reduce: number, inner: number, y: Pointer): void;
  /** Softmax of each row. */
  f32Softmax(x: Pointer, rows: number, c: number, y: Pointer): void;
  /** y [m,rowBytes] = rows `indices` (i32 [m]) of x; indices are not checked. */
  gatherRows(x: Pointer, indices: Pointer, m: number, rowBytes: number, y: Pointer): void;
}
