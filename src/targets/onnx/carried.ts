import { type Graph, nodeById, type PopulationNode, type ReadoutNode } from '../../ir/graph.ts';
import type { ModelParameters } from './parameters.ts';
import { stateName } from './population.ts';
import { readoutStates } from './readout.ts';
import type { FrontEnd } from './sound/frontEnd.ts';
import { runningNorm, runningStates } from './sound/normalize.ts';
import type { CarriedState } from './stateVector.ts';
import { type Segmentation, silentSteps } from './stream.ts';

/** What a stream carries from chunk to chunk, in the order of the state vector. */
export function carriedStates(
  graph: Graph,
  parameters: ModelParameters,
  segmentation: Segmentation,
  frontEnd: FrontEnd | null,
): CarriedState[] {
  const layers = graph.nodes.filter((node): node is PopulationNode => node.kind === 'population');
  const ofLayers = layers.flatMap(({ layer, step, size, initialStates }) =>
    step.states.map(({ name }) => {
      const initial = parameters.values(initialStates[name]);
      return { name: stateName(layer, name), shape: [size], initial };
    }),
  );
  const ofNorm = frontEnd?.normalize?.over === 'past' ? runningStates() : [];
  const readouts = graph.nodes.filter((node): node is ReadoutNode => node.kind === 'readout');
  const ofPools = readouts.flatMap((node) =>
    readoutStates(node, nodeById(graph, node.input).type.features, segmentation).map(({ name, shape, initial }) =>
      filled(stateName(node.id, name), shape, initial),
    ),
  );
  return [
    ...ofLayers,
    ...ofNorm.map((name) => filled(stateName(runningNorm, name), [frontEnd?.fbank.mels ?? 0], 0)),
    ...ofPools,
    // The silence before the first event is a pause like any other.
    ...(segmentation.kind === 'silence' ? [filled(silentSteps, [1], segmentation.steps)] : []),
  ];
}

function filled(name: string, shape: readonly number[], initial: number): CarriedState {
  return { name, shape, initial: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(initial) };
}
