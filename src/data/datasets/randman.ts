import { Stream } from '../../random/stream.ts';
import { type DatasetSplit, defineDataset, type SpikeSample, type SplitName } from '../definition.ts';

/** Points on each manifold from which the range of its coordinates is estimated. */
const RANGE_POINTS = 500;
/** Amplitudes below this share of the first one are left out of the sums of sines, at most this many are kept. */
const PRECISION = 1e-3;
const MAX_FREQUENCIES = 1000;
/** The largest standardised value: times stay below the duration. */
const BELOW_ONE = 1 - 2 ** -20;

const params = {
  classes: { type: 'integer', min: 2, default: 10, description: 'number of classes, each a random smooth manifold' },
  units: { type: 'integer', min: 1, max: 65535, default: 40, description: 'number of input units' },
  dim: { type: 'integer', min: 1, default: 1, description: 'dimension of the manifolds' },
  alpha: {
    type: 'number',
    min: 0.5,
    default: 2,
    description: 'smoothness: amplitudes fall with frequency as n^-alpha',
  },
  spikes: { type: 'integer', min: 1, default: 1, description: 'spikes of each unit in each sample' },
  duration: {
    type: 'quantity',
    unit: 's',
    min: 0,
    exclusive: true,
    default: 0.015,
    description: 'spikes lie in [0, duration)',
  },
  jitter: {
    type: 'quantity',
    unit: 's',
    min: 0,
    default: 0,
    description: 'standard deviation of noise on spike times',
  },
  train: { type: 'integer', min: 1, default: 1600, description: 'training samples' },
  validation: { type: 'integer', min: 0, default: 400, description: 'validation samples' },
  test: { type: 'integer', min: 1, default: 400, description: 'test samples' },
  seed: { type: 'integer', min: 0, default: 1, description: 'the task: manifolds and samples' },
} as const;

/**
 * The synthetic benchmark of Zenke & Vogels 2021, "The remarkable robustness of surrogate gradient learning": a class
 * is a random smooth manifold in the space of spike times, a sample the spike times at a random point of it. Every unit
 * fires equally often in every sample, so all information is in the times.
 *
 * Spike time of a unit at x in [0, 1]^dim: prod_d sum_n a n^-alpha sin(2 pi ((n - 1) x_d b + c)), with a, b, c uniform
 * in [0, 1) and a = 0 for the constant term, standardised to [0, duration).
 *
 * A window of `bin` that is longer than `duration` leaves a network time to decide after the last spike.
 */
export const randman = defineDataset({
  name: 'randman',
  description: 'synthetic spike times on random smooth manifolds, one for each class (Zenke & Vogels 2021)',
  params,
  describe: ({ units, classes }) => ({ kind: 'spikes', features: units, classes, speakers: false }),
  open: async (task) => {
    const manifolds = Array.from({ length: task.classes }, (_, label) => classManifolds(task, label));
    const splits: Partial<Record<SplitName, DatasetSplit>> = {};
    for (const split of ['train', 'validation', 'test'] as const) {
      if (task[split] > 0) splits[split] = openSplit(task, split, manifolds);
    }
    return { splits, close: () => {} };
  },
});

interface Task {
  readonly classes: number;
  readonly units: number;
  readonly dim: number;
  readonly alpha: number;
  readonly spikes: number;
  readonly duration: number;
  readonly jitter: number;
  readonly train: number;
  readonly validation: number;
  readonly test: number;
  readonly seed: number;
}

/** A smooth map from the manifold's coordinates to [0, 1), one for each spike of each unit. */
type Coordinate = (x: readonly number[]) => number;

function openSplit(task: Task, split: SplitName, manifolds: readonly Coordinate[][]): DatasetSplit {
  const labels = Int32Array.from({ length: task[split] }, (_, i) => i % task.classes);
  const readSample = (index: number): SpikeSample => {
    const stream = new Stream(task.seed, 'randman', split, index);
    const x = randomPoint(stream, task.dim);
    const coordinates = manifolds[labels[index]];
    return {
      kind: 'spikes',
      times: Float64Array.from(coordinates, (coordinate) => {
        const noise = task.jitter > 0 ? (task.jitter / task.duration) * stream.normal() : 0;
        return task.duration * clamp(coordinate(x) + noise);
      }),
      units: Uint16Array.from(coordinates, (_, i) => i % task.units),
    };
  };
  return { labels, speakers: null, read: (indices) => indices.map(readSample) };
}

function classManifolds(task: Task, label: number): Coordinate[] {
  const stream = new Stream(task.seed, 'randman', 'manifold', label);
  const points = Array.from({ length: RANGE_POINTS }, () => randomPoint(stream, task.dim));
  return Array.from({ length: task.spikes * task.units }, () => standardised(randomFunction(stream, task), points));
}

function randomFunction(stream: Stream, task: Task): Coordinate {
  const sums = Array.from({ length: task.dim }, () => randomSineSum(stream, task.alpha));
  return (x) => sums.reduce((product, sum, d) => product * sum(x[d]), 1);
}

function randomSineSum(stream: Stream, alpha: number): (x: number) => number {
  const count = Math.min(MAX_FREQUENCIES, Math.ceil(PRECISION ** (-1 / alpha)));
  const amplitudes = Float64Array.from({ length: count }, (_, i) =>
    i === 0 ? 0 : stream.uniform() * (i + 1) ** -alpha,
  );
  const frequencies = Float64Array.from({ length: count }, (_, i) => 2 * Math.PI * i * stream.uniform());
  const phases = Float64Array.from({ length: count }, () => 2 * Math.PI * stream.uniform());
  return (x) => {
    let sum = 0;
    for (let i = 1; i < count; i++) sum += amplitudes[i] * Math.sin(frequencies[i] * x + phases[i]);
    return sum;
  };
}

/** Scales to [0, 1) the values that the function takes on the points. */
function standardised(f: Coordinate, points: readonly (readonly number[])[]): Coordinate {
  const values = points.map(f);
  const low = Math.min(...values);
  const range = Math.max(...values) - low;
  return (x) => clamp((f(x) - low) / range);
}

function randomPoint(stream: Stream, dim: number): number[] {
  return Array.from({ length: dim }, () => stream.uniform());
}

function clamp(value: number): number {
  return Math.min(Math.max(value, 0), BELOW_ONE);
}
