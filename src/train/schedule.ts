/**
 * A learning-rate schedule as a pure function of what has happened so far: its state is plain JSON, so that a
 * checkpoint can hold it.
 */
export interface Schedule {
  /** The state after an epoch that ended with this validation accuracy (a fraction). */
  next(state: ScheduleState, validationAccuracy: number): ScheduleState;
}

export interface ScheduleState {
  readonly learningRate: number;
  /** The best validation accuracy so far, as far as the schedule counts it as an improvement; null before the first. */
  readonly best: number | null;
  /** Epochs since then. */
  readonly badEpochs: number;
}

export function initialScheduleState(learningRate: number): ScheduleState {
  return { learningRate, best: null, badEpochs: 0 };
}

export const constantSchedule: Schedule = { next: (state) => state };

/** Smaller decreases are not made: torch's `eps`. */
const SMALLEST_DECREASE = 1e-8;

/** torch.optim.lr_scheduler.ReduceLROnPlateau(mode='max', threshold_mode='rel', cooldown=0). */
export function plateauSchedule(options: {
  readonly factor: number;
  readonly patience: number;
  readonly threshold: number;
  readonly minLr: number;
}): Schedule {
  return {
    next({ learningRate, best, badEpochs }, accuracy) {
      if (best === null || accuracy > best * (1 + options.threshold)) {
        return { learningRate, best: accuracy, badEpochs: 0 };
      }
      if (badEpochs < options.patience) return { learningRate, best, badEpochs: badEpochs + 1 };
      const lowered = Math.max(learningRate * options.factor, options.minLr);
      const decrease = learningRate - lowered;
      return { learningRate: decrease > SMALLEST_DECREASE ? lowered : learningRate, best, badEpochs: 0 };
    },
  };
}
