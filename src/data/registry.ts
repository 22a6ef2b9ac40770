import { randman } from './datasets/randman.ts';
import { shd } from './datasets/shd.ts';
import { ssc } from './datasets/ssc.ts';
import { tensor } from './datasets/tensor.ts';
import type { DatasetDefinition, TransformDefinition } from './definition.ts';
import { bin } from './transforms/bin.ts';
import { auto, fraction, speakers, test, type ValidationDefinition } from './validation.ts';

/** Everything that the `data` section of a spec can call. */
export const datasets: readonly DatasetDefinition[] = [shd, ssc, randman, tensor];
export const transforms: readonly TransformDefinition[] = [bin];
export const validations: readonly ValidationDefinition[] = [auto, speakers, fraction, test];

export const datasetByName = (name: string) => datasets.find((d) => d.name === name);
export const transformByName = (name: string) => transforms.find((t) => t.name === name);
export const validationByName = (name: string) => validations.find((v) => v.name === name);
