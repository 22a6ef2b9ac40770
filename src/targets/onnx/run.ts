import { readFile } from 'node:fs/promises';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { type Batch, toDense } from '../../data/batch.ts';
import { UserError } from '../../diagnostics/diagnostic.ts';
import type { Tensors } from '../target.ts';
import { formatVersion, metadataKeys, rateOutput } from './export.ts';
import { batchLoss, meanRates } from './measures.ts';
import {
  decodeModel,
  encodeModel,
  type Model,
  type Tensor as TensorProto,
  tensorValues,
  toNumber,
  type ValueInfo,
} from './proto.ts';

export interface OnnxModelInfo {
  /** The version of sparchc that wrote the file. */
  readonly version: string;
  readonly specSha256: string;
  readonly features: number;
  readonly classes: number;
  readonly layers: readonly { readonly layer: string; readonly features: number; readonly spiking: boolean }[];
}

export interface OnnxResult {
  /** Mean cross-entropy over the samples (or over all valid time steps, for a model trained at every step). */
  readonly loss: number;
  /** [batch, classes] */
  readonly scores: Float32Array;
  /** Mean over batch and valid time of every layer's output, per neuron, by layer. */
  readonly firingRates: Tensors;
  /** [batch, time, features], where the model gives a sequence. */
  readonly output?: Float32Array;
  /** States after the last valid step by input name (`state.LAYER.STATE`), [rows, size]. */
  readonly finalStates: Tensors;
}

export interface OnnxModel {
  readonly info: OnnxModelInfo;
  /**
   * `initialStates` by input name (`state.LAYER.STATE`): [batch, size], or [2, batch, size] in bidirectional layers;
   * what is absent starts from the model's fixed state. Throws UserError SP624 where the batch does not fit the model.
   */
  evaluate(batch: Batch, initialStates?: Tensors): Promise<OnnxResult>;
  dispose(): Promise<void>;
}

export interface OnnxOptions {
  /** CPU threads; by default one per core. The results do not depend on it. */
  readonly threads?: number;
}

/** Loads a model that sparchc exported. Throws UserError SP621 (no such file), SP622 (corrupt) or SP623 (foreign). */
export async function openOnnx(path: string, options: OnnxOptions = {}): Promise<OnnxModel> {
  const model = decode(await read(path), path);
  const info = modelInfo(model, path);
  const defaults = takeDefaults(model, path);
  const session = await createSession(encodeModel(model), options, path);
  const expected = ['scores', ...info.layers.map(({ layer }) => rateOutput(layer))];
  if (!expected.every((name) => session.outputNames.includes(name))) throw corrupt(path);
  return new LoadedModel(session, info, metadataOf(model).get(metadataKeys.loss) === 'output', defaults);
}

// Reading

async function read(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    const why = missing ? 'there is no such file' : (cause as Error).message;
    throw new UserError(
      'SP621',
      `cannot read the model "${path}": ${why}; give the path of a file that "sparchc export" wrote`,
      { exitCode: 2, cause },
    );
  }
}

function decode(bytes: Uint8Array, path: string): Model {
  try {
    return decodeModel(bytes);
  } catch (cause) {
    throw corrupt(path, cause);
  }
}

function corrupt(path: string, cause?: unknown): UserError {
  const message = `"${path}" is not an ONNX model, or was cut off or damaged; export it again with "sparchc export RUN"`;
  return new UserError('SP622', message, { cause });
}

function foreign(path: string, why: string): UserError {
  return new UserError('SP623', `"${path}" ${why}; give a model that "sparchc export RUN" wrote`);
}

function metadataOf(model: Model): ReadonlyMap<string, string> {
  return new Map((model.metadataProps ?? []).map(({ key, value }) => [key, value]));
}

function modelInfo(model: Model, path: string): OnnxModelInfo {
  const metadata = metadataOf(model);
  const format = metadata.get(metadataKeys.format);
  if (format === undefined) throw foreign(path, 'was not exported by sparchc, or is incomplete');
  if (format !== `${formatVersion}`) {
    throw foreign(path, `has the format ${format} of another version of sparchc and this one reads ${formatVersion}`);
  }
  try {
    const x = model.graph.input.find(({ name }) => name === 'x') as ValueInfo;
    return {
      version: metadata.get(metadataKeys.version) as string,
      specSha256: metadata.get(metadataKeys.specSha256) as string,
      features: toNumber(x.type.tensorType.shape.dim[2].dimValue as number),
      classes: Number(metadata.get(metadataKeys.classes)),
      layers: JSON.parse(metadata.get(metadataKeys.layers) as string),
    };
  } catch (cause) {
    throw corrupt(path, cause);
  }
}

/**
 * onnxruntime-node cannot feed an input that has a default (it ignores it), so defaults are taken out of the model and
 * fed like any other value.
 */
function takeDefaults(model: Model, path: string): ReadonlyMap<string, Tensor> {
  const { graph } = model;
  const names = new Set(graph.input.map((input) => input.name));
  const defaults = graph.initializer.filter((tensor) => names.has(tensor.name));
  graph.initializer = graph.initializer.filter((tensor) => !names.has(tensor.name));
  try {
    return new Map(defaults.map((tensor) => [tensor.name, toRuntime(tensor)]));
  } catch (cause) {
    throw corrupt(path, cause);
  }
}

function toRuntime(tensor: TensorProto): Tensor {
  const values = tensorValues(tensor);
  const shape = tensor.dims.map(toNumber);
  return values instanceof BigInt64Array ? new Tensor('int64', values, shape) : new Tensor('float32', values, shape);
}

async function createSession(bytes: Uint8Array, options: OnnxOptions, path: string): Promise<InferenceSession> {
  const onePerCore = 0;
  const intraOpNumThreads = options.threads ?? onePerCore;
  try {
    return await InferenceSession.create(bytes, { intraOpNumThreads, logSeverityLevel: 3 });
  } catch (cause) {
    throw corrupt(path, cause);
  }
}

// Running

class LoadedModel implements OnnxModel {
  readonly info: OnnxModelInfo;
  private readonly session: InferenceSession;
  private readonly lossPerStep: boolean;
  private readonly defaults: ReadonlyMap<string, Tensor>;

  constructor(
    session: InferenceSession,
    info: OnnxModelInfo,
    lossPerStep: boolean,
    defaults: ReadonlyMap<string, Tensor>,
  ) {
    this.session = session;
    this.info = info;
    this.lossPerStep = lossPerStep;
    this.defaults = defaults;
  }

  async evaluate(batch: Batch, initialStates: Tensors = new Map()): Promise<OnnxResult> {
    this.requireFit(batch);
    const results = await this.session.run(this.feeds(batch, initialStates));
    const values = (name: string) => results[name].data as Float32Array;
    const scores = values('scores');
    const output = 'output' in results ? values('output') : undefined;
    const layers = this.info.layers.map(({ layer }) => layer);
    const named = (prefix: string) => this.session.outputNames.filter((name) => name.startsWith(prefix));
    return {
      scores,
      output,
      loss: batchLoss(this.lossPerStep && output ? output : scores, batch, this.info.classes, this.lossPerStep),
      firingRates: new Map(layers.map((layer) => [layer, meanRates(values(rateOutput(layer)), batch)])),
      finalStates: new Map(named('final.').map((name) => [name.replace('final.', 'state.'), values(name)])),
    };
  }

  dispose(): Promise<void> {
    return this.session.release();
  }

  private requireFit(batch: Batch): void {
    const { features, classes } = this.info;
    if (batch.features !== features) {
      const message = `the model takes ${features} features per time step but the data has ${batch.features}; use the data it was trained on`;
      throw new UserError('SP624', message);
    }
    const label = batch.labels.find((l) => l < 0 || l >= classes);
    if (label !== undefined) {
      throw new UserError(
        'SP624',
        `the model knows ${classes} classes but the data has the label ${label}; use the data it was trained on`,
      );
    }
  }

  private feeds(batch: Batch, initialStates: Tensors): Record<string, Tensor> {
    const feeds: Record<string, Tensor> = Object.fromEntries(this.defaults);
    feeds.x = new Tensor('float32', toDense(batch), [batch.size, batch.steps, batch.features]);
    if (batch.lengths) feeds.lengths = new Tensor('int64', BigInt64Array.from(batch.lengths, BigInt), [batch.size]);
    for (const [name, values] of initialStates) {
      const shape = this.defaults.get(name)?.dims;
      if (!shape) throw new Error(`the model has no initial state "${name}"`);
      feeds[name] = new Tensor('float32', values, shape.with(-2, batch.size));
    }
    return feeds;
  }
}
