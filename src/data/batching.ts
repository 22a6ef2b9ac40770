import { Stream } from '../random/stream.ts';
import type { Batch, DenseInput, EventInput } from './batch.ts';
import type { Padding } from './config.ts';
import type { EventStepsSample, FeaturesSample } from './definition.ts';

/** The order of an epoch: which of `count` samples comes when. */
export function epochOrder(count: number, seed: number, epoch: number, shuffle: boolean): Int32Array {
  return shuffle
    ? new Stream(seed, 'shuffle', epoch).permutation(count)
    : Int32Array.from({ length: count }, (_, i) => i);
}

/** Samples of one data pipeline: all of them events, or all of them features. */
export type StepsSample = EventStepsSample | FeaturesSample;

/** Joins samples into one batch. Shorter ones are padded with empty steps, which only `exclude` tells the network. */
export function collate(
  samples: readonly StepsSample[],
  features: number,
  labels: Int32Array,
  indices: Int32Array,
  padding: Padding = 'exclude',
): Batch {
  const steps = Math.max(...samples.map((s) => s.steps));
  const input = samples.every((s) => s.kind === 'eventSteps')
    ? collateEvents(samples, steps)
    : collateFeatures(samples as readonly FeaturesSample[], steps, features);
  const batch = { size: samples.length, steps, features, input, labels, samples: indices };
  const padded = padding === 'exclude' && samples.some((s) => s.steps !== steps);
  return padded ? { ...batch, lengths: Int32Array.from(samples, (s) => s.steps) } : batch;
}

function collateEvents(samples: readonly EventStepsSample[], steps: number): EventInput {
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
  return { kind: 'events', offsets, units, counts };
}

function collateFeatures(samples: readonly FeaturesSample[], steps: number, features: number): DenseInput {
  const values = new Float32Array(samples.length * steps * features);
  for (const [row, sample] of samples.entries()) values.set(sample.values, row * steps * features);
  return { kind: 'dense', values };
}
