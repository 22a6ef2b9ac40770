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
    return binSpikes(sample, edgesOf(window, steps));
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

let known: { readonly window: number; readonly steps: number; readonly edges: Float64Array } | null = null;

/** Of the steps; those asked for last are remembered. */
function edgesOf(window: number, steps: number): Float64Array {
  if (known?.window !== window || known.steps !== steps) known = { window, steps, edges: linspace(window, steps) };
  return known.edges;
}

/** Counts equal spikes, step by step. The loops run once for every spike, so they are plain. */
function binSpikes(sample: SpikeSample, edges: Float64Array): EventStepsSample | UnusableSample {
  const { units, starts } = isAscending(sample.times) ? cut(sample, edges) : sorted(sample, edges);
  const lists = countEqual(units, starts);
  const events = starts[edges.length] - starts[1];
  if (events > LARGEST && sum(lists.counts) < events) {
    return { kind: 'unusable', reason: `has more than ${LARGEST} spikes of a unit in one time step` };
  }
  return { kind: 'eventSteps', steps: edges.length, ...lists, events, dropped: sample.times.length - events };
}

/** The largest count there is room for; what is above loses some. */
const LARGEST = 0xffff;

const sum = (counts: Uint16Array): number => counts.reduce((total, count) => total + count, 0);

/** Units of spikes; those of step k, which is 1 or more, are from starts[k] on up to starts[k + 1]. */
interface SpikesInSteps {
  readonly units: Uint16Array;
  readonly starts: Int32Array;
}

function isAscending(times: SpikeSample['times']): boolean {
  for (let i = 1; i < times.length; i++) if (!(times[i] >= times[i - 1])) return false;
  return true;
}

/** Recordings are in the order of time. */
function cut({ times, units }: SpikeSample, edges: Float64Array): SpikesInSteps {
  const starts = new Int32Array(edges.length + 1);
  for (let step = 1; step <= edges.length; step++) {
    starts[step] = firstNotBelow(edges[step - 1], times, starts[step - 1]);
  }
  return { units, starts };
}

/** The first index from one on whose value is at least `bound`, or the length; values ascend. */
function firstNotBelow(bound: number, values: SpikeSample['times'], from: number): number {
  let [low, high] = [from, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] >= bound) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Spikes in any order: augmentation moves them. */
function sorted({ times, units }: SpikeSample, edges: Float64Array): SpikesInSteps {
  const steps = stepsOf(times, edges);
  const starts = startsOf(steps, edges.length);
  return { units: inSteps(units, steps, starts), starts };
}

/** The step of each spike; 0, which is always empty, where it is outside of the window. */
function stepsOf(times: SpikeSample['times'], edges: Float64Array): Uint16Array {
  const scale = scaleOf(edges);
  const steps = new Uint16Array(times.length);
  for (let i = 0; i < times.length; i++) steps[i] = digitize(times[i], edges, scale) % edges.length;
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
  const inOrder = new Uint16Array(starts[starts.length - 1]);
  for (let i = 0; i < steps.length; i++) if (steps[i] > 0) inOrder[next[steps[i]]++] = units[i];
  return inOrder;
}

/** Per step, the units that spike, ascending, and how often: a bit for each unit says whether, so that few are looked at. */
function countEqual(spikes: Uint16Array, starts: Int32Array) {
  const steps = starts.length - 1;
  let largest = 0;
  for (let i = 0; i < spikes.length; i++) largest = Math.max(largest, spikes[i]);
  const tally = new Int32Array(largest + 1);
  const bits = new Int32Array((largest >> 5) + 1);
  const offsets = new Int32Array(steps + 1);
  const units = new Uint16Array(spikes.length);
  const counts = new Uint16Array(spikes.length);
  let entries = 0;
  for (let step = 1; step < steps; step++) {
    const [start, end] = [starts[step], starts[step + 1]];
    for (let i = start; i < end; i++) {
      const unit = spikes[i];
      tally[unit]++;
      bits[unit >> 5] |= 1 << (unit & 31);
    }
    for (let word = 0; start < end && word < bits.length; word++) {
      let rest = bits[word];
      bits[word] = 0;
      while (rest !== 0) {
        const unit = (word << 5) + 31 - Math.clz32(rest & -rest);
        units[entries] = unit;
        counts[entries++] = tally[unit];
        tally[unit] = 0;
        rest &= rest - 1;
      }
    }
    offsets[step + 1] = entries;
  }
  return { offsets, units: units.slice(0, entries), counts: counts.slice(0, entries) };
}
