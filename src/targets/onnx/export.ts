import { type Graph, nodeById, type PopulationNode } from '../../ir/graph.ts';
import type { Tensors } from '../target.ts';
import { GraphBuilder, type Value } from './builder.ts';
import { type EmittedNodes, emitNodes } from './nodes.ts';
import { ModelParameters } from './parameters.ts';
import { finalState, stateInput, stateShape } from './population.ts';
import { encodeModel, floatTensor, int64Tensor, type Tensor, type ValueInfo, valueInfo } from './proto.ts';

const irVersion = 8;
const opset = 17;
/** Of the model's interface: names and shapes of inputs and outputs, metadata keys. */
export const formatVersion = 1;

export const metadataKeys = {
  format: 'sparchc.format',
  version: 'sparchc.version',
  specSha256: 'sparchc.spec_sha256',
  classes: 'sparchc.classes',
  /** JSON: [{layer, features, spiking}], those with a `rate.LAYER` output. */
  layers: 'sparchc.layers',
  /** Which output the cross-entropy is computed from: `scores`, or `output` at every time step. */
  loss: 'sparchc.loss',
} as const;

export function rateOutput(layer: string): string {
  return `rate.${layer}`;
}

export interface ExportOptions {
  /** Fold batchnorm into weights and compute constants (clamped parameters) here; otherwise they stay operators. */
  readonly fold: boolean;
  readonly metadata: {
    /** The version of sparchc. */
    readonly version: string;
    readonly specSha256: string;
  };
}

/**
 * The trained network in evaluation mode as an ONNX model of whole sequences (standard operators of opset 17 only).
 *
 * Inputs, float32 unless said otherwise:
 * - `x` [batch, time, features]
 * - `lengths` [batch] or [1] of int64, optional: valid time steps of each sample (at least 1; default: all)
 * - `state.LAYER.STATE` [batch, size] or [1, size] ([2, ...] first in bidirectional layers: forward, reversed), optional:
 *   a layer's initial state; default: the fixed one the model was evaluated with
 *
 * Outputs:
 * - `scores` [batch, classes]: the class is the argmax
 * - `output` [batch, time, features]: only where the model's output is not `scores` but a sequence
 * - `rate.LAYER` [batch, features]: mean over the valid time steps
 * - `final.LAYER.STATE`, shaped as `state.LAYER.STATE`: the state after the last valid step
 *
 * Throws UserError SP620 where `parameters` do not fit the graph.
 */
export function exportOnnx(graph: Graph, parameters: Tensors, options: ExportOptions): Uint8Array {
  const builder = new GraphBuilder();
  const model = new ModelParameters(builder, graph, parameters);
  const inputs = modelInputs(graph, model);
  const outputs = modelOutputs(graph);
  for (const { info } of [...inputs, ...outputs]) builder.name(info.name);
  const emitted = emitNodes(builder, graph, model, options.fold);
  for (const { info, emit } of outputs) builder.node('Identity', [emit(builder, emitted)], [info.name]);
  return encodeModel({
    irVersion,
    producerName: 'sparchc',
    producerVersion: options.metadata.version,
    docString: graph.name,
    opsetImport: [{ domain: '', version: opset }],
    metadataProps: Object.entries(metadata(graph, options)).map(([key, value]) => ({ key, value })),
    graph: {
      name: graph.name,
      node: builder.nodes,
      initializer: [...builder.initializers, ...inputs.flatMap(({ defaultValue }) => defaultValue ?? [])],
      input: inputs.map(({ info }) => info),
      output: outputs.map(({ info }) => info),
    },
  });
}

interface Input {
  readonly info: ValueInfo;
  /** An initializer of the same name makes an input optional. */
  readonly defaultValue?: Tensor;
}

const allSteps = 2n ** 63n - 1n;

function modelInputs(graph: Graph, parameters: ModelParameters): Input[] {
  const source = graph.nodes.find((node) => node.kind === 'source');
  if (!source) throw new Error(`graph "${graph.name}" has no source`);
  const lengths = valueInfo(
    'lengths',
    'int64',
    [oneOrBatch('lengths')],
    'valid time steps of each sample; default: all',
  );
  return [
    { info: valueInfo('x', 'float32', ['batch', 'time', source.type.features]) },
    { info: lengths, defaultValue: int64Tensor('lengths', [1], [allSteps]) },
    ...populations(graph).flatMap((node) =>
      node.step.states.map(({ name }) => {
        const input = stateInput(node, name);
        const shape = stateShape(node, oneOrBatch(input));
        const values = parameters.values(node.initialStates[name]);
        const dims = shape.map((d) => (typeof d === 'number' ? d : 1));
        return {
          info: valueInfo(input, 'float32', shape, 'initial state; default: the one the model was evaluated with'),
          defaultValue: floatTensor(input, dims, values),
        };
      }),
    ),
  ];
}

/** Each such dimension has its own name: onnxruntime takes those of one name for equal. */
function oneOrBatch(input: string): string {
  return `${input}.batch_or_1`;
}

interface Output {
  readonly info: ValueInfo;
  readonly emit: (builder: GraphBuilder, emitted: EmittedNodes) => Value;
}

function modelOutputs(graph: Graph): Output[] {
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
    ...populations(graph).flatMap((node) =>
      node.step.states.map(({ name }) => ({
        info: valueInfo(finalState(node, name), 'float32', stateShape(node, 'batch'), 'after the last valid time step'),
        emit: (_: GraphBuilder, { finalStates }: EmittedNodes) => finalStates.get(finalState(node, name)) as Value,
      })),
    ),
  ];
}

function sequenceOutput(graph: Graph): Output[] {
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

function metadata(graph: Graph, { metadata }: ExportOptions): Record<string, string> {
  return {
    [metadataKeys.format]: `${formatVersion}`,
    [metadataKeys.version]: metadata.version,
    [metadataKeys.specSha256]: metadata.specSha256,
    [metadataKeys.classes]: `${graph.classes}`,
    [metadataKeys.layers]: JSON.stringify(
      graph.layers.map(({ layer, features, spiking }) => ({ layer, features, spiking })),
    ),
    [metadataKeys.loss]: graph.loss.scores === graph.prediction ? 'scores' : 'output',
  };
}

function populations(graph: Graph): PopulationNode[] {
  return graph.nodes.filter((node) => node.kind === 'population');
}
