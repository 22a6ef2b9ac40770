import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DataShape, EventStepsSample } from '../../src/data/definition.ts';
import { bin, digitize, linspace } from '../../src/data/transforms/bin.ts';

interface Case {
  steps: number;
  window: number;
  kind: string;
  times: number[];
  units: number[];
  index: number[];
  rows: number[];
  columns: number[];
  counts: number[];
  dropped: number;
}

const cases: Case[] = JSON.parse(readFileSync(new URL('../fixtures/data/bin.json', import.meta.url), 'utf8'));

function binned(times: Float32Array | Float64Array, units: Uint16Array, params: { steps: number; window: number }) {
  return bin.apply({ kind: 'spikes', times, units }, params) as EventStepsSample;
}

/** [row, unit, count] of every entry. */
function entries(sample: EventStepsSample): number[][] {
  const list: number[][] = [];
  for (let row = 0; row < sample.steps; row++) {
    for (let k = sample.offsets[row]; k < sample.offsets[row + 1]; k++)
      list.push([row, sample.units[k], sample.counts[k]]);
  }
  return list;
}

describe.each(cases)('numpy with $steps steps in $window s, $kind', (c) => {
  const edges = linspace(c.window, c.steps);

  test('digitize', () => {
    expect(c.times.map((t) => digitize(t, edges))).toEqual(c.index);
  });

  test('bin', () => {
    const times = c.kind === 'float64' ? Float64Array.from(c.times) : Float32Array.from(c.times);
    const sample = binned(times, Uint16Array.from(c.units), c);
    expect(entries(sample)).toEqual(c.rows.map((row, i) => [row, c.columns[i], c.counts[i]]));
    expect(sample.dropped).toBe(c.dropped);
  });
});

test('digitize counts the edges that are not above the value', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 1e-6, max: 1e6, noNaN: true }),
      fc.integer({ min: 2, max: 400 }),
      fc.double({ min: -0.1, max: 1.1, noNaN: true }),
      fc.integer({ min: 0, max: 399 }),
      fc.integer({ min: -1, max: 1 }),
      (window, steps, share, edge, ulps) => {
        const edges = linspace(window, steps);
        const nearEdge = edges[edge % steps] * (1 + ulps * Number.EPSILON);
        for (const value of [share * window, nearEdge]) {
          expect(digitize(value, edges)).toBe(edges.filter((e) => e <= value).length);
        }
      },
    ),
  );
});

test('bin keeps or drops every spike, in ascending order, each unit once in a step', () => {
  const spike = fc.tuple(fc.double({ min: -1, max: 3 }), fc.integer({ min: 0, max: 65535 }));
  fc.assert(
    fc.property(fc.array(spike), fc.integer({ min: 2, max: 300 }), (spikes, steps) => {
      const times = Float64Array.from(spikes, ([t]) => t);
      const sample = binned(
        times,
        Uint16Array.from(spikes, ([, unit]) => unit),
        { steps, window: 1.4 },
      );
      const found = entries(sample);
      expect(sample.offsets.length).toBe(steps + 1);
      expect(sample.offsets[steps]).toBe(sample.units.length);
      expect(found.reduce((sum, [, , count]) => sum + count, 0) + sample.dropped).toBe(spikes.length);
      expect(found).toEqual([...found].sort((a, b) => a[0] - b[0] || a[1] - b[1]));
      expect(new Set(found.map(([row, unit]) => `${row},${unit}`)).size).toBe(found.length);
      expect(found.every(([, , count]) => count >= 1)).toBe(true);
    }),
  );
});

test('bin gives the same whatever the order of the spikes', () => {
  const params = { steps: 15, window: 1.4 };
  const edges = linspace(params.window, params.steps);
  const time = fc.oneof(fc.double({ min: -0.2, max: 1.6, noNaN: true }), fc.constantFrom(...edges));
  const spikes = fc.array(fc.tuple(time, fc.integer({ min: 0, max: 40 })), { maxLength: 200 });
  const inOrderOf = (list: readonly [number, number][]) =>
    binned(
      Float64Array.from(list, ([t]) => t),
      Uint16Array.from(list, ([, unit]) => unit),
      params,
    );
  fc.assert(
    fc.property(spikes, (list) => {
      const ascending = list.toSorted(([a], [b]) => a - b);
      expect(inOrderOf(ascending)).toEqual(inOrderOf(ascending.toReversed()));
    }),
  );
});

test('a time that is no number is dropped', () => {
  const sample = binned(Float64Array.of(Number.NaN, 0.1), Uint16Array.of(1, 2), { steps: 10, window: 1 });
  expect(entries(sample)).toEqual([[1, 2, 1]]);
  expect(sample.dropped).toBe(1);
});

test('counts have room for 65535 spikes', () => {
  const count = (spikes: number) =>
    bin.apply(
      { kind: 'spikes', times: new Float32Array(spikes + 1).fill(0.1), units: new Uint16Array(spikes + 1).fill(2, 1) },
      { steps: 10, window: 1 },
    );
  const sample = count(65535) as EventStepsSample;
  expect([...sample.units, ...sample.counts, sample.events]).toEqual([0, 2, 1, 65535, 65536]);
  expect(count(65536)).toEqual({
    kind: 'unusable',
    reason: 'has more than 65535 spikes of a unit in one time step',
  });
});

test('the shape after bin', () => {
  const spikes: DataShape = { kind: 'spikes', features: 700, classes: 20 };
  const shape = bin.infer(spikes, { steps: 101, window: 1 });
  expect(shape).toEqual({ kind: 'steps', features: 700, classes: 20, set: 'count', steps: 101, stepDuration: 0.01 });
  expect(bin.infer(shape as DataShape, { steps: 101, window: 1 })).toEqual({
    error: 'bin needs spikes in continuous time, but gets a sequence of time steps; remove this bin',
  });
});
