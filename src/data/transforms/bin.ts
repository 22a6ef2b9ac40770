import { defineTransform, type EventStepsSample, type SpikeSample } from '../definition.ts';

/**
 * Counts spikes in time steps exactly as sparch does: the step of a spike is
 * `numpy.digitize(t, numpy.linspace(0, window, steps))`, so the bins are window / (steps - 1) wide and step 0 stays
 * empty. Spikes outside [0, window) are left out and counted.
 */
export const bin = defineTransform({
  name: 'bin',
  description: 'counts the spikes of each unit in time steps of equal length',
  params: {
    steps: { type: 'integer', min: 2, description: 'number of time steps' },
    window: {
      type: 'quantity',
      unit: 's',
      min: 0,
      exclusive: true,
      description: 'length of the recording that is kept',
    },
  },
  infer(input, { steps, window }) {
    if (input.kind !== 'spikes') {
      return { error: 'bin needs spikes in continuous time, but gets a sequence of time steps; remove this bin' };
    }
    return { ...input, kind: 'steps', set: 'count', steps, stepDuration: window / (steps - 1) };
  },
  apply(sample, { steps, window }) {
    if (sample.kind !== 'spikes') throw new Error('bin needs spikes in continuous time');
    return binSpikes(sample, linspace(window, steps));
  },
});

/** `numpy.linspace(0, stop, count)`, with its rounding. */
export function linspace(stop: number, count: number): Float64Array {
  const step = stop / (count - 1);
  const values = Float64Array.from({ length: count }, (_, i) => i * step);
  values[count - 1] = stop;
  return values;
}

/** `numpy.digitize(value, edges)` for evenly spaced edges from 0: how many of them are not above the value. */
export function digitize(value: number, edges: Float64Array): number {
  const last = edges.length - 1;
  if (!(value < edges[last])) return edges.length;
  if (value < 0) return 0;
  let index = Math.min(Math.floor((value / edges[last]) * last), last - 1);
  while (edges[index] > value) index--;
  while (edges[index + 1] <= value) index++;
  return index + 1;
}

function binSpikes(sample: SpikeSample, edges: Float64Array): EventStepsSample {
  const steps = edges.length;
  const rows = new Uint32Array(sample.times.length);
  const units = new Uint16Array(sample.times.length);
  let kept = 0;
  for (let i = 0; i < sample.times.length; i++) {
    const step = digitize(sample.times[i], edges);
    if (step === 0 || step >= steps) continue;
    rows[kept] = step;
    units[kept++] = sample.units[i];
  }
  const events = countEvents(rows.subarray(0, kept), units.subarray(0, kept), steps);
  return { kind: 'eventSteps', steps, ...events, dropped: sample.times.length - kept };
}

/** Gathers (row, unit) pairs in ascending order, each once with how often it occurred. */
function countEvents(rows: Uint32Array, units: Uint16Array, steps: number) {
  const order = sortedBy(rows, sortedBy(units, Uint32Array.from(units.keys())));
  const offsets = new Int32Array(steps + 1);
  const outUnits = new Uint16Array(units.length);
  const counts = new Float32Array(units.length);
  let entries = 0;
  let previous = -1;
  for (const i of order) {
    if (previous >= 0 && rows[i] === rows[previous] && units[i] === units[previous]) {
      counts[entries - 1]++;
    } else {
      outUnits[entries] = units[i];
      counts[entries++] = 1;
      offsets[rows[i] + 1]++;
    }
    previous = i;
  }
  for (let row = 0; row < steps; row++) offsets[row + 1] += offsets[row];
  return { offsets, units: outUnits.slice(0, entries), counts: counts.slice(0, entries) };
}

/** Stable counting sort of indices by small integer keys. */
function sortedBy(keys: Uint16Array | Uint32Array, indices: Uint32Array): Uint32Array {
  let largest = 0;
  for (const key of keys) largest = Math.max(largest, key);
  const starts = new Uint32Array(largest + 2);
  for (const i of indices) starts[keys[i] + 1]++;
  for (let key = 1; key < starts.length; key++) starts[key] += starts[key - 1];
  const sorted = new Uint32Array(indices.length);
  for (const i of indices) sorted[starts[keys[i]]++] = i;
  return sorted;
}
