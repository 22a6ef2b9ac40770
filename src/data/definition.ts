import type { AnyParams, Definition, ParamSpecs, Params } from '../definitions/params.ts';
import type { ValueSet } from '../ir/step.ts';
import type { Stream } from '../random/stream.ts';

/** What flows between the steps of a data pipeline, as far as it is known without opening any file. */
export interface DataShape {
  /** `spikes`: events in continuous time; `waveform`: sound; `steps`: a sequence of feature vectors (sparse or dense). */
  readonly kind: 'spikes' | 'waveform' | 'steps';
  /** Units that spike, or features of a time step; 1 for a waveform. */
  readonly features: number;
  readonly classes: number;
  /** False where it is certain, without opening any file, that nobody knows who speaks the samples. */
  readonly speakers?: false;
  /** Waveforms only: samples per second, or null where the files tell. */
  readonly rate?: number | null;
  /** Steps only: what values a feature takes. */
  readonly set?: ValueSet;
  /** Steps only: fixed number of time steps, or null where it varies. */
  readonly steps?: number | null;
  /** Steps only: duration of a time step in seconds (`dt` in neuron equations), or null where it has none. */
  readonly stepDuration?: number | null;
}

/** One sample of events in continuous time. */
export interface SpikeSample {
  readonly kind: 'spikes';
  /** Seconds. */
  readonly times: Float32Array | Float64Array;
  readonly units: Uint16Array;
}

/** One sample of binned events: row t holds entries offsets[t] .. offsets[t + 1] (units ascending, each once). */
export interface EventStepsSample {
  readonly kind: 'eventSteps';
  readonly steps: number;
  readonly offsets: Int32Array;
  readonly units: Uint16Array;
  readonly counts: Uint16Array;
  /** The sum of the counts. */
  readonly events: number;
  /** Events that the transform left out, to be counted and reported. */
  readonly dropped: number;
}

/** One recording, mono. */
export interface WaveformSample {
  readonly kind: 'waveform';
  /** In [-1, 1). */
  readonly samples: Float32Array;
  /** Samples per second. */
  readonly rate: number;
}

/** One sequence of real-valued feature vectors, [steps, features] row-major. */
export interface FeaturesSample {
  readonly kind: 'features';
  readonly steps: number;
  readonly values: Float32Array;
}

/** A sample that cannot be used. It is skipped and reported, or ends the run where the dataset is `strict`. */
export interface UnusableSample {
  readonly kind: 'unusable';
  /** What is wrong with it, to follow its name: `is truncated: ...`. */
  readonly reason: string;
}

export type Sample = SpikeSample | EventStepsSample | WaveformSample | FeaturesSample | UnusableSample;

export type SampleOf<K extends Sample['kind']> = Extract<Sample, { kind: K }>;

export type SplitName = 'train' | 'validation' | 'test';

/** A dataset whose labels are known and whose samples are read one by one (or a few at a time), never all at once. */
export interface OpenDataset {
  /** The dataset's own splits; `validation` only where it has one. */
  readonly splits: Readonly<Partial<Record<SplitName, DatasetSplit>>>;
  /** Names of the classes, in the order of their indices, where they have any. */
  readonly classNames?: readonly string[];
  /** Of recordings: samples per second, as the first of them has it. */
  readonly rate?: number;
  /** Sentences for the user. */
  readonly warnings?: readonly string[];
  /** A sample that cannot be used ends the run. */
  readonly strict?: boolean;
  close(): void;
}

export interface DatasetSplit {
  /** Class indices. */
  readonly labels: Int32Array;
  /** Who speaks each sample, where the dataset knows. */
  readonly speakers: Int32Array | null;
  /** What a message calls a sample, such as its file; `sample 7` where absent. */
  nameOf?(index: number): string;
  /** Samples by index, in the order asked for. */
  read(indices: readonly number[]): Promise<Sample[]> | Sample[];
}

/** How far a dataset has come that is made before it can be opened. */
export interface Preparation {
  /** What is done, and where it is kept. */
  readonly what: string;
  readonly done: number;
  readonly total: number;
}

export type ReportPreparation = (preparation: Preparation) => void;

export interface DatasetDefinition extends Definition {
  describe(params: AnyParams): DataShape;
  /** Opens files and reads labels. Throws UserError SP7xx where data is missing or corrupt. */
  open(params: AnyParams, report: ReportPreparation): Promise<OpenDataset>;
}

interface Shaping<P> {
  /** The shape after the transform, or what is wrong with the one before: one sentence that says what would be right. */
  infer(input: DataShape, params: P): DataShape | { readonly error: string };
}

interface FixedTransform<P> extends Shaping<P> {
  readonly augments?: false;
  apply(sample: Sample, params: P): Sample;
}

/** A random transform of the samples that a model is trained on, and of them alone. */
interface Augmentation<P> extends Shaping<P> {
  readonly augments: true;
  /** All draws come from `stream`, which belongs to (seed, transform, epoch, sample). */
  apply(sample: Sample, params: P, stream: Stream): Sample;
}

export type TransformDefinition = Definition & FixedTransform<AnyParams>;
export type AugmentationDefinition = Definition & Augmentation<AnyParams>;

/** Checks a dataset's parameters' types where it is defined; forgets them for the registry. */
export function defineDataset<const S extends ParamSpecs>(definition: {
  readonly name: string;
  readonly description: string;
  readonly params: S;
  readonly check?: Definition['check'];
  describe(params: Params<S>): DataShape;
  open(params: Params<S>, report: ReportPreparation): Promise<OpenDataset>;
}): DatasetDefinition {
  return definition as unknown as DatasetDefinition;
}

export function defineTransform<const S extends ParamSpecs>(
  definition: Definition & { readonly params: S } & FixedTransform<Params<S>>,
): TransformDefinition {
  return definition as unknown as TransformDefinition;
}

export function defineAugmentation<const S extends ParamSpecs>(
  definition: Definition & { readonly params: S } & Omit<Augmentation<Params<S>>, 'augments'>,
): AugmentationDefinition {
  return { ...definition, augments: true } as unknown as AugmentationDefinition;
}
