import type { GraphNode, LayerActivity, Norm, Parameter, ParameterRole } from '../ir/graph.ts';
import type { Initializer } from '../ir/initializer.ts';
import type { Step } from '../ir/step.ts';
import type { LayerConfig } from './model.ts';
import { inputSuffix } from './neuronDeclarations.ts';

/** Running statistics follow the reference: new = 0.95 * old + 0.05 * batch. */
const batchnormMomentum = 0.05;
const normEps = 1e-5;

/** The nodes of a Graph under construction, layer by layer, with their parameters, which are named as in the reference. */
export class GraphNodes {
  readonly nodes: GraphNode[] = [];
  readonly parameters: Parameter[] = [];
  /** Of populations. */
  readonly activities: LayerActivity[] = [];
  private ordinal = 0;
  private readonly prefix: 'snn' | 'ann';

  constructor(prefix: 'snn' | 'ann') {
    this.prefix = prefix;
  }

  push<N extends GraphNode>(node: N): N {
    this.nodes.push(node);
    return node;
  }

  dense(layer: LayerConfig, input: GraphNode, size: number): GraphNode {
    const projected = this.projection(layer, this.ordinal++, '', input, size, layer.name);
    return this.dropout(layer, projected);
  }

  /** Neurons with a projection for each of their inputs. */
  population(layer: LayerConfig, step: Step, input: GraphNode, size: number): GraphNode {
    const index = this.ordinal++;
    const inputs = step.inputs.map(({ name }) => {
      const suffix = inputSuffix(name);
      return this.projection(layer, index, suffix, input, size, `${layer.name}.${name}`).id;
    });
    const parameters: Record<string, string> = {};
    for (const p of step.parameters) {
      const matrix = p.variable.type.extent === 'matrix';
      const shape = matrix ? [size, size] : p.variable.type.extent === 'features' ? [size] : [];
      const key = `${this.prefix}.${index}.${p.name}${matrix ? '.weight' : ''}`;
      parameters[p.name] = this.parameter(
        key,
        layer,
        matrix ? 'recurrent' : 'neuron',
        shape,
        p.initializer,
        p.trainable,
      );
    }
    const initialStates: Record<string, string> = {};
    for (const state of step.states) {
      const key = `${this.prefix}.${index}.initial.${state.name}`;
      const shape = [layer.bidirectional ? 2 : 1, size];
      initialStates[state.name] = this.parameter(key, layer, 'initialState', shape, state.initializer, false);
    }
    const population = this.push({
      kind: 'population',
      id: layer.name,
      layer: layer.name,
      inputs,
      step,
      size,
      bidirectional: layer.bidirectional,
      parameters,
      initialStates,
      type: { features: layer.bidirectional ? 2 * size : size, time: true, set: step.outputSet, scale: 1 },
      origin: layer.spanOf(),
    });
    const output = this.dropout(layer, population);
    const spiking = step.outputSet === 'spike';
    this.activities.push({ layer: layer.name, output: output.id, features: output.type.features, spiking });
    return output;
  }

  /** What makes one vector of a sequence. */
  pool(layer: LayerConfig, step: Step, input: GraphNode): GraphNode {
    return this.push({
      kind: 'readout',
      id: layer.name,
      layer: layer.name,
      input: input.id,
      step,
      type: { features: input.type.features, time: false, set: 'real', scale: 1 },
      origin: layer.spanOf(),
    });
  }

  private projection(
    layer: LayerConfig,
    index: number,
    suffix: string,
    input: GraphNode,
    size: number,
    id: string,
  ): GraphNode {
    const bound = 1 / Math.sqrt(input.type.features);
    const initializer: Initializer = { kind: 'uniform', low: -bound, high: bound };
    const key = `${this.prefix}.${index}.W${suffix}`;
    const weight = this.parameter(`${key}.weight`, layer, 'weight', [size, input.type.features], initializer);
    const bias = layer.bias ? this.parameter(`${key}.bias`, layer, 'bias', [size], initializer) : null;
    return this.push({
      kind: 'projection',
      id,
      input: input.id,
      weight,
      bias,
      norm: this.norm(layer, `${this.prefix}.${index}.norm${suffix}`, size),
      type: { features: size, time: input.type.time, set: 'real', scale: 1 },
      origin: layer.spanOf(),
    });
  }

  private norm(layer: LayerConfig, key: string, size: number): Norm {
    if (layer.norm === 'none') return { kind: 'none' };
    const constant = (value: number): Initializer => ({ kind: 'constant', value });
    const weight = this.parameter(`${key}.weight`, layer, 'norm', [size], constant(1));
    const bias = this.parameter(`${key}.bias`, layer, 'norm', [size], constant(0));
    if (layer.norm === 'layernorm') return { kind: 'layernorm', weight, bias, eps: normEps };
    return {
      kind: 'batchnorm',
      weight,
      bias,
      runningMean: this.parameter(`${key}.running_mean`, layer, 'running', [size], constant(0), false),
      runningVar: this.parameter(`${key}.running_var`, layer, 'running', [size], constant(1), false),
      momentum: batchnormMomentum,
      eps: normEps,
      rowFactor: layer.bidirectional ? 2 : 1,
    };
  }

  private dropout(layer: LayerConfig, input: GraphNode): GraphNode {
    if (layer.dropout === 0) return input;
    return this.push({
      kind: 'dropout',
      id: `${layer.name}.dropout`,
      layer: layer.name,
      input: input.id,
      p: layer.dropout,
      type: { ...input.type, scale: input.type.scale / (1 - layer.dropout) },
      origin: layer.spanOf('dropout'),
    });
  }

  private parameter(
    key: string,
    layer: LayerConfig,
    role: ParameterRole,
    shape: readonly number[],
    initializer: Initializer,
    trainable = true,
  ): string {
    const scale = layer.lrScale === 1 ? {} : { learningRateScale: layer.lrScale };
    const trained = trainable && !layer.freeze;
    this.parameters.push({ key, layer: layer.name, role, shape, initializer, trainable: trained, ...scale });
    return key;
  }
}
