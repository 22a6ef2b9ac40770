import { readFile } from 'node:fs/promises';
import { env, InferenceSession, Tensor } from 'onnxruntime-node';
import { UserError } from '../../diagnostics/diagnostic.ts';
import { type Mode, type OnnxModelInfo, readInfo } from './info.ts';
import { rateOutput } from './interface.ts';
import { formatVersion } from './metadata.ts';
import { decodeModel, encodeModel, type Model, type Tensor as TensorProto, tensorValues, toNumber } from './proto.ts';
import { nextStateVector } from './stateVector.ts';

export interface OnnxOptions {
  /** CPU threads; by default one per core. The results do not depend on it. */
  readonly threads?: number;
  /** What computes; `cpu` by default. */
  readonly provider?: Provider;
}

export const providers = ['cpu', 'webgpu', 'cuda'] as const;
export type Provider = (typeof providers)[number];

export interface LoadedFile {
  readonly session: InferenceSession;
  readonly info: OnnxModelInfo;
  /** True where the cross-entropy is that of every step's output. */
  readonly lossPerStep: boolean;
  /** By input name. */
  readonly defaults: ReadonlyMap<string, Tensor>;
  /** Runs the session, for some of its outputs or all of them. Throws UserError SP622 where that fails. */
  readonly run: (feeds: Record<string, Tensor>, outputs?: readonly string[]) => Promise<Record<string, Tensor>>;
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
  const read = readInfo(model);
  if ('foreign' in read) throw foreign(path, read.foreign);
  if ('otherFormat' in read) throw ofOtherVersion(path, read.otherFormat);
  if ('corrupt' in read) throw corrupt(path, read.corrupt);
  const { info, lossPerStep } = read;
  requireMode(info.mode, mode, path);
  const defaults = takeDefaults(model, path);
  const session = await createSession(encodeModel(model), options, path);
  const states = info.mode === 'step' ? [nextStateVector] : [];
  const expected = ['scores', ...info.layers.map(({ layer }) => rateOutput(layer)), ...states];
  const known = new Set(['x', ...defaults.keys()]);
  const isOurs =
    expected.every((name) => session.outputNames.includes(name)) && session.inputNames.every((name) => known.has(name));
  if (!isOurs) throw corrupt(path);
  return { session, info, defaults, lossPerStep, run: runner(session, path) };
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

function ofOtherVersion(path: string, format: string): UserError {
  const why = `has the format ${format} of another version of sparchc and this one reads ${formatVersion}`;
  return new UserError('SP623', `"${path}" ${why}; export it again with "sparchc export RUN"`);
}

function foreign(path: string, why: string): UserError {
  return new UserError('SP623', `"${path}" ${why}; give a model that "sparchc export RUN" wrote`);
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

function runner(session: InferenceSession, path: string): LoadedFile['run'] {
  return async (feeds, outputs = session.outputNames) => {
    try {
      return (await session.run(feeds, outputs)) as Record<string, Tensor>;
    } catch (cause) {
      throw corrupt(path, cause);
    }
  };
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
