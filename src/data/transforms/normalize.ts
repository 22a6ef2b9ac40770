import { defineTransform, type FeaturesSample } from '../definition.ts';

/** Added to variances, so that a constant feature becomes zero. */
export const EPSILON = 1e-5;

/**
 * Mean 0 and variance 1 of each feature, over the whole sample, or over the steps up to the current one (causal, for
 * streams: the first step becomes zero).
 */
export const normalize = defineTransform({
  name: 'normalize',
  description: 'gives each feature of a sample mean 0 and variance 1 over time',
  params: {
    over: {
      type: 'choice',
      values: ['utterance', 'past'],
      default: 'utterance',
      description: 'all steps of the sample, or those up to the current one, as in a stream',
    },
    variance: { type: 'boolean', default: true, description: 'false: only the mean is removed' },
  },
  infer(input) {
    if (input.kind === 'steps' && input.set === 'real') return input;
    return { error: 'normalize needs real-valued features, such as those of fbank; put it behind fbank' };
  },
  apply(sample, { over, variance }) {
    if (sample.kind !== 'features') throw new Error('normalize needs features');
    const features = sample.values.length / sample.steps;
    const values = new Float32Array(sample.values.length);
    const run = over === 'utterance' ? normalizeWhole : normalizeRunning;
    for (let f = 0; f < features; f++) run(sample, values, f, features, variance);
    return { ...sample, values };
  },
});

type Column = (from: FeaturesSample, into: Float32Array, first: number, stride: number, variance: boolean) => void;

const normalizeWhole: Column = ({ values, steps }, into, first, stride, variance) => {
  const end = first + steps * stride;
  let mean = 0;
  for (let i = first; i < end; i += stride) mean += values[i] / steps;
  let squares = 0;
  for (let i = first; i < end; i += stride) squares += (values[i] - mean) ** 2 / steps;
  const scale = variance ? 1 / Math.sqrt(squares + EPSILON) : 1;
  for (let i = first; i < end; i += stride) into[i] = (values[i] - mean) * scale;
};

/** Welford's running mean and sum of squares. */
const normalizeRunning: Column = ({ values, steps }, into, first, stride, variance) => {
  let mean = 0;
  let squares = 0;
  for (let t = 0; t < steps; t++) {
    const i = first + t * stride;
    const before = values[i] - mean;
    mean += before / (t + 1);
    squares += before * (values[i] - mean);
    const scale = variance ? 1 / Math.sqrt(squares / (t + 1) + EPSILON) : 1;
    into[i] = (values[i] - mean) * scale;
  }
};
