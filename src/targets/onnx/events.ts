import type { GraphBuilder, Value } from './builder.ts';

/** Matrices of fewer numbers are faster read whole than by the rows of the few operands that are not zero. */
const smallestSparse = 1 << 17;

export const isWorthEvents = (inputs: number, outputs: number): boolean => inputs * outputs >= smallestSparse;

/** A matrix [in, out] whose rows can be gathered: its columns in parts of equal width. */
export type RowMatrix = readonly Value[];

/**
 * Rows of fewer than 4096 bytes: from there on copying may take the processor's string instruction, which on AMD Zen 4 is
 * many times slower where source and destination lie alike in their pages (glibc bug 30994). The parts cost nothing in the
 * file; a runtime makes them when it loads the model.
 */
const longestRow = 1023;

export function emitRowMatrix(builder: GraphBuilder, matrix: Value, outputs: number): RowMatrix {
  let count = Math.ceil(outputs / longestRow);
  while (outputs % count !== 0) count++;
  if (count === 1) return [matrix];
  const parts = Array.from({ length: count }, () => builder.name(`${matrix}.part`));
  builder.node('Split', [matrix], parts, { axis: 1 });
  return parts;
}

/**
 * x W for one row x [..., in] of which most are zero, W [in, out]: only the rows of W whose factor is not zero are read.
 * `axes` are those of x, all but the last of size 1.
 */
export function emitEventProduct(
  builder: GraphBuilder,
  x: Value,
  axes: number,
  matrix: RowMatrix,
  wish: string,
): Value {
  const places = builder.op('NonZero', [x], `${wish}_places`);
  const active = builder.op('Gather', [places, builder.index(axes - 1)], `${wish}_active`, { axis: 0 });
  const factors = builder.op('Gather', [x, active], `${wish}_factors`, { axis: axes - 1 });
  // One product of all parts, with an axis for them, goes wrong in onnxruntime 1.30 where no factor is left.
  const products = matrix.map((part, i) => {
    const name = matrix.length === 1 ? wish : `${wish}_${i}`;
    return builder.op('MatMul', [factors, builder.op('Gather', [part, active], `${name}_rows`, { axis: 0 })], name);
  });
  return products.length === 1 ? products[0] : builder.op('Concat', products, wish, { axis: -1 });
}
