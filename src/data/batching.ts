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

/** Gives memory of so many bytes or more, which may hold anything. */
export type Allocate = (bytes: number) => ArrayBuffer;

/**
 * Joins samples into one batch, whose input lies in one piece of memory. Shorter ones are padded with empty steps, which
 * only `exclude` tells the network.
 */
export function collate(
  samples: readonly StepsSample[],
  features: number,
  labels: Int32Array,
  indices: Int32Array,
  padding: Padding = 'exclude',
  allocate: Allocate = (bytes) => new ArrayBuffer(bytes),
): Batch {
  const steps = Math.max(...samples.map((s) => s.steps));
  const input = samples.every((s) => s.kind === 'eventSteps')
    ? collateEvents(samples, steps, allocate)
    : collateFeatures(samples as readonly FeaturesSample[], steps, features, allocate);
  const batch = { size: samples.length, steps, features, input, labels, samples: indices };
  const padded = padding === 'exclude' && samples.some((s) => s.steps !== steps);
  return padded ? { ...batch, lengths: Int32Array.from(samples, (s) => s.steps) } : batch;
}

function collateEvents(samples: readonly EventStepsSample[], steps: number, allocate: Allocate): EventInput {
  const entries = samples.reduce((sum, s) => sum + s.units.length, 0);
  const rows = samples.length * steps;
  const countsAt = aligned(4 * (rows + 1));
  const unitsAt = aligned(countsAt + 2 * entries);
  const memory = allocate(unitsAt + 2 * entries);
  const offsets = new Int32Array(memory, 0, rows + 1);
  const counts = new Uint16Array(memory, countsAt, entries);
  const units = new Uint16Array(memory, unitsAt, entries);
  offsets[0] = 0;
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

/** Copies between shared and other memory are slow where words do not start at the same places. */
const aligned = (bytes: number): number => Math.ceil(bytes / 8) * 8;

function collateFeatures(
  samples: readonly FeaturesSample[],
  steps: number,
  features: number,
  allocate: Allocate,
): DenseInput {
  const perSample = steps * features;
  const count = samples.length * perSample;
  const values = new Float32Array(allocate(4 * count), 0, count);
  for (const [row, sample] of samples.entries()) {
    values.set(sample.values, row * perSample);
    values.fill(0, row * perSample + sample.values.length, (row + 1) * perSample);
  }
  return { kind: 'dense', values };
}
