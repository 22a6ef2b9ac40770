import { UserError } from '../diagnostics/diagnostic.ts';
import type { Batch } from './batch.ts';
import { collate, epochOrder, type StepsSample } from './batching.ts';
import { BatchMemory } from './batchMemory.ts';
import type { DataConfig } from './config.ts';
import type { DatasetSplit, OpenDataset, ReportPreparation, Sample, SplitName } from './definition.ts';
import { describePipeline, type PipelineInfo } from './describe.ts';
import { datasetByName, lookUp, validationByName } from './registry.ts';
import { SampleCache } from './sampleCache.ts';
import { sampleTransforms } from './sampleTransform.ts';
import type { Selection, SplitPlan } from './validation.ts';

export interface SplitInfo {
  readonly samples: number;
  /** Batches of an epoch; the last one may be smaller. */
  readonly batches: number;
  /** Samples of each class. */
  readonly classCounts: readonly number[];
}

/** What only the data itself tells, and a model is to remember; what is not known is null. */
export interface DataFacts {
  /** By class index. */
  readonly classNames: readonly string[] | null;
  /** Of the recordings, in Hz, before any transform. */
  readonly rate: number | null;
}

export interface LoaderInfo {
  readonly pipeline: PipelineInfo;
  readonly facts: DataFacts;
  readonly splits: Readonly<Record<SplitName, SplitInfo>>;
  /** Sentences for the user. */
  readonly warnings: readonly string[];
}

export interface EpochRequest {
  readonly split: SplitName;
  readonly epoch: number;
  readonly shuffle: boolean;
  /** The samples are to train on: random transforms apply. */
  readonly augment?: boolean;
  /** The first batch. */
  readonly from: number;
}

export interface LoadedBatch {
  readonly batch: Batch;
  /** Spikes in the batch, and those that transforms left out of it. */
  readonly events: number;
  readonly dropped: number;
  /** Samples that could not be used, each a clause: which one and why. */
  readonly skipped: readonly string[];
}

/** Reads, transforms and batches samples in the thread that calls it. */
export interface Loader {
  readonly info: LoaderInfo;
  batches(request: EpochRequest): AsyncIterable<LoadedBatch>;
  /** Takes back the memory of inputs that nobody reads any more, for those of later batches. */
  recycle(buffers: readonly ArrayBuffer[]): void;
  close(): void;
}

export interface LoaderOptions {
  readonly batch: number;
  readonly seed: number;
}

/** @throws UserError SP7xx where data is missing or corrupt, or cannot be split as asked for. */
export async function openLoader(
  config: DataConfig,
  options: LoaderOptions,
  report: ReportPreparation = () => {},
): Promise<Loader> {
  const pipeline = describePipeline(config);
  if ('error' in pipeline) {
    throw new UserError(pipeline.step === 'validation' ? 'SP710' : 'SP700', pipeline.error, { exitCode: 2 });
  }
  const dataset = await lookUp(datasetByName, config.source.type).open(config.source.params, report);
  try {
    const { plan } = lookUp(validationByName, config.validation.type);
    return createLoader(config, options, pipeline, dataset, plan(dataset, config.validation.params));
  } catch (error) {
    dataset.close();
    throw error;
  }
}

function createLoader(
  config: DataConfig,
  options: LoaderOptions,
  pipeline: PipelineInfo,
  dataset: OpenDataset,
  plan: SplitPlan,
): Loader {
  const transforms = sampleTransforms(config.transforms, options.seed);
  const cache = new SampleCache();
  const memory = new BatchMemory();

  /** Samples by index as they are before the first random transform. */
  const prepare = async (split: SplitName, indices: readonly number[]): Promise<Sample[]> => {
    const keyOf = (index: number) => `${split} ${index}`;
    const found = indices.map((index) => cache.get(keyOf(index)));
    const missing = indices.filter((_, i) => !found[i]);
    const read = missing.length > 0 ? await dataset.splits[split]!.read(missing) : [];
    const made = read.map(transforms.fixed);
    for (const [i, sample] of made.entries()) cache.add(keyOf(missing[i]), sample);
    const next = made.values();
    return found.map((sample) => sample ?? (next.next().value as Sample));
  };

  const load = async (request: EpochRequest, positions: Int32Array): Promise<LoadedBatch> => {
    const { split, epoch, augment = false } = request;
    const selection = plan.splits[split];
    const source = dataset.splits[selection.split]!;
    const indices = Array.from(positions, (position) => selection.indices[position]);
    const prepared = await prepare(selection.split, indices);
    const samples = prepared.map((sample, i) => transforms.random(sample, { epoch, augment, sample: indices[i] }));
    const { usable, kept, skipped } = sortOut(samples, indices, source, dataset.strict ?? false);
    const labels = Int32Array.from(kept, (index) => source.labels[index]);
    return {
      batch: collate(usable, pipeline.features, labels, Int32Array.from(kept), config.padding, (n) => memory.take(n)),
      ...countSpikes(usable),
      skipped,
    };
  };

  const infoOf = ({ split, indices }: Selection): SplitInfo => {
    const classCounts = new Array<number>(pipeline.classes).fill(0);
    for (const index of indices) classCounts[dataset.splits[split]!.labels[index]]++;
    return { samples: indices.length, batches: Math.ceil(indices.length / options.batch), classCounts };
  };
  const splits = {
    train: infoOf(plan.splits.train),
    validation: infoOf(plan.splits.validation),
    test: infoOf(plan.splits.test),
  };

  const facts = { classNames: dataset.classNames ?? null, rate: dataset.rate ?? null };
  const warnings = [
    ...(dataset.warnings ?? []),
    ...plan.warnings,
    ...untrainedClasses(splits.train, dataset.classNames),
  ];

  return {
    info: { pipeline, facts, splits, warnings },
    async *batches(request) {
      const { split, epoch, shuffle, from } = request;
      const order = epochOrder(plan.splits[split].indices.length, options.seed, epoch, shuffle);
      const begin = (start: number) => {
        if (start >= order.length) return null;
        const batch = load(request, order.subarray(start, start + options.batch));
        // What it throws is thrown where it is awaited.
        batch.catch(() => {});
        return batch;
      };
      // One is read while the one before is transformed.
      let next = begin(from * options.batch);
      for (let start = (from + 1) * options.batch; next; start += options.batch) {
        const batch = next;
        next = begin(start);
        yield await batch;
      }
    },
    recycle: (buffers) => memory.giveBack(buffers),
    close: () => dataset.close(),
  };
}

interface Sorted {
  readonly usable: readonly StepsSample[];
  /** Their indices. */
  readonly kept: readonly number[];
  readonly skipped: readonly string[];
}

/**
 * Leaves out the samples that cannot be used.
 *
 * @throws UserError SP722 there are some and the dataset is strict, SP723 there are no others.
 */
function sortOut(
  samples: readonly Sample[],
  indices: readonly number[],
  source: DatasetSplit,
  strict: boolean,
): Sorted {
  const usable: StepsSample[] = [];
  const kept: number[] = [];
  const skipped: string[] = [];
  for (const [i, sample] of samples.entries()) {
    if (sample.kind === 'unusable') {
      skipped.push(`${source.nameOf?.(indices[i]) ?? `sample ${indices[i]}`} ${sample.reason}`);
    } else {
      usable.push(sample as StepsSample);
      kept.push(indices[i]);
    }
  }
  if (strict && skipped.length > 0) {
    throw new UserError('SP722', `${skipped[0]}; mend or remove it, or leave out "strict" to skip such samples`);
  }
  if (usable.length === 0) {
    throw new UserError('SP723', `none of the ${samples.length} samples of a batch can be used; ${skipped[0]}`);
  }
  return { usable, kept, skipped };
}

function countSpikes(samples: readonly StepsSample[]): { events: number; dropped: number } {
  let events = 0;
  let dropped = 0;
  for (const sample of samples) {
    if (sample.kind !== 'eventSteps') continue;
    events += sample.events;
    dropped += sample.dropped;
  }
  return { events, dropped };
}

function untrainedClasses(train: SplitInfo, names: readonly string[] | undefined): string[] {
  const missing = train.classCounts.flatMap((count, label) => (count === 0 ? [names?.[label] ?? label] : []));
  return missing.length > 0 ? [`the training split has no samples of class ${missing.join(', ')}`] : [];
}
