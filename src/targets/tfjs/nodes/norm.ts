import type { Norm } from '../../../ir/graph.ts';
import type { Tensor } from '../ops.ts';
import { type Context, noParameters } from './node.ts';

export interface NormResult {
  readonly value: Tensor;
  readonly saved: readonly Tensor[];
  pullback(cotangent: Tensor): { readonly input: Tensor; readonly parameters: ReadonlyMap<string, Tensor> };
}

type Batchnorm = Extract<Norm, { kind: 'batchnorm' }>;
type Layernorm = Extract<Norm, { kind: 'layernorm' }>;

/** Normalises [..., features]; `time` says whether the rows are (step, sample) pairs, some of which may be padding. */
export function normalize(norm: Norm, x: Tensor, time: boolean, context: Context): NormResult {
  switch (norm.kind) {
    case 'none':
      return { value: x, saved: [], pullback: (cotangent) => ({ input: cotangent, parameters: noParameters }) };
    case 'batchnorm':
      return context.training ? batchnorm(norm, x, time, context) : runningBatchnorm(norm, x, context);
    case 'layernorm':
      return layernorm(norm, x, context);
  }
}

/** As torch.nn.BatchNorm1d in training mode, over the valid rows. */
function batchnorm(norm: Batchnorm, x: Tensor, time: boolean, context: Context): NormResult {
  const { ops, padding } = context;
  const { tf } = ops;
  const count = time ? padding.count : x.shape[0];
  const meanOf = (y: Tensor) => (time ? padding.mean(y) : tf.div(ops.sumOfRows(y), count));
  const weight = context.parameter(norm.weight);
  const [value, normalized, scale, mean, variance] = tf.tidy(() => {
    const mean = meanOf(x);
    const centered = tf.sub(x, mean);
    const variance = meanOf(tf.square(centered));
    const scale = tf.rsqrt(tf.add(variance, norm.eps));
    const normalized = tf.mul(centered, scale);
    const value = tf.add(tf.mul(normalized, weight), context.parameter(norm.bias));
    return [value, normalized, scale, mean, variance];
  });
  const rows = norm.rowFactor * count;
  updateRunning(context, norm.runningMean, mean, norm.momentum);
  // A single row has no unbiased variance; its own, 0, keeps the running one finite.
  updateRunning(context, norm.runningVar, tf.mul(variance, rows / Math.max(1, rows - 1)), norm.momentum);
  return {
    value,
    saved: [normalized, scale],
    pullback(cotangent) {
      const biasGradient = ops.sumOfRows(cotangent);
      const weightGradient = ops.sumOfRows(tf.mul(cotangent, normalized));
      const throughStatistics = tf.add(tf.mul(normalized, tf.div(weightGradient, count)), tf.div(biasGradient, count));
      const counted = time ? padding.masked(throughStatistics) : throughStatistics;
      return {
        input: tf.mul(tf.sub(cotangent, counted), tf.mul(weight, scale)),
        parameters: new Map([
          [norm.weight, weightGradient],
          [norm.bias, biasGradient],
        ]),
      };
    },
  };
}

function updateRunning(context: Context, key: string, observed: Tensor, momentum: number): void {
  const { tf } = context.ops;
  const updated = tf.tidy(() => tf.add(tf.mul(context.parameter(key), 1 - momentum), tf.mul(observed, momentum)));
  context.updateBuffer(key, updated);
}

/** As torch.nn.BatchNorm1d in evaluation mode. */
function runningBatchnorm(norm: Batchnorm, x: Tensor, context: Context): NormResult {
  const { tf } = context.ops;
  const value = tf.tidy(() => {
    const scale = tf.mul(
      context.parameter(norm.weight),
      tf.rsqrt(tf.add(context.parameter(norm.runningVar), norm.eps)),
    );
    return tf.add(tf.mul(tf.sub(x, context.parameter(norm.runningMean)), scale), context.parameter(norm.bias));
  });
  return { value, saved: [], pullback: differentiatedInTrainingOnly };
}

function differentiatedInTrainingOnly(): never {
  throw new Error('evaluation has no backward pass');
}

/** As torch.nn.LayerNorm over the features. */
function layernorm(norm: Layernorm, x: Tensor, context: Context): NormResult {
  const { ops } = context;
  const { tf } = ops;
  const weight = context.parameter(norm.weight);
  const [value, normalized, scale] = tf.tidy(() => {
    const centered = tf.sub(x, tf.mean(x, -1, true));
    const scale = tf.rsqrt(tf.add(tf.mean(tf.square(centered), -1, true), norm.eps));
    const normalized = tf.mul(centered, scale);
    return [tf.add(tf.mul(normalized, weight), context.parameter(norm.bias)), normalized, scale];
  });
  return {
    value,
    saved: [normalized, scale],
    pullback(cotangent) {
      const g = tf.mul(cotangent, weight);
      const fromVariance = tf.mul(normalized, tf.mean(tf.mul(g, normalized), -1, true));
      return {
        input: tf.mul(tf.sub(tf.sub(g, tf.mean(g, -1, true)), fromVariance), scale),
        parameters: new Map([
          [norm.weight, ops.sumOfRows(tf.mul(cotangent, normalized))],
          [norm.bias, ops.sumOfRows(cotangent)],
        ]),
      };
    },
  };
}
