import { describe, it } from 'vitest';
import { referenceTarget } from '../../../src/targets/reference/target.ts';
import { checkGolden, goldenNames, loadGolden } from '../../golden/golden.ts';

describe('the interpreter agrees with the reference vectors', () => {
  it.each(goldenNames)('%s', async (name) => {
    await checkGolden(loadGolden(name), referenceTarget());
  });
});
