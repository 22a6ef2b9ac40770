import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { auto, fraction, type SplitPlan, speakers, test as testProtocol } from '../../src/data/validation.ts';
import { UserError } from '../../src/diagnostics/diagnostic.ts';
import { memoryDataset, memorySplit } from './memoryDataset.ts';

const labelsAndSpeakers = fc.array(
  fc.record({ label: fc.integer({ min: 0, max: 4 }), speaker: fc.integer({ min: 0, max: 9 }) }),
  {
    minLength: 2,
    maxLength: 120,
  },
);
const seeds = fc.integer({ min: 0, max: 1000 });

function errorOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof UserError) return `${error.diagnostic.code}: ${error.message}`;
    throw error;
  }
  throw new Error('there was no error');
}

/** Every training sample of the dataset is on exactly one side. */
function expectPartition({ splits: { train, validation } }: SplitPlan, total: number): void {
  expect([train.split, validation.split]).toEqual(['train', 'train']);
  expect([...train.indices, ...validation.indices].sort((a, b) => a - b)).toEqual(
    Array.from({ length: total }, (_, i) => i),
  );
  expect(train.indices.length).toBeGreaterThan(0);
  expect(validation.indices.length).toBeGreaterThan(0);
}

describe('speakers', () => {
  test('a speaker is on one side only, and as many as asked for are held out', () => {
    fc.assert(
      fc.property(labelsAndSpeakers, seeds, fc.nat(), (samples, seed, wish) => {
        const speakerOf = samples.map((s) => s.speaker);
        const known = new Set(speakerOf).size;
        fc.pre(known > 1);
        const count = 1 + (wish % (known - 1));
        const dataset = memoryDataset({
          train: memorySplit(
            samples.map((s) => s.label),
            speakerOf,
          ),
        });
        const plan = speakers.plan(dataset, { count, seed });
        expectPartition(plan, samples.length);
        const held = new Set(Array.from(plan.splits.validation.indices, (i) => speakerOf[i]));
        expect(held.size).toBe(count);
        expect(Array.from(plan.splits.train.indices).some((i) => held.has(speakerOf[i]))).toBe(false);
        expect(speakers.plan(dataset, { count, seed })).toEqual(plan);
      }),
    );
  });

  test('a fifth of the speakers by default', () => {
    const speakerOf = Array.from({ length: 50 }, (_, i) => i % 10);
    const plan = speakers.plan(memoryDataset({ train: memorySplit(speakerOf, speakerOf) }), { count: null, seed: 1 });
    expect(plan.splits.validation.indices.length).toBe(10);
  });

  test('other seeds hold out other speakers', () => {
    const speakerOf = Array.from({ length: 50 }, (_, i) => i % 10);
    const dataset = memoryDataset({ train: memorySplit(speakerOf, speakerOf) });
    const held = [1, 2, 3, 4, 5].map((seed) =>
      speakers.plan(dataset, { count: 3, seed }).splits.validation.indices.join(),
    );
    expect(new Set(held).size).toBeGreaterThan(1);
  });

  test('errors', () => {
    const three = memoryDataset({ train: memorySplit([0, 1, 0], [4, 5, 6]) });
    const one = memoryDataset({ train: memorySplit([0, 1, 0], [4, 4, 4]) });
    const none = memoryDataset({ train: memorySplit([0, 1, 0]) });
    expect(errorOf(() => speakers.plan(three, { count: 3, seed: 1 }))).toBe(
      'SP711: validation cannot hold out 3 of 3 training speakers; hold out at most 2',
    );
    expect(errorOf(() => speakers.plan(one, { count: null, seed: 1 }))).toBe(
      'SP711: validation cannot hold out the only training speaker; use fraction(share=0.1) instead',
    );
    expect(errorOf(() => speakers.plan(none, { count: 1, seed: 1 }))).toBe(
      'SP710: validation by speakers needs a dataset that knows its speakers; use fraction(share=0.1) instead',
    );
  });
});

describe('fraction', () => {
  test('holds out the share of each class', () => {
    fc.assert(
      fc.property(
        labelsAndSpeakers,
        seeds,
        fc.double({ min: 0.01, max: 0.99, noNaN: true }),
        (samples, seed, share) => {
          const labels = samples.map((s) => s.label);
          const sizes = [0, 1, 2, 3, 4].map((label) => labels.filter((l) => l === label).length);
          fc.pre(sizes.some((size) => size > 1));
          const dataset = memoryDataset({ train: memorySplit(labels) });
          const plan = fraction.plan(dataset, { share, seed });
          expectPartition(plan, samples.length);
          for (const [label, size] of sizes.entries()) {
            const held = plan.splits.validation.indices.filter((i) => labels[i] === label).length;
            if (size > 0) expect(held).toBeLessThan(size);
            expect(Math.abs(held - share * size)).toBeLessThanOrEqual(1);
          }
          expect(fraction.plan(dataset, { share, seed })).toEqual(plan);
        },
      ),
    );
  });

  test('needs a class with two samples', () => {
    const dataset = memoryDataset({ train: memorySplit([0, 1, 2]) });
    expect(errorOf(() => fraction.plan(dataset, { share: 0.1, seed: 1 }))).toBe(
      'SP712: validation cannot hold out samples where every class has only one; use more training samples',
    );
  });
});

test('test: the test split serves twice, with a warning', () => {
  const { splits, warnings } = testProtocol.plan(memoryDataset({ train: memorySplit([0, 1], [1, 2]) }), {});
  expect(splits.validation).toEqual(splits.test);
  expect(splits.validation.split).toBe('test');
  expect(splits.train.indices.length).toBe(2);
  expect(warnings).toEqual([expect.stringContaining('its test accuracy is optimistic')]);
});

describe('auto', () => {
  const labels = Array.from({ length: 40 }, (_, i) => i % 4);

  test("takes the dataset's own validation split", () => {
    const dataset = memoryDataset({ train: memorySplit(labels, labels), validation: memorySplit([0, 1]) });
    const { splits } = auto.plan(dataset, {});
    expect(splits.validation).toEqual({ split: 'validation', indices: Int32Array.of(0, 1) });
    expect(splits.train.indices.length).toBe(40);
  });

  test('else speakers', () => {
    const dataset = memoryDataset({ train: memorySplit(labels, labels) });
    expect(auto.plan(dataset, {})).toEqual(speakers.plan(dataset, { count: null, seed: 1 }));
  });

  test.each([
    ['speakers are unknown', null],
    ['there is one speaker', labels.map(() => 3)],
  ])('else a share of each class: %s', (_, speakerOf) => {
    const dataset = memoryDataset({ train: memorySplit(labels, speakerOf) });
    expect(auto.plan(dataset, {})).toEqual(fraction.plan(dataset, { share: 0.1, seed: 1 }));
  });
});
