import { type Graph, type GraphNode, nodeById, type PopulationNode, type ReadoutNode } from '../../ir/graph.ts';
import type { GraphBuilder, Value } from './builder.ts';
import type { EmittedNodes } from './nodes.ts';
import type { ModelParameters } from './parameters.ts';
import { finalState, stateInput, stateShape } from './population.ts';
import { boolTensor, floatTensor, int64Tensor, type Tensor, type ValueInfo, valueInfo } from './proto.ts';
import { readoutStates } from './readout.ts';
import { finalSound, soundState } from './sound/features.ts';
import type { FrontEnd } from './sound/frontEnd.ts';
import { runningNorm, runningStates } from './sound/normalize.ts';
import { type Segmentation, silentSteps } from './stream.ts';

export function rateOutput(layer: string): string {
  return `rate.${layer}`;
}

/** A layer's output at every step. */
export function activityOutput(layer: string): string {
  return `activity.${layer}`;
}

/** What shapes the model's inputs and outputs, besides the network. */
export interface ModelShape {
  /** Null for whole sequences. */
  readonly segmentation: Segmentation | null;
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

/** The graph's inputs: of whole sequences, or of a stream's chunks where there is a segmentation. */
export function modelInputs(graph: Graph, parameters: ModelParameters, shape: ModelShape): ModelInput[] {
  return [
    { info: valueInfo('x', 'float32', inputShape(graph, shape)) },
    shape.segmentation ? resetInput() : lengthsInput(),
    ...modelStates(graph, parameters, shape).map(({ input, shape, initial }) => {
      const dims = shape(oneOrBatch(input));
      const defaultDims = initial.dims ?? dims.map((d) => (typeof d === 'number' ? d : 1));
      const doc = 'initial state; default: the one the model was evaluated with';
      const defaultValue = floatTensor(input, defaultDims, initial.values);
      return { info: valueInfo(input, 'float32', dims, doc), defaultValue };
    }),
  ];
}

function inputShape(graph: Graph, { frontEnd }: ModelShape): (string | number)[] {
  return frontEnd ? ['batch', 'samples'] : ['batch', 'time', sourceOf(graph).type.features];
}

function sourceOf(graph: Graph): GraphNode {
  const source = graph.nodes.find((node) => node.kind === 'source');
  if (!source) throw new Error(`graph "${graph.name}" has no source`);
  return source;
}

export function modelOutputs(graph: Graph, parameters: ModelParameters, shape: ModelShape): ModelOutput[] {
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
    ...modelStates(graph, parameters, shape).map(({ output, shape }) => ({
      info: valueInfo(output, 'float32', shape('batch'), 'after the last valid time step'),
      emit: (_: GraphBuilder, { finalStates }: EmittedNodes) => finalStates.get(output) as Value,
    })),
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

interface State {
  readonly input: string;
  readonly output: string;
  readonly shape: (rows: string) => (string | number)[];
  /** For one row; `dims` where they do not follow from the shape. */
  readonly initial: { readonly values: Float32Array; readonly dims?: readonly number[] };
}

function modelStates(graph: Graph, parameters: ModelParameters, { segmentation, frontEnd }: ModelShape): State[] {
  const layers = graph.nodes.filter((node): node is PopulationNode => node.kind === 'population');
  const states = layers.flatMap((node) =>
    node.step.states.map(({ name }) => ({
      input: stateInput(node.layer, name),
      output: finalState(node.layer, name),
      shape: (rows: string) => stateShape(node, rows),
      initial: { values: parameters.values(node.initialStates[name]) },
    })),
  );
  if (!segmentation) return states;
  return [...states, ...(frontEnd ? soundStates(frontEnd) : []), ...streamStates(graph, segmentation)];
}

/** What a stream of sound carries from chunk to chunk. */
function soundStates({ normalize, fbank }: FrontEnd): State[] {
  const waiting = {
    input: soundState,
    output: finalSound,
    // How many samples wait depends on the chunks so far.
    shape: (rows: string) => [rows, `${rows}.waiting`],
    initial: { values: new Float32Array(0), dims: [1, 0] },
  };
  if (normalize?.over !== 'past') return [waiting];
  const running = runningStates().map((name) => ({
    input: `state.${runningNorm}.${name}`,
    output: `final.${runningNorm}.${name}`,
    shape: (rows: string) => [rows, fbank.mels],
    initial: { values: new Float32Array(fbank.mels) },
  }));
  return [waiting, ...running];
}

/** What a stream carries from chunk to chunk besides the layers' states. */
function streamStates(graph: Graph, segmentation: Segmentation): State[] {
  const readouts = graph.nodes.filter((node): node is ReadoutNode => node.kind === 'readout');
  const pooled = readouts.flatMap((node) =>
    readoutStates(node, nodeById(graph, node.input).type.features, segmentation).map(({ name, shape, initial }) => ({
      input: stateInput(node.id, name),
      output: finalState(node.id, name),
      shape: (rows: string) => [rows, ...shape],
      initial: { values: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(initial) },
    })),
  );
  if (segmentation.kind !== 'silence') return pooled;
  const gate = {
    input: `state.${silentSteps}`,
    output: `final.${silentSteps}`,
    shape: (rows: string) => [rows, 1],
    // The silence before the first event is a pause like any other.
    initial: { values: Float32Array.of(segmentation.steps) },
  };
  return [...pooled, gate];
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
