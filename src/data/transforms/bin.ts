import { defineTransform, type EventStepsSample, type SpikeSample, type UnusableSample } from '../definition.ts';

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

/**
 * `numpy.digitize(value, edges)` for evenly spaced edges from 0: how many of them are not above the value. `scale` is the
 * inverse of their distance.
 */
export function digitize(value: number, edges: Float64Array, scale = scaleOf(edges)): number {
  const last = edges.length - 1;
  if (!(value < edges[last])) return edges.length;
  if (value < 0) return 0;
  // The edges are rounded, so that the right one may be a neighbour.
  let index = (value * scale) | 0;
  if (index > 0 && edges[index] > value) index--;
  else if (edges[index + 1] <= value) index++;
  return index + 1;
}

const scaleOf = (edges: Float64Array): number => (edges.length - 1) / edges[edges.length - 1];

/** Counts equal spikes, step by step. The loops run once for every spike, so they are plain. */
function binSpikes({ times, units }: SpikeSample, edges: Float64Array): EventStepsSample | UnusableSample {
  const steps = stepsOf(times, edges);
  const starts = startsOf(steps, edges.length);
  const lists = countEqual(inSteps(units, steps, starts), starts);
  const events = starts[edges.length];
  if (events > LARGEST && sum(lists.counts) < events) {
    return { kind: 'unusable', reason: `has more than ${LARGEST} spikes of a unit in one time step` };
  }
  return { kind: 'eventSteps', steps: edges.length, ...lists, events, dropped: times.length - events };
}

/** The largest count there is room for; what is above loses some. */
const LARGEST = 0xffff;

const sum = (counts: Uint16Array): number => counts.reduce((total, count) => total + count, 0);

/** The step of each spike; 0, which is always empty, where it is outside of the window. */
function stepsOf(times: SpikeSample['times'], edges: Float64Array): Uint16Array {
  const scale = scaleOf(edges);
  const steps = new Uint16Array(times.length);
  // Recordings are in the order of time: most spikes fall into the step of the one before.
  let step = 0;
  let start = 0;
  let end = 0;
  for (let i = 0; i < times.length; i++) {
    const time = times[i];
    if (!(time >= start && time < end)) {
      step = digitize(time, edges, scale) % edges.length;
      start = step > 0 ? edges[step - 1] : 0;
      end = step > 0 ? edges[step] : 0;
    }
    steps[i] = step;
  }
  return steps;
}

/** Where the spikes of each step start in a list of all that are in the window, and at last where they end. */
function startsOf(steps: Uint16Array, count: number): Int32Array {
  const starts = new Int32Array(count + 1);
  for (let i = 0; i < steps.length; i++) starts[steps[i] + 1]++;
  starts[1] = 0;
  for (let step = 1; step < count; step++) starts[step + 1] += starts[step];
  return starts;
}

/** The units of the spikes in the window, step after step. */
function inSteps(units: Uint16Array, steps: Uint16Array, starts: Int32Array): Uint16Array {
  const next = starts.slice();
  const sorted = new Uint16Array(starts[starts.length - 1]);
  for (let i = 0; i < steps.length; i++) if (steps[i] > 0) sorted[next[steps[i]]++] = units[i];
  return sorted;
}

/** Per step, the units that spike, ascending, and how often: a bit for each unit says whether, so that few are looked at. */
function countEqual(unitsInSteps: Uint16Array, starts: Int32Array) {
  const steps = starts.length - 1;
  let largest = 0;
  for (let i = 0; i < unitsInSteps.length; i++) largest = Math.max(largest, unitsInSteps[i]);
  const tally = new Int32Array(largest + 1);
  const bits = new Int32Array((largest >> 5) + 1);
  const offsets = new Int32Array(steps + 1);
  const units = new Uint16Array(unitsInSteps.length);
  const counts = new Uint16Array(unitsInSteps.length);
  let entries = 0;
  for (let step = 0; step < steps; step++) {
    const [start, end] = [starts[step], starts[step + 1]];
    for (let i = start; i < end; i++) {
      const unit = unitsInSteps[i];
      tally[unit]++;
      bits[unit >> 5] |= 1 << (unit & 31);
    }
    for (let word = 0; start < end && word < bits.length; word++) {
      for (let rest = bits[word]; rest !== 0; rest &= rest - 1) {
        const unit = (word << 5) + 31 - Math.clz32(rest & -rest);
        units[entries] = unit;
        counts[entries++] = tally[unit];
        tally[unit] = 0;
      }
      bits[word] = 0;
    }
    offsets[step + 1] = entries;
  }
  return { offsets, units: units.slice(0, entries), counts: counts.slice(0, entries) };
}
