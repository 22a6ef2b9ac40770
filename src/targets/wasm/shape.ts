import type { Batch } from '../../data/batch.ts';
import { spread } from './layout.ts';

/** What the size of a batch means for memory and work. */
export interface Shape {
  /** Samples and time steps. */
  readonly B: number;
  readonly T: number;
  /** Samples per chunk: what one item of work covers. Fixed by the batch, never by the number of threads. */
  readonly group: number;
  readonly chunks: number;
}

/** A chunk of this many rows of one panel (256 KiB) stays in the second-level cache. */
const rowsPerChunk = 2048;

export function shapeOf({ size: B, steps: T }: Pick<Batch, 'size' | 'steps'>): Shape {
  const group = Math.max(1, Math.min(Math.ceil(B / 8), Math.floor(rowsPerChunk / Math.max(1, T))));
  return { B, T, group, chunks: Math.ceil(B / group) };
}

/**
 * How kernels find the rows of an array: of sequences, with a row before the first step, or of one vector per sample.
 * The rows of a chunk's samples at one step lie side by side, those of the next step after them.
 */
export function rowsOf({ B, T, group }: Shape, time: boolean) {
  return time ? { B, T, S: T + 1, first: 1, group } : { B, T: 1, S: 1, first: 0, group };
}

export const rowCount = ({ B, T, group, chunks }: Shape, time: boolean): number =>
  spread(time ? chunks * group * (T + 1) : B);

/** The row of a sample at a step. */
export function rowAt({ S, first, group }: ReturnType<typeof rowsOf>, sample: number, step: number): number {
  return (Math.floor(sample / group) * S + first + step) * group + (sample % group);
}
