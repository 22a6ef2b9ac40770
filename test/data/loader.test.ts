import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { memoryOf, toDense } from '../../src/data/batch.ts';
import { collate } from '../../src/data/batching.ts';
import type { DataConfig } from '../../src/data/config.ts';
import type { EventStepsSample, FeaturesSample } from '../../src/data/definition.ts';
import { type EpochRequest, type LoadedBatch, type Loader, openLoader } from '../../src/data/loader.ts';
import { UserError } from '../../src/diagnostics/diagnostic.ts';
import { randmanParams } from './randmanParams.ts';

const config = (
  train: number,
  transforms: DataConfig['transforms'] = [{ type: 'bin', params: { steps: 6, window: 0.02 } }],
): DataConfig => ({
  source: { type: 'randman', params: { ...randmanParams, classes: 3, units: 4, train, validation: 0, test: 5 } },
  transforms,
  validation: { type: 'fraction', params: { share: 0.2, seed: 1 } },
});

async function collect(loader: Loader, request: Partial<EpochRequest>): Promise<LoadedBatch[]> {
  const loaded: LoadedBatch[] = [];
  for await (const item of loader.batches({ split: 'train', epoch: 0, shuffle: false, from: 0, ...request }))
    loaded.push(item);
  return loaded;
}

const samplesOf = (loaded: LoadedBatch[]) => loaded.flatMap(({ batch }) => Array.from(batch.samples));

test('every sample once in an epoch, and from k on the same batches', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 10, max: 40 }),
      fc.integer({ min: 1, max: 15 }),
      fc.nat(5),
      fc.nat(9),
      fc.boolean(),
      async (train, batch, epoch, from, shuffle) => {
        const loader = await openLoader(config(train), { batch, seed: 3 });
        const whole = await collect(loader, { epoch, shuffle });
        const { samples, batches } = loader.info.splits.train;
        expect(new Set(samplesOf(whole)).size).toBe(samples);
        expect(samplesOf(whole).length).toBe(samples);
        expect(whole.length).toBe(batches);
        expect(whole.slice(0, -1).every((b) => b.batch.size === batch)).toBe(true);
        expect(await collect(loader, { epoch, shuffle, from })).toEqual(whole.slice(from));
        const held = samplesOf(await collect(loader, { split: 'validation' }));
        expect(held.length).toBe(loader.info.splits.validation.samples);
        expect([...held, ...samplesOf(whole)].sort((a, b) => a - b)).toEqual(
          Array.from({ length: train }, (_, i) => i),
        );
      },
    ),
    { numRuns: 25 },
  );
});

describe('order', () => {
  const orders = async (seed: number, epoch: number, shuffle = true) => {
    const loader = await openLoader(config(30), { batch: 7, seed });
    return samplesOf(await collect(loader, { epoch, shuffle })).join();
  };

  test('depends on seed and epoch alone', async () => {
    expect(await orders(1, 0)).toBe(await orders(1, 0));
    expect(new Set([await orders(1, 0), await orders(1, 1), await orders(2, 0)]).size).toBe(3);
  });

  test('without shuffling is that of the dataset', async () => {
    const order = (await orders(1, 0, false)).split(',').map(Number);
    expect(order).toEqual([...order].sort((a, b) => a - b));
  });
});

test('labels and counts belong to the samples', async () => {
  const loader = await openLoader(config(30), { batch: 7, seed: 1 });
  for (const { batch, events, dropped } of await collect(loader, { shuffle: true })) {
    expect(Array.from(batch.labels)).toEqual(Array.from(batch.samples, (sample) => sample % 3));
    expect(events).toBe(batch.size * 4);
    expect(dropped).toBe(0);
    expect(toDense(batch).reduce((sum, value) => sum + value, 0)).toBe(events);
  }
  const { train, validation } = loader.info.splits;
  expect(train.classCounts).toEqual([8, 8, 8]);
  expect(validation.classCounts).toEqual([2, 2, 2]);
});

test('dropped events are counted', async () => {
  const loader = await openLoader(config(30, [{ type: 'bin', params: { steps: 6, window: 0.005 } }]), {
    batch: 7,
    seed: 1,
  });
  const loaded = await collect(loader, {});
  const sum = (key: 'events' | 'dropped') => loaded.reduce((total, item) => total + item[key], 0);
  expect(sum('dropped')).toBeGreaterThan(0);
  expect(sum('events') + sum('dropped')).toBe(loader.info.splits.train.samples * 4);
});

test('a class without training samples is a warning', async () => {
  const loader = await openLoader({ ...config(2), validation: { type: 'test', params: {} } }, { batch: 2, seed: 1 });
  expect(loader.info.warnings).toEqual([
    expect.stringContaining('optimistic'),
    'the training split has no samples of class 2',
  ]);
});

test('a pipeline that makes no sense is a request error', async () => {
  const error = await openLoader(config(30, []), { batch: 7, seed: 1 }).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(UserError);
  expect((error as UserError).exitCode).toBe(2);
});

test('collate pads shorter samples and tells their lengths', () => {
  const sample = (steps: number, entries: [number, number, number][]): EventStepsSample => ({
    kind: 'eventSteps',
    steps,
    offsets: Int32Array.from({ length: steps + 1 }, (_, t) => entries.filter(([row]) => row < t).length),
    units: Uint16Array.from(entries, ([, unit]) => unit),
    counts: Uint16Array.from(entries, ([, , count]) => count),
    events: entries.reduce((sum, [, , count]) => sum + count, 0),
    dropped: 0,
  });
  const long = sample(3, [
    [0, 1, 2],
    [2, 0, 1],
  ]);
  const short = sample(2, [[1, 1, 5]]);
  const batch = collate([short, long], 2, Int32Array.of(0, 1), Int32Array.of(8, 9));
  expect(batch).toMatchObject({
    size: 2,
    steps: 3,
    features: 2,
    lengths: Int32Array.of(2, 3),
    samples: Int32Array.of(8, 9),
  });
  expect(Array.from(toDense(batch))).toEqual([0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 1, 0]);
  expect(collate([long, long], 2, Int32Array.of(0, 1), Int32Array.of(8, 9)).lengths).toBeUndefined();
});

describe('features', () => {
  const features = (values: readonly number[]): FeaturesSample => ({
    kind: 'features',
    steps: values.length / 2,
    values: Float32Array.from(values),
  });
  const long = features([1, 2, 3, 4, 5, 6]);
  const short = features([7, 8]);

  test('shorter samples are padded with zeros, and the batch tells their lengths', () => {
    const batch = collate([short, long], 2, Int32Array.of(0, 1), Int32Array.of(8, 9));
    expect(batch).toMatchObject({ size: 2, steps: 3, features: 2, lengths: Int32Array.of(1, 3) });
    expect(batch.input).toEqual({ kind: 'dense', values: Float32Array.of(7, 8, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6) });
  });

  test('padding that is input like any other has no lengths', () => {
    const batch = collate([short, long], 2, Int32Array.of(0, 1), Int32Array.of(8, 9), 'include');
    expect(batch.lengths).toBeUndefined();
    expect(batch.steps).toBe(3);
  });
});

test('batches are the same in memory that was used before', async () => {
  const used = (bytes: number) => new Uint8Array(bytes + 100).fill(0xff).buffer;
  const events = (await collect(await openLoader(config(6), { batch: 6, seed: 1 }), {}))[0].batch;
  expect(memoryOf(events).length).toBe(1);
  const loader = await openLoader(config(6), { batch: 6, seed: 1 });
  const memory = used(1000);
  loader.recycle([memory]);
  const again = (await collect(loader, {}))[0].batch;
  expect(again).toEqual(events);
  expect(memoryOf(again)).toEqual([memory]);

  const features = [7, 1].map(
    (steps): FeaturesSample => ({ kind: 'features', steps, values: new Float32Array(2 * steps).fill(3) }),
  );
  const [labels, indices] = [Int32Array.of(0, 1), Int32Array.of(8, 9)];
  expect(collate(features, 2, labels, indices, 'exclude', used)).toEqual(collate(features, 2, labels, indices));
});
