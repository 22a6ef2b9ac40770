import { datasets, transforms, validations } from '../data/registry.ts';
import type { Definition } from '../definitions/params.ts';
import { losses, optimizers, regularizers, schedules } from '../train/definitions.ts';

/** A place in a spec that names a definition with parameters, as `adam(lr=0.01)` or `{type: adam, lr: 0.01}`. */
export interface CallPlace {
  readonly path: readonly string[];
  readonly definitions: readonly Definition[];
  /** What is meant where the spec says nothing; undefined where it must. */
  readonly default?: string;
  /** `none` is a value, too. */
  readonly optional?: boolean;
  readonly description: string;
}

export const sourcePlace: CallPlace = {
  path: ['data', 'source'],
  definitions: datasets,
  description: 'the dataset, or a pipeline such as shd(folder="data/shd") |> bin(steps=100, window=1.4s)',
};

export const transformPlace: CallPlace = {
  path: ['data', 'transforms'],
  definitions: transforms,
  description: 'what happens to every sample, in order; a pipeline in "source" fills this in',
};

/** All places that hold one call. */
export const callPlaces: readonly CallPlace[] = [
  sourcePlace,
  {
    path: ['data', 'validation'],
    definitions: validations,
    default: 'auto',
    description: 'where the validation split comes from',
  },
  { path: ['train', 'optimizer'], definitions: optimizers, default: 'adam', description: 'the optimiser' },
  {
    path: ['train', 'schedule'],
    definitions: schedules,
    default: 'plateau',
    description: 'how the learning rate changes',
  },
  {
    path: ['train', 'loss'],
    definitions: losses,
    default: 'cross_entropy',
    description: 'what training makes small',
  },
  {
    path: ['train', 'regularizer'],
    definitions: regularizers,
    default: 'none',
    optional: true,
    description: 'a penalty added to the loss, or none',
  },
];
