import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { OpenDataset, SpikeSample } from './definition.ts';
import { toFailure } from './failure.ts';
import { openSpikeFiles, type SpikeFolder } from './hdf5Spikes.ts';
import type { SpikeReply, SpikeRequest, SplitFacts } from './spikeThread.ts';

/** The thread that reads HDF5 files which nobody vouches for: see `spikeThread.ts`. */
const parent = parentPort as MessagePort;
const reply = (message: SpikeReply, buffers: ArrayBuffer[] = []) => parent.postMessage(message, buffers);

async function answer({ splits }: OpenDataset, { split, indices }: SpikeRequest): Promise<void> {
  try {
    const samples = (await splits[split]!.read(indices)) as SpikeSample[];
    const arrays = new Set(samples.flatMap(({ times, units }) => [times, units]));
    reply(
      { kind: 'read', samples },
      [...arrays].map((array) => array.buffer as ArrayBuffer),
    );
  } catch (error) {
    reply(toFailure(error));
  }
}

try {
  const dataset = await openSpikeFiles(workerData as SpikeFolder, (path) => reply({ kind: 'opening', path }));
  parent.on('message', (request: SpikeRequest) => void answer(dataset, request));
  const facts = Object.entries(dataset.splits).map(([split, { labels, speakers }]) => [split, { labels, speakers }]);
  reply({ kind: 'opened', splits: Object.fromEntries(facts) as SplitFacts, classNames: dataset.classNames });
} catch (error) {
  reply(toFailure(error));
}
