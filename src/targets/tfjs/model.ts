import type { Batch } from '../../data/batch.ts';
import { type Graph, nodeById, type PopulationNode } from '../../ir/graph.ts';
import type { Step } from '../../ir/step.ts';
import { drawDropoutMask, drawInitialStates, initialParameters } from '../draws.ts';
import type { CompiledModel, CompileOptions, ForwardRequest, StepResult, Tensors, TrainRequest } from '../target.ts';
import { inputTensor, oneHot, swapAxes, timeMajor } from './batchTensors.ts';
import { crossEntropy, firingRatePenalty, type Term } from './loss.ts';
import { type Cotangents, Network } from './network.ts';
import type { Context } from './nodes/node.ts';
import type { Ops, Tensor } from './ops.ts';
import { clipToNorm, Optimizer, stateMismatch } from './optimizer.ts';
import { Padding } from './padding.ts';
import { Parameters } from './parameters.ts';
import { Recurrence } from './recurrence.ts';

/** What a step leaves on the device for the host to read; in arrays, where `tf.tidy` finds it. */
type DeviceResult = {
  readonly loss: Tensor;
  readonly scores: Tensor;
  readonly rates: Tensor[];
  readonly output: Tensor[];
  readonly traces: Tensor[];
  readonly gradient: Tensor[];
};

export class TfjsModel implements CompiledModel {
  readonly backend: string;
  private readonly ops: Ops;
  private readonly graph: Graph;
  private readonly options: CompileOptions;
  private readonly activate: () => void;
  private readonly store: Parameters;
  private readonly optimizer: Optimizer;
  private readonly recurrences = new Map<Step, Recurrence>();

  /** `activate` makes this model's backend the current one; several models may share the library. */
  constructor(ops: Ops, backend: string, activate: () => void, graph: Graph, options: CompileOptions) {
    activate();
    this.ops = ops;
    this.backend = backend;
    this.activate = activate;
    this.graph = graph;
    this.options = options;
    this.store = new Parameters(ops, graph.parameters, initialParameters(graph, options.seed));
    this.optimizer = new Optimizer(ops, options.optimizer, this.store.flat.size, this.store.learningRateScales());
  }

  async trainStep(batch: Batch, request: TrainRequest): Promise<StepResult> {
    const result = this.onDevice(() => {
      const updates = new Map<string, Tensor>();
      const context = this.context(batch, request, request, updates);
      const network = new Network(this.graph, inputTensor(this.ops, batch), context);
      const rates = this.firingRates(network, context);
      const forward = this.forwardResult(network, request, rates);
      const { loss, cotangents } = this.loss(network, batch, request, context, rates);
      const gradient = this.store.flatten(network.backward(cotangents));
      this.update(gradient, request.learningRate);
      for (const [key, value] of updates) this.store.replaceBuffer(key, value);
      return { ...forward, loss, gradient: request.wantGradients ? [gradient] : [] };
    });
    return this.download(result, request);
  }

  async evaluate(batch: Batch, request: ForwardRequest = {}): Promise<StepResult> {
    const result = this.onDevice(() => {
      const context = this.context(batch, request, null, new Map());
      const network = new Network(this.graph, inputTensor(this.ops, batch), context);
      const forward = this.forwardResult(network, request, this.firingRates(network, context));
      return { ...forward, loss: this.crossEntropy(network, batch, context).value, gradient: [] };
    });
    return this.download(result, request);
  }

  async predict(batch: Batch): Promise<Float32Array> {
    return (await this.evaluate(batch)).scores;
  }

  async parameters(): Promise<Map<string, Float32Array>> {
    this.activate();
    return this.store.download();
  }

  load(parameters: Tensors): void {
    this.activate();
    this.store.load(parameters);
  }

  async optimizerState(): Promise<Map<string, Float32Array>> {
    this.activate();
    const state = new Map<string, Float32Array>([['step', Float32Array.of(this.optimizer.step)]]);
    for (const name of this.optimizer.momentNames) {
      const moment = (await this.optimizer.moment(name).data()) as Float32Array;
      for (const [key, value] of this.store.splitHost(moment)) state.set(`${name}.${key}`, value);
    }
    return state;
  }

  loadOptimizerState(state: Tensors): void {
    this.activate();
    const entry = (key: string) => {
      const value = state.get(key);
      if (!value) throw stateMismatch(key);
      return value;
    };
    const moments = this.optimizer.momentNames.map((name) =>
      this.store.join(new Map(this.store.trainableKeys.map((key) => [key, entry(`${name}.${key}`)]))),
    );
    this.optimizer.load(entry('step')[0], moments);
  }

  dispose(): void {
    this.activate();
    this.store.dispose();
    this.optimizer.dispose();
    this.ops.dispose();
  }

  /** Everything a step allocates is freed when it ends, but for its result. */
  private onDevice(step: () => DeviceResult): DeviceResult {
    this.activate();
    try {
      return this.ops.tf.tidy(step);
    } finally {
      this.ops.releaseTransposes();
    }
  }

  private context(
    batch: Batch,
    request: ForwardRequest,
    training: TrainRequest | null,
    updates: Map<string, Tensor>,
  ): Context {
    const { ops, store, options } = this;
    const views = store.views();
    return {
      ops,
      batch,
      padding: new Padding(ops, batch),
      training: training !== null,
      parameter: (key) => (views.get(key) ?? store.buffer(key)) as Tensor,
      updateBuffer: (key, value) => void updates.set(key, value),
      initialStates: (node) => this.initialStates(node, batch, request, training),
      dropoutMask: (node) => {
        const epoch = (training as TrainRequest).epoch;
        const mask = training?.dropoutMasks?.get(node.layer) ?? drawDropoutMask(node, batch, options.seed, epoch);
        const { time, features } = node.type;
        if (!time) return ops.tf.tensor(mask, [batch.size, features]);
        return timeMajor(ops, mask, batch.size, batch.steps, features);
      },
      recurrence: (step) => this.recurrence(step),
    };
  }

  /** Given, or drawn per sample (training), or the buffers' fixed ones for every sample (evaluation). */
  private initialStates(
    node: PopulationNode,
    batch: Batch,
    request: ForwardRequest,
    training: TrainRequest | null,
  ): Tensor[] {
    const { tf } = this.ops;
    const directions = node.bidirectional ? 2 : 1;
    const shape = [directions * batch.size, node.size];
    const keys = node.step.states.map((s) => node.initialStates[s.name]);
    const given = (key: string) => request.initialStates?.get(key);
    const drawn =
      training && !keys.every(given) ? drawInitialStates(node, batch, this.options.seed, training.epoch) : null;
    return keys.map((key) => {
      const values = given(key) ?? drawn?.get(key);
      if (values) return tf.tensor(values.slice(), shape);
      const fixed = this.store.buffer(key) as Tensor;
      const repeated = tf.tile(tf.reshape(fixed, [directions, 1, node.size]), [1, batch.size, 1]);
      return tf.reshape(repeated, shape);
    });
  }

  private recurrence(step: Step): Recurrence {
    const known = this.recurrences.get(step);
    if (known) return known;
    const recurrence = new Recurrence(step);
    this.recurrences.set(step, recurrence);
    return recurrence;
  }

  /** Mean of every layer's output over batch and valid time, [features], in the order of `graph.layers`. */
  private firingRates(network: Network, context: Context): Tensor[] {
    return this.graph.layers.map(({ output }) => context.padding.mean(network.value(output)));
  }

  private forwardResult(network: Network, request: ForwardRequest, rates: readonly Tensor[]) {
    const { graph, ops } = this;
    const batchMajor = (id: string) => {
      const value = network.value(id);
      return nodeById(graph, id).type.time ? swapAxes(ops, value) : ops.tf.clone(value);
    };
    return {
      rates: [...rates],
      scores: batchMajor(graph.prediction),
      output: request.wantOutput ? [batchMajor(graph.output)] : [],
      traces: request.wantTraces ? populations(graph).map((node) => batchMajor(node.id)) : [],
    };
  }

  private loss(
    network: Network,
    batch: Batch,
    request: TrainRequest,
    context: Context,
    rates: readonly Tensor[],
  ): { loss: Tensor; cotangents: Cotangents } {
    const { tf } = this.ops;
    if (request.outputWeights) return this.weightedOutput(network, batch, request.outputWeights);
    const entropy = this.crossEntropy(network, batch, context);
    const cotangents: Cotangents = new Map([[this.graph.loss.scores, entropy.cotangent]]);
    const { regularizer } = this.graph.loss;
    let loss = entropy.value;
    this.graph.layers.forEach(({ output, spiking }, i) => {
      if (!regularizer || !spiking) return;
      const penalty = firingRatePenalty(this.ops, rates[i], regularizer);
      const perStep = context.padding.spread(penalty.cotangent);
      const known = cotangents.get(output);
      cotangents.set(output, known ? tf.add(known, perStep) : perStep);
      loss = tf.add(loss, penalty.value);
    });
    return { loss, cotangents };
  }

  private crossEntropy(network: Network, batch: Batch, { padding }: Context): Term {
    const { ops } = this;
    const { scores } = this.graph.loss;
    const perStep = nodeById(this.graph, scores).type.time;
    const weights = perStep ? padding.weights() : ops.tf.fill([batch.size, 1], 1 / batch.size);
    const targets = oneHot(ops, batch.labels, this.graph.classes);
    return crossEntropy(ops, network.value(scores), targets, weights);
  }

  private weightedOutput(network: Network, batch: Batch, outputWeights: Float32Array) {
    const { ops, graph } = this;
    const output = network.value(graph.output);
    const { time, features } = nodeById(graph, graph.output).type;
    const weights = time
      ? timeMajor(ops, outputWeights, batch.size, batch.steps, features)
      : ops.tf.tensor(outputWeights.slice(), output.shape);
    return { loss: ops.tf.sum(ops.tf.mul(output, weights)), cotangents: new Map([[graph.output, weights]]) };
  }

  private update(gradient: Tensor, learningRate: number): void {
    const { clipNorm } = this.options;
    const clipped = clipNorm === null ? gradient : clipToNorm(this.ops, gradient, clipNorm);
    this.store.replaceFlat(this.optimizer.update(this.store.flat, clipped, learningRate));
  }

  private async download(result: DeviceResult, request: ForwardRequest): Promise<StepResult> {
    const host = async (tensor: Tensor) => (await tensor.data()) as Float32Array;
    const hostAll = (tensors: readonly Tensor[]) => Promise.all(tensors.map(host));
    const [rates, traces, [output], [gradient]] = await Promise.all(
      [result.rates, result.traces, result.output, result.gradient].map(hostAll),
    );
    const step: StepResult = {
      loss: (await host(result.loss))[0],
      scores: await host(result.scores),
      firingRates: new Map(this.graph.layers.map(({ layer }, i) => [layer, rates[i]])),
      output,
      gradients: gradient && this.store.splitHost(gradient),
      traces: request.wantTraces
        ? new Map(populations(this.graph).map(({ layer }, i) => [layer, traces[i]]))
        : undefined,
    };
    this.ops.tf.dispose(result);
    return step;
  }
}

function populations(graph: Graph): PopulationNode[] {
  return graph.nodes.filter((n) => n.kind === 'population');
}
