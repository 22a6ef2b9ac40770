import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { referenceTarget } from '../../../src/targets/reference/target.ts';
import { expectClose } from '../../golden/golden.ts';
import { randomCase, randomNetwork } from './networks.ts';
import { exported, temporaryFolder } from './support.ts';

const folder = temporaryFolder();
const options = {
  seed: 1,
  optimizer: { kind: 'sgd', momentum: 0, weightDecay: 0 },
  clipNorm: null,
} as const;
/** Relative to the largest expected number where that exceeds 1. */
const tolerance = 1e-5;

async function expectParity({ graph, parameters, batch }: ReturnType<typeof randomCase>): Promise<number> {
  const reference = await referenceTarget().compile(graph, options);
  reference.load(parameters);
  const expected = await reference.evaluate(batch, { wantOutput: true });
  for (const fold of [true, false]) {
    const model = await exported(folder, graph, parameters, fold);
    const actual = await model.evaluate(batch);
    expectNear('scores', actual.scores, expected.scores);
    expectNear('loss', [actual.loss], [expected.loss]);
    expect([...actual.firingRates.keys()]).toEqual([...expected.firingRates.keys()]);
    for (const [layer, rates] of expected.firingRates) {
      expectNear(`rates of ${layer}`, actual.firingRates.get(layer) as Float32Array, rates);
    }
    if (graph.output !== graph.prediction) {
      const valid = (values?: Float32Array) => validSteps(values as Float32Array, batch, graph.classes);
      expectNear('output', valid(actual.output), valid(expected.output));
    }
    await model.dispose();
  }
  return Math.max(0, ...[...expected.firingRates.values()].map((rates) => Math.max(...rates)));
}

function expectNear(what: string, actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  const scale = Array.from(expected).reduce((largest, v) => Math.max(largest, Math.abs(v)), 1);
  expectClose(what, actual, expected, tolerance * scale);
}

/** What padded steps of a sequence hold is nobody's business. */
function validSteps(
  values: Float32Array,
  { size, steps, lengths }: { size: number; steps: number; lengths?: Int32Array },
  features: number,
): Float32Array {
  const valid: number[] = [];
  for (let row = 0; row < size; row++) {
    const start = row * steps * features;
    valid.push(...values.subarray(start, start + (lengths?.[row] ?? steps) * features));
  }
  return Float32Array.from(valid);
}

describe('an exported model gives what the interpreter gives', () => {
  it('on random networks: neurons, norms, directions, merges, pools, sequences, lengths', async () => {
    let active = 0;
    const property = fc.asyncProperty(randomNetwork, async (network) => {
      if ((await expectParity(randomCase(network))) > 0.05) active++;
    });
    await fc.assert(property, { seed: 20, numRuns: 60 });
    expect(active, 'networks that were not silent').toBeGreaterThan(40);
  });

  it.each(['softmax_sum', 'mean', 'max', 'last'])('with the pool %s and samples of unequal length', async (pool) => {
    const layers = [{ type: 'RadLIF', size: 8, norm: 'batchnorm', bias: true, bidirectional: true }] as const;
    await expectParity(randomCase({ layers, merge: null, head: pool, batch: 5, steps: 9, padded: true, seed: 3 }));
  });
});
