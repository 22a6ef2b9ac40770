import type { PopulationNode } from '../../ir/graph.ts';
import type { DeployedPopulation } from '../../passes/deployPopulation.ts';
import type { GraphBuilder, Value } from './builder.ts';
import type { WeightType } from './compress.ts';
import type { Scope } from './equations.ts';
import { isWorthEvents } from './events.ts';
import type { FirstProducts } from './firstProducts.ts';
import type { ModelParameters } from './parameters.ts';
import { bindParameters, emitPrelude } from './prelude.ts';
import { emitSequence, type Sequence } from './sequence.ts';
import type { TimeAxis } from './timeAxis.ts';

/** Of a layer, or of a pool. */
export function stateName(layer: string, state: string): string {
  return `${layer}.${state}`;
}

/** The graph's input, of whole sequences. */
export function stateInput(layer: string, state: string): string {
  return `state.${stateName(layer, state)}`;
}

/** [rows, size], rows = `batch`, or [2, rows, size] with the reversed direction second. */
export function stateShape(node: PopulationNode, batch: string): (string | number)[] {
  return node.bidirectional ? [2, batch, node.size] : [batch, node.size];
}

/** A layer of the network, or of the deployed graph. */
export interface EmittedLayer {
  readonly node: PopulationNode;
  /** Null where the layer is emitted as it is. */
  readonly deployed: DeployedPopulation | null;
  readonly weights: WeightType;
}

/**
 * Runs a layer over `inputs`, each [time, batch, size]. Returns its output [time, batch, size or 2 * size] and the final
 * states in the order of the step's states, shaped as `stateShape` says.
 */
export function emitPopulation(
  builder: GraphBuilder,
  parameters: ModelParameters,
  time: TimeAxis,
  layer: EmittedLayer,
  inputs: readonly Value[],
): EmittedPopulation {
  const { size: features, bidirectional, id } = layer.node;
  const { scope, sequence } = emitSurroundings(builder, parameters, time, layer);
  const bothDirections = (v: Value, reversed: Value) =>
    builder.op('Concat', [v, reversed], `${id}.directions`, { axis: 1 });
  const { output, finalStates } = emitSequence(scope, {
    ...sequence,
    inputs: bidirectional ? inputs.map((v) => bothDirections(v, time.reverse(v, `${id}.reversed`))) : inputs,
    valid: bidirectional ? bothDirections(time.valid, time.valid) : time.valid,
    alone: bidirectional ? null : time.alone,
  });
  if (!bidirectional) return { output, finalStates };

  const [forward, backward] = [`${id}.forward`, `${id}.backward`].map((name) => builder.name(name));
  builder.node('Split', [output], [forward, backward], { axis: 1 });
  const unreversed = time.reverse(backward, `${id}.unreversed`);
  const perDirection = builder.op('Concat', [builder.ints([2]), time.batch, builder.ints([features])], `${id}.states`, {
    axis: 0,
  });
  return {
    output: builder.op('Concat', [forward, unreversed], `${id}.output`, { axis: 2 }),
    finalStates: finalStates.map((v) => builder.op('Reshape', [v, perDirection], v)),
  };
}

export interface EmittedPopulation {
  readonly output: Value;
  readonly finalStates: readonly Value[];
}

/** What a layer's loop needs besides its input: bound parameters and where it starts. */
export function emitSurroundings(
  builder: GraphBuilder,
  parameters: ModelParameters,
  time: TimeAxis,
  { node, deployed, weights }: EmittedLayer,
): { readonly scope: Scope; readonly sequence: Omit<Sequence, 'inputs' | 'valid' | 'alone'> } {
  const { size: features } = node;
  const { scope, step } = deployed
    ? { scope: bindParameters(builder, parameters, node), step: node.step }
    : emitPrelude(builder, parameters, node);
  const sequence = {
    step,
    features,
    initialStates: emitInitialStates(builder, time, node),
    isStep: time.isStep,
    integers: weights === 'int8' && isWorthEvents(features, features),
    restart: time.restart ? { mask: time.restart, states: emitFixedStates(builder, parameters, node) } : null,
    firstProducts: deployed && emitFirst(builder, parameters, time, node, deployed),
  };
  return { scope, sequence };
}

/** The fixed initial states and their products, for every row or [1, size] for all of them. */
function emitFirst(
  builder: GraphBuilder,
  parameters: ModelParameters,
  time: TimeAxis,
  node: PopulationNode,
  { firstProducts }: DeployedPopulation,
): FirstProducts | null {
  if (firstProducts.size === 0) return null;
  const { size, bidirectional, layer } = node;
  const perRow = (key: string): Value => {
    if (!bidirectional) return builder.tensor(key, [1, size], parameters.values(key));
    const value = builder.tensor(key, [2, 1, size], parameters.values(key));
    const shape = [builder.ints([2]), time.batch, builder.ints([size])];
    const rows = builder.op('Concat', shape, `${layer}.first_shape`, { axis: 0 });
    const expanded = builder.op('Expand', [value, rows], `${key}.rows`);
    return builder.op('Reshape', [expanded, builder.ints([-1, size])], `${key}.first`);
  };
  return {
    states: node.step.states.map(({ name }) => perRow(node.initialStates[name])),
    products: new Map([...firstProducts].map(([id, { key }]) => [id, perRow(key)])),
  };
}

/** The states that the model was evaluated with, each [1, size]; a graph input of the same values may be fed others. */
function emitFixedStates(builder: GraphBuilder, parameters: ModelParameters, node: PopulationNode): Value[] {
  return node.step.states.map(({ name }) => {
    const wish = `initial.${node.layer}.${name}`;
    return builder.tensor(wish, [1, node.size], parameters.values(node.initialStates[name]));
  });
}

/** The states of every row [rows, size]: a model's fixed initial states have one row, which is repeated for every sample. */
function emitInitialStates(builder: GraphBuilder, time: TimeAxis, node: PopulationNode): Value[] {
  const { step, layer, size, bidirectional } = node;
  const { carried } = time;
  if (carried) return step.states.map(({ name }) => carried.get(stateName(layer, name)) as Value);
  const inputs = step.states.map(({ name }) => stateInput(layer, name));
  if (inputs.length === 0) return [];
  const leading = bidirectional ? [builder.ints([2])] : [];
  const shape = builder.op('Concat', [...leading, time.batch, builder.ints([size])], `${layer}.shape`, { axis: 0 });
  const perRow = inputs.map((input) => builder.op('Expand', [input, shape], `${input}.rows`));
  if (!bidirectional) return perRow;
  return perRow.map((v) => builder.op('Reshape', [v, builder.ints([-1, size])], v));
}
