/**
 * Events of a batch, sparse, in rows of (sample, time): row `sample * steps + time` holds the entries
 * `offsets[row] .. offsets[row + 1]` of `units` (feature indices, ascending within a row, each at most once) and
 * `counts` (how many spikes fell there).
 */
export interface EventInput {
  readonly kind: 'events';
  readonly offsets: Int32Array;
  readonly units: Uint16Array;
  readonly counts: Uint16Array;
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

/** Where its input lies. */
export function memoryOf({ input }: Batch): readonly ArrayBufferLike[] {
  const arrays = input.kind === 'events' ? [input.offsets, input.units, input.counts] : [input.values];
  return [...new Set(arrays.map((array) => array.buffer))];
}

/** The batch as a dense array [size, steps, features], for targets without event-driven products. */
export function toDense(batch: Batch): Float32Array {
  if (batch.input.kind === 'dense') return batch.input.values;
  const dense = new Float32Array(batch.size * batch.steps * batch.features);
  forEachEvent(batch, batch.input, (place, count) => {
    dense[place] = count;
  });
  return dense;
}

function forEachEvent(
  { size, steps, features }: Batch,
  { offsets, units, counts }: EventInput,
  visit: (place: number, count: number) => void,
): void {
  for (let row = 0; row < size * steps; row++) {
    for (let k = offsets[row]; k < offsets[row + 1]; k++) visit(row * features + units[k], counts[k]);
  }
}

/** Dense arrays for one batch of events after another: the zeros are not written again each time. */
export class DenseBuffer {
  private free: Float32Array | null = null;

  /** Lends the batch as `toDense` gives it to `use`, until its promise is settled. */
  async lend<T>(batch: Batch, use: (values: Float32Array) => Promise<T>): Promise<T> {
    const { size, steps, features, input } = batch;
    if (input.kind === 'dense') return use(input.values);
    const length = size * steps * features;
    const dense = this.free?.length === length ? this.free : new Float32Array(length);
    this.free = null;
    forEachEvent(batch, input, (place, count) => {
      dense[place] = count;
    });
    try {
      return await use(dense);
    } finally {
      forEachEvent(batch, input, (place) => {
        dense[place] = 0;
      });
      this.free = dense;
    }
  }
}
