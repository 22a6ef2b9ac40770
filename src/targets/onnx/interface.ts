import { type Graph, type GraphNode, nodeById, type PopulationNode } from '../../ir/graph.ts';
import type { GraphBuilder, Value } from './builder.ts';
import type { EmittedNodes } from './nodes.ts';
import type { ModelParameters } from './parameters.ts';
import { stateInput, stateName, stateShape } from './population.ts';
import { boolTensor, floatTensor, int64Tensor, type Tensor, type ValueInfo, valueInfo } from './proto.ts';
import { nextSoundState, soundState, waitingSound } from './sound/features.ts';
import type { FrontEnd } from './sound/frontEnd.ts';
import { type CarriedState, emitNextVector, initialVector, nextStateVector, stateVector } from './stateVector.ts';

export function rateOutput(layer: string): string {
  return `rate.${layer}`;
}

/** A layer's output at every step. */
export function activityOutput(layer: string): string {
  return `activity.${layer}`;
}

/** What shapes the model's inputs and outputs, besides the network. */
export interface ModelShape {
  /** Of a stream; null for whole sequences. */
  readonly carried: readonly CarriedState[] | null;
  /** Null where `x` is features, and not sound. */
  readonly frontEnd: FrontEnd | null;
  /** The activity of every layer at every step is an output. */
  readonly record: boolean;
}

export interface ModelInput {
  readonly info: ValueInfo;
  /** An initializer of the same name makes an input optional. */
  readonly defaultValue?: Tensor;
}

export interface ModelOutput {
  readonly info: ValueInfo;
  readonly emit: (builder: GraphBuilder, emitted: EmittedNodes) => Value;
}

const allSteps = 2n ** 63n - 1n;

/** The graph's inputs: of whole sequences, or of a stream's chunks. */
export function modelInputs(graph: Graph, parameters: ModelParameters, shape: ModelShape): ModelInput[] {
  const x = { info: valueInfo('x', 'float32', inputShape(graph, shape)) };
  if (!shape.carried) return [x, lengthsInput(), ...layerStates(graph).map((state) => initialState(parameters, state))];
  return [x, resetInput(), vectorInput(initialVector(shape.carried)), ...(shape.frontEnd ? [soundInput()] : [])];
}

function inputShape(graph: Graph, { frontEnd }: ModelShape): (string | number)[] {
  return frontEnd ? ['batch', 'samples'] : ['batch', 'time', sourceOf(graph).type.features];
}

function sourceOf(graph: Graph): GraphNode {
  const source = graph.nodes.find((node) => node.kind === 'source');
  if (!source) throw new Error(`graph "${graph.name}" has no source`);
  return source;
}

export function modelOutputs(graph: Graph, shape: ModelShape): ModelOutput[] {
  return [
    {
      info: valueInfo('scores', 'float32', ['batch', graph.classes], 'the class is the argmax'),
      emit: (_, { emitted }) => emitted(graph.prediction),
    },
    ...sequenceOutput(graph),
    ...(shape.frontEnd ? [sequenceOf('features', sourceOf(graph), 'what the network takes')] : []),
    ...graph.layers.map(({ layer, output, features }) => ({
      info: valueInfo(rateOutput(layer), 'float32', ['batch', features], 'mean activity over the valid time steps'),
      emit: (_: GraphBuilder, { emitted, time }: EmittedNodes) => time.mean(emitted(output), `${layer}.rate`),
    })),
    ...(shape.record ? graph.layers.map(activityOf(graph)) : []),
    ...(shape.carried ? [vectorOutput(shape.carried)] : layerStates(graph).map(finalState)),
    ...(shape.carried && shape.frontEnd ? [soundOutput()] : []),
  ];
}

function activityOf(graph: Graph) {
  return ({ layer, output }: Graph['layers'][number]): ModelOutput =>
    sequenceOf(activityOutput(layer), nodeById(graph, output), 'the output of the layer at every step');
}

function lengthsInput(): ModelInput {
  const doc = 'valid time steps of each sample; default: all';
  return {
    info: valueInfo('lengths', 'int64', [oneOrBatch('lengths')], doc),
    defaultValue: int64Tensor('lengths', [1], [allSteps]),
  };
}

function resetInput(): ModelInput {
  const doc = 'where true, every state is the initial one before the chunk; default: nowhere';
  return {
    info: valueInfo('reset', 'bool', [oneOrBatch('reset')], doc),
    defaultValue: boolTensor('reset', [1], [false]),
  };
}

/** Each such dimension has its own name: onnxruntime takes those of one name for equal. */
function oneOrBatch(input: string): string {
  return `${input}.batch_or_1`;
}

interface LayerState {
  readonly node: PopulationNode;
  readonly state: string;
  readonly name: string;
}

function layerStates(graph: Graph): LayerState[] {
  const layers = graph.nodes.filter((node): node is PopulationNode => node.kind === 'population');
  return layers.flatMap((node) =>
    node.step.states.map(({ name }) => ({ node, state: name, name: stateName(node.layer, name) })),
  );
}

const initialDoc = 'initial state; default: the one the model was evaluated with';

/** Of whole sequences. */
function initialState(parameters: ModelParameters, { node, state }: LayerState): ModelInput {
  const name = stateInput(node.layer, state);
  const dims = stateShape(node, oneOrBatch(name));
  const values = parameters.values(node.initialStates[state]);
  const defaultDims = dims.map((d) => (typeof d === 'number' ? d : 1));
  return { info: valueInfo(name, 'float32', dims, initialDoc), defaultValue: floatTensor(name, defaultDims, values) };
}

function finalState({ node, name }: LayerState): ModelOutput {
  return {
    info: valueInfo(`final.${name}`, 'float32', stateShape(node, 'batch'), 'after the last valid time step'),
    emit: (_, { finalStates }) => finalStates.get(name) as Value,
  };
}

function vectorInput(initial: Float32Array): ModelInput {
  return {
    info: valueInfo(stateVector, 'float32', [oneOrBatch(stateVector), initial.length], initialDoc),
    defaultValue: floatTensor(stateVector, [1, initial.length], initial),
  };
}

function vectorOutput(carried: readonly CarriedState[]): ModelOutput {
  const size = initialVector(carried).length;
  return {
    info: valueInfo(nextStateVector, 'float32', ['batch', size], 'the state of the next chunk'),
    emit: (builder, { finalStates }) => emitNextVector(builder, carried, finalStates),
  };
}

/** How many samples wait depends on the chunks so far. */
function soundInput(): ModelInput {
  const doc = 'samples that wait for the rest of their frame; default: none';
  return {
    info: valueInfo(soundState, 'float32', [oneOrBatch(soundState), `${soundState}.waiting`], doc),
    defaultValue: floatTensor(soundState, [1, 0], new Float32Array(0)),
  };
}

function soundOutput(): ModelOutput {
  return {
    info: valueInfo(nextSoundState, 'float32', ['batch', `${nextSoundState}.waiting`]),
    emit: (_, { finalStates }) => finalStates.get(waitingSound) as Value,
  };
}

function sequenceOutput(graph: Graph): ModelOutput[] {
  if (graph.output === graph.prediction) return [];
  const node = nodeById(graph, graph.output);
  if (!node.type.time) throw new Error('an output without time is the prediction');
  return [sequenceOf('output', node, 'the sequence that the model computes')];
}

/** A node's value at every step, [batch, time, features]. */
function sequenceOf(name: string, { id, type }: GraphNode, doc: string): ModelOutput {
  return {
    info: valueInfo(name, 'float32', ['batch', 'time', type.features], doc),
    emit: (_, { emitted, batchMajor }) => batchMajor(emitted(id)),
  };
}
