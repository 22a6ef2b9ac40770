import type { AnyParams, Definition, ParamSpecs, Params } from '../definitions/params.ts';
import { UserError } from '../diagnostics/diagnostic.ts';
import { Stream } from '../random/stream.ts';
import type { DatasetSplit, OpenDataset, SplitName } from './definition.ts';
import { chooseShare, chooseSpeakers } from './holdOut.ts';

/** Samples of one of the dataset's own splits. */
export interface Selection {
  readonly split: SplitName;
  readonly indices: Int32Array;
}

export interface SplitPlan {
  readonly splits: Readonly<Record<SplitName, Selection>>;
  readonly warnings: readonly string[];
}

/** A way to get a validation split. */
export interface ValidationDefinition extends Definition {
  /** @throws UserError SP71x where the dataset cannot be split that way. */
  plan(dataset: OpenDataset, params: AnyParams): SplitPlan;
}

function defineValidation<const S extends ParamSpecs>(definition: {
  readonly name: string;
  readonly description: string;
  readonly params: S;
  plan(dataset: OpenDataset, params: Params<S>): SplitPlan;
}): ValidationDefinition {
  return definition as unknown as ValidationDefinition;
}

/** Of the speakers and samples that `auto` holds out. */
const SPEAKER_SHARE = 0.2;
const SAMPLE_SHARE = 0.1;
const seed = { type: 'integer', min: 0, default: 1, description: 'which speakers or samples are held out' } as const;

export const NO_SPEAKERS =
  'validation by speakers needs a dataset that knows its speakers; use fraction(share=0.1) instead';

export const speakers = defineValidation({
  name: 'speakers',
  description: 'holds out all training samples of some speakers',
  params: {
    count: {
      type: 'integer',
      min: 1,
      default: null,
      description: 'how many speakers; a fifth of them where not given',
    },
    seed,
  },
  plan: (dataset, { count, seed }) => {
    const train = trainSplit(dataset);
    if (!train.speakers) {
      throw new UserError('SP710', NO_SPEAKERS);
    }
    return holdOut(dataset, heldOutSpeakers(train.speakers, count, seed));
  },
});

export const fraction = defineValidation({
  name: 'fraction',
  description: 'holds out a share of the training samples of each class',
  params: {
    share: {
      type: 'number',
      min: 0,
      max: 1,
      exclusive: true,
      default: SAMPLE_SHARE,
      description: 'share of each class',
    },
    seed,
  },
  plan: (dataset, { share, seed }) => holdOut(dataset, heldOutFraction(trainSplit(dataset).labels, share, seed)),
});

export const test = defineValidation({
  name: 'test',
  description: "uses the test split for validation, as the paper's results were obtained",
  params: {},
  plan: (dataset) => ({
    splits: { train: all(dataset, 'train'), validation: all(dataset, 'test'), test: all(dataset, 'test') },
    warnings: [
      'validation: test selects the best epoch on the test split, so its test accuracy is optimistic; compare it only with results obtained the same way',
    ],
  }),
});

export const auto = defineValidation({
  name: 'auto',
  description:
    "the dataset's own validation split, or else some of the training speakers, or else a tenth of each class",
  params: {},
  plan: (dataset) => {
    if (dataset.splits.validation) {
      const splits = {
        train: all(dataset, 'train'),
        validation: all(dataset, 'validation'),
        test: all(dataset, 'test'),
      };
      return { splits, warnings: [] };
    }
    const train = trainSplit(dataset);
    const bySpeaker = train.speakers !== null && new Set(train.speakers).size > 1;
    return bySpeaker
      ? speakers.plan(dataset, { count: null, seed: seed.default })
      : fraction.plan(dataset, { share: SAMPLE_SHARE, seed: seed.default });
  },
});

function heldOutSpeakers(speakerOf: Int32Array, count: number | null, seed: number): (index: number) => boolean {
  const known = [...new Set(speakerOf)];
  const wanted = count ?? Math.max(1, Math.round(SPEAKER_SHARE * known.length));
  if (wanted >= known.length) {
    const most = known.length - 1;
    const message =
      most > 0
        ? `validation cannot hold out ${wanted} of ${known.length} training speakers; hold out at most ${most}`
        : 'validation cannot hold out the only training speaker; use fraction(share=0.1) instead';
    throw new UserError('SP711', message);
  }
  const chosen = chooseSpeakers(known, wanted, new Stream(seed, 'validation', 'speakers'));
  return (index) => chosen.has(speakerOf[index]);
}

function heldOutFraction(labels: Int32Array, share: number, seed: number): (index: number) => boolean {
  const held = chooseShare(labels, share, (label) => new Stream(seed, 'validation', 'fraction', label));
  if (held.size === 0) {
    throw new UserError(
      'SP712',
      'validation cannot hold out samples where every class has only one; use more training samples',
    );
  }
  return (index) => held.has(index);
}

function holdOut(dataset: OpenDataset, isHeld: (index: number) => boolean): SplitPlan {
  const train = all(dataset, 'train');
  const kept = train.indices.filter((index) => !isHeld(index));
  const held = train.indices.filter(isHeld);
  return {
    splits: {
      train: { split: 'train', indices: kept },
      validation: { split: 'train', indices: held },
      test: all(dataset, 'test'),
    },
    warnings: [],
  };
}

function all(dataset: OpenDataset, split: SplitName): Selection {
  const labels = dataset.splits[split]?.labels;
  if (!labels) throw new Error(`the dataset has no ${split} split`);
  return { split, indices: Int32Array.from(labels.keys()) };
}

function trainSplit(dataset: OpenDataset): DatasetSplit {
  if (!dataset.splits.train) throw new Error('the dataset has no train split');
  return dataset.splits.train;
}
