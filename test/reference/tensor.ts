/** The oracle for what works by index: y[index] = f(index), row by row. */

/** One number for each index of the shape. */
export function build(shape: readonly number[], f: (index: number[]) => number): number[] {
  const size = shape.reduce((a, b) => a * b, 1);
  return Array.from({ length: size }, (_, flat) => {
    const index = new Array<number>(shape.length);
    for (let axis = shape.length - 1; axis >= 0; --axis) {
      index[axis] = flat % shape[axis];
      flat = Math.floor(flat / shape[axis]);
    }
    return f(index);
  });
}

/** x[index]. Axes of length 1 are read at 0, and missing leading axes skipped: broadcasting. */
export function at(x: ArrayLike<number>, shape: readonly number[], index: number[]): number {
  const skipped = index.length - shape.length;
  const flat = shape.reduce(
    (flat, length, axis) => flat * length + (length === 1 ? 0 : index[skipped + axis]),
    0,
  );
  return x[flat];
}
