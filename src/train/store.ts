import type { Graph } from '../ir/graph.ts';
import type { CompiledModel } from '../targets/target.ts';
import { type CheckpointInfo, notFinite, writeCheckpoint } from './checkpoint.ts';
import { diverged, type EpochMetrics, type Snapshot, type TrainingStore } from './loop.ts';
import type { RunFolder } from './runFolder.ts';
import type { TrainingState } from './state.ts';

/** What is to be written next. */
interface Pending {
  readonly metrics: readonly EpochMetrics[];
  readonly selected?: Save;
  readonly last?: Save;
}

interface Save {
  readonly snapshot: Snapshot;
  readonly state: TrainingState;
}

/**
 * Saves in a run's folder, without ever holding up training: what is asked for while files are being written is put together,
 * so that of checkpoints only the newest is written next. `about`: what all checkpoints of the run say.
 */
export function storeIn(
  folder: RunFolder,
  graph: Graph,
  about: Omit<CheckpointInfo, 'state'>,
  model: CompiledModel,
): TrainingStore {
  const writeLast = ({ snapshot, state }: Save) =>
    writeCheckpoint(folder.last, graph, { ...snapshot, info: { ...about, state } });
  const writeSelected = ({ snapshot: { weights }, state }: Save) =>
    // Without wall times, equal runs leave equal files.
    writeCheckpoint(folder.best, graph, {
      weights,
      optimizer: new Map(),
      info: { ...about, state: { ...state, seconds: 0 } },
    });

  let pending: Pending = { metrics: [] };
  const write = async () => {
    const { metrics, selected, last } = pending;
    pending = { metrics: [] };
    if (metrics.length > 0) await folder.appendMetrics(metrics);
    if (selected) await writeSelected(selected);
    // The last checkpoint says that its epochs are over: then the rest must be there.
    if (last) await writeLast(last);
  };
  let written = Promise.resolve();
  const save = (more: Pending) => {
    pending = { ...pending, ...more, metrics: [...pending.metrics, ...more.metrics] };
    written = written.then(write);
    // Thrown by `saved`.
    written.catch(() => {});
  };
  return {
    async snapshot() {
      const weights = await model.parameters();
      const broken = notFinite(weights);
      // Here, so that no checkpoint gives way to one that cannot be used.
      if (broken) throw diverged(`parameter "${broken}" is no longer finite`);
      return { weights, optimizer: await model.optimizerState() };
    },
    saveLast: (snapshot, state) => save({ metrics: [], last: { snapshot, state } }),
    saveEpoch(snapshot, state, metrics, isSelected) {
      const last = { snapshot, state };
      save({ metrics: [metrics], last, ...(isSelected && { selected: last }) });
    },
    saved: () => written,
  };
}
