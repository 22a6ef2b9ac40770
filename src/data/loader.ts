import { UserError } from '../diagnostics/diagnostic.ts';
import type { Batch } from './batch.ts';
import { collate, epochOrder } from './batching.ts';
import type { DataConfig } from './config.ts';
import type { EventStepsSample, OpenDataset, Sample, SplitName } from './definition.ts';
import { describePipeline, type PipelineInfo } from './describe.ts';
import { datasetByName, transformByName, validationByName } from './registry.ts';
import type { Selection, SplitPlan } from './validation.ts';

export interface SplitInfo {
  readonly samples: number;
  /** Batches of an epoch; the last one may be smaller. */
  readonly batches: number;
  /** Samples of each class. */
  readonly classCounts: readonly number[];
}

export interface LoaderInfo {
  readonly pipeline: PipelineInfo;
  readonly splits: Readonly<Record<SplitName, SplitInfo>>;
  /** Sentences for the user. */
  readonly warnings: readonly string[];
}

export interface EpochRequest {
  readonly split: SplitName;
  readonly epoch: number;
  readonly shuffle: boolean;
  /** The first batch. */
  readonly from: number;
}

export interface LoadedBatch {
  readonly batch: Batch;
  /** Spikes in the batch, and those that transforms left out of it. */
  readonly events: number;
  readonly dropped: number;
}

/** Reads, transforms and batches samples in the thread that calls it. */
export interface Loader {
  readonly info: LoaderInfo;
  batches(request: EpochRequest): AsyncIterable<LoadedBatch>;
  close(): void;
}

export interface LoaderOptions {
  readonly batch: number;
  readonly seed: number;
}

/** @throws UserError SP7xx where data is missing or corrupt, or cannot be split as asked for. */
export async function openLoader(config: DataConfig, options: LoaderOptions): Promise<Loader> {
  const pipeline = describePipeline(config);
  if ('error' in pipeline) throw new UserError('SP700', pipeline.error, { exitCode: 2 });
  const dataset = await lookUp(datasetByName, config.source.type).open(config.source.params);
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
  const transforms = config.transforms.map((call) => {
    const transform = lookUp(transformByName, call.type);
    return (sample: Sample) => transform.apply(sample, call.params);
  });

  const load = async (selection: Selection, positions: Int32Array): Promise<LoadedBatch> => {
    const source = dataset.splits[selection.split]!;
    const indices = positions.map((position) => selection.indices[position]);
    const read = await source.read(Array.from(indices));
    const samples = read.map((sample) =>
      transforms.reduce((value, transform) => transform(value), sample),
    ) as EventStepsSample[];
    const labels = indices.map((index) => source.labels[index]);
    return {
      batch: collate(samples, pipeline.features, labels, indices),
      ...countSpikes(samples),
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

  return {
    info: { pipeline, splits, warnings: [...plan.warnings, ...untrainedClasses(splits.train)] },
    async *batches({ split, epoch, shuffle, from }) {
      const selection = plan.splits[split];
      const order = epochOrder(selection.indices.length, options.seed, epoch, shuffle);
      for (let start = from * options.batch; start < order.length; start += options.batch) {
        yield load(selection, order.subarray(start, start + options.batch));
      }
    },
    close: () => dataset.close(),
  };
}

function countSpikes(samples: readonly EventStepsSample[]): { events: number; dropped: number } {
  let events = 0;
  let dropped = 0;
  for (const sample of samples) {
    dropped += sample.dropped;
    for (let k = 0; k < sample.counts.length; k++) events += sample.counts[k];
  }
  return { events, dropped };
}

function untrainedClasses(train: SplitInfo): string[] {
  const missing = train.classCounts.flatMap((count, label) => (count === 0 ? [label] : []));
  return missing.length > 0 ? [`the training split has no samples of class ${missing.join(', ')}`] : [];
}

/** Specs are checked before data is opened, so an unknown name is a mistake of the caller. */
function lookUp<T>(byName: (name: string) => T | undefined, name: string): T {
  const found = byName(name);
  if (!found) throw new Error(`nothing in the data registry is called "${name}"`);
  return found;
}
