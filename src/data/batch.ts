/**
 * Events of a batch, sparse, in rows of (sample, time): row `sample * steps + time` holds the entries
 * `offsets[row] .. offsets[row + 1]` of `units` (feature indices, ascending within a row, each at most once) and
 * `counts` (how many spikes fell there).
 */
export interface EventInput {
  readonly kind: 'events';
  readonly offsets: Int32Array;
  readonly units: Uint16Array;
  readonly counts: Float32Array;
}

/** Real-valued features, [size, steps, features] row-major. */
export interface DenseInput {
  readonly kind: 'dense';
  readonly values: Float32Array;
}

export interface Batch {
  readonly size: number;
  /** The longest sample's number of time steps. */
  readonly steps: number;
  readonly features: number;
  readonly input: EventInput | DenseInput;
  /** Class indices, [size]. */
  readonly labels: Int32Array;
  /** Number of valid time steps of each sample, [size]; absent where every sample has all of them. */
  readonly lengths?: Int32Array;
  /** Which sample of the dataset each row is: random draws are keyed by it. */
  readonly samples: Int32Array;
}

/** The batch as a dense array [size, steps, features], for targets without event-driven products. */
export function toDense(batch: Batch): Float32Array {
  if (batch.input.kind === 'dense') return batch.input.values;
  const { offsets, units, counts } = batch.input;
  const dense = new Float32Array(batch.size * batch.steps * batch.features);
  for (let row = 0; row < batch.size * batch.steps; row++) {
    for (let k = offsets[row]; k < offsets[row + 1]; k++) dense[row * batch.features + units[k]] = counts[k];
  }
  return dense;
}
