import type { Ops, Tensor } from './ops.ts';

/**
 * A value that varies over time, as one tensor [time, rows, features] or as a list of [rows, features], converted when
 * first asked for. All tensors belong to the `tf.tidy` they were made in.
 */
export class Sequence {
  private readonly ops: Ops;
  private stacked: Tensor | null;
  private list: Tensor[] | null;

  private constructor(ops: Ops, stacked: Tensor | null, list: Tensor[] | null) {
    this.ops = ops;
    this.stacked = stacked;
    this.list = list;
  }

  static ofWhole(ops: Ops, whole: Tensor): Sequence {
    return new Sequence(ops, whole, null);
  }

  static ofSteps(ops: Ops, steps: Tensor[]): Sequence {
    return new Sequence(ops, null, steps);
  }

  get whole(): Tensor {
    this.stacked ??= this.ops.tf.stack(this.list as Tensor[]);
    return this.stacked;
  }

  get steps(): Tensor[] {
    this.list ??= this.ops.unstack(this.stacked as Tensor);
    return this.list;
  }
}
