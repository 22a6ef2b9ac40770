import type { Call } from '../data/config.ts';

/** `best`: of the epoch with the highest validation accuracy; `last`: of the last one. */
export const selections = ['best', 'last'] as const;
export type Selection = (typeof selections)[number];

/** The `train` section of an experiment, resolved. Calls name definitions in `train/definitions.ts`. */
export interface TrainConfig {
  readonly epochs: number;
  readonly batch: number;
  /** `adam(lr, ...)`, `adamw(...)`, `sgd(...)`. */
  readonly optimizer: Call;
  /** `plateau(factor, patience, ...)` or `constant`. */
  readonly schedule: Call;
  /** Global L2 norm that gradients are clipped to, or null. */
  readonly clipNorm: number | null;
  /** Stop after this many epochs without a better validation accuracy, or null. */
  readonly earlyStopping: number | null;
  /** Which epoch's weights are tested and exported. */
  readonly select: Selection;
  /** Run folder or checkpoint whose weights training starts from; null: drawn anew. */
  readonly init: string | null;
  /** Seconds between checkpoints inside an epoch. */
  readonly checkpointEvery: number;
}
