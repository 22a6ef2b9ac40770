import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { SampleOf } from '../../src/data/definition.ts';
import { normalize } from '../../src/data/transforms/normalize.ts';

const sequence = fc
  .tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 30 }))
  .chain(([features, steps]) =>
    fc
      .array(fc.float({ min: -20, max: 20, noNaN: true }), { minLength: features * steps, maxLength: features * steps })
      .map((values) => ({ kind: 'features' as const, steps, values: Float32Array.from(values) })),
  );

const apply = (sample: SampleOf<'features'>, over: string, variance = true) =>
  normalize.apply(sample, { over, variance }) as SampleOf<'features'>;

/** The values of a feature over time. */
function columns({ steps, values }: SampleOf<'features'>): number[][] {
  const features = values.length / steps;
  return Array.from({ length: features }, (_, f) => Array.from({ length: steps }, (_, t) => values[t * features + f]));
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
const variance = (values: readonly number[]) => mean(values.map((v) => (v - mean(values)) ** 2));

test('over the utterance: mean 0, variance 1', () => {
  fc.assert(
    fc.property(sequence, (sample) => {
      const before = columns(sample);
      for (const [f, column] of columns(apply(sample, 'utterance')).entries()) {
        expect(mean(column)).toBeCloseTo(0, 4);
        const expected = variance(before[f]) / (variance(before[f]) + 1e-5);
        expect(variance(column)).toBeCloseTo(expected, 3);
      }
    }),
  );
});

test('over the past: each step as the last one of what came before', () => {
  fc.assert(
    fc.property(sequence, fc.boolean(), (sample, scaled) => {
      const features = sample.values.length / sample.steps;
      const running = columns(apply(sample, 'past', scaled));
      for (let t = 0; t < sample.steps; t++) {
        const past = { ...sample, steps: t + 1, values: sample.values.slice(0, (t + 1) * features) };
        const whole = columns(apply(past, 'utterance', scaled));
        for (let f = 0; f < features; f++) expect(running[f][t]).toBeCloseTo(whole[f][t], 3);
      }
    }),
    { numRuns: 40 },
  );
});

test('only real-valued features', () => {
  const shape = { kind: 'steps', features: 3, classes: 2, set: 'real' } as const;
  expect(normalize.infer(shape, { over: 'utterance', variance: true })).toBe(shape);
  expect(normalize.infer({ ...shape, set: 'count' }, { over: 'utterance', variance: true })).toHaveProperty('error');
});
