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
    steps: { type: 'integer', min: 2, max: 65535, description: 'number of time steps' },
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
  // The edges are rounded, so that the right one may be a neighbour.
  let index = (value * (last / edges[last])) | 0;
  if (index > 0 && edges[index] > value) index--;
  else if (edges[index + 1] <= value) index++;
  return index + 1;
}

/** Sorts the spikes by step and unit and counts equal ones. The loops run once for every spike, so they are plain. */
function binSpikes({ times, units }: SpikeSample, edges: Float64Array): EventStepsSample {
  const steps = edges.length;
  const keys = new Uint32Array(times.length);
  let kept = 0;
  for (let i = 0; i < times.length; i++) {
    const step = digitize(times[i], edges);
    if (step > 0 && step < steps) keys[kept++] = (step << 16) | units[i];
  }
  const byUnit = sortByDigit(keys.subarray(0, kept), 0);
  const byStep = sortByDigit(byUnit, 16);
  return { kind: 'eventSteps', steps, ...countEqual(byStep, steps), dropped: times.length - kept };
}

/** Stable counting sort by the 16 bits from `shift` on. */
function sortByDigit(keys: Uint32Array, shift: number): Uint32Array {
  let largest = 0;
  for (let i = 0; i < keys.length; i++) largest = Math.max(largest, (keys[i] >>> shift) & 0xffff);
  const next = new Uint32Array(largest + 2);
  for (let i = 0; i < keys.length; i++) next[((keys[i] >>> shift) & 0xffff) + 1]++;
  for (let digit = 0; digit <= largest; digit++) next[digit + 1] += next[digit];
  const sorted = new Uint32Array(keys.length);
  for (let i = 0; i < keys.length; i++) sorted[next[(keys[i] >>> shift) & 0xffff]++] = keys[i];
  return sorted;
}

function countEqual(sorted: Uint32Array, steps: number) {
  const offsets = new Int32Array(steps + 1);
  const units = new Uint16Array(sorted.length);
  const counts = new Float32Array(sorted.length);
  let entries = 0;
  let previous = -1;
  for (let i = 0; i < sorted.length; i++) {
    const key = sorted[i];
    entries += key === previous ? 0 : 1;
    previous = key;
    units[entries - 1] = key & 0xffff;
    counts[entries - 1]++;
    offsets[(key >>> 16) + 1] = entries;
  }
  for (let step = 0; step < steps; step++) offsets[step + 1] = Math.max(offsets[step + 1], offsets[step]);
  return { offsets, units: units.slice(0, entries), counts: counts.slice(0, entries) };
}
