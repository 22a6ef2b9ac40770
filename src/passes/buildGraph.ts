import type { Reporter } from '../diagnostics/diagnostic.ts';
import type { Span } from '../diagnostics/source.ts';
import { suggestion } from '../diagnostics/suggest.ts';
import type { FiringRateRegularizer, Graph, GraphNode, TensorType } from '../ir/graph.ts';
import { weakest } from '../ir/primitives.ts';
import type { Step, ValueSet } from '../ir/step.ts';
import { GraphNodes } from './graphNodes.ts';
import type { Library } from './library.ts';
import { lowerNeuron } from './lowerNeuron.ts';
import { lowerSurrogate } from './lowerSurrogate.ts';
import type { LayerConfig, ModelConfig } from './model.ts';
import { sortLayers } from './sortLayers.ts';

export interface GraphContext {
  readonly name: string;
  readonly library: Library;
  /** What the data pipeline delivers. */
  readonly input: { readonly features: number; readonly set: ValueSet; readonly stepDuration: number | null };
  readonly classes: number;
  /** For models without a pool: the loss at every step, or of the pooled sequence. */
  readonly lossPool: string;
  readonly lossPoolSpan?: Span;
  readonly regularizer: FiringRateRegularizer | null;
}

/** Lowers a network to a Graph with its parameters; null after reporting SP4xx. */
export function buildGraph(model: ModelConfig, context: GraphContext, reporter: Reporter): Graph | null {
  const sorted = sortLayers(model, reporter);
  if (!sorted) return null;
  return new GraphLowering(sorted, context, reporter).run();
}

/** What the last node of a lowered layer is called, and its type; null where lowering it failed. */
type LayerOutput = GraphNode | null;

class GraphLowering {
  private readonly layers: readonly LayerConfig[];
  private readonly context: GraphContext;
  private readonly reporter: Reporter;
  private readonly steps: ReadonlyMap<string, Step | null>;
  private readonly graph: GraphNodes;
  private readonly outputs = new Map<string, LayerOutput>();

  constructor(layers: readonly LayerConfig[], context: GraphContext, reporter: Reporter) {
    this.layers = layers;
    this.context = context;
    this.reporter = reporter;
    this.steps = new Map(layers.map((layer) => [layer.name, this.stepOf(layer)]));
    // The reference names parameters of spiking networks `snn.*`, of the others `ann.*`.
    const spiking = [...this.steps.values()].some((step) => step?.outputSet === 'spike');
    this.graph = new GraphNodes(spiking ? 'snn' : 'ann');
  }

  run(): Graph | null {
    const { features, set } = this.context.input;
    const type = { features, time: true, set, scale: 1 };
    this.outputs.set('input', this.graph.push({ kind: 'source', id: 'input', type }));
    for (const layer of this.layers) this.outputs.set(layer.name, this.lowerLayer(layer));
    const last = this.layers.at(-1) as LayerConfig;
    const output = this.outputs.get(last.name);
    if (!output || this.reporter.failed) return null;
    return this.finish(output, last);
  }

  // Layers

  private stepOf(layer: LayerConfig): Step | null {
    const { library } = this.context;
    const definition = library.neurons.get(layer.type) ?? library.pools.get(layer.type);
    if (!definition) {
      if (layer.type !== 'dense' && layer.type !== 'merge') this.unknownType(layer);
      return null;
    }
    const replaced = layer.surrogate && lowerSurrogate(layer.surrogate, library, this.reporter);
    const consts = new Map(Object.entries(layer.consts).map(([k, value]) => [k, { value, span: layer.spanOf(k) }]));
    const settings = { consts, surrogate: replaced, stepDuration: this.context.input.stepDuration };
    return lowerNeuron(definition, settings, library, this.reporter);
  }

  private unknownType(layer: LayerConfig): void {
    const { library } = this.context;
    const known = [...library.neurons.keys(), ...library.pools.keys(), 'dense', 'merge'];
    this.reporter.error(
      'SP450',
      `there is no neuron or layer "${layer.type}"; ${suggestion(layer.type, known)}`,
      layer.spanOf('type'),
    );
  }

  private lowerLayer(layer: LayerConfig): LayerOutput {
    const inputs = layer.from.map((name) => this.outputs.get(name) ?? null);
    if (inputs.includes(null)) return null;
    const sources = inputs as GraphNode[];
    if (layer.type === 'merge' || this.context.library.pools.has(layer.type)) this.rejectTraining(layer);
    if (layer.type === 'merge') return this.merge(layer, sources);
    if (layer.type === 'dense') return this.dense(layer, sources[0]);
    const step = this.steps.get(layer.name);
    if (!step) return null;
    return this.context.library.pools.has(layer.type)
      ? this.pool(layer, step, sources[0])
      : this.population(layer, step, sources[0]);
  }

  private merge(layer: LayerConfig, inputs: readonly GraphNode[]): LayerOutput {
    const types = inputs.map((n) => n.type);
    const shapes = inputs.map((n) => `"${n.id}" gives ${shapeOf(n.type)}`).join(' but ');
    if (types.some((t) => t.time !== types[0].time)) {
      return this.fail(
        'SP452',
        `merge cannot combine a sequence with a pooled vector: ${shapes}; pool both or neither`,
        layer,
      );
    }
    if (layer.operation === 'add' && types.some((t) => t.features !== types[0].features)) {
      return this.fail(
        'SP452',
        `merge(add) needs equal sizes: ${shapes}; give the layers one size, or use merge(concat)`,
        layer,
      );
    }
    const features = layer.operation === 'add' ? types[0].features : types.reduce((sum, t) => sum + t.features, 0);
    const exact = types.every((t) => t.scale === 1) || types.every((t) => t.scale === types[0].scale);
    const sets = types.map((t) => t.set);
    const merged = weakest(sets);
    const summed = merged === 'spike' ? 'count' : merged;
    const set = exact ? (layer.operation === 'add' ? summed : merged) : 'real';
    return this.graph.push({
      kind: 'merge',
      id: layer.name,
      operation: layer.operation ?? 'add',
      inputs: inputs.map((n) => n.id),
      type: { features, time: types[0].time, set, scale: exact ? types[0].scale : 1 },
      origin: layer.spanOf(),
    });
  }

  private dense(layer: LayerConfig, input: GraphNode): LayerOutput {
    if (layer.size === null)
      return this.fail('SP451', `the layer "${layer.name}" needs a size, as in dense(64)`, layer);
    if (layer.bidirectional)
      return this.fail('SP453', 'a dense layer has no direction in time; remove "bidirectional"', layer);
    this.rejectConsts(layer, 'a dense layer');
    return this.graph.dense(layer, input, layer.size);
  }

  private pool(layer: LayerConfig, step: Step, input: GraphNode): LayerOutput {
    if (!input.type.time) return this.notASequence(layer, input);
    if (layer.size !== null) return this.fail('SP453', `the pool "${layer.type}" has no size; remove it`, layer);
    return this.graph.pool(layer, step, input);
  }

  private population(layer: LayerConfig, step: Step, input: GraphNode): LayerOutput {
    if (!input.type.time) return this.notASequence(layer, input);
    if (layer.size === null)
      return this.fail('SP451', `the layer "${layer.name}" needs a size, as in ${layer.type}(128)`, layer);
    return this.graph.population(layer, step, input, layer.size);
  }

  // Output and loss

  private finish(output: GraphNode, last: LayerConfig): Graph | null {
    const { classes, name, regularizer } = this.context;
    const sized = this.sizedLayer(last);
    if (sized.bidirectional && !output.type.time) {
      const message = 'the output layer cannot be bidirectional, as its two directions would share the classes';
      return this.fail('SP454', `${message}; remove "bidirectional"`, sized, 'bidirectional');
    }
    if (output.type.features !== classes) {
      const message = `the last layer gives ${output.type.features} features but the data has ${classes} classes; give it the size "classes"`;
      return this.fail('SP454', message, sized, 'size');
    }
    const prediction = output.type.time ? this.pooledPrediction(output, last) : output;
    if (!prediction) return null;
    if (!output.type.time && this.context.lossPool !== 'steps') {
      const message = `the model ends in the pool or layer "${last.name}", so the loss needs no pool; remove it`;
      this.reporter.error('SP457', message, this.context.lossPoolSpan);
      return null;
    }
    const perStep = output.type.time && this.context.lossPool === 'steps';
    return {
      name,
      nodes: this.graph.nodes,
      parameters: this.graph.parameters,
      output: output.id,
      prediction: prediction.id,
      loss: { kind: 'cross_entropy', scores: perStep ? output.id : prediction.id, regularizer },
      layers: this.graph.activities,
      classes,
    };
  }

  /** The layer that decides how many features a pool after it gives. */
  private sizedLayer(layer: LayerConfig): LayerConfig {
    const before = this.layers.find((l) => l.name === layer.from[0]);
    return layer.size === null && layer.type !== 'merge' && before ? this.sizedLayer(before) : layer;
  }

  /** Class scores of a model that gives a sequence: pooled as the loss asks, otherwise the mean over time. */
  private pooledPrediction(output: GraphNode, last: LayerConfig): GraphNode | null {
    const { library, lossPool, lossPoolSpan } = this.context;
    const type = lossPool === 'steps' ? 'mean' : lossPool;
    if (!library.pools.has(type)) {
      const hint = suggestion(type, ['steps', ...library.pools.keys()]);
      this.reporter.error('SP458', `there is no pool "${type}" for the loss; ${hint}`, lossPoolSpan);
      return null;
    }
    const layer: LayerConfig = { ...last, name: `${last.name}.${type}`, type, size: null, consts: {} };
    const step = this.stepOf(layer);
    return step && this.pool(layer, step, output);
  }

  // Errors

  private rejectConsts(layer: LayerConfig, what: string): void {
    for (const name of Object.keys(layer.consts)) {
      this.reporter.error('SP421', `${what} has no option "${name}"; remove it`, layer.spanOf(name));
    }
  }

  private rejectTraining(layer: LayerConfig): void {
    const given = [layer.freeze && 'freeze', layer.lrScale !== 1 && 'lr_scale'].filter((key) => key !== false);
    for (const key of given) {
      this.fail(
        'SP453',
        `"${layer.type}" has no parameters to train, so "${key}" means nothing; remove it`,
        layer,
        key,
      );
    }
  }

  private notASequence(layer: LayerConfig, input: GraphNode): null {
    const message = `"${layer.type}" needs a sequence over time, but "${input.id}" was pooled already; put it before the pool`;
    return this.fail('SP455', message, layer);
  }

  private fail(
    code: 'SP451' | 'SP452' | 'SP453' | 'SP454' | 'SP455',
    message: string,
    layer: LayerConfig,
    field?: string,
  ): null {
    this.reporter.error(code, message, (field && layer.spanOf(field)) || layer.spanOf());
    return null;
  }
}

function shapeOf(type: TensorType): string {
  return type.time ? `[batch, time, ${type.features}]` : `[batch, ${type.features}]`;
}
