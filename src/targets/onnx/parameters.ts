import { UserError } from '../../diagnostics/diagnostic.ts';
import type { Graph, Parameter } from '../../ir/graph.ts';
import type { Tensors } from '../target.ts';
import type { GraphBuilder, Value } from './builder.ts';
import { emitRowMatrix, type RowMatrix } from './events.ts';

/** The trained numbers, and how they enter the ONNX graph: each at most once, under its key. */
export class ModelParameters {
  /** Of the outermost graph, also where a branch of it is being emitted. */
  private readonly builder: GraphBuilder;
  private readonly shapes: ReadonlyMap<string, readonly number[]>;
  private readonly tensors: Tensors;
  private readonly emitted = new Map<string, Value>();
  private readonly rowMatrices = new Map<string, RowMatrix>();
  private readonly fold: boolean;

  /** `fold`: what follows from parameters is computed here, not by operators. */
  constructor(builder: GraphBuilder, parameters: readonly Parameter[], tensors: Tensors, fold: boolean) {
    this.builder = builder;
    this.fold = fold;
    this.shapes = new Map(parameters.map((p) => [p.key, p.shape]));
    this.tensors = tensors;
  }

  values(key: string): Float32Array {
    return this.tensors.get(key) as Float32Array;
  }

  shape(key: string): readonly number[] {
    return this.shapes.get(key) as readonly number[];
  }

  tensor(key: string): Value {
    const value = this.emitted.get(key) ?? this.builder.tensor(key, this.shape(key), this.values(key));
    this.emitted.set(key, value);
    return value;
  }

  /** A matrix [out, in] as [in, out]. */
  transposed(key: string): Value {
    const { builder, fold, emitted } = this;
    const name = `${key}.T`;
    if (!fold) return builder.op('Transpose', [this.tensor(key)], name, { perm: [1, 0] });
    const [rows, columns] = this.shape(key);
    const value =
      emitted.get(name) ?? builder.tensor(name, [columns, rows], transposed(this.values(key), rows, columns));
    emitted.set(name, value);
    return value;
  }

  /** The same for event-driven products. */
  rowMatrix(key: string): RowMatrix {
    const [outputs, inputs] = this.shape(key);
    const rows = this.rowMatrices.get(key) ?? emitRowMatrix(this.builder, this.transposed(key), inputs, outputs);
    this.rowMatrices.set(key, rows);
    return rows;
  }
}

/** Throws UserError SP620 where `tensors` lacks a parameter of the graph or has one of another size. */
export function requireParameters(graph: Graph, tensors: Tensors): void {
  for (const { key, shape } of graph.parameters) requireSize(tensors.get(key), key, shape);
}

function requireSize(values: Float32Array | undefined, key: string, shape: readonly number[]): void {
  const size = shape.reduce((a, b) => a * b, 1);
  if (values?.length === size) return;
  const found = values ? `${values.length} numbers` : 'nothing';
  throw new UserError(
    'SP620',
    `parameter "${key}" of the model needs ${size} numbers and the checkpoint has ${found}; export from the run that trained this model`,
  );
}

/** [rows, columns] row-major -> [columns, rows]. */
export function transposed(values: ArrayLike<number>, rows: number, columns: number): Float32Array {
  const result = new Float32Array(rows * columns);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) result[c * rows + r] = values[r * columns + c];
  return result;
}
