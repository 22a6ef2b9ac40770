import { audioFolder } from './datasets/audioFolder.ts';
import { hd } from './datasets/hd.ts';
import { randman } from './datasets/randman.ts';
import { sc } from './datasets/sc.ts';
import { shd } from './datasets/shd.ts';
import { spokenDigits } from './datasets/spokenDigits.ts';
import { ssc } from './datasets/ssc.ts';
import { tensor } from './datasets/tensor.ts';
import type { AugmentationDefinition, DatasetDefinition, TransformDefinition } from './definition.ts';
import { audioAugmentations } from './transforms/audioAugmentations.ts';
import { bin } from './transforms/bin.ts';
import { fbank } from './transforms/fbank.ts';
import { normalize } from './transforms/normalize.ts';
import { resample } from './transforms/resample.ts';
import { spikeAugmentations } from './transforms/spikeAugmentations.ts';
import { auto, fraction, speakers, test, type ValidationDefinition } from './validation.ts';

/** Everything that the `data` section of a spec can call. */
export const datasets: readonly DatasetDefinition[] = [shd, ssc, hd, sc, audioFolder, spokenDigits, randman, tensor];
export const transforms: readonly (TransformDefinition | AugmentationDefinition)[] = [
  bin,
  resample,
  fbank,
  normalize,
  ...audioAugmentations,
  ...spikeAugmentations,
];
export const validations: readonly ValidationDefinition[] = [auto, speakers, fraction, test];

export const datasetByName = (name: string) => datasets.find((d) => d.name === name);
export const transformByName = (name: string) => transforms.find((t) => t.name === name);
export const validationByName = (name: string) => validations.find((v) => v.name === name);

/** Specs are checked before data is opened, so an unknown name is a mistake of the caller. */
export function lookUp<T>(byName: (name: string) => T | undefined, name: string): T {
  const found = byName(name);
  if (!found) throw new Error(`nothing in the data registry is called "${name}"`);
  return found;
}
