import { randman } from '../../src/data/datasets/randman.ts';
import type { AnyParams } from '../../src/definitions/params.ts';

/** The default parameters: the task of specs/randman.yaml. */
export const randmanParams: AnyParams = Object.fromEntries(
  Object.entries(randman.params).map(([name, spec]) => [name, spec.default ?? null]),
);
