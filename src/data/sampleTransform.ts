import { Stream } from '../random/stream.ts';
import type { Call } from './config.ts';
import type { Sample } from './definition.ts';
import { lookUp, transformByName } from './registry.ts';

/** What a sample's random transforms depend on. */
export interface SampleKey {
  readonly epoch: number;
  readonly sample: number;
  /** Whether they apply at all. */
  readonly augment: boolean;
}

/** The transforms of a pipeline, in two parts. A sample that cannot be used passes through. */
export interface SampleTransforms {
  /** Up to the first random transform: the same in every epoch. */
  fixed(sample: Sample): Sample;
  /** From there on. */
  random(sample: Sample, key: SampleKey): Sample;
}

export function sampleTransforms(calls: readonly Call[], seed: number): SampleTransforms {
  const steps = calls.map((call, position) => stepOf(call, position, seed));
  const firstRandom = calls.findIndex(({ type }) => lookUp(transformByName, type).augments);
  const split = firstRandom < 0 ? steps.length : firstRandom;
  const notRandom = { epoch: 0, sample: 0, augment: false };
  return {
    fixed: (sample) => run(steps.slice(0, split), sample, notRandom),
    random: (sample, key) => run(steps.slice(split), sample, key),
  };
}

type Step = (sample: Sample, key: SampleKey) => Sample;

function run(steps: readonly Step[], sample: Sample, key: SampleKey): Sample {
  return steps.reduce((value, step) => (value.kind === 'unusable' ? value : step(value, key)), sample);
}

function stepOf({ type, params }: Call, position: number, seed: number): Step {
  const transform = lookUp(transformByName, type);
  if (!transform.augments) return (sample) => transform.apply(sample, params);
  return (value, { epoch, sample, augment }) =>
    augment ? transform.apply(value, params, new Stream(seed, 'augment', type, position, epoch, sample)) : value;
}
