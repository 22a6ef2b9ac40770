import type { ValueSet } from '../../ir/step.ts';
import type { GraphBuilder, Value } from './builder.ts';
import { dataTypes } from './proto.ts';

/** Matrices of fewer numbers are faster read whole than by the rows of the few operands that are not zero. */
const smallestSparse = 1 << 17;

export const isWorthEvents = (inputs: number, outputs: number): boolean => inputs * outputs >= smallestSparse;

/** A matrix [in, out] whose rows can be gathered: [parts, in, out / parts], or as it is where there is one part. */
export interface RowMatrix {
  readonly value: Value;
  readonly parts: number;
  readonly inputs: number;
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
  if (parts === 1) return { value: matrix, parts, inputs, outputs };
  const split = builder.op('Reshape', [matrix, builder.ints([inputs, parts, outputs / parts])], `${matrix}.split`);
  return { value: builder.op('Transpose', [split], `${matrix}.parts`, { perm: [1, 0, 2] }), parts, inputs, outputs };
}

/** x W for one row x [1, in] of which most are zero, W [in, out]: only the rows of W whose factor is not zero are read. */
export function emitEventProduct(
  builder: GraphBuilder,
  x: Value,
  set: ValueSet,
  matrix: RowMatrix,
  wish: string,
): Value {
  return matrix.parts === 1
    ? emitProductOfRows(builder, x, matrix.value, wish)
    : emitProductOfParts(builder, x, set, matrix, wish);
}

function emitProductOfRows(builder: GraphBuilder, x: Value, matrix: Value, wish: string): Value {
  const places = builder.op('NonZero', [x], `${wish}_places`);
  const active = builder.op('Gather', [places, builder.index(1)], `${wish}_active`, { axis: 0 });
  const factors = builder.op('Gather', [x, active], `${wish}_factors`, { axis: 1 });
  const rows = builder.op('Gather', [matrix, active], `${wish}_rows`, { axis: 0 });
  return builder.op('MatMul', [factors, rows], wish);
}

/**
 * Of long rows. (onnxruntime 1.30 adds up short ones several times slower with two threads, `NonZero` takes longer than
 * `Compress`, and a `MatMul` of parts goes wrong where there are no rows at all.)
 */
function emitProductOfParts(
  builder: GraphBuilder,
  x: Value,
  set: ValueSet,
  { value, inputs, outputs }: RowMatrix,
  wish: string,
): Value {
  const flat = builder.op('Reshape', [x, builder.ints([-1])], `${wish}_flat`);
  const isActive = builder.op('Cast', [flat], `${wish}_is_active`, { to: dataTypes.bool });
  const active = builder.op('Compress', [builder.indices(inputs), isActive], `${wish}_active`, { axis: 0 });
  const rows = builder.op('Gather', [value, active], `${wish}_rows`, { axis: 1 });
  const scaled = set === 'spike' ? rows : emitScaled(builder, rows, flat, isActive, wish);
  const sum = builder.op('ReduceSum', [scaled, builder.ints([1])], `${wish}_sum`, { keepdims: 0 });
  return builder.op('Reshape', [sum, builder.ints([1, outputs])], wish);
}

/** Rows [parts, active, any number] times the factors that are not zero. */
function emitScaled(builder: GraphBuilder, rows: Value, factors: Value, isActive: Value, wish: string): Value {
  const some = builder.op('Compress', [factors, isActive], `${wish}_some`, { axis: 0 });
  const column = builder.op('Reshape', [some, builder.ints([-1, 1])], `${wish}_column`);
  return builder.op('Mul', [rows, column], `${wish}_scaled`);
}
