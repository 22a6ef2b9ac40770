import type { PopulationNode } from '../../ir/graph.ts';
import { combineSums } from '../../passes/combineSums.ts';
import type { GraphBuilder, Value } from './builder.ts';
import type { ModelParameters } from './parameters.ts';
import { emitPrelude } from './prelude.ts';
import { emitSequence } from './sequence.ts';
import type { TimeAxis } from './timeAxis.ts';

export function stateInput(layer: string, state: string): string {
  return `state.${layer}.${state}`;
}

export function finalState(layer: string, state: string): string {
  return `final.${layer}.${state}`;
}

/** [rows, size], rows = `batch`, or [2, rows, size] with the reversed direction second. */
export function stateShape(node: PopulationNode, batch: string): (string | number)[] {
  return node.bidirectional ? [2, batch, node.size] : [batch, node.size];
}

/**
 * Runs a layer over `inputs`, each [time, batch, size]. Returns its output [time, batch, size or 2 * size] and the final
 * states in the order of the step's states, shaped as `stateShape` says.
 */
export function emitPopulation(
  builder: GraphBuilder,
  parameters: ModelParameters,
  time: TimeAxis,
  node: PopulationNode,
  inputs: readonly Value[],
  fold: boolean,
): { output: Value; finalStates: Value[] } {
  const { size: features, bidirectional, id } = node;
  const combined = combineSums(node.step, true);
  const scope = emitPrelude(builder, parameters, node, combined, fold);
  const bothDirections = (v: Value, reversed: Value) =>
    builder.op('Concat', [v, reversed], `${id}.directions`, { axis: 1 });
  const { output, finalStates } = emitSequence(scope, {
    step: combined.step,
    features,
    inputs: bidirectional ? inputs.map((v) => bothDirections(v, time.reverse(v, `${id}.reversed`))) : inputs,
    initialStates: emitInitialStates(builder, parameters, time, node),
    valid: bidirectional ? bothDirections(time.valid, time.valid) : time.valid,
    alone: bidirectional ? null : time.alone,
    oneStep: time.oneStep,
    restart: time.restart ? { mask: time.restart, states: emitFixedStates(builder, parameters, node) } : null,
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

/** The states that the model was evaluated with, each [1, size]; a graph input of the same values may be fed others. */
function emitFixedStates(builder: GraphBuilder, parameters: ModelParameters, node: PopulationNode): Value[] {
  return node.step.states.map(({ name }) => {
    const wish = `initial.${node.layer}.${name}`;
    return builder.tensor(wish, [1, node.size], parameters.values(node.initialStates[name]));
  });
}

/** The states of every row [rows, size]: a model's fixed initial states have one row, which is repeated for every sample. */
function emitInitialStates(
  builder: GraphBuilder,
  parameters: ModelParameters,
  time: TimeAxis,
  node: PopulationNode,
): Value[] {
  const { step, layer, size, bidirectional } = node;
  const inputs = step.states.map(({ name }) => stateInput(layer, name));
  if (inputs.length === 0) return [];
  const { reset } = time;
  if (reset) {
    const fixed = emitFixedStates(builder, parameters, node);
    return inputs.map((input, i) => builder.op('Where', [reset, fixed[i], input], `${input}.rows`));
  }
  const leading = bidirectional ? [builder.ints([2])] : [];
  const shape = builder.op('Concat', [...leading, time.batch, builder.ints([size])], `${layer}.shape`, { axis: 0 });
  const perRow = inputs.map((input) => builder.op('Expand', [input, shape], `${input}.rows`));
  if (!bidirectional) return perRow;
  return perRow.map((v) => builder.op('Reshape', [v, builder.ints([-1, size])], v));
}
