import type * as TfCore from '@tensorflow/tfjs-core';
import type { Batch } from '../../data/batch.ts';
import type { Ops, Tensor } from './ops.ts';

/**
 * Which steps of a batch count. Sequences are time-major, so row `t * size + b` of [time * size, ...] is step t of
 * sample b. Without lengths every step is valid and `mask` is null.
 */
export class Padding {
  /** Number of valid (sample, step) pairs. */
  readonly count: number;
  /** 1 on valid steps, else 0: [time, size, 1]. */
  readonly mask: Tensor | null;
  private readonly batch: Batch;
  private readonly ops: Ops;
  private readonly reversal: TfCore.Tensor1D | null;

  /** Call inside `tf.tidy`. */
  constructor(ops: Ops, batch: Batch) {
    this.ops = ops;
    this.batch = batch;
    const { size, steps, lengths } = batch;
    this.count = lengths ? lengths.reduce((a, b) => a + b, 0) : size * steps;
    this.mask = lengths
      ? ops.tf.tensor(
          this.perStep((t, b) => (t < lengths[b] ? 1 : 0)),
          [steps, size, 1],
        )
      : null;
    this.reversal = lengths
      ? ops.tf.tensor1d(Int32Array.from(this.perStep((t, b) => this.reversed(t, b) * size + b)))
      : null;
  }

  /** Zeroes what belongs to padded steps of a sequence [time, size, features]. */
  masked(sequence: Tensor): Tensor {
    return this.mask ? this.ops.tf.mul(sequence, this.mask) : sequence;
  }

  /** 1 / count on valid steps, else 0: [time, size, 1]. */
  weights(): Tensor {
    const { tf } = this.ops;
    const { size, steps } = this.batch;
    return this.mask ? tf.div(this.mask, this.count) : tf.fill([steps, size, 1], 1 / this.count);
  }

  /** The mean over the batch and the valid steps: [time, size, features] -> [features]. */
  mean(sequence: Tensor): Tensor {
    return this.ops.tf.div(this.ops.sumOfRows(this.masked(sequence)), this.count);
  }

  /** The adjoint of `mean`: [features] -> [time, size, features]. */
  spread(cotangent: Tensor): Tensor {
    return this.ops.tf.mul(this.weights(), cotangent);
  }

  /** Each sample reversed within its own length; padded steps stay where they are. Its own inverse and adjoint. */
  reverse(sequence: Tensor): Tensor {
    const { tf } = this.ops;
    if (!this.reversal) return tf.reverse(sequence, 0);
    return tf.reshape(tf.gather(this.ops.rows(sequence), this.reversal), sequence.shape);
  }

  /** The last valid step of each sample: [time, size, features] -> [size, features]. */
  last(sequence: Tensor): Tensor {
    const { size } = this.batch;
    const indices = Int32Array.from({ length: size }, (_, b) => this.lastStep(b) * size + b);
    return this.ops.tf.gather(this.ops.rows(sequence), this.ops.tf.tensor1d(indices));
  }

  /** The adjoint of `last`: [size, features] -> [time, size, features], zero elsewhere. */
  atLast(cotangent: Tensor): Tensor {
    const { size, steps } = this.batch;
    const isLast = this.perStep((t, b) => (t === this.lastStep(b) ? 1 : 0));
    return this.ops.tf.mul(this.ops.tf.tensor(isLast, [steps, size, 1]), cotangent);
  }

  private lastStep(b: number): number {
    return (this.batch.lengths ? this.batch.lengths[b] : this.batch.steps) - 1;
  }

  private reversed(t: number, b: number): number {
    return t <= this.lastStep(b) ? this.lastStep(b) - t : t;
  }

  private perStep(f: (t: number, b: number) => number): Float32Array {
    const { size, steps } = this.batch;
    return Float32Array.from({ length: steps * size }, (_, i) => f(Math.floor(i / size), i % size));
  }
}
