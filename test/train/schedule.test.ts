import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { constantSchedule, initialScheduleState, plateauSchedule, type Schedule } from '../../src/train/schedule.ts';

/** Computed with torch 2.13.0's ReduceLROnPlateau(mode='max') on the same accuracies. */
const cases: readonly {
  options: Parameters<typeof plateauSchedule>[0];
  learningRate: number;
  accuracies: number[];
  learningRates: number[];
}[] = JSON.parse(readFileSync(new URL('../fixtures/train/plateau.json', import.meta.url), 'utf8'));

function run(schedule: Schedule, learningRate: number, accuracies: readonly number[]): number[] {
  let state = initialScheduleState(learningRate);
  return accuracies.map((accuracy) => {
    // Through JSON, as a checkpoint keeps it.
    state = JSON.parse(JSON.stringify(schedule.next(state, accuracy)));
    return state.learningRate;
  });
}

describe('plateau', () => {
  it.each(cases)(
    'gives the learning rates of torch for $options',
    ({ options, learningRate, accuracies, ...expected }) => {
      expect(run(plateauSchedule(options), learningRate, accuracies)).toEqual(expected.learningRates);
    },
  );

  it('is tested on tables in which the learning rate falls several times', () => {
    const falls = cases.map((c) => new Set(c.learningRates).size - 1);
    expect(falls.filter((n) => n >= 3).length).toBeGreaterThanOrEqual(3);
  });
});

it('constant keeps the learning rate', () => {
  expect(run(constantSchedule, 0.3, [0.5, 0.4, 0.3])).toEqual([0.3, 0.3, 0.3]);
});
