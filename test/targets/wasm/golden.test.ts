import { describe, it } from 'vitest';
import { wasmTarget } from '../../../src/targets/wasm/target.ts';
import { checkGolden, goldenNames, loadGolden } from '../../golden/golden.ts';

describe('wasm', () => {
  it.each(goldenNames)('agrees with the reference vector %s', (name) =>
    checkGolden(loadGolden(name), wasmTarget({ threads: 1 })),
  );
});
