import type { Call } from '../../data/config.ts';
import type { Graph } from '../../ir/graph.ts';
import { carryProducts } from '../../passes/carryProducts.ts';
import { deploy } from '../../passes/deploy.ts';
import type { Tensors } from '../target.ts';
import { emitStream } from './branches.ts';
import { GraphBuilder } from './builder.ts';
import { carriedStates } from './carried.ts';
import { compressWeights, type WeightType } from './compress.ts';
import { emitSequenceInput } from './input.ts';
import { modelInputs, modelOutputs } from './interface.ts';
import { formatVersion, metadataKeys } from './metadata.ts';
import { emitNodes } from './nodes.ts';
import { ModelParameters, requireParameters } from './parameters.ts';
import { encodeModel } from './proto.ts';
import { type FrontEnd, frontEndOf, requireCausalFrontEnd } from './sound/frontEnd.ts';
import type { CarriedState } from './stateVector.ts';
import { requireCausal, requireSilence, type Segmentation } from './stream.ts';

const irVersion = 8;
const opset = 17;
/** Where a model comes from and what its data was; what is not known is null. */
export interface ModelMetadata {
  /** The version of sparchc. */
  readonly version: string;
  readonly spec: string;
  readonly specSha256: string;
  readonly license: string | null;
  readonly classNames: readonly string[] | null;
  /** Of the recordings that the network was trained on, after resampling. */
  readonly sampleRate: number | null;
  /** Recordings were read as if they had that rate. */
  readonly assumeRate: boolean;
  readonly stepSeconds: number | null;
  /** What turns a recorded sample into features: the transforms of the spec, in order. */
  readonly preprocessing: readonly Call[];
  /** The same as text. */
  readonly pipeline: string;
}

export interface ExportOptions {
  /** Fold batchnorm into weights and compute constants (clamped parameters) here; otherwise they stay operators. */
  readonly fold: boolean;
  /** Makes it a model of a stream, fed chunk by chunk; without it, one of whole sequences. */
  readonly segmentation?: Segmentation;
  /** What `x` is: the features that the network takes (by default), or sound, which becomes features in the graph. */
  readonly input?: 'features' | 'waveform';
  /** Adds each layer's output at every step (`activity.LAYER`) to the outputs. */
  readonly record?: boolean;
  /** How the weights are stored, float32 by default; the others need `fold`. */
  readonly weights?: WeightType;
  readonly metadata: ModelMetadata;
}

/**
 * The trained network in evaluation mode as an ONNX model (standard operators of opset 17 only) of whole sequences or,
 * with a segmentation, of a stream. `docs/deploy.md` lists the inputs and outputs of both.
 *
 * Throws UserError SP620 where `parameters` do not fit the graph, SP626 where a stream cannot be run through it, SP630
 * where it cannot take sound.
 */
export function exportOnnx(graph: Graph, parameters: Tensors, options: ExportOptions): Uint8Array {
  const { fold, segmentation = null, record = false, weights = 'float32' } = options;
  if (!fold && weights !== 'float32') throw new Error('only folded weights can be compressed');
  const frontEnd = soundFrontEnd(options);
  if (segmentation) {
    requireCausal(graph, options.metadata.preprocessing);
    requireSilence(segmentation, options.metadata.preprocessing, options.input ?? 'features');
  }
  if (segmentation && frontEnd) requireCausalFrontEnd(frontEnd);
  const builder = new GraphBuilder();
  requireParameters(graph, parameters);
  // A large diagonal would leave the rest of its channel few of the integers.
  const deployed = fold ? deploy(graph, weights !== 'int8') : null;
  const deployment = segmentation && deployed ? carryProducts(deployed) : deployed;
  const emittedGraph = deployment?.graph ?? graph;
  const model = new ModelParameters(
    builder,
    emittedGraph.parameters,
    deployment?.values(parameters) ?? parameters,
    fold,
  );
  const populations = deployment?.populations ?? new Map();
  const carried = segmentation && carriedStates(emittedGraph, model, segmentation, frontEnd);
  const shape = { carried, frontEnd, record };
  const inputs = modelInputs(graph, model, shape);
  const outputs = modelOutputs(graph, shape);
  for (const { info } of [...inputs, ...outputs]) builder.name(info.name);
  const network = { graph: emittedGraph, populations, parameters: model, weights };
  if (carried) emitStream(builder, network, { segmentation, frontEnd, carried }, outputs);
  else {
    const emitted = emitNodes(builder, network, emitSequenceInput(builder, frontEnd));
    for (const { info, emit } of outputs) builder.node('Identity', [emit(builder, emitted)], [info.name]);
  }
  const exported = {
    irVersion,
    producerName: 'sparchc',
    producerVersion: options.metadata.version,
    docString: graph.name,
    opsetImport: [{ domain: '', version: opset }],
    metadataProps: Object.entries(metadataOf(graph, options, frontEnd, carried)).map(([key, value]) => ({
      key,
      value,
    })),
    graph: {
      name: graph.name,
      node: builder.nodes,
      initializer: [...builder.initializers, ...inputs.flatMap(({ defaultValue }) => defaultValue ?? [])],
      input: inputs.map(({ info }) => info),
      output: outputs.map(({ info }) => info),
    },
  };
  return encodeModel(compressWeights(exported, weights));
}

function soundFrontEnd({ input = 'features', metadata }: ExportOptions): FrontEnd | null {
  return input === 'waveform' ? frontEndOf(metadata.preprocessing, metadata.sampleRate) : null;
}

function metadataOf(
  graph: Graph,
  { metadata, segmentation, weights = 'float32' }: ExportOptions,
  frontEnd: FrontEnd | null,
  carried: readonly CarriedState[] | null,
): Record<string, string> {
  const { license, classNames, sampleRate, assumeRate, stepSeconds, preprocessing } = metadata;
  const outside = frontEnd ? preprocessing.filter(({ type }) => type === 'resample') : preprocessing;
  return {
    [metadataKeys.format]: `${formatVersion}`,
    [metadataKeys.version]: metadata.version,
    [metadataKeys.spec]: metadata.spec,
    [metadataKeys.specSha256]: metadata.specSha256,
    ...(license !== null && { [metadataKeys.license]: license }),
    [metadataKeys.classes]: `${graph.classes}`,
    ...(classNames !== null && { [metadataKeys.classNames]: JSON.stringify(classNames) }),
    [metadataKeys.input]: frontEnd ? 'waveform' : 'features',
    ...(sampleRate !== null && { [metadataKeys.sampleRate]: `${sampleRate}` }),
    ...(assumeRate && { [metadataKeys.assumeRate]: 'true' }),
    ...(stepSeconds !== null && { [metadataKeys.stepSeconds]: `${stepSeconds}` }),
    [metadataKeys.preprocessing]: JSON.stringify(outside),
    [metadataKeys.pipeline]: metadata.pipeline,
    [metadataKeys.layers]: JSON.stringify(
      graph.layers.map(({ layer, features, spiking }) => ({ layer, features, spiking })),
    ),
    [metadataKeys.loss]: graph.loss.scores === graph.prediction ? 'scores' : 'output',
    [metadataKeys.weights]: weights,
    [metadataKeys.mode]: segmentation ? 'step' : 'sequence',
    ...(segmentation && { [metadataKeys.segmentation]: JSON.stringify(segmentation) }),
    ...(carried && { [metadataKeys.state]: JSON.stringify(carried.map(({ name, shape }) => ({ name, shape }))) }),
  };
}
