import type { Batch } from '../../src/data/batch.ts';
import { toDense } from '../../src/data/batch.ts';
import type { Graph } from '../../src/ir/graph.ts';
import type { Var } from '../../src/ir/step.ts';
import { Stream } from '../../src/random/stream.ts';
import type { CompiledModel, CompileOptions, StepResult, Target } from '../../src/targets/target.ts';

const rows = (id: number, name: string): Var => ({ kind: 'var', id, name, type: { extent: 'rows', set: 'real' } });

/** Softmax regression on the events summed over time, as a graph. */
export function linearGraph(features: number, classes: number): Graph {
  const sequence = { features: classes, time: true, set: 'real', scale: 1 } as const;
  const x = rows(0, 'x');
  const before = rows(1, 'sum');
  const after = rows(2, 'sum_next');
  return {
    name: 'linear',
    nodes: [
      { kind: 'source', id: 'input', type: { features, time: true, set: 'count', scale: 1 } },
      {
        kind: 'projection',
        id: 'product',
        type: sequence,
        input: 'input',
        weight: 'linear.weight',
        bias: 'linear.bias',
        norm: { kind: 'none' },
      },
      {
        kind: 'readout',
        id: 'scores',
        layer: 'sum',
        type: { ...sequence, time: false },
        input: 'product',
        step: {
          name: 'sum',
          inputs: [{ name: 'x', variable: x }],
          parameters: [],
          states: [{ name: 'sum', before, after, initializer: { kind: 'constant', value: 0 } }],
          prelude: [],
          body: [{ out: after, prim: 'add', args: [before, x] }],
          output: after,
          outputSet: 'real',
        },
      },
    ],
    parameters: [
      parameter('linear.weight', 'weight', [classes, features], true),
      parameter('linear.bias', 'bias', [classes], true),
      parameter('linear.batches', 'running', [], false),
    ],
    output: 'scores',
    prediction: 'scores',
    loss: { kind: 'cross_entropy', scores: 'scores', regularizer: null },
    layers: [{ layer: 'linear', output: 'product', features: classes, spiking: true }],
    classes,
  };
}

function parameter(key: string, role: 'weight' | 'bias' | 'running', shape: number[], trainable: boolean) {
  return { key, layer: 'linear', role, shape, initializer: { kind: 'constant', value: 0 }, trainable } as const;
}

/**
 * A target fast enough for tests of everything around it: `linearGraph` trained by SGD with momentum, with noise on its
 * gradients that is keyed as dropout is. All its arithmetic is deterministic.
 */
export const fakeTarget: Target = {
  name: 'fake',
  compile: async (graph, options) => new LinearModel(graph, options),
};

export class LinearModel implements CompiledModel {
  readonly backend = 'a test';
  private readonly weights: Map<string, Float32Array>;
  private readonly velocity = new Map<string, Float32Array>();
  private readonly options: CompileOptions;
  private readonly classes: number;

  constructor(graph: Graph, options: CompileOptions) {
    this.options = options;
    this.classes = graph.classes;
    const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
    this.weights = new Map(graph.parameters.map((p) => [p.key, new Float32Array(size(p.shape))]));
    for (const p of graph.parameters) if (p.trainable) this.velocity.set(p.key, new Float32Array(size(p.shape)));
  }

  async trainStep(batch: Batch, { epoch, learningRate }: { epoch: number; learningRate: number }) {
    const { result, sums, probabilities } = this.forward(batch);
    const gradient = this.gradient(batch, sums, probabilities);
    for (const [key, velocity] of this.velocity) {
      const weights = this.weights.get(key) as Float32Array;
      const noise = new Stream(this.options.seed, 'noise', epoch, batch.samples[0], key);
      for (let i = 0; i < weights.length; i++) {
        velocity[i] = 0.9 * velocity[i] + gradient.get(key)![i] + noise.uniform(-1e-3, 1e-3);
        weights[i] -= learningRate * velocity[i];
      }
    }
    this.weights.get('linear.batches')![0]++;
    return result;
  }

  async evaluate(batch: Batch): Promise<StepResult> {
    return this.forward(batch).result;
  }

  private forward(batch: Batch) {
    const [weight, bias] = [this.weights.get('linear.weight')!, this.weights.get('linear.bias')!];
    const { size, features } = batch;
    const sums = summedOverTime(batch);
    const scores = new Float32Array(size * this.classes);
    const probabilities = new Float64Array(size * this.classes);
    let loss = 0;
    for (let n = 0; n < size; n++) {
      const row = scores.subarray(n * this.classes, (n + 1) * this.classes);
      for (let k = 0; k < this.classes; k++) {
        row[k] = bias[k] * batch.steps;
        for (let i = 0; i < features; i++) row[k] += weight[k * features + i] * sums[n * features + i];
      }
      const largest = Math.max(...row);
      const total = row.reduce((sum, score) => sum + Math.exp(score - largest), 0);
      for (let k = 0; k < this.classes; k++) probabilities[n * this.classes + k] = Math.exp(row[k] - largest) / total;
      loss -= Math.log(probabilities[n * this.classes + batch.labels[n]]) / size;
    }
    const firingRates = new Map([['linear', Float32Array.from({ length: this.classes }, (_, k) => 0.01 * (k + 1))]]);
    return { result: { loss, scores, firingRates }, sums, probabilities };
  }

  private gradient(batch: Batch, sums: Float64Array, probabilities: Float64Array) {
    const { size, features, labels } = batch;
    const weight = new Float64Array(this.classes * features);
    const bias = new Float64Array(this.classes);
    for (let n = 0; n < size; n++) {
      for (let k = 0; k < this.classes; k++) {
        const g = (probabilities[n * this.classes + k] - Number(labels[n] === k)) / size;
        bias[k] += g * batch.steps;
        for (let i = 0; i < features; i++) weight[k * features + i] += g * sums[n * features + i];
      }
    }
    return new Map([
      ['linear.weight', weight],
      ['linear.bias', bias],
    ]);
  }

  async predict(batch: Batch): Promise<Float32Array> {
    return (await this.evaluate(batch)).scores;
  }

  async parameters() {
    return new Map([...this.weights].map(([key, values]) => [key, values.slice()]));
  }

  load(parameters: ReadonlyMap<string, Float32Array>) {
    for (const [key, values] of parameters) this.weights.get(key)!.set(values);
  }

  async optimizerState() {
    return new Map([...this.velocity].map(([key, values]) => [`velocity.${key}`, values.slice()]));
  }

  loadOptimizerState(state: ReadonlyMap<string, Float32Array>) {
    for (const [key, values] of this.velocity) values.set(state.get(`velocity.${key}`)!);
  }

  dispose() {}
}

function summedOverTime(batch: Batch): Float64Array {
  const dense = toDense(batch);
  const sums = new Float64Array(batch.size * batch.features);
  for (let n = 0; n < batch.size; n++) {
    for (let t = 0; t < batch.steps; t++) {
      for (let i = 0; i < batch.features; i++) {
        sums[n * batch.features + i] += dense[(n * batch.steps + t) * batch.features + i];
      }
    }
  }
  return sums;
}
