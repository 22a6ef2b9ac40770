import { setImmediate } from 'node:timers/promises';
import type { Batch } from '../data/batch.ts';
import type { SplitName } from '../data/definition.ts';
import type { DataFacts } from '../data/pipeline.ts';
import { UserError } from '../diagnostics/diagnostic.ts';
import type { CompiledModel, Tensors } from '../targets/target.ts';
import type { TrainConfig } from './config.ts';
import { addBatch, type BatchResult, noMetrics, type SplitMetrics, summarize } from './metrics.ts';
import type { Schedule } from './schedule.ts';
import type { TrainingState } from './state.ts';

/** What the loop needs of a data pipeline. */
export interface BatchSource {
  /** What a checkpoint remembers of the data. */
  readonly facts?: DataFacts;
  readonly splits: Readonly<Record<SplitName, { readonly samples: number; readonly batches: number }>>;
  /** The batches of a split from batch `from` on; equal arguments give equal batches. */
  batches(
    split: SplitName,
    options?: {
      readonly epoch?: number;
      readonly shuffle?: boolean;
      readonly augment?: boolean;
      readonly from?: number;
    },
  ): AsyncIterable<Batch>;
  /** Takes back a batch that nobody reads any more, where memory is used again. */
  recycle?(batch: Batch): void;
}

/** Where the loop leaves what it has learnt: a run folder. What is to be saved is written while training goes on. */
export interface TrainingStore {
  /** Copies what the model has learnt. Throws SP801 where it is not finite. */
  snapshot(): Promise<Snapshot>;
  saveLast(snapshot: Snapshot, state: TrainingState): void;
  /** Saves the end of an epoch; where `selected`, its weights are to be tested, in place of earlier ones. */
  saveEpoch(snapshot: Snapshot, state: TrainingState, metrics: EpochMetrics, selected: boolean): void;
  /** Over when all that was to be saved, or what is newer, is on the disk; throws what the first write that failed threw. */
  saved(): Promise<void>;
}

export interface Snapshot {
  readonly weights: Tensors;
  readonly optimizer: Tensors;
}

export interface EpochMetrics {
  readonly epoch: number;
  /** The one the epoch was trained with. */
  readonly learningRate: number;
  readonly train: SplitMetrics;
  readonly validation: SplitMetrics;
  /** Whether its validation accuracy is the highest so far. */
  readonly best: boolean;
}

/** How far a pass over a split has come. */
export interface Progress {
  readonly split: SplitName;
  /** Null outside training. */
  readonly epoch: number | null;
  /** Batches done, of `batches`. */
  readonly batch: number;
  readonly batches: number;
  readonly metrics: SplitMetrics;
}

export interface TrainingObserver {
  batchDone(progress: Progress): void;
  epochDone(metrics: EpochMetrics): void;
}

export interface Training {
  readonly model: CompiledModel;
  /** The layers whose firing rates are reported. */
  readonly layers: readonly string[];
  readonly data: BatchSource;
  readonly config: TrainConfig;
  readonly schedule: Schedule;
  readonly store: TrainingStore;
  readonly observer: TrainingObserver;
  /** Aborted when the user wants to stop. */
  readonly signal: AbortSignal;
}

/** Thrown between two batches after the signal was aborted; what had been trained is in the `last` checkpoint. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

/** Asks for the batches that training from `state` begins with; null where it is over. */
export function firstBatches(
  data: BatchSource,
  config: TrainConfig,
  state: TrainingState,
): AsyncIterable<Batch> | null {
  return goesOn(state, config) ? requested(batchesOf(data, state)) : null;
}

function goesOn(state: TrainingState, config: TrainConfig): boolean {
  return state.epoch <= config.epochs && !stopsEarly(state, config);
}

/**
 * Trains from a state until the last epoch or early stopping and returns the final state. The model must hold the
 * weights and optimiser state that belong to `initial`, `batches` are the first ones from there on.
 * Throws UserError SP801 when the loss or a weight is no longer finite, Interrupted when the signal is aborted.
 */
export async function train(
  training: Training,
  initial: TrainingState,
  batches: AsyncIterable<Batch> | null,
): Promise<TrainingState> {
  const { config, data, store, observer } = training;
  let state = initial;
  let trainingBatches = batches;
  try {
    while (trainingBatches) {
      const validationBatches = requested(data.batches('validation'));
      state = await trainEpoch(training, state, trainingBatches);
      // Evaluation changes no weights.
      const snapshot = await store.snapshot();
      store.saveLast(snapshot, state);
      // Those of the next epoch, should there be one, are made meanwhile, too.
      const { epoch } = state;
      const next = epoch < config.epochs ? requested(batchesOf(data, { epoch: epoch + 1, batch: 0 })) : null;
      const validation = await evaluateSplit(training, 'validation', state.epoch, validationBatches);
      const metrics = epochMetrics(state, validation);
      state = stateAfterEpoch(state, metrics, training.schedule);
      trainingBatches = goesOn(state, config) ? next : null;
      store.saveEpoch(snapshot, state, metrics, metrics.best || config.select === 'last');
      observer.epochDone(metrics);
    }
  } finally {
    await store.saved();
  }
  return state;
}

/** What is left of a state's epoch. */
function batchesOf(data: BatchSource, { epoch, batch }: Pick<TrainingState, 'epoch' | 'batch'>): AsyncIterable<Batch> {
  return data.batches('train', { epoch, shuffle: true, augment: true, from: batch });
}

/** Asks for the first batch at once, so that it is made while something else goes on. To be iterated once. */
function requested(batches: AsyncIterable<Batch>): AsyncIterable<Batch> {
  const iterator = batches[Symbol.asyncIterator]();
  let next: Promise<IteratorResult<Batch>> | null = iterator.next();
  // Thrown where the batch is taken.
  next.catch(() => {});
  return {
    [Symbol.asyncIterator]: () => ({
      next() {
        const first = next;
        next = null;
        return first ?? iterator.next();
      },
      return: async () => (await iterator.return?.()) ?? { done: true, value: undefined },
    }),
  };
}

async function trainEpoch(
  training: Training,
  initial: TrainingState,
  trainingBatches: AsyncIterable<Batch>,
): Promise<TrainingState> {
  const { model, layers, data, config, store, observer, signal } = training;
  const { epoch, schedule } = initial;
  const { batches } = data.splits.train;
  const lap = stopwatch();
  let sinceSave = 0;
  let state = initial;
  for await (const batch of trainingBatches) {
    const result = await model.trainStep(batch, { epoch, learningRate: schedule.learningRate });
    requireFinite(result.loss, `in training batch ${state.batch + 1} of epoch ${epoch}`);
    const seconds = lap();
    state = {
      ...state,
      batch: state.batch + 1,
      train: addBatch(state.train, batch, result, layers, seconds),
      seconds: state.seconds + seconds,
    };
    data.recycle?.(batch);
    observer.batchDone({ split: 'train', epoch, batch: state.batch, batches, metrics: summarize(state.train) });

    // A step may block for its whole length: only here can a signal arrive.
    await setImmediate();
    // Throws what has gone wrong in saving so far, without waiting for its end.
    await Promise.race([store.saved(), null]);
    sinceSave += seconds;
    if (signal.aborted || sinceSave >= config.checkpointEvery) {
      store.saveLast(await store.snapshot(), state);
      sinceSave = 0;
    }
    if (signal.aborted) throw new Interrupted();
  }
  return state;
}

/** Anything that scores batches: a compiled model, or an exported one. */
export interface Evaluation {
  readonly model: { evaluate(batch: Batch): Promise<BatchResult> };
  readonly layers: readonly string[];
  readonly data: BatchSource;
  readonly observer: Pick<TrainingObserver, 'batchDone'>;
  readonly signal: AbortSignal;
}

/** Metrics of the model in evaluation mode over a whole split. Throws Interrupted when the signal is aborted. */
export async function evaluateSplit(
  { model, layers, data, observer, signal }: Evaluation,
  split: SplitName,
  epoch: number | null = null,
  splitBatches = data.batches(split),
): Promise<SplitMetrics> {
  const { batches } = data.splits[split];
  const lap = stopwatch();
  let sums = noMetrics;
  let done = 0;
  for await (const batch of splitBatches) {
    const result = await model.evaluate(batch);
    requireFinite(result.loss, `on batch ${done + 1} of the ${split} split`);
    sums = addBatch(sums, batch, result, layers, lap());
    data.recycle?.(batch);
    done++;
    observer.batchDone({ split, epoch, batch: done, batches, metrics: summarize(sums) });
    await setImmediate();
    if (signal.aborted) throw new Interrupted();
  }
  return summarize(sums);
}

function epochMetrics(state: TrainingState, validation: SplitMetrics): EpochMetrics {
  return {
    epoch: state.epoch,
    learningRate: state.schedule.learningRate,
    train: summarize(state.train),
    validation,
    best: state.best === null || validation.accuracy > state.best.accuracy,
  };
}

function stateAfterEpoch(state: TrainingState, metrics: EpochMetrics, schedule: Schedule): TrainingState {
  const { epoch, validation, best } = metrics;
  const last = { epoch, accuracy: validation.accuracy, loss: validation.loss };
  return {
    epoch: epoch + 1,
    batch: 0,
    train: noMetrics,
    schedule: schedule.next(state.schedule, validation.accuracy),
    best: best ? last : state.best,
    last,
    seconds: state.seconds + validation.seconds,
  };
}

/** True where as many epochs as the spec tolerates have brought no better validation accuracy. */
function stopsEarly(state: TrainingState, config: TrainConfig): boolean {
  if (config.earlyStopping === null || state.best === null || state.batch > 0) return false;
  return state.epoch - 1 - state.best.epoch >= config.earlyStopping;
}

function requireFinite(loss: number, where: string): void {
  if (!Number.isFinite(loss)) throw diverged(`the loss became ${loss} ${where}`);
}

/** The error for training that has left the numbers; `what` says where it was seen. */
export function diverged(what: string): UserError {
  return new UserError(
    'SP801',
    `${what}: training diverged; lower the learning rate (train.optimizer.lr) or limit the gradients (train.clip_norm)`,
  );
}

/** Returns the seconds since it was last called. */
function stopwatch(): () => number {
  let last = performance.now();
  return () => {
    const now = performance.now();
    const seconds = (now - last) / 1000;
    last = now;
    return seconds;
  };
}
