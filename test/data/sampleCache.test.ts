import { expect, test } from 'vitest';
import type { Sample } from '../../src/data/definition.ts';
import { SampleCache } from '../../src/data/sampleCache.ts';

const features = (values: number): Sample => ({ kind: 'features', steps: 1, values: new Float32Array(values) });

test('keeps what fits, and what it has', () => {
  const cache = new SampleCache(100);
  const [first, second, third] = [features(15), features(15), features(10)];
  cache.add('a', first);
  cache.add('b', second);
  cache.add('c', third);
  expect([cache.get('a'), cache.get('b'), cache.get('c')]).toEqual([first, undefined, third]);
});

test('binned spikes are kept, by the size of their lists', () => {
  const cache = new SampleCache(45);
  const binned = (entries: number): Sample => ({
    kind: 'eventSteps',
    steps: 1,
    offsets: Int32Array.of(0, entries),
    units: new Uint16Array(entries),
    counts: new Uint16Array(entries),
    events: 0,
    dropped: 0,
  });
  const [first, second] = [binned(3), binned(5)];
  cache.add('a', first);
  cache.add('b', second);
  expect([cache.get('a'), cache.get('b')]).toEqual([first, undefined]);
});

test('spikes in continuous time are not kept', () => {
  const cache = new SampleCache(100);
  cache.add('a', { kind: 'spikes', times: new Float32Array(1), units: new Uint16Array(1) });
  expect(cache.get('a')).toBeUndefined();
});
