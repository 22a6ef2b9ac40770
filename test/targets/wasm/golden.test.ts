import { describe, it } from 'vitest';
import { checkGolden, goldenNames, loadGolden } from '../../golden/golden.ts';
import { wasmTargets } from '../../support/wasmTargets.ts';

describe.each(wasmTargets(1))('$name', (target) => {
  it.each(goldenNames)('agrees with the reference vector %s', (name) => checkGolden(loadGolden(name), target));
});
