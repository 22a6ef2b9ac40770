import type { AnyParams, Definition, ParamSpecs, Params } from '../definitions/params.ts';
import type { ValueSet } from '../ir/step.ts';

/** What flows between the steps of a data pipeline, as far as it is known without opening any file. */
export interface DataShape {
  /** `spikes`: events in continuous time; `steps`: a sequence of feature vectors (sparse or dense). */
  readonly kind: 'spikes' | 'steps';
  readonly features: number;
  readonly classes: number;
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
  readonly counts: Float32Array;
  /** Events that the transform left out, to be counted and reported. */
  readonly dropped: number;
}

export type Sample = SpikeSample | EventStepsSample;

export type SplitName = 'train' | 'validation' | 'test';

/** A dataset whose labels are known and whose samples are read one by one (or a few at a time), never all at once. */
export interface OpenDataset {
  /** The dataset's own splits; `validation` only where it has one. */
  readonly splits: Readonly<Partial<Record<SplitName, DatasetSplit>>>;
  close(): void;
}

export interface DatasetSplit {
  /** Class indices. */
  readonly labels: Int32Array;
  /** Who speaks each sample, where the dataset knows. */
  readonly speakers: Int32Array | null;
  /** Samples by index, in the order asked for. */
  read(indices: readonly number[]): Promise<Sample[]> | Sample[];
}

export interface DatasetDefinition extends Definition {
  describe(params: AnyParams): DataShape;
  /** Opens files and reads labels. Throws UserError SP7xx where data is missing or corrupt. */
  open(params: AnyParams): Promise<OpenDataset>;
}

export interface TransformDefinition extends Definition {
  /** The shape after the transform, or what is wrong with the one before: one sentence that says what would be right. */
  infer(input: DataShape, params: AnyParams): DataShape | { readonly error: string };
  apply(sample: Sample, params: AnyParams): Sample;
}

/** Checks a dataset's parameters' types where it is defined; forgets them for the registry. */
export function defineDataset<const S extends ParamSpecs>(definition: {
  readonly name: string;
  readonly description: string;
  readonly params: S;
  describe(params: Params<S>): DataShape;
  open(params: Params<S>): Promise<OpenDataset>;
}): DatasetDefinition {
  return definition as unknown as DatasetDefinition;
}

export function defineTransform<const S extends ParamSpecs>(definition: {
  readonly name: string;
  readonly description: string;
  readonly params: S;
  infer(input: DataShape, params: Params<S>): DataShape | { readonly error: string };
  apply(sample: Sample, params: Params<S>): Sample;
}): TransformDefinition {
  return definition as unknown as TransformDefinition;
}
