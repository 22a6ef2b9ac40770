import type { GraphBuilder, Value } from './builder.ts';

/** Matrices of fewer numbers are faster read whole than by the rows of the few operands that are not zero. */
const smallestSparse = 1 << 17;

export const isWorthEvents = (inputs: number, outputs: number): boolean => inputs * outputs >= smallestSparse;

/** A matrix [in, out] whose rows can be gathered: [parts, in, out / parts], or as it is where there is one part. */
export interface RowMatrix {
  readonly value: Value;
  readonly parts: number;
  readonly outputs: number;
}

/**
 * Rows of fewer than 4096 bytes: from there on copying may take the processor's string instruction, which on AMD Zen 4 is
 * many times slower where source and destination lie alike in their pages (glibc bug 30994). The other layout costs
 * nothing in the file; a runtime makes it when it loads the model.
 */
const longestRow = 1023;

export function emitRowMatrix(builder: GraphBuilder, matrix: Value, inputs: number, outputs: number): RowMatrix {
  let parts = Math.ceil(outputs / longestRow);
  while (outputs % parts !== 0) parts++;
  if (parts === 1) return { value: matrix, parts, outputs };
  const split = builder.op('Reshape', [matrix, builder.ints([inputs, parts, outputs / parts])], `${matrix}.split`);
  return { value: builder.op('Transpose', [split], `${matrix}.parts`, { perm: [1, 0, 2] }), parts, outputs };
}

/** x W for one row x [1, in] of which most are zero, W [in, out]: only the rows of W whose factor is not zero are read. */
export function emitEventProduct(builder: GraphBuilder, x: Value, matrix: RowMatrix, wish: string): Value {
  const places = builder.op('NonZero', [x], `${wish}_places`);
  const active = builder.op('Gather', [places, builder.index(1)], `${wish}_active`, { axis: 0 });
  const factors = builder.op('Gather', [x, active], `${wish}_factors`, { axis: 1 });
  const { value, parts, outputs } = matrix;
  if (parts === 1) {
    const rows = builder.op('Gather', [value, active], `${wish}_rows`, { axis: 0 });
    return builder.op('MatMul', [factors, rows], wish);
  }
  // One more factor, of 0: a product of parts goes wrong in onnxruntime 1.30 where there is no factor at all.
  const someActive = builder.op('Concat', [active, builder.ints([0])], `${wish}_some`, { axis: 0 });
  const zero = builder.zeros([1, 1]);
  const someFactors = builder.op('Concat', [factors, zero], `${wish}_some_factors`, { axis: 1 });
  const rows = builder.op('Gather', [value, someActive], `${wish}_rows`, { axis: 1 });
  const product = builder.op('MatMul', [someFactors, rows], `${wish}_parts`);
  return builder.op('Reshape', [product, builder.ints([1, outputs])], wish);
}
