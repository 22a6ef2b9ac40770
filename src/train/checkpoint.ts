import { readFile } from 'node:fs/promises';
import { Ajv, type ValidateFunction } from 'ajv';
import type { DataFacts } from '../data/pipeline.ts';
import { UserError } from '../diagnostics/diagnostic.ts';
import type { Graph } from '../ir/graph.ts';
import type { Tensors } from '../targets/target.ts';
import { writeFileAtomically } from './atomicFile.ts';
import { decodeSafetensors, encodeSafetensors, type Tensor } from './safetensors.ts';
import type { TrainingState } from './state.ts';

/**
 * One safetensors file: parameters and buffers under the reference's names (`snn.0.W.weight`, ...), the optimiser's
 * memory under `optimizer.`, and everything else as JSON under `sparchc` in the metadata. Being one file, it is
 * replaced as a whole.
 */
export interface Checkpoint {
  readonly weights: Tensors;
  /** Empty where the checkpoint is for evaluation only. */
  readonly optimizer: Tensors;
  readonly info: CheckpointInfo;
}

export interface CheckpointInfo {
  /** Name of the target that trained it: only the same one resumes it exactly. */
  readonly target: string;
  readonly specSha256: string;
  readonly state: TrainingState;
  /** What the training data told; absent in imported models and those of earlier versions. */
  readonly data?: DataFacts;
}

const OPTIMIZER_PREFIX = 'optimizer.';
const METADATA_KEY = 'sparchc';

/** Throws UserError SP811 when the file cannot be written; the checkpoint that was there is then still intact. */
export async function writeCheckpoint(path: string, graph: Graph, checkpoint: Checkpoint): Promise<void> {
  const tensors = new Map<string, Tensor>();
  for (const { key, shape } of graph.parameters) {
    const data = checkpoint.weights.get(key);
    if (!data) throw new Error(`the model has no parameter "${key}"`);
    tensors.set(key, { shape, data });
  }
  for (const [key, data] of checkpoint.optimizer) tensors.set(OPTIMIZER_PREFIX + key, { shape: [data.length], data });
  const metadata = { format: 'pt', [METADATA_KEY]: JSON.stringify(checkpoint.info) };
  await writeFileAtomically(path, encodeSafetensors({ tensors, metadata }));
}

/** The first of the weights that are not all finite, if any. */
export function notFinite(weights: Tensors): string | undefined {
  for (const [key, data] of weights) if (!allFinite(data)) return key;
  return undefined;
}

/** A sum of zeros is 0; infinities and NaN times 0 are NaN. */
function allFinite(values: Float32Array): boolean {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += 0 * values[i];
  return sum === 0;
}

/**
 * Throws UserError SP812 where there is no such file, SP810 where it is damaged or no checkpoint of sparchc, SP813 where
 * it belongs to another network than `graph`.
 */
export async function readCheckpoint(path: string, graph: Graph): Promise<Checkpoint> {
  const { tensors, info } = await readAnyCheckpoint(path);
  const weights = new Map<string, Float32Array>();
  for (const parameter of graph.parameters) {
    weights.set(parameter.key, weightOf(parameter, tensors.get(parameter.key), path));
  }
  const optimizer = new Map<string, Float32Array>();
  for (const [name, { data }] of tensors) {
    if (weights.has(name)) continue;
    if (!name.startsWith(OPTIMIZER_PREFIX) || !(data instanceof Float32Array)) {
      throw otherNetwork(path, `its tensor "${name}" has no place in the network`);
    }
    optimizer.set(name.slice(OPTIMIZER_PREFIX.length), data);
  }
  return { weights, optimizer, info };
}

/**
 * A checkpoint of whatever network. Throws UserError SP812 where there is no such file, SP810 where it is damaged or no
 * checkpoint of sparchc.
 */
export async function readAnyCheckpoint(path: string) {
  const { tensors, metadata } = decodeSafetensors(await readBytes(path), path);
  return { tensors, info: parseInfo(metadata[METADATA_KEY], path) };
}

async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new UserError('SP812', `there is no readable checkpoint "${path}"`, { cause });
  }
}

function weightOf(parameter: Graph['parameters'][number], tensor: Tensor | undefined, path: string): Float32Array {
  if (!tensor) throw otherNetwork(path, `it has no tensor "${parameter.key}"`);
  const { shape, data } = tensor;
  if (!(data instanceof Float32Array) || shape.join() !== parameter.shape.join()) {
    throw otherNetwork(path, `its "${parameter.key}" is [${shape}] and the network's is [${parameter.shape}]`);
  }
  return data;
}

function otherNetwork(path: string, how: string): UserError {
  return new UserError('SP813', `"${path}" belongs to another network than the spec describes: ${how}`);
}

const natural = { type: 'integer', minimum: 0 };
const number = { type: 'number' };

function object(properties: Record<string, unknown>, optional: Record<string, unknown> = {}) {
  return { type: 'object', properties: { ...properties, ...optional }, required: Object.keys(properties) };
}

function nullable(schema: unknown) {
  return { anyOf: [schema, { type: 'null' }] };
}

const validatedEpoch = object({ epoch: { type: 'integer', minimum: 1 }, accuracy: number, loss: number });

const infoSchema = object(
  {
    target: { type: 'string' },
    specSha256: { type: 'string' },
    state: object(
      {
        epoch: { type: 'integer', minimum: 1 },
        batch: natural,
        train: object({
          samples: natural,
          loss: number,
          correct: natural,
          rates: { type: 'object', additionalProperties: number },
          seconds: number,
        }),
        schedule: object({ learningRate: number, best: nullable(number), badEpochs: natural }),
        best: nullable(validatedEpoch),
        seconds: number,
      },
      { last: validatedEpoch },
    ),
  },
  { data: object({ classNames: nullable({ type: 'array', items: { type: 'string' } }), rate: nullable(number) }) },
);

let compiledSchema: ValidateFunction<CheckpointInfo> | null = null;

/** Compiled when it is first needed: that takes longer than all else at the start of the command line. */
function isInfo(value: unknown): value is CheckpointInfo {
  compiledSchema ??= new Ajv().compile<CheckpointInfo>(infoSchema);
  return compiledSchema(value);
}

function parseInfo(text: string | undefined, path: string): CheckpointInfo {
  try {
    const info: unknown = JSON.parse(text ?? '');
    if (isInfo(info)) return info;
  } catch {
    // Falls through: not JSON.
  }
  throw new UserError('SP810', `"${path}" is not a checkpoint of sparchc: its metadata has no valid training state`);
}
