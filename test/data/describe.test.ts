import { expect, test } from 'vitest';
import type { Call } from '../../src/data/config.ts';
import { describePipeline } from '../../src/data/describe.ts';

const shd: Call = { type: 'shd', params: { folder: '/nowhere' } };
const bin: Call = { type: 'bin', params: { steps: 101, window: 1 } };
const describe = (source: Call, ...transforms: Call[]) =>
  describePipeline({ source, transforms, validation: { type: 'auto', params: {} } });

test('follows the shape without opening a file', () => {
  expect(describe(shd, bin)).toEqual({ features: 700, classes: 20, set: 'count', steps: 101, stepDuration: 0.01 });
});

test('says what is wrong and at which step', () => {
  expect(describe(shd)).toEqual({
    error:
      'the data ends as spikes in continuous time, but a network needs time steps; add bin(steps=100, window=1.4s)',
    step: 0,
  });
  expect(describe(shd, bin, bin)).toEqual({
    error: 'bin needs spikes in continuous time, but gets a sequence of time steps; remove this bin',
    step: 2,
  });
  expect(describe({ type: 'shdd', params: {} }, bin)).toEqual({
    error: 'unknown dataset "shdd"; did you mean "shd"?',
    step: 0,
  });
  expect(describe(shd, { type: 'bim', params: {} })).toEqual({
    error: 'unknown transform "bim"; did you mean "bin"?',
    step: 1,
  });
});
