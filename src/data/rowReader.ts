import type { Lists, Numbers } from './hdf5Lists.ts';

/** The lists of one sample. */
export interface Row {
  readonly times: Float32Array | Float64Array;
  readonly units: Numbers;
}

/** Samples that are read together. */
const neighbours = 8;

/**
 * Reads samples in slices, since what takes time is calling HDF5: those that are asked for one after the other, or, where
 * the whole file may be kept, all neighbours of what is asked for.
 */
export class RowReader {
  private readonly times: Lists;
  private readonly units: Lists;
  private readonly keepsNeighbours: boolean;
  /** What was read and not asked for yet. */
  private readonly rows = new Map<number, Row>();

  constructor(times: Lists, units: Lists, keepsNeighbours: boolean) {
    this.times = times;
    this.units = units;
    this.keepsNeighbours = keepsNeighbours;
  }

  /** Samples in the order asked for. `guard` runs what fails where that very sample is damaged. */
  read(indices: readonly number[], guard: (index: number, read: () => void) => void): Row[] {
    for (const [i, index] of indices.entries()) {
      if (this.rows.has(index)) continue;
      try {
        this.readSlice(...this.sliceAt(indices, i));
      } catch {
        guard(index, () => this.readSlice(index, 1));
      }
    }
    const rows = indices.map((index) => this.rows.get(index) as Row);
    for (const index of indices) this.rows.delete(index);
    return rows;
  }

  private sliceAt(indices: readonly number[], i: number): [start: number, count: number] {
    const index = indices[i];
    if (this.keepsNeighbours) {
      const start = index - (index % neighbours);
      return [start, Math.min(neighbours, this.times.count - start)];
    }
    let count = 1;
    while (indices[i + count] === index + count) count++;
    return [index, count];
  }

  private readSlice(start: number, count: number): void {
    const [times, units] = [this.times.read(start, count), this.units.read(start, count)];
    times.forEach((list, i) => void this.rows.set(start + i, { times: list as Row['times'], units: units[i] }));
  }
}
