import type { Batch, EventInput } from '../data/batch.ts';

/** What a layer emits or reads, [samples, steps, stride] row-major, of which the columns from `first` on, `width` of them. */
export interface Columns {
  readonly values: ArrayLike<number>;
  readonly steps: number;
  readonly stride: number;
  readonly first: number;
  readonly width: number;
}

/** Steps `from` to `to` (exclusive) of one sample. */
export interface Range {
  readonly sample: number;
  readonly from: number;
  readonly to: number;
}

/** The operations of products, of all samples so far. */
export class Operations {
  dense = 0;
  macs = 0;
  acs = 0;

  /**
   * One product of a vector with a matrix that has `fanOut[j]` non-zero weights behind input j, and `outputs` in all.
   * As NeuroBench: an operation is effective where neither input nor weight is 0, and all operations of a product whose
   * inputs are 0, 1 or -1 are accumulations.
   */
  addProduct(inputs: ArrayLike<number>, start: number, fanOut: Int32Array, outputs: number): void {
    let effective = 0;
    let spiking = true;
    for (let j = 0; j < fanOut.length; j++) {
      const value = inputs[start + j];
      if (value === 0) continue;
      effective += fanOut[j];
      if (value !== 1 && value !== -1) spiking = false;
    }
    this.add(effective, spiking, fanOut.length * outputs);
  }

  /** The same where the inputs are one row of events. */
  addEvents({ offsets, units, counts }: EventInput, row: number, fanOut: Int32Array, outputs: number): void {
    let effective = 0;
    let spiking = true;
    for (let k = offsets[row]; k < offsets[row + 1]; k++) {
      effective += fanOut[units[k]];
      if (counts[k] !== 1) spiking = false;
    }
    this.add(effective, spiking, fanOut.length * outputs);
  }

  private add(effective: number, spiking: boolean, dense: number): void {
    this.dense += dense;
    if (spiking) this.acs += effective;
    else this.macs += effective;
  }
}

/** For each input of a matrix [outputs, inputs], how many of its weights are not 0. */
export function fanOutOf(matrix: ArrayLike<number>, inputs: number): Int32Array {
  const fanOut = new Int32Array(inputs);
  for (let i = 0; i < matrix.length; i++) if (matrix[i] !== 0) fanOut[i % inputs]++;
  return fanOut;
}

export function countZeros(columns: Columns, ranges: readonly Range[]): { zeros: number; all: number } {
  const { values, width } = columns;
  const counts = { zeros: 0, all: 0 };
  forEachRow(columns, ranges, (start) => {
    counts.all += width;
    for (let i = start; i < start + width; i++) if (values[i] === 0) counts.zeros++;
  });
  return counts;
}

/** How often a potential differs from the one of the step before; all of the first step count as updates. */
export function countUpdates(columns: Columns, ranges: readonly Range[]): number {
  const { values, stride, width } = columns;
  let updates = width * ranges.length;
  forEachRow(columns, ranges.map(butFirst), (start) => {
    for (let i = start; i < start + width; i++) if (values[i] !== values[i - stride]) updates++;
  });
  return updates;
}

/** The steps of every sample that are not padding. */
export function validRanges({ size, steps, lengths }: Pick<Batch, 'size' | 'steps' | 'lengths'>): Range[] {
  return Array.from({ length: size }, (_, sample) => ({ sample, from: 0, to: lengths?.[sample] ?? steps }));
}

export function butFirst({ sample, from, to }: Range): Range {
  return { sample, from: from + 1, to };
}

export function butLast({ sample, from, to }: Range): Range {
  return { sample, from, to: to - 1 };
}

/** Calls `visit` with where each row of the columns starts. */
export function forEachRow(
  { steps, stride, first }: Pick<Columns, 'steps' | 'stride' | 'first'>,
  ranges: readonly Range[],
  visit: (start: number) => void,
): void {
  for (const { sample, from, to } of ranges) {
    for (let step = from; step < to; step++) visit((sample * steps + step) * stride + first);
  }
}
