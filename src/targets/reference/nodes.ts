import type { DropoutNode, MergeNode, Norm, ProjectionNode } from '../../ir/graph.ts';
import { Sequence, type Validity } from './sequence.ts';

/** Parameters and their gradients by key, in float64. */
export type Values = Map<string, Float64Array>;

/** What a node computed, and how a cotangent of it becomes cotangents of its inputs (and gradients). */
export interface Forward {
  readonly value: Sequence;
  readonly backward: (cotangent: Sequence) => Sequence[];
}

export interface Context {
  readonly parameters: Values;
  readonly gradients: Values;
  readonly validity: Validity;
  readonly training: boolean;
  /** New running statistics, to be stored after the step. */
  readonly running: Values;
}

export function projection(node: ProjectionNode, x: Sequence, context: Context): Forward {
  const weight = context.parameters.get(node.weight) as Float64Array;
  const bias = node.bias ? (context.parameters.get(node.bias) as Float64Array) : null;
  const out = node.type.features;
  const y = new Sequence(x.steps, x.rows, out).map((_, t, row, o) => {
    let sum = bias ? bias[o] : 0;
    for (let i = 0; i < x.features; i++) sum += weight[o * x.features + i] * x.get(t, row, i);
    return sum;
  });
  const normed = norm(node.norm, y, node.type.time, context);
  return {
    value: normed.value,
    backward: (cotangent) => {
      const [dy] = normed.backward(cotangent);
      const dx = new Sequence(x.steps, x.rows, x.features);
      const dWeight = gradient(context, node.weight);
      const dBias = node.bias ? gradient(context, node.bias) : null;
      dy.forEach((t, row, o, k) => {
        const d = dy.data[k];
        if (dBias) dBias[o] += d;
        for (let i = 0; i < x.features; i++) {
          dWeight[o * x.features + i] += d * x.get(t, row, i);
          dx.add(t, row, i, d * weight[o * x.features + i]);
        }
      });
      return [dx];
    },
  };
}

function norm(config: Norm, x: Sequence, time: boolean, context: Context): Forward {
  switch (config.kind) {
    case 'none':
      return { value: x, backward: (cotangent) => [cotangent] };
    case 'layernorm':
      return layernorm(config, x, context);
    case 'batchnorm':
      return batchnorm(config, x, time, context);
  }
}

/** Over the features of each step and sample, as torch.nn.LayerNorm. */
function layernorm(config: Extract<Norm, { kind: 'layernorm' }>, x: Sequence, context: Context): Forward {
  const weight = context.parameters.get(config.weight) as Float64Array;
  const bias = context.parameters.get(config.bias) as Float64Array;
  const n = x.features;
  const statistics = (t: number, row: number) => {
    const values = Float64Array.from({ length: n }, (_, f) => x.get(t, row, f));
    return meanAndDeviation(values, config.eps);
  };
  const normalised = x.map((v, t, row) => {
    const { mean, deviation } = statistics(t, row);
    return (v - mean) / deviation;
  });
  return {
    value: normalised.map((v, _, __, f) => v * weight[f] + bias[f]),
    backward: (cotangent) => {
      const dWeight = gradient(context, config.weight);
      const dBias = gradient(context, config.bias);
      cotangent.forEach((_, __, f, k) => {
        dWeight[f] += cotangent.data[k] * normalised.data[k];
        dBias[f] += cotangent.data[k];
      });
      const dx = x.map((_, t, row, f) => {
        let sum = 0;
        let weighted = 0;
        for (let g = 0; g < n; g++) {
          const d = cotangent.get(t, row, g) * weight[g];
          sum += d;
          weighted += d * normalised.get(t, row, g);
        }
        const d = cotangent.get(t, row, f) * weight[f];
        return (d - sum / n - (normalised.get(t, row, f) * weighted) / n) / statistics(t, row).deviation;
      });
      return [dx];
    },
  };
}

/** Over batch and valid time, per feature, as torch.nn.BatchNorm1d. */
function batchnorm(
  config: Extract<Norm, { kind: 'batchnorm' }>,
  x: Sequence,
  time: boolean,
  context: Context,
): Forward {
  const weight = context.parameters.get(config.weight) as Float64Array;
  const bias = context.parameters.get(config.bias) as Float64Array;
  const counts = (t: number, row: number) => !time || context.validity.valid(t, row);
  const statistics = context.training
    ? batchStatistics(config, x, counts, context)
    : runningStatistics(config, context);
  const { mean, deviation, n } = statistics;
  const normalised = x.map((v, _, __, f) => (v - mean[f]) / deviation[f]);
  return {
    value: normalised.map((v, _, __, f) => v * weight[f] + bias[f]),
    backward: (cotangent) => {
      const dWeight = gradient(context, config.weight);
      const dBias = gradient(context, config.bias);
      const sum = new Float64Array(x.features);
      const weighted = new Float64Array(x.features);
      cotangent.forEach((_, __, f, k) => {
        dWeight[f] += cotangent.data[k] * normalised.data[k];
        dBias[f] += cotangent.data[k];
        sum[f] += cotangent.data[k] * weight[f];
        weighted[f] += cotangent.data[k] * weight[f] * normalised.data[k];
      });
      const dx = cotangent.map((d, t, row, f) => {
        if (!counts(t, row)) return (d * weight[f]) / deviation[f];
        return (d * weight[f] - sum[f] / n - (normalised.get(t, row, f) * weighted[f]) / n) / deviation[f];
      });
      return [dx];
    },
  };
}

function batchStatistics(
  config: Extract<Norm, { kind: 'batchnorm' }>,
  x: Sequence,
  counts: (t: number, row: number) => boolean,
  context: Context,
) {
  const mean = new Float64Array(x.features);
  const deviation = new Float64Array(x.features);
  let n = 0;
  for (let f = 0; f < x.features; f++) {
    const values: number[] = [];
    for (let t = 0; t < x.steps; t++) {
      for (let row = 0; row < x.rows; row++) if (counts(t, row)) values.push(x.get(t, row, f));
    }
    n = values.length;
    const own = meanAndDeviation(values, config.eps);
    mean[f] = own.mean;
    deviation[f] = own.deviation;
    const rows = n * config.rowFactor;
    update(context, config.runningMean, f, own.mean, config.momentum);
    update(context, config.runningVar, f, (own.variance * rows) / Math.max(1, rows - 1), config.momentum);
  }
  return { mean, deviation, n };
}

function runningStatistics(config: Extract<Norm, { kind: 'batchnorm' }>, context: Context) {
  const mean = context.parameters.get(config.runningMean) as Float64Array;
  const variance = context.parameters.get(config.runningVar) as Float64Array;
  return { mean, deviation: variance.map((v) => Math.sqrt(v + config.eps)), n: Number.POSITIVE_INFINITY };
}

function update(context: Context, key: string, feature: number, statistic: number, momentum: number): void {
  const old = context.parameters.get(key) as Float64Array;
  const updated = context.running.get(key) ?? old.slice();
  updated[feature] = (1 - momentum) * old[feature] + momentum * statistic;
  context.running.set(key, updated);
}

function meanAndDeviation(values: ArrayLike<number>, eps: number) {
  let mean = 0;
  for (let i = 0; i < values.length; i++) mean += values[i] / values.length;
  let variance = 0;
  for (let i = 0; i < values.length; i++) variance += (values[i] - mean) ** 2 / values.length;
  return { mean, variance, deviation: Math.sqrt(variance + eps) };
}

export function dropout(_node: DropoutNode, x: Sequence, mask: Sequence | null): Forward {
  const apply = (value: Sequence) => (mask ? value.map((v, t, row, f) => v * mask.get(t, row, f)) : value);
  return { value: apply(x), backward: (cotangent) => [apply(cotangent)] };
}

export function merge(node: MergeNode, inputs: readonly Sequence[]): Forward {
  const [first] = inputs;
  const empty = new Sequence(first.steps, first.rows, node.type.features);
  if (node.operation === 'add') {
    return {
      value: empty.map((_, t, row, f) => inputs.reduce((sum, x) => sum + x.get(t, row, f), 0)),
      backward: (cotangent) => inputs.map(() => cotangent),
    };
  }
  const starts = inputs.map((_, k) => inputs.slice(0, k).reduce((sum, x) => sum + x.features, 0));
  const owner = (f: number) => starts.findLastIndex((start) => start <= f);
  return {
    value: empty.map((_, t, row, f) => inputs[owner(f)].get(t, row, f - starts[owner(f)])),
    backward: (cotangent) => inputs.map((x, k) => x.map((_, t, row, f) => cotangent.get(t, row, starts[k] + f))),
  };
}

export function gradient(context: Context, key: string): Float64Array {
  const known = context.gradients.get(key);
  if (known) return known;
  const fresh = new Float64Array((context.parameters.get(key) as Float64Array).length);
  context.gradients.set(key, fresh);
  return fresh;
}
