import { Ajv, type ValidateFunction } from 'ajv';
import type { Call } from '../../data/config.ts';
import { formatVersion, metadataKeys } from './metadata.ts';
import { type Model, toNumber } from './proto.ts';
import type { Segmentation } from './stream.ts';

export type Mode = 'sequence' | 'step';

/** What a model's file says about it. */
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
  /** Of a stream: the parts of its state vector in order, shaped as for one row. */
  readonly state: readonly { readonly name: string; readonly shape: readonly number[] }[] | null;
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

/** `foreign`: why it is no model of sparchc; `otherFormat`: that of another version; `corrupt`: what it says cannot be. */
export type ReadInfo =
  | { readonly info: OnnxModelInfo; readonly lossPerStep: boolean }
  | { readonly foreign: string }
  | { readonly otherFormat: string }
  | { readonly corrupt: unknown };

/** Reads what a file says, which may be anything. */
export function readInfo(model: Model): ReadInfo {
  const metadata = new Map((model.metadataProps ?? []).map(({ key, value }) => [key, value]));
  const text = (key: keyof typeof metadataKeys) => metadata.get(metadataKeys[key]) ?? null;
  const format = text('format');
  if (format === null) return { foreign: 'was not exported by sparchc, or is incomplete' };
  const isEarlierSequence = format === '1' && text('mode') !== 'step';
  if (format !== `${formatVersion}` && !isEarlierSequence) return { otherFormat: format };
  try {
    const info = parseInfo(model, text);
    requireSense(info);
    return { info, lossPerStep: text('loss') === 'output' };
  } catch (cause) {
    return { corrupt: cause };
  }
}

type Text = (key: keyof typeof metadataKeys) => string | null;

function parseInfo(model: Model, text: Text): unknown {
  const json = (key: keyof typeof metadataKeys) => JSON.parse(text(key) ?? 'null');
  const input = text('input') ?? 'features';
  const classes = Number(text('classes'));
  return {
    version: text('version'),
    spec: text('spec'),
    specSha256: text('specSha256'),
    license: text('license'),
    // Files written before there were two modes hold whole sequences.
    mode: text('mode') ?? 'sequence',
    segmentation: json('segmentation'),
    state: json('state'),
    input,
    sampleRate: json('sampleRate'),
    assumeRate: text('assumeRate') === 'true',
    stepSeconds: json('stepSeconds'),
    preprocessing: json('preprocessing') ?? [],
    pipeline: text('pipeline') ?? '',
    features: featuresOf(model, input === 'waveform' ? 'features' : 'x'),
    classes,
    classNames: json('classNames') ?? Array.from({ length: Math.min(classes, MOST) }, (_, i) => `${i}`),
    layers: json('layers'),
  };
}

/** The last dimension of an input or output [batch, time, features]. */
function featuresOf({ graph }: Model, name: string): number {
  const value = [...graph.input, ...graph.output].find((info) => info.name === name);
  return toNumber(value?.type.tensorType.shape.dim[2].dimValue ?? 0);
}

/** The most features, classes or steps that a model of ours has. */
const MOST = 65536;

const size = { type: 'integer', minimum: 1, maximum: MOST };
const string = { type: 'string' };
const nullable = (schema: object) => ({ anyOf: [schema, { type: 'null' }] });
const list = (items: object) => ({ type: 'array', items });

function object(properties: Record<string, object>, optional: readonly string[] = []) {
  const required = Object.keys(properties).filter((key) => !optional.includes(key));
  return { type: 'object', properties, required };
}

const schema = object({
  version: string,
  spec: nullable(string),
  specSha256: string,
  license: nullable(string),
  mode: { enum: ['sequence', 'step'] },
  segmentation: nullable({
    anyOf: [
      object({ kind: { const: 'reset' } }),
      object({ kind: { const: 'window' }, steps: size }),
      object({ kind: { const: 'silence' }, steps: size, threshold: { type: 'number' } }, ['threshold']),
    ],
  }),
  input: { enum: ['features', 'waveform'] },
  state: nullable(list(object({ name: string, shape: list(size) }))),
  sampleRate: nullable({ type: 'number', minimum: 1000, maximum: 768_000 }),
  stepSeconds: nullable({ type: 'number', exclusiveMinimum: 0, maximum: 3600 }),
  preprocessing: list(
    object({
      type: string,
      params: { type: 'object', additionalProperties: { type: ['number', 'string', 'boolean', 'null'] } },
    }),
  ),
  features: size,
  classes: size,
  classNames: list(string),
  layers: list(object({ layer: string, features: size, spiking: { type: 'boolean' } })),
});

let compiled: ValidateFunction<OnnxModelInfo> | null = null;

/** Throws where what the file says contradicts itself or has another form. */
function requireSense(info: unknown): asserts info is OnnxModelInfo {
  // Compiled when it is first needed: that takes longer than all else at the start of the command line.
  compiled ??= new Ajv({ allowUnionTypes: true }).compile<OnnxModelInfo>(schema);
  if (!compiled(info))
    throw new Error(compiled.errors?.map(({ instancePath, message }) => `${instancePath} ${message}`).join());
  const { classes, classNames, input, sampleRate, mode, segmentation, state } = info;
  if (classNames.length !== classes) throw new Error(`${classNames.length} names of ${classes} classes`);
  if (input === 'waveform' && sampleRate === null) throw new Error('sound without a sampling rate');
  if ((mode === 'step') !== (segmentation !== null)) throw new Error('a stream without a segmentation, or the reverse');
  if ((mode === 'step') !== (state !== null)) throw new Error('a stream without a state, or the reverse');
}
