import type { Batch } from '../data/batch.ts';

/** What is summed over the batches of a pass over a split; plain JSON, so that a checkpoint inside an epoch keeps it. */
export interface MetricSums {
  readonly samples: number;
  /** Sum over samples. */
  readonly loss: number;
  readonly correct: number;
  /** Sum over samples of every layer's mean firing rate, by layer. */
  readonly rates: Readonly<Record<string, number>>;
  /** Wall time, waiting for data included. */
  readonly seconds: number;
}

export const noMetrics: MetricSums = { samples: 0, loss: 0, correct: 0, rates: {}, seconds: 0 };

/** Means over the samples of a pass. */
export interface SplitMetrics {
  readonly samples: number;
  readonly loss: number;
  /** Fraction of samples whose highest score is their class. */
  readonly accuracy: number;
  /** Spikes per neuron and time step, by layer. */
  readonly firingRates: Readonly<Record<string, number>>;
  readonly seconds: number;
  readonly samplesPerSecond: number;
}

/** What a model says about a batch; every training target's results are of this form, and so are an ONNX model's. */
export interface BatchResult {
  /** Mean over the samples. */
  readonly loss: number;
  /** Class scores, [batch, classes]. */
  readonly scores: Float32Array;
  /** Mean rate of every neuron, by layer. */
  readonly firingRates: ReadonlyMap<string, Float32Array>;
}

/** `layers` are those whose firing rate is wanted. */
export function addBatch(
  sums: MetricSums,
  batch: Batch,
  result: BatchResult,
  layers: readonly string[],
  seconds: number,
): MetricSums {
  const rates: Record<string, number> = {};
  for (const layer of layers) {
    rates[layer] = (sums.rates[layer] ?? 0) + mean(result.firingRates.get(layer) as Float32Array) * batch.size;
  }
  return {
    samples: sums.samples + batch.size,
    loss: sums.loss + result.loss * batch.size,
    correct: sums.correct + countCorrect(result.scores, batch.labels),
    rates,
    seconds: sums.seconds + seconds,
  };
}

export function summarize(sums: MetricSums): SplitMetrics {
  const perSample = (sum: number) => sum / sums.samples;
  return {
    samples: sums.samples,
    loss: perSample(sums.loss),
    accuracy: perSample(sums.correct),
    firingRates: Object.fromEntries(Object.entries(sums.rates).map(([layer, sum]) => [layer, perSample(sum)])),
    seconds: sums.seconds,
    samplesPerSecond: sums.samples / sums.seconds,
  };
}

/** The class of each sample is the first of its highest scores. */
export function predictedClasses(scores: Float32Array, size: number): Int32Array {
  const classes = scores.length / size;
  return Int32Array.from({ length: size }, (_, sample) => {
    let best = 0;
    for (let k = 1; k < classes; k++) {
      if (scores[sample * classes + k] > scores[sample * classes + best]) best = k;
    }
    return best;
  });
}

function countCorrect(scores: Float32Array, labels: Int32Array): number {
  return predictedClasses(scores, labels.length).reduce((count, k, sample) => count + Number(k === labels[sample]), 0);
}

function mean(values: Float32Array): number {
  return values.reduce((sum, v) => sum + v, 0) / values.length;
}
