import { basename, dirname } from 'node:path';
import { UserError } from '../diagnostics/diagnostic.ts';
import type { Batch } from './batch.ts';
import { collate } from './batching.ts';
import type { Call } from './config.ts';
import type { Sample } from './definition.ts';
import { openSpikeFolder } from './hdf5Spikes.ts';
import { transformByName } from './registry.ts';

export interface Recording {
  /** A batch of one. */
  readonly batch: Batch;
  /** Events that the preprocessing left out. */
  readonly dropped: number;
}

export interface Recordings {
  readonly count: number;
  /** One recording, ready for the model. Throws UserError SP7xx where it is damaged. */
  read(index: number): Promise<Recording>;
  close(): void;
}

/**
 * Opens an HDF5 file in the layout of the Heidelberg spiking datasets outside of any dataset, whatever its labels are.
 * Throws UserError SP700 where `preprocessing` does not give time steps, SP702 to SP706 where the file is not such a file.
 */
export async function openRecordings(path: string, preprocessing: readonly Call[], units: number): Promise<Recordings> {
  const apply = preprocessing.map(({ type, params }) => {
    const transform = transformByName(type);
    if (transform && !transform.augments) return (sample: Sample) => transform.apply(sample, params);
    throw new UserError('SP700', `the model's input is made by "${type}", which this version of sparchc does not know`);
  });
  const dataset = await openSpikeFolder({
    dataset: 'the model',
    folder: dirname(path),
    files: { test: basename(path) },
    units,
    classes: Number.MAX_SAFE_INTEGER,
    origin: 'where its training data came from',
  });
  const split = dataset.splits.test;
  if (!split) throw new Error('the only split was not opened');
  return {
    count: split.labels.length,
    async read(index) {
      const [spikes] = await split.read([index]);
      const sample = apply.reduce((value, transform) => transform(value), spikes);
      if (sample.kind !== 'eventSteps') {
        throw new UserError('SP700', 'the model does not say how spikes become time steps; export it again');
      }
      return { batch: collate([sample], units, Int32Array.of(0), Int32Array.of(index)), dropped: sample.dropped };
    },
    close: () => dataset.close(),
  };
}
