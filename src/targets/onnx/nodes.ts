import {
  type Graph,
  type GraphNode,
  type NodeId,
  nodeById,
  type PopulationNode,
  type SourceNode,
} from '../../ir/graph.ts';
import type { Deployment } from '../../passes/deploy.ts';
import { findWavefronts } from '../../passes/wavefront.ts';
import type { GraphBuilder, Value } from './builder.ts';
import type { WeightType } from './compress.ts';
import type { EmittedInput } from './input.ts';
import type { ModelParameters } from './parameters.ts';
import { type EmittedLayer, type EmittedPopulation, emitPopulation, stateName } from './population.ts';
import { emitProjection, type Operand } from './projection.ts';
import { emitReadout, emitStreamReadout } from './readout.ts';
import type { TimeAxis } from './timeAxis.ts';
import { emitWavefront, isWorthWavefront } from './wavefront.ts';

export interface EmittedNodes {
  readonly time: TimeAxis;
  /** A graph node's value: a sequence, or [batch, features] after pooling. */
  emitted(id: NodeId): Value;
  /** A sequence as an output, [batch, time, features]. */
  batchMajor(sequence: Value): Value;
  /** By state. */
  readonly finalStates: ReadonlyMap<string, Value>;
}

/** The network, or its deployed graph. */
export interface EmittedGraph {
  readonly graph: Graph;
  readonly populations: Deployment['populations'];
  readonly parameters: ModelParameters;
  readonly weights: WeightType;
}

/** Emits all nodes of the graph in evaluation mode. */
export function emitNodes(
  builder: GraphBuilder,
  { graph, populations, parameters, weights }: EmittedGraph,
  input: EmittedInput,
): EmittedNodes {
  const { time, stream } = input;
  const values = new Map<NodeId, Value>();
  const finalStates = new Map<string, Value>(input.finalStates);
  const isSource = (id: NodeId) => nodeById(graph, id).kind === 'source';
  const emitted = (id: NodeId) => (isSource(id) ? input.values() : (values.get(id) as Value));

  const operand = (id: NodeId, value = emitted(id)): Operand => {
    const { time: hasTime, set } = nodeById(graph, id).type;
    return {
      value,
      isStep: time.isStep && hasTime,
      set,
      integers: weights === 'int8' && set === 'spike',
    };
  };

  const layerOf = (node: PopulationNode): EmittedLayer => ({
    node,
    deployed: populations.get(node.id) ?? null,
    weights,
  });
  const keep = (node: PopulationNode, population: EmittedPopulation): Value => {
    node.step.states.forEach(({ name }, i) => {
      finalStates.set(stateName(node.layer, name), population.finalStates[i]);
    });
    values.set(node.id, population.output);
    return population.output;
  };
  // A call of a stream has few steps, and unfolded parameters stay as they are.
  const isOneLoop = stream === null && populations.size > 0;
  const wavefronts = isOneLoop ? findWavefronts(graph, isWorthWavefront) : [];
  const elsewhere = new Set(wavefronts.flatMap(({ projection, second }) => [projection.id, second.id]));

  const emit = (node: Exclude<GraphNode, SourceNode>): Value => {
    switch (node.kind) {
      case 'projection': {
        const source = isSource(node.input) ? input.batchMajor : null;
        if (!source) return emitProjection(builder, parameters, node, operand(node.input));
        // The product has fewer features to be reordered.
        const product = emitProjection(builder, parameters, node, operand(node.input, source));
        return time.fromBatchMajor(product);
      }
      case 'population': {
        const inputs = node.inputs.map(emitted);
        const wavefront = wavefronts.find(({ first }) => first === node);
        if (!wavefront) return keep(node, emitPopulation(builder, parameters, time, layerOf(node), inputs));
        const { second } = wavefront;
        const layers = [layerOf(node), layerOf(second)] as const;
        const both = emitWavefront(builder, parameters, time, wavefront, layers, inputs[0]);
        keep(second, both[1]);
        return keep(node, both[0]);
      }
      case 'dropout':
        return emitted(node.input);
      case 'merge':
        return emitMerge(builder, node.operation, node.inputs.map(emitted), node.id);
      case 'readout': {
        const { features } = nodeById(graph, node.input).type;
        if (!stream) return emitReadout(builder, time, node, emitted(node.input), features);
        const pooled = emitStreamReadout(builder, stream, node, emitted(node.input), features);
        for (const [name, value] of pooled.finalStates) finalStates.set(stateName(node.id, name), value);
        return pooled.result;
      }
    }
  };
  for (const node of graph.nodes) {
    if (node.kind !== 'source' && !elsewhere.has(node.id)) values.set(node.id, emit(node));
  }
  const batchMajor = (sequence: Value) => {
    const all = time.toBatchMajor(sequence);
    return stream ? stream.arrived(all) : all;
  };
  return { time, emitted, batchMajor, finalStates };
}

function emitMerge(builder: GraphBuilder, operation: 'add' | 'concat', inputs: readonly Value[], id: string): Value {
  return operation === 'add' ? builder.op('Sum', inputs, id) : builder.op('Concat', inputs, id, { axis: -1 });
}
