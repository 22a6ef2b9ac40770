import type { Batch } from '../../data/batch.ts';
import { toDense } from '../../data/batch.ts';

/** A value [steps, rows, features] in float64, time first; a pooled one has a single step. */
export class Sequence {
  readonly steps: number;
  readonly rows: number;
  readonly features: number;
  readonly data: Float64Array;

  constructor(steps: number, rows: number, features: number, data?: Float64Array) {
    this.steps = steps;
    this.rows = rows;
    this.features = features;
    this.data = data ?? new Float64Array(steps * rows * features);
  }

  get(t: number, row: number, feature: number): number {
    return this.data[(t * this.rows + row) * this.features + feature];
  }

  add(t: number, row: number, feature: number, value: number): void {
    this.data[(t * this.rows + row) * this.features + feature] += value;
  }

  /** The values of one time step, [rows, features]; a view. */
  at(t: number): Float64Array {
    const size = this.rows * this.features;
    return this.data.subarray(t * size, (t + 1) * size);
  }

  map(f: (value: number, t: number, row: number, feature: number) => number): Sequence {
    const result = new Sequence(this.steps, this.rows, this.features);
    this.forEach((t, row, feature, i) => {
      result.data[i] = f(this.data[i], t, row, feature);
    });
    return result;
  }

  forEach(visit: (t: number, row: number, feature: number, index: number) => void): void {
    let i = 0;
    for (let t = 0; t < this.steps; t++) {
      for (let row = 0; row < this.rows; row++) {
        for (let feature = 0; feature < this.features; feature++) visit(t, row, feature, i++);
      }
    }
  }

  /** From [batch, time, features], as arrays cross the Target interface. */
  static fromBatchMajor(values: ArrayLike<number>, rows: number, steps: number, features: number): Sequence {
    return new Sequence(steps, rows, features).map((_, t, row, f) => values[(row * steps + t) * features + f]);
  }

  static fromBatch(batch: Batch): Sequence {
    return Sequence.fromBatchMajor(toDense(batch), batch.size, batch.steps, batch.features);
  }

  toBatchMajor(): Float32Array {
    const values = new Float32Array(this.data.length);
    this.forEach((t, row, f, i) => {
      values[(row * this.steps + t) * this.features + f] = this.data[i];
    });
    return values;
  }
}

/** Which time steps of a batch are not padding. */
export class Validity {
  private readonly lengths: Int32Array | undefined;
  readonly steps: number;
  readonly rows: number;

  constructor(batch: Batch) {
    this.lengths = batch.lengths;
    this.steps = batch.steps;
    this.rows = batch.size;
  }

  length(row: number): number {
    return this.lengths ? this.lengths[row] : this.steps;
  }

  valid(t: number, row: number): boolean {
    return t < this.length(row);
  }

  /** Number of valid (time, row) pairs. */
  get count(): number {
    let count = 0;
    for (let row = 0; row < this.rows; row++) count += this.length(row);
    return count;
  }

  /** Where step t of a row stands in the sequence reversed within its length; an involution. */
  reversed(t: number, row: number): number {
    return this.valid(t, row) ? this.length(row) - 1 - t : t;
  }
}
