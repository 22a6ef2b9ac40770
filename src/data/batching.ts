import { Stream } from '../random/stream.ts';
import type { Batch } from './batch.ts';
import type { EventStepsSample } from './definition.ts';

/** The order of an epoch: which of `count` samples comes when. */
export function epochOrder(count: number, seed: number, epoch: number, shuffle: boolean): Int32Array {
  return shuffle
    ? new Stream(seed, 'shuffle', epoch).permutation(count)
    : Int32Array.from({ length: count }, (_, i) => i);
}

/** Joins binned samples into one batch; shorter ones are padded with empty steps. */
export function collate(
  samples: readonly EventStepsSample[],
  features: number,
  labels: Int32Array,
  indices: Int32Array,
): Batch {
  const steps = Math.max(...samples.map((s) => s.steps));
  const entries = samples.reduce((sum, s) => sum + s.units.length, 0);
  const offsets = new Int32Array(samples.length * steps + 1);
  const units = new Uint16Array(entries);
  const counts = new Float32Array(entries);
  let start = 0;
  for (const [row, sample] of samples.entries()) {
    units.set(sample.units, start);
    counts.set(sample.counts, start);
    for (let t = 0; t < steps; t++) {
      offsets[row * steps + t + 1] = start + sample.offsets[Math.min(t + 1, sample.steps)];
    }
    start += sample.units.length;
  }
  const batch = {
    size: samples.length,
    steps,
    features,
    input: { kind: 'events', offsets, units, counts },
    labels,
    samples: indices,
  } as const;
  const varies = samples.some((s) => s.steps !== steps);
  return varies ? { ...batch, lengths: Int32Array.from(samples, (s) => s.steps) } : batch;
}
