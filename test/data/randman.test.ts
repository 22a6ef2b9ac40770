import { expect, test } from 'vitest';
import { toDense } from '../../src/data/batch.ts';
import { randman } from '../../src/data/datasets/randman.ts';
import type { DatasetSplit, SpikeSample } from '../../src/data/definition.ts';
import { openLoader } from '../../src/data/loader.ts';
import type { AnyParams } from '../../src/definitions/params.ts';
import { randmanParams } from './randmanParams.ts';

const WINDOW = 0.04;
const STEPS = 40;

const openSplits = async (params: AnyParams = {}) =>
  (await randman.open({ ...randmanParams, ...params }, () => {})).splits;

async function readAll(split: DatasetSplit): Promise<SpikeSample[]> {
  return (await split.read(Array.from(split.labels.keys()))) as SpikeSample[];
}

test('sizes, labels and spikes are as asked for', async () => {
  const splits = await openSplits({ classes: 3, units: 7, spikes: 2, train: 10, validation: 0, test: 4, jitter: 0.01 });
  expect(Object.keys(splits)).toEqual(['train', 'test']);
  expect(Array.from(splits.train!.labels)).toEqual([0, 1, 2, 0, 1, 2, 0, 1, 2, 0]);
  for (const { times, units } of await readAll(splits.train!)) {
    expect(Array.from(units).sort((a, b) => a - b)).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]);
    expect(times.every((t) => t >= 0 && t < 0.015)).toBe(true);
  }
});

test('a sample depends on the seed, its split and its index alone', async () => {
  const first = await openSplits();
  const again = await openSplits({ train: 12 });
  expect(await again.train!.read([11, 3])).toEqual(await first.train!.read([11, 3]));
  const [a] = (await first.train!.read([0])) as SpikeSample[];
  const [b] = (await first.test!.read([0])) as SpikeSample[];
  const [c] = (await (await openSplits({ seed: 2 })).train!.read([0])) as SpikeSample[];
  expect(a.times).not.toEqual(b.times);
  expect(a.times).not.toEqual(c.times);
});

test('samples of a class lie on a smooth curve', async () => {
  const { train } = await openSplits({ classes: 2, train: 800 });
  const samples = (await readAll(train!)).filter((_, i) => train!.labels[i] === 0).map((s) => s.times);
  const distance = (a: ArrayLike<number>, b: ArrayLike<number>) => Math.hypot(...Array.from(a, (t, i) => t - b[i]));
  const nearest = samples
    .slice(0, 40)
    .map((a) => Math.min(...samples.filter((b) => b !== a).map((b) => distance(a, b))));
  const others = samples.slice(1, 41).map((b) => distance(samples[0], b));
  const median = (values: number[]) => values.sort((x, y) => x - y)[values.length >> 1];
  expect(median(nearest)).toBeLessThan(0.1 * median(others));
});

test('the example: counts tell nothing, times do', async () => {
  const { train, test } = await readouts();
  expect(linearAccuracy(train.counts, train.labels, test.counts, test.labels)).toBeLessThan(0.6);
  expect(linearAccuracy(train.times, train.labels, test.times, test.labels)).toBeGreaterThan(0.7);
  expect(centroidAccuracy(train.bins, train.labels, test.bins, test.labels)).toBeGreaterThan(0.7);
});

interface Features {
  readonly labels: number[];
  /** Spikes of each unit in the whole window, as binned. */
  readonly counts: number[][];
  /** Mean time step of each unit's spikes. */
  readonly times: number[][];
  /** The whole binned sample. */
  readonly bins: Float32Array[];
}

async function readouts(): Promise<{ train: Features; test: Features }> {
  const loader = await openLoader(
    {
      source: { type: 'randman', params: randmanParams },
      transforms: [{ type: 'bin', params: { steps: STEPS, window: WINDOW } }],
      validation: { type: 'auto', params: {} },
    },
    { batch: 100, seed: 1 },
  );
  const featuresOf = async (split: 'train' | 'test'): Promise<Features> => {
    const features: Features = { labels: [], counts: [], times: [], bins: [] };
    for await (const { batch } of loader.batches({ split, epoch: 0, shuffle: false, from: 0 })) {
      const dense = toDense(batch);
      const width = batch.steps * batch.features;
      features.labels.push(...batch.labels);
      for (let row = 0; row < batch.size; row++) {
        const bins = dense.subarray(row * width, (row + 1) * width);
        const counts = new Array<number>(batch.features).fill(0);
        const times = new Array<number>(batch.features).fill(0);
        for (const [i, count] of bins.entries()) {
          counts[i % batch.features] += count;
          times[i % batch.features] += (count * Math.floor(i / batch.features)) / batch.steps;
        }
        features.counts.push(counts);
        features.times.push(times);
        features.bins.push(bins);
      }
    }
    return features;
  };
  return { train: await featuresOf('train'), test: await featuresOf('test') };
}

/** Test accuracy of softmax regression with a bias, fitted by gradient descent on standardised features. */
function linearAccuracy(train: number[][], labels: number[], test: number[][], testLabels: number[]): number {
  const classes = Math.max(...labels) + 1;
  const mean = train[0].map((_, j) => train.reduce((sum, x) => sum + x[j], 0) / train.length);
  const scale = mean.map((m, j) => Math.sqrt(train.reduce((sum, x) => sum + (x[j] - m) ** 2, 0) / train.length) || 1);
  const standardise = (x: number[]) => [...x.map((v, j) => (v - mean[j]) / scale[j]), 1];
  const inputs = train.map(standardise);
  const weights = Array.from({ length: classes }, () => new Float64Array(inputs[0].length));
  const scores = (x: number[]) => weights.map((w) => x.reduce((sum, v, j) => sum + v * w[j], 0));
  for (let iteration = 0; iteration < 60; iteration++) {
    const gradient = weights.map((w) => new Float64Array(w.length));
    for (const [i, x] of inputs.entries()) {
      const exponentials = scores(x).map(Math.exp);
      const total = exponentials.reduce((a, b) => a + b);
      for (let c = 0; c < classes; c++) {
        const error = exponentials[c] / total - (labels[i] === c ? 1 : 0);
        for (let j = 0; j < x.length; j++) gradient[c][j] += (error * x[j]) / inputs.length;
      }
    }
    for (const [c, w] of weights.entries()) for (let j = 0; j < w.length; j++) w[j] -= gradient[c][j];
  }
  return share(test, (x, i) => argmax(scores(standardise(x))) === testLabels[i]);
}

function centroidAccuracy(train: Float32Array[], labels: number[], test: Float32Array[], testLabels: number[]): number {
  const centroids = Array.from({ length: Math.max(...labels) + 1 }, (_, c) => {
    const members = train.filter((_, i) => labels[i] === c);
    return train[0].map((_, j) => members.reduce((sum, x) => sum + x[j], 0) / members.length);
  });
  const distance = (a: Float32Array, b: Float32Array) => a.reduce((sum, v, j) => sum + (v - b[j]) ** 2, 0);
  return share(test, (x, i) => argmax(centroids.map((c) => -distance(x, c))) === testLabels[i]);
}

const argmax = (values: number[]) => values.indexOf(Math.max(...values));
const share = <T>(items: T[], holds: (item: T, index: number) => boolean) => items.filter(holds).length / items.length;
