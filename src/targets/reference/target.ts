import type { Batch } from '../../data/batch.ts';
import { type Graph, type GraphNode, inputsOf, type NodeId, type PopulationNode } from '../../ir/graph.ts';
import { drawDropoutMask, drawInitialStates, initialParameters } from '../draws.ts';
import type {
  CompiledModel,
  CompileOptions,
  ForwardRequest,
  StepResult,
  Target,
  Tensors,
  TrainRequest,
} from '../target.ts';
import { crossEntropy, firingRates, regularizer } from './loss.ts';
import { type Context, dropout, type Forward, merge, projection, type Values } from './nodes.ts';
import { clipGradients, Optimizer } from './optimizer.ts';
import { Sequence, Validity } from './sequence.ts';
import { population, readout } from './steps.ts';

export interface ReferenceOptions {
  /** Replaces every spike by its surrogate's antiderivative, so that finite differences can check gradients. */
  readonly smoothSpikes?: boolean;
}

/** The float64 interpreter: far too slow to train with, and the judge of every other target. */
export function referenceTarget(options: ReferenceOptions = {}): Target {
  return {
    name: 'reference',
    compile: async (graph, compileOptions) => new ReferenceModel(graph, compileOptions, options),
  };
}

class ReferenceModel implements CompiledModel {
  readonly backend = 'float64 interpreter';
  private readonly values: Values;
  private readonly optimizer: Optimizer;
  private readonly graph: Graph;
  private readonly options: CompileOptions;
  private readonly reference: ReferenceOptions;

  constructor(graph: Graph, options: CompileOptions, reference: ReferenceOptions) {
    this.graph = graph;
    this.options = options;
    this.reference = reference;
    this.values = toFloat64(initialParameters(graph, options.seed));
    const scales = new Map(graph.parameters.map((p) => [p.key, p.learningRateScale ?? 1]));
    this.optimizer = new Optimizer(options.optimizer, scales);
  }

  async trainStep(batch: Batch, request: TrainRequest): Promise<StepResult> {
    const context = this.context(batch, true);
    const forward = this.forward(batch, request, context, request);
    const { loss, cotangents } = this.loss(batch, request, forward, context);
    this.backward(forward, cotangents);
    for (const p of this.graph.parameters) {
      if (!p.trainable) context.gradients.delete(p.key);
      else if (!context.gradients.has(p.key))
        context.gradients.set(p.key, new Float64Array(this.values.get(p.key)!.length));
    }
    const gradients = request.wantGradients ? toFloat32(context.gradients) : undefined;
    if (this.options.clipNorm !== null) clipGradients(context.gradients, this.options.clipNorm);
    this.optimizer.apply(this.values, context.gradients, request.learningRate);
    for (const [key, value] of context.running) this.values.set(key, value);
    return { ...this.result(forward, request, context), loss, gradients };
  }

  async evaluate(batch: Batch, request: ForwardRequest = {}): Promise<StepResult> {
    const context = this.context(batch, false);
    const forward = this.forward(batch, request, context, null);
    const scores = forward.get(this.graph.loss.scores)!.value;
    const { loss } = crossEntropy(scores, batch.labels, context.validity, this.timeOf(this.graph.loss.scores));
    return { ...this.result(forward, request, context), loss };
  }

  async predict(batch: Batch): Promise<Float32Array> {
    return (await this.evaluate(batch)).scores;
  }

  async parameters(): Promise<Map<string, Float32Array>> {
    return toFloat32(this.values);
  }

  load(parameters: Tensors): void {
    for (const [key, value] of parameters) this.values.set(key, Float64Array.from(value));
  }

  async optimizerState(): Promise<Map<string, Float32Array>> {
    return new Map([['step', Float32Array.of(this.optimizer.step)], ...toFloat32(this.optimizer.moments)]);
  }

  loadOptimizerState(state: Tensors): void {
    for (const [key, value] of state) {
      if (key === 'step') this.optimizer.step = value[0];
      else this.optimizer.moments.set(key, Float64Array.from(value));
    }
  }

  dispose(): void {}

  private context(batch: Batch, training: boolean): Context {
    const validity = new Validity(batch);
    return { parameters: this.values, gradients: new Map(), validity, training, running: new Map() };
  }

  private timeOf(id: NodeId): boolean {
    return this.graph.nodes.find((n) => n.id === id)!.type.time;
  }

  // Forward and backward over the graph

  private forward(
    batch: Batch,
    request: ForwardRequest,
    context: Context,
    train: TrainRequest | null,
  ): Map<NodeId, Forward & { node: GraphNode }> {
    const done = new Map<NodeId, Forward & { node: GraphNode }>();
    const nodeValue = (id: NodeId) => done.get(id)!.value;
    for (const node of this.graph.nodes) {
      done.set(node.id, { node, ...this.forwardNode(node, batch, request, context, train, nodeValue) });
    }
    return done;
  }

  private forwardNode(
    node: GraphNode,
    batch: Batch,
    request: ForwardRequest,
    context: Context,
    train: TrainRequest | null,
    nodeValue: (id: NodeId) => Sequence,
  ): Forward {
    switch (node.kind) {
      case 'source':
        return { value: Sequence.fromBatch(batch), backward: () => [] };
      case 'projection':
        return projection(node, nodeValue(node.input), context);
      case 'population':
        return population(
          node,
          node.inputs.map(nodeValue),
          this.initialStates(node, batch, request, train),
          context,
          this.reference,
        );
      case 'dropout': {
        const input = nodeValue(node.input);
        if (!train) return dropout(node, input, null);
        const mask =
          train.dropoutMasks?.get(node.layer) ?? drawDropoutMask(node, batch, this.options.seed, train.epoch);
        return dropout(node, input, Sequence.fromBatchMajor(mask, input.rows, input.steps, input.features));
      }
      case 'merge':
        return merge(node, node.inputs.map(nodeValue));
      case 'readout':
        return readout(node, nodeValue(node.input), context, this.reference);
    }
  }

  /** For every direction, each state's [batch, size] by name. */
  private initialStates(
    node: PopulationNode,
    batch: Batch,
    request: ForwardRequest,
    train: TrainRequest | null,
  ): Map<string, Float64Array>[] {
    const drawn = train ? drawInitialStates(node, batch, this.options.seed, train.epoch) : null;
    const size = batch.size * node.size;
    return Array.from({ length: node.bidirectional ? 2 : 1 }, (_, direction) => {
      const ofState = (state: string): Float64Array => {
        const key = node.initialStates[state];
        const given = request.initialStates?.get(key) ?? drawn?.get(key);
        if (given) return Float64Array.from(given.subarray(direction * size, (direction + 1) * size));
        const fixed = this.values.get(key)!;
        return Float64Array.from({ length: size }, (_, i) => fixed[direction * node.size + (i % node.size)]);
      };
      return new Map(node.step.states.map((s) => [s.name, ofState(s.name)]));
    });
  }

  private loss(
    batch: Batch,
    request: TrainRequest,
    forward: ReadonlyMap<NodeId, Forward>,
    context: Context,
  ): { loss: number; cotangents: Map<NodeId, Sequence> } {
    const { graph } = this;
    if (request.outputWeights) {
      const output = forward.get(graph.output)!.value;
      const weights = Sequence.fromBatchMajor(request.outputWeights, output.rows, output.steps, output.features);
      const loss = output.data.reduce((sum, v, i) => sum + v * weights.data[i], 0);
      return { loss, cotangents: new Map([[graph.output, weights]]) };
    }
    const { scores } = graph.loss;
    const entropy = crossEntropy(forward.get(scores)!.value, batch.labels, context.validity, this.timeOf(scores));
    const cotangents = new Map([[scores, entropy.cotangent]]);
    let { loss } = entropy;
    for (const layer of graph.layers) {
      if (!graph.loss.regularizer || !layer.spiking) continue;
      const penalty = regularizer(forward.get(layer.output)!.value, graph.loss.regularizer, context.validity);
      loss += penalty.loss;
      accumulate(cotangents, layer.output, penalty.cotangent);
    }
    return { loss, cotangents };
  }

  private backward(
    forward: ReadonlyMap<NodeId, Forward & { node: GraphNode }>,
    cotangents: Map<NodeId, Sequence>,
  ): void {
    for (const { node, backward } of [...forward.values()].reverse()) {
      const cotangent = cotangents.get(node.id);
      if (!cotangent) continue;
      backward(cotangent).forEach((d, i) => void accumulate(cotangents, inputsOf(node)[i], d));
    }
  }

  private result(
    forward: ReadonlyMap<NodeId, Forward>,
    request: ForwardRequest,
    context: Context,
  ): Omit<StepResult, 'loss'> {
    const { graph } = this;
    const rates = graph.layers.map((layer) => {
      const rate = firingRates(forward.get(layer.output)!.value, context.validity);
      return [layer.layer, Float32Array.from(rate)] as const;
    });
    const traces = graph.nodes
      .filter((n) => n.kind === 'population')
      .map((n) => [n.layer, forward.get(n.id)!.value.toBatchMajor()] as const);
    return {
      scores: forward.get(graph.prediction)!.value.toBatchMajor(),
      firingRates: new Map(rates),
      output: request.wantOutput ? forward.get(graph.output)!.value.toBatchMajor() : undefined,
      traces: request.wantTraces ? new Map(traces) : undefined,
    };
  }
}

function accumulate(cotangents: Map<NodeId, Sequence>, id: NodeId, cotangent: Sequence): void {
  const sum = cotangents.get(id);
  cotangents.set(id, sum ? sum.map((v, t, row, f) => v + cotangent.get(t, row, f)) : cotangent);
}

const toFloat64 = (values: ReadonlyMap<string, Float32Array>): Values =>
  new Map([...values].map(([key, value]) => [key, Float64Array.from(value)]));

const toFloat32 = (values: Values): Map<string, Float32Array> =>
  new Map([...values].map(([key, value]) => [key, Float32Array.from(value)]));
