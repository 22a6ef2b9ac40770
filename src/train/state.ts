import { type MetricSums, noMetrics } from './metrics.ts';
import { initialScheduleState, type ScheduleState } from './schedule.ts';

/** Where training stands between two batches: with the weights and the optimiser's memory, all that a resume needs. */
export interface TrainingState {
  /** The epoch being trained, counted from 1; one more than the last one when training is over. */
  readonly epoch: number;
  /** How many of its training batches are done. */
  readonly batch: number;
  /** Metrics of those batches. */
  readonly train: MetricSums;
  readonly schedule: ScheduleState;
  /** The epoch with the highest validation accuracy, the first of equals. */
  readonly best: ValidatedEpoch | null;
  /** The last one; absent before the first is over. */
  readonly last?: ValidatedEpoch;
  /** Wall time of all sessions so far. */
  readonly seconds: number;
}

export interface ValidatedEpoch {
  readonly epoch: number;
  readonly accuracy: number;
  readonly loss: number;
}

export function initialState(learningRate: number): TrainingState {
  return {
    epoch: 1,
    batch: 0,
    train: noMetrics,
    schedule: initialScheduleState(learningRate),
    best: null,
    seconds: 0,
  };
}
