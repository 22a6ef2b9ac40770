import type { DataConfig } from '../data/config.ts';
import type { FiringRateRegularizer } from '../ir/graph.ts';
import type { ModelConfig } from '../passes/model.ts';
import type { LocatedText } from '../syntax/text.ts';
import type { TrainConfig } from '../train/config.ts';

/** A whole experiment, checked, with every default filled in. */
export interface Experiment {
  readonly name: string;
  readonly seed: number;
  /** Of the trained model, for whoever gets it. */
  readonly license: string | null;
  /** Neurons, pools and surrogates of its own. */
  readonly definitions: readonly LocatedText[];
  readonly data: DataConfig;
  readonly model: ModelConfig;
  /** For models without a pool: `steps` (the loss at every step) or the pool that makes class scores of a sequence. */
  readonly lossPool: string;
  readonly regularizer: FiringRateRegularizer | null;
  readonly train: TrainConfig;
}
