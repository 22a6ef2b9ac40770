import type { FiringRateRegularizer } from '../../ir/graph.ts';
import type { Ops, Tensor } from './ops.ts';

/** A term of the loss and its cotangent with respect to what it is a function of. */
export interface Term {
  readonly value: Tensor;
  readonly cotangent: Tensor;
}

/**
 * Cross-entropy of scores [..., classes] against one-hot targets that broadcast to them. The weights of the rows,
 * [..., 1], sum to 1 and are 0 where a row does not count.
 */
export function crossEntropy(ops: Ops, scores: Tensor, targets: Tensor, weights: Tensor): Term {
  const { tf } = ops;
  const [value, cotangent] = tf.tidy(() => {
    const shifted = tf.sub(scores, tf.max(scores, -1, true));
    const logProbabilities = tf.sub(shifted, tf.log(tf.sum(tf.exp(shifted), -1, true)));
    const perRow = tf.neg(tf.sum(tf.mul(logProbabilities, targets), -1, true));
    return [tf.sum(tf.mul(perRow, weights)), tf.mul(tf.sub(tf.exp(logProbabilities), targets), weights)];
  });
  return { value, cotangent };
}

/** factor * (sum relu(min - rate) + sum relu(rate - max)), as a function of the rates [features]. */
export function firingRatePenalty(ops: Ops, rates: Tensor, { min, max, factor }: FiringRateRegularizer): Term {
  const { tf } = ops;
  const [value, cotangent] = tf.tidy(() => {
    const below = tf.sub(min, rates);
    const above = tf.sub(rates, max);
    return [
      tf.mul(tf.sum(tf.add(tf.relu(below), tf.relu(above))), factor),
      tf.mul(tf.sub(ops.positive(above), ops.positive(below)), factor),
    ];
  });
  return { value, cotangent };
}
