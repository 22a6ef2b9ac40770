import type * as TfCore from '@tensorflow/tfjs-core';

/** The API of tfjs-core; importing types alone loads nothing. */
export type Tf = typeof TfCore;
export type Tensor = TfCore.Tensor;

/**
 * The few operations whose fastest form differs between backends, and what is cached for them. In tfjs-backend-wasm a
 * product with a transposed operand is 10 times slower than transposing it first, a slice copies the whole tensor, a
 * comparison is 10 times slower than `step`, a sum over rows 10 times slower than pooling them; on the TensorFlow backend
 * `step` is a composite of six operations.
 */
export class Ops {
  readonly tf: Tf;
  private readonly isTensorFlow: boolean;
  private readonly constants = new Map<string, Tensor>();
  private readonly transposes = new Map<Tensor, Tensor>();

  constructor(tf: Tf, backendName: string) {
    this.tf = tf;
    this.isTensorFlow = backendName === 'tensorflow';
  }

  /** A scalar that lives as long as the model. */
  constant(value: number): Tensor {
    return this.cached(`scalar ${value}`, () => this.tf.scalar(value));
  }

  /** 1 everywhere but on the diagonal, [size, size]. */
  offDiagonal(size: number): Tensor {
    return this.cached(`offDiagonal ${size}`, () => this.tf.sub(1, this.tf.eye(size)));
  }

  /** 1 where x > 0, else 0. */
  positive(x: Tensor): Tensor {
    return this.isTensorFlow ? this.tf.cast(this.tf.greater(x, this.constant(0)), 'float32') : this.tf.step(x);
  }

  /** `a` where the condition is not 0, else `b`. */
  select(condition: Tensor, a: Tensor, b: Tensor): Tensor {
    const { tf } = this;
    const shape = [condition, a, b].reduce<number[]>(
      (s, x) => tf.broadcast_util.assertAndGetBroadcastShape(s, x.shape),
      [],
    );
    const chosen = tf.notEqual(this.expand(condition, shape), this.constant(0));
    return tf.where(chosen, this.expand(a, shape), this.expand(b, shape));
  }

  /** Broadcast to a shape. Adding zeros is 20 times faster than the tiling of `tf.broadcastTo` and `tf.where`. */
  expand(x: Tensor, shape: readonly number[]): Tensor {
    return this.tf.util.arraysEqual(x.shape, [...shape]) ? x : this.tf.add(this.tf.zeros([...shape]), x);
  }

  /** x m for x [..., k] and m [k, n]. */
  product(x: Tensor, m: Tensor): Tensor {
    return this.onRows(x, m.shape[1] as number, (rows) => this.tf.matMul(rows, m as TfCore.Tensor2D));
  }

  /** x m^T for x [..., k] and m [n, k]. */
  productTransposed(x: Tensor, m: Tensor): Tensor {
    if (!this.isTensorFlow) return this.product(x, this.transposed(m));
    return this.onRows(x, m.shape[0] as number, (rows) => this.tf.matMul(rows, m as TfCore.Tensor2D, false, true));
  }

  /** sum over rows of left_i right_j: [..., m], [..., n] -> [m, n]. */
  outer(left: Tensor, right: Tensor): Tensor {
    const { tf } = this;
    const a = this.rows(left);
    const b = this.rows(right);
    if (this.isTensorFlow) return tf.matMul(a, b, true, false);
    // The second operand is repacked, which costs more than the product: let it be the smaller one.
    return a.shape[1] < b.shape[1] ? tf.transpose(tf.matMul(tf.transpose(b), a)) : tf.matMul(tf.transpose(a), b);
  }

  /** Sum over rows: [..., features] -> [features]. */
  sumOfRows(x: Tensor): Tensor {
    const { tf } = this;
    const matrix = this.rows(x);
    const [rows, features] = matrix.shape;
    if (this.isTensorFlow) return tf.reshape(tf.matMul(tf.ones([1, rows]), matrix), [features]);
    if (rows === 1) return tf.reshape(matrix, [features]);
    const column: TfCore.Tensor4D = tf.reshape(matrix, [1, rows, 1, features]);
    return tf.mul(tf.reshape(tf.avgPool(column, [rows, 1], 1, 'valid'), [features]), rows);
  }

  /** The steps of a sequence [time, ...]. */
  unstack(sequence: Tensor): Tensor[] {
    if (this.isTensorFlow) return this.tf.unstack(sequence);
    const [steps, ...shape] = sequence.shape;
    return this.throughHost(sequence, new Array(steps).fill(shape));
  }

  /** A vector cut into tensors of the given shapes. */
  split(vector: Tensor, shapes: readonly (readonly number[])[]): Tensor[] {
    const { tf } = this;
    if (!this.isTensorFlow) return this.throughHost(vector, shapes);
    const parts = tf.split(vector, shapes.map(sizeOf));
    return parts.map((part, i) => tf.reshape(part, [...shapes[i]]));
  }

  /** All leading axes as one: [..., features] -> [rows, features]. */
  rows(x: Tensor): TfCore.Tensor2D {
    return (x.rank === 2 ? x : this.tf.reshape(x, [-1, x.shape.at(-1) as number])) as TfCore.Tensor2D;
  }

  /** Frees the transposes cached since the last call; their matrices are about to change. */
  releaseTransposes(): void {
    this.tf.dispose([...this.transposes.values()]);
    this.transposes.clear();
  }

  dispose(): void {
    this.releaseTransposes();
    this.tf.dispose([...this.constants.values()]);
    this.constants.clear();
  }

  private throughHost(x: Tensor, shapes: readonly (readonly number[])[]): Tensor[] {
    const values = x.dataSync() as Float32Array;
    let offset = 0;
    return shapes.map((shape) => {
      const start = offset;
      offset += sizeOf(shape);
      return this.tf.tensor(values.subarray(start, offset), [...shape]);
    });
  }

  private onRows(x: Tensor, features: number, f: (rows: TfCore.Tensor2D) => Tensor): Tensor {
    if (x.rank === 2) return f(x as TfCore.Tensor2D);
    return this.tf.reshape(f(this.rows(x)), [...x.shape.slice(0, -1), features]);
  }

  private transposed(m: Tensor): Tensor {
    let result = this.transposes.get(m);
    if (!result) {
      result = this.tf.keep(this.tf.transpose(m));
      this.transposes.set(m, result);
    }
    return result;
  }

  private cached(key: string, make: () => Tensor): Tensor {
    let result = this.constants.get(key);
    if (!result) {
      result = this.tf.keep(this.tf.tidy(make));
      this.constants.set(key, result);
    }
    return result;
  }
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}
