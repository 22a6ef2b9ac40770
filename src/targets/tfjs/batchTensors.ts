import type { Batch } from '../../data/batch.ts';
import type { Ops, Tensor } from './ops.ts';

/** The input as a tensor [time, batch, features]; events are written straight into their time-major places. */
export function inputTensor(ops: Ops, batch: Batch): Tensor {
  const { size, steps, features, input } = batch;
  if (input.kind === 'dense') return timeMajor(ops, input.values, size, steps, features);
  const values = new Float32Array(steps * size * features);
  for (let b = 0; b < size; b++) {
    for (let t = 0; t < steps; t++) {
      const row = b * steps + t;
      const start = (t * size + b) * features;
      for (let k = input.offsets[row]; k < input.offsets[row + 1]; k++)
        values[start + input.units[k]] = input.counts[k];
    }
  }
  return ops.tf.tensor(values, [steps, size, features]);
}

/** From the host's [batch, time, features] to [time, batch, features]. */
export function timeMajor(ops: Ops, values: Float32Array, size: number, steps: number, features: number): Tensor {
  return ops.tf.tidy(() => swapAxes(ops, ops.tf.tensor(values, [size, steps, features])));
}

/** Between [batch, time, features] and [time, batch, features]. */
export function swapAxes(ops: Ops, sequence: Tensor): Tensor {
  return ops.tf.transpose(sequence, [1, 0, 2]);
}

/** [batch, classes] with a 1 at each sample's label. */
export function oneHot(ops: Ops, labels: Int32Array, classes: number): Tensor {
  const values = new Float32Array(labels.length * classes);
  labels.forEach((label, i) => {
    values[i * classes + label] = 1;
  });
  return ops.tf.tensor2d(values, [labels.length, classes]);
}
