import { describe, expect, it } from 'vitest';
import type { AnyParams, Definition } from '../../src/definitions/params.ts';
import { definitionNamed, optimizers, regularizers, schedules } from '../../src/train/definitions.ts';
import { initialScheduleState } from '../../src/train/schedule.ts';

function defaultsOf({ params }: Definition): AnyParams {
  return Object.fromEntries(Object.entries(params).map(([name, spec]) => [name, spec.default ?? null]));
}

describe('the defaults', () => {
  it("of optimisers are torch's, but for the learning rate, which is sparch's", () => {
    const config = (name: string) => {
      const definition = definitionNamed(optimizers, name);
      expect(defaultsOf(definition).lr).toBe(0.01);
      return definition.config(defaultsOf(definition));
    };
    const moments = { beta1: 0.9, beta2: 0.999, eps: 1e-8 };
    expect(config('adam')).toEqual({ kind: 'adam', ...moments, weightDecay: 0 });
    expect(config('adamw')).toEqual({ kind: 'adamw', ...moments, weightDecay: 0.01 });
    expect(config('sgd')).toEqual({ kind: 'sgd', momentum: 0, weightDecay: 0 });
  });

  it("of the plateau schedule and the regulariser are sparch's", () => {
    expect(defaultsOf(definitionNamed(schedules, 'plateau'))).toEqual({
      factor: 0.7,
      patience: 1,
      threshold: 1e-4,
      min_lr: 1e-6,
    });
    expect(defaultsOf(definitionNamed(regularizers, 'firing_rate'))).toEqual({ min: 0.01, max: 0.5, factor: 0.5 });
  });
});

it('parameters reach what they configure', () => {
  const schedule = definitionNamed(schedules, 'plateau').create({
    factor: 0.5,
    patience: 0,
    threshold: 0.1,
    min_lr: 0.3,
  });
  const afterBest = schedule.next(initialScheduleState(1), 0.5);
  expect(afterBest).toEqual({ learningRate: 1, best: 0.5, badEpochs: 0 });
  const lowered = schedule.next(afterBest, 0.54);
  expect(lowered.learningRate).toBe(0.5);
  expect(schedule.next(lowered, 0.54).learningRate).toBe(0.3);
  expect(definitionNamed(optimizers, 'sgd').config({ lr: 1, momentum: 0.9, weight_decay: 0.1 })).toEqual({
    kind: 'sgd',
    momentum: 0.9,
    weightDecay: 0.1,
  });
});

it('a name that is not defined is a fault of the caller', () => {
  expect(() => definitionNamed(schedules, 'cosine')).toThrow('nothing named "cosine" among plateau, constant');
});
