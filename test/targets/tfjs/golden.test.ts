import { it } from 'vitest';
import { checkGolden, goldenNames, loadGolden } from '../../golden/golden.ts';
import { describeBackends } from './available.ts';

describeBackends((target) => {
  it.each(goldenNames)('agrees with the reference vector %s', (name) => checkGolden(loadGolden(name), target));
});
