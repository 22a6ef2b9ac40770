import type { Call } from '../../data/config.ts';
import type { Graph } from '../../ir/graph.ts';
import type { Tensors } from '../target.ts';
import { GraphBuilder } from './builder.ts';
import { compressWeights, type WeightType } from './compress.ts';
import { modelInputs, modelOutputs } from './interface.ts';
import { emitNodes } from './nodes.ts';
import { ModelParameters } from './parameters.ts';
import { encodeModel } from './proto.ts';
import { requireCausal, type Segmentation } from './stream.ts';

const irVersion = 8;
const opset = 17;
/** Of the model's interface: names and shapes of inputs and outputs, metadata keys. */
export const formatVersion = 1;

export const metadataKeys = {
  format: 'sparchc.format',
  version: 'sparchc.version',
  specSha256: 'sparchc.spec_sha256',
  classes: 'sparchc.classes',
  /** JSON: [{type, params}], SI units. */
  preprocessing: 'sparchc.preprocessing',
  /** JSON: [{layer, features, spiking}], those with a `rate.LAYER` output. */
  layers: 'sparchc.layers',
  /** Which output the cross-entropy is computed from: `scores`, or `output` at every time step. */
  loss: 'sparchc.loss',
  /** `sequence` or `step`: whole sequences, or chunks of a stream. */
  mode: 'sparchc.mode',
  /** JSON: the `Segmentation` of a stream. */
  segmentation: 'sparchc.segmentation',
  /** How the weights are stored: `float32`, `float16` or `int8`. */
  weights: 'sparchc.weights',
} as const;

export interface ExportOptions {
  /** Fold batchnorm into weights and compute constants (clamped parameters) here; otherwise they stay operators. */
  readonly fold: boolean;
  /** Makes it a model of a stream, fed chunk by chunk; without it, one of whole sequences. */
  readonly segmentation?: Segmentation;
  /** How the weights are stored, float32 by default; the others need `fold`. */
  readonly weights?: WeightType;
  readonly metadata: {
    /** The version of sparchc. */
    readonly version: string;
    readonly specSha256: string;
    /** What turns a recorded sample into `x`: the transforms of the spec, in order. */
    readonly preprocessing: readonly Call[];
  };
}

/**
 * The trained network in evaluation mode as an ONNX model (standard operators of opset 17 only) of whole sequences or,
 * with a segmentation, of a stream. `docs/deploy.md` lists the inputs and outputs of both.
 *
 * Throws UserError SP620 where `parameters` do not fit the graph, SP626 where a stream cannot be run through it.
 */
export function exportOnnx(graph: Graph, parameters: Tensors, options: ExportOptions): Uint8Array {
  const { fold, segmentation = null, weights = 'float32' } = options;
  if (!fold && weights !== 'float32') throw new Error('only folded weights can be compressed');
  if (segmentation) requireCausal(graph, options.metadata.preprocessing);
  const builder = new GraphBuilder();
  const model = new ModelParameters(builder, graph, parameters);
  const inputs = modelInputs(graph, model, segmentation);
  const outputs = modelOutputs(graph, model, segmentation);
  for (const { info } of [...inputs, ...outputs]) builder.name(info.name);
  const emitted = emitNodes(builder, graph, model, fold, segmentation);
  for (const { info, emit } of outputs) builder.node('Identity', [emit(builder, emitted)], [info.name]);
  const exported = {
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
  };
  return encodeModel(compressWeights(exported, weights));
}

function metadata(
  graph: Graph,
  { metadata, segmentation, weights = 'float32' }: ExportOptions,
): Record<string, string> {
  return {
    [metadataKeys.format]: `${formatVersion}`,
    [metadataKeys.version]: metadata.version,
    [metadataKeys.specSha256]: metadata.specSha256,
    [metadataKeys.preprocessing]: JSON.stringify(metadata.preprocessing),
    [metadataKeys.classes]: `${graph.classes}`,
    [metadataKeys.layers]: JSON.stringify(
      graph.layers.map(({ layer, features, spiking }) => ({ layer, features, spiking })),
    ),
    [metadataKeys.loss]: graph.loss.scores === graph.prediction ? 'scores' : 'output',
    [metadataKeys.weights]: weights,
    [metadataKeys.mode]: segmentation ? 'step' : 'sequence',
    ...(segmentation && { [metadataKeys.segmentation]: JSON.stringify(segmentation) }),
  };
}
