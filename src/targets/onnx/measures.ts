import type { Batch } from '../../data/batch.ts';

/**
 * Mean cross-entropy of `scores` with the batch's labels: over samples ([batch, classes]), or, `perStep`, over all valid
 * time steps ([batch, time, classes]).
 */
export function batchLoss(scores: Float32Array, batch: Batch, classes: number, perStep: boolean): number {
  const stepsOf = (sample: number) => (perStep ? validSteps(batch, sample) : 1);
  const stride = perStep ? batch.steps : 1;
  let sum = 0;
  let count = 0;
  for (let sample = 0; sample < batch.size; sample++) {
    for (let step = 0; step < stepsOf(sample); step++) {
      const start = (sample * stride + step) * classes;
      sum += crossEntropy(scores.subarray(start, start + classes), batch.labels[sample]);
      count++;
    }
  }
  return sum / count;
}

function crossEntropy(scores: Float32Array, label: number): number {
  const max = Math.max(...scores);
  const sum = scores.reduce((total, score) => total + Math.exp(score - max), 0);
  return max + Math.log(sum) - scores[label];
}

/** The mean over batch and valid time of what is given as each sample's mean over its valid time, [batch, features]. */
export function meanRates(perSample: Float32Array, batch: Batch): Float32Array {
  const features = perSample.length / batch.size;
  const sums = new Float64Array(features);
  let count = 0;
  for (let sample = 0; sample < batch.size; sample++) {
    const steps = validSteps(batch, sample);
    for (let i = 0; i < features; i++) sums[i] += perSample[sample * features + i] * steps;
    count += steps;
  }
  return Float32Array.from(sums, (sum) => sum / count);
}

function validSteps(batch: Batch, sample: number): number {
  return batch.lengths?.[sample] ?? batch.steps;
}

/** The index of the largest score, the first of equals. */
export function argmax(scores: Float32Array): number {
  let best = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i] > scores[best]) best = i;
  return best;
}
