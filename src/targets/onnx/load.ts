import { readFile } from 'node:fs/promises';
import { env, InferenceSession, Tensor } from 'onnxruntime-node';
import type { Call } from '../../data/config.ts';
import { UserError } from '../../diagnostics/diagnostic.ts';
import { formatVersion, metadataKeys } from './export.ts';
import { rateOutput } from './interface.ts';
import { decodeModel, encodeModel, type Model, type Tensor as TensorProto, tensorValues, toNumber } from './proto.ts';
import type { Segmentation } from './stream.ts';

export interface OnnxModelInfo {
  /** The version of sparchc that wrote the file. */
  readonly version: string;
  /** The resolved spec; null in files of earlier versions. */
  readonly spec: string | null;
  readonly specSha256: string;
  readonly license: string | null;
  readonly mode: Mode;
  /** Of a stream: what its scores are about. */
  readonly segmentation: Segmentation | null;
  /** What `x` is. */
  readonly input: 'features' | 'waveform';
  /** Of recordings, in Hz; null for other data. */
  readonly sampleRate: number | null;
  /** Recordings were read as if they had that rate. */
  readonly assumeRate: boolean;
  /** Of a time step; null where it has no duration. */
  readonly stepSeconds: number | null;
  /** What turns a recorded sample into `x`, in order. */
  readonly preprocessing: readonly Call[];
  /** The whole way from a sample to the network's features, for people. */
  readonly pipeline: string;
  /** Of a time step. */
  readonly features: number;
  readonly classes: number;
  /** By index; where the data had none, the indices. */
  readonly classNames: readonly string[];
  readonly layers: readonly { readonly layer: string; readonly features: number; readonly spiking: boolean }[];
}

export interface OnnxOptions {
  /** CPU threads; by default one per core. The results do not depend on it. */
  readonly threads?: number;
  /** What computes; `cpu` by default. */
  readonly provider?: Provider;
}

export const providers = ['cpu', 'webgpu', 'cuda'] as const;
export type Provider = (typeof providers)[number];

export type Mode = 'sequence' | 'step';

export interface LoadedFile {
  readonly session: InferenceSession;
  readonly info: OnnxModelInfo;
  /** True where the cross-entropy is that of every step's output. */
  readonly lossPerStep: boolean;
  /** By input name. */
  readonly defaults: ReadonlyMap<string, Tensor>;
}

/**
 * Loads a model that sparchc exported, for one mode or (null) whichever it has. Throws UserError SP621 (no such file), SP622 (corrupt) or SP623
 * (foreign, or of the other mode).
 */
export async function loadFile(path: string, mode: Mode | null, options: OnnxOptions): Promise<LoadedFile> {
  return loadBytes(await read(path), path, mode, options);
}

/** The same for a file's contents; `path` is for messages. */
export async function loadBytes(
  bytes: Uint8Array,
  path: string,
  mode: Mode | null,
  options: OnnxOptions,
): Promise<LoadedFile> {
  const model = decode(bytes, path);
  const info = modelInfo(model, path);
  requireMode(info.mode, mode, path);
  const defaults = takeDefaults(model, path);
  const session = await createSession(encodeModel(model), options, path);
  const expected = ['scores', ...info.layers.map(({ layer }) => rateOutput(layer))];
  if (!expected.every((name) => session.outputNames.includes(name))) throw corrupt(path);
  return { session, info, defaults, lossPerStep: metadataOf(model).get(metadataKeys.loss) === 'output' };
}

function requireMode(found: Mode, wanted: Mode | null, path: string): void {
  if (wanted === null || found === wanted) return;
  throw new UserError(
    'SP623',
    wanted === 'sequence'
      ? `"${path}" is a model of a stream and this takes whole sequences; export it again with --mode sequence`
      : `"${path}" is a model of whole sequences and this takes streams; export it again with --mode step`,
  );
}

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
    const text = (key: keyof typeof metadataKeys) => metadata.get(metadataKeys[key]) ?? null;
    const input = text('input') === 'waveform' ? 'waveform' : 'features';
    const { graph } = model;
    const [values] = [...graph.input, ...graph.output].filter(
      ({ name }) => name === (input === 'features' ? 'x' : 'features'),
    );
    const classes = Number(text('classes'));
    return {
      version: text('version') as string,
      spec: text('spec'),
      specSha256: text('specSha256') as string,
      license: text('license'),
      // Files written before there were two modes hold whole sequences.
      mode: text('mode') === 'step' ? 'step' : 'sequence',
      segmentation: JSON.parse(text('segmentation') ?? 'null'),
      input,
      sampleRate: JSON.parse(text('sampleRate') ?? 'null'),
      assumeRate: text('assumeRate') === 'true',
      stepSeconds: JSON.parse(text('stepSeconds') ?? 'null'),
      preprocessing: JSON.parse(text('preprocessing') ?? '[]'),
      pipeline: text('pipeline') ?? '',
      features: toNumber(values.type.tensorType.shape.dim[2].dimValue as number),
      classes,
      classNames: JSON.parse(text('classNames') ?? 'null') ?? Array.from({ length: classes }, (_, i) => `${i}`),
      layers: JSON.parse(text('layers') as string),
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
  if (values instanceof BigInt64Array) return new Tensor('int64', values, shape);
  if (values instanceof Uint8Array) return new Tensor('bool', values, shape);
  return new Tensor('float32', values, shape);
}

async function createSession(bytes: Uint8Array, options: OnnxOptions, path: string): Promise<InferenceSession> {
  const onePerCore = 0;
  const intraOpNumThreads = options.threads ?? onePerCore;
  const { provider = 'cpu' } = options;
  // What goes wrong is thrown, too; onnxruntime would also print it.
  env.logLevel = 'fatal';
  try {
    const executionProviders = [provider];
    return await InferenceSession.create(bytes, { intraOpNumThreads, logSeverityLevel: 3, executionProviders });
  } catch (cause) {
    throw provider === 'cpu' ? corrupt(path, cause) : absent(provider, cause);
  }
}

function absent(provider: Exclude<Provider, 'cpu'>, cause: unknown): UserError {
  const needs = {
    webgpu: 'a GPU with a Vulkan, Metal or Direct3D 12 driver',
    cuda: 'an NVIDIA GPU, CUDA, and the CUDA library of onnxruntime-node, which its install script downloads',
  };
  const message = `the provider "${provider}" cannot run the model here: it needs ${needs[provider]}; use --provider cpu`;
  return new UserError('SP629', message, { cause });
}
