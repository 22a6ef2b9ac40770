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

/** All transforms of a pipeline, one after another. A sample that cannot be used passes through. */
export function sampleTransform(calls: readonly Call[], seed: number): (sample: Sample, key: SampleKey) => Sample {
  const steps = calls.map((call, position) => stepOf(call, position, seed));
  const next = (key: SampleKey) => (sample: Sample, step: (typeof steps)[number]) =>
    sample.kind === 'unusable' ? sample : step(sample, key);
  return (sample, key) => steps.reduce(next(key), sample);
}

function stepOf({ type, params }: Call, position: number, seed: number): (sample: Sample, key: SampleKey) => Sample {
  const transform = lookUp(transformByName, type);
  if (!transform.augments) return (sample) => transform.apply(sample, params);
  return (value, { epoch, sample, augment }) =>
    augment ? transform.apply(value, params, new Stream(seed, 'augment', type, position, epoch, sample)) : value;
}
