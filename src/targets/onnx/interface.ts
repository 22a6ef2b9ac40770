import { type Graph, nodeById, type PopulationNode, type ReadoutNode } from '../../ir/graph.ts';
import type { GraphBuilder, Value } from './builder.ts';
import type { EmittedNodes } from './nodes.ts';
import type { ModelParameters } from './parameters.ts';
import { finalState, stateInput, stateShape } from './population.ts';
import { boolTensor, floatTensor, int64Tensor, type Tensor, type ValueInfo, valueInfo } from './proto.ts';
import { readoutStates } from './readout.ts';
import { type Segmentation, silentSteps } from './stream.ts';

export function rateOutput(layer: string): string {
  return `rate.${layer}`;
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
export function modelInputs(
  graph: Graph,
  parameters: ModelParameters,
  segmentation: Segmentation | null,
): ModelInput[] {
  const source = graph.nodes.find((node) => node.kind === 'source');
  if (!source) throw new Error(`graph "${graph.name}" has no source`);
  return [
    { info: valueInfo('x', 'float32', ['batch', 'time', source.type.features]) },
    segmentation ? resetInput() : lengthsInput(),
    ...modelStates(graph, parameters, segmentation).map(({ input, shape, initial }) => {
      const dims = shape(oneOrBatch(input));
      const defaultDims = dims.map((d) => (typeof d === 'number' ? d : 1));
      const doc = 'initial state; default: the one the model was evaluated with';
      return { info: valueInfo(input, 'float32', dims, doc), defaultValue: floatTensor(input, defaultDims, initial) };
    }),
  ];
}

export function modelOutputs(
  graph: Graph,
  parameters: ModelParameters,
  segmentation: Segmentation | null,
): ModelOutput[] {
  return [
    {
      info: valueInfo('scores', 'float32', ['batch', graph.classes], 'the class is the argmax'),
      emit: (_, { values }) => values.get(graph.prediction) as Value,
    },
    ...sequenceOutput(graph),
    ...graph.layers.map(({ layer, output, features }) => ({
      info: valueInfo(rateOutput(layer), 'float32', ['batch', features], 'mean activity over the valid time steps'),
      emit: (_: GraphBuilder, { values, time }: EmittedNodes) =>
        time.mean(values.get(output) as Value, `${layer}.rate`),
    })),
    ...modelStates(graph, parameters, segmentation).map(({ output, shape }) => ({
      info: valueInfo(output, 'float32', shape('batch'), 'after the last valid time step'),
      emit: (_: GraphBuilder, { finalStates }: EmittedNodes) => finalStates.get(output) as Value,
    })),
  ];
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
  /** For one row. */
  readonly initial: Float32Array;
}

function modelStates(graph: Graph, parameters: ModelParameters, segmentation: Segmentation | null): State[] {
  const layers = graph.nodes.filter((node): node is PopulationNode => node.kind === 'population');
  const states = layers.flatMap((node) =>
    node.step.states.map(({ name }) => ({
      input: stateInput(node.layer, name),
      output: finalState(node.layer, name),
      shape: (rows: string) => stateShape(node, rows),
      initial: parameters.values(node.initialStates[name]),
    })),
  );
  return segmentation ? [...states, ...streamStates(graph, segmentation)] : states;
}

/** What a stream carries from chunk to chunk besides the layers' states. */
function streamStates(graph: Graph, segmentation: Segmentation): State[] {
  const readouts = graph.nodes.filter((node): node is ReadoutNode => node.kind === 'readout');
  const pooled = readouts.flatMap((node) =>
    readoutStates(node, nodeById(graph, node.input).type.features, segmentation).map(({ name, shape, initial }) => ({
      input: stateInput(node.id, name),
      output: finalState(node.id, name),
      shape: (rows: string) => [rows, ...shape],
      initial: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(initial),
    })),
  );
  if (segmentation.kind !== 'silence') return pooled;
  const gate = {
    input: `state.${silentSteps}`,
    output: `final.${silentSteps}`,
    shape: (rows: string) => [rows, 1],
    // The silence before the first event is a pause like any other.
    initial: Float32Array.of(segmentation.steps),
  };
  return [...pooled, gate];
}

function sequenceOutput(graph: Graph): ModelOutput[] {
  if (graph.output === graph.prediction) return [];
  const { features, time } = nodeById(graph, graph.output).type;
  if (!time) throw new Error('an output without time is the prediction');
  return [
    {
      info: valueInfo('output', 'float32', ['batch', 'time', features], 'the sequence that the model computes'),
      emit: (builder, { values }) => batchMajor(builder, values.get(graph.output) as Value),
    },
  ];
}

/** [time, batch, features] -> [batch, time, features] */
function batchMajor(builder: GraphBuilder, sequence: Value): Value {
  return builder.op('Transpose', [sequence], `${sequence}.batch_major`, { perm: [1, 0, 2] });
}
