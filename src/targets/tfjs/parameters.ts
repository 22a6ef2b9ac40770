import { UserError } from '../../diagnostics/diagnostic.ts';
import type { Parameter } from '../../ir/graph.ts';
import type { Tensors } from '../target.ts';
import type { Ops, Tensor } from './ops.ts';

/**
 * A model's parameters and buffers on the device. The trainable ones are one flat vector, in the order of the graph, so
 * that the optimiser is a dozen operations, whatever the number of layers.
 */
export class Parameters {
  private readonly ops: Ops;
  private readonly trainable: readonly Parameter[];
  private readonly all: ReadonlyMap<string, Parameter>;
  private readonly buffers = new Map<string, Tensor>();
  private vector: Tensor;

  constructor(ops: Ops, parameters: readonly Parameter[], values: Tensors) {
    this.ops = ops;
    this.trainable = parameters.filter((p) => p.trainable);
    this.all = new Map(parameters.map((p) => [p.key, p]));
    for (const p of parameters.filter((q) => !q.trainable)) this.buffers.set(p.key, this.upload(p, values));
    this.vector = this.ops.tf.tensor1d(this.join(values));
  }

  /** All trainable parameters in one vector. */
  get flat(): Tensor {
    return this.vector;
  }

  get trainableKeys(): string[] {
    return this.trainable.map((p) => p.key);
  }

  /** `learningRateScale` of every element of `flat`, or null where all are 1. */
  learningRateScales(): Float32Array | null {
    if (this.trainable.every((p) => (p.learningRateScale ?? 1) === 1)) return null;
    return this.join(
      new Map(this.trainable.map((p) => [p.key, new Float32Array(sizeOf(p)).fill(p.learningRateScale ?? 1)])),
    );
  }

  /** The trainable parameters, each in its shape. Call inside `tf.tidy`. */
  views(): Map<string, Tensor> {
    if (this.trainable.length === 0) return new Map();
    const parts = this.ops.split(
      this.vector,
      this.trainable.map((p) => p.shape),
    );
    return new Map(this.trainable.map((p, i) => [p.key, parts[i]]));
  }

  /** Gradients by key as one vector like `flat`, 0 for what the loss does not depend on. */
  flatten(gradients: ReadonlyMap<string, Tensor>): Tensor {
    const { tf } = this.ops;
    const parts = this.trainable.map((p) => {
      const gradient = gradients.get(p.key);
      return gradient ? tf.reshape(gradient, [-1]) : tf.zeros([sizeOf(p)]);
    });
    return parts.length > 0 ? tf.concat(parts) : tf.tensor1d([]);
  }

  buffer(key: string): Tensor | undefined {
    return this.buffers.get(key);
  }

  replaceFlat(vector: Tensor): void {
    this.vector.dispose();
    this.vector = this.ops.tf.keep(vector);
  }

  replaceBuffer(key: string, value: Tensor): void {
    this.buffers.get(key)?.dispose();
    this.buffers.set(key, this.ops.tf.keep(value));
  }

  /** Splits a host vector like `flat` by key. */
  splitHost(flat: Float32Array): Map<string, Float32Array> {
    let offset = 0;
    return new Map(
      this.trainable.map((p) => {
        const start = offset;
        offset += sizeOf(p);
        return [p.key, flat.slice(start, offset)];
      }),
    );
  }

  /** The inverse of `splitHost`; `values` must have every trainable parameter. */
  join(values: Tensors): Float32Array {
    const flat = new Float32Array(this.trainable.reduce((sum, p) => sum + sizeOf(p), 0));
    let offset = 0;
    for (const p of this.trainable) {
      flat.set(valueFor(p, values), offset);
      offset += sizeOf(p);
    }
    return flat;
  }

  async download(): Promise<Map<string, Float32Array>> {
    const values = this.splitHost((await this.vector.data()) as Float32Array);
    for (const [key, tensor] of this.buffers) values.set(key, (await tensor.data()).slice() as Float32Array);
    return new Map([...this.all.keys()].map((key) => [key, values.get(key) as Float32Array]));
  }

  /** Replaces the given parameters and buffers; the others stay. */
  load(values: Tensors): void {
    for (const key of values.keys()) {
      if (!this.all.has(key))
        throw new UserError('SP602', `this model has no parameter "${key}"; load weights of the same model`);
    }
    const current = this.splitHost(this.vector.dataSync() as Float32Array);
    this.replaceFlat(this.ops.tf.tensor1d(this.join(new Map([...current, ...values]))));
    for (const [key, parameter] of this.all) {
      if (!parameter.trainable && values.has(key)) this.replaceBuffer(key, this.upload(parameter, values));
    }
  }

  dispose(): void {
    this.ops.tf.dispose([this.vector, ...this.buffers.values()]);
    this.buffers.clear();
  }

  private upload(parameter: Parameter, values: Tensors): Tensor {
    return this.ops.tf.tensor(valueFor(parameter, values).slice(), [...parameter.shape]);
  }
}

function sizeOf(parameter: Parameter): number {
  return parameter.shape.reduce((a, b) => a * b, 1);
}

function valueFor(parameter: Parameter, values: Tensors): Float32Array {
  const value = values.get(parameter.key);
  const size = sizeOf(parameter);
  if (value?.length === size) return value;
  const found = value ? `has ${value.length} values` : 'is missing';
  throw new UserError('SP602', `the parameter "${parameter.key}" ${found}; this model needs ${size} values`);
}
