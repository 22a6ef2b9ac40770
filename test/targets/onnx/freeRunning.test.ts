import { describe, expect, it } from 'vitest';
import type { Batch } from '../../../src/data/batch.ts';
import type { Graph } from '../../../src/ir/graph.ts';
import { referenceTarget } from '../../../src/targets/reference/target.ts';
import type { Tensors } from '../../../src/targets/target.ts';
import { unexplained } from '../../support/divergence.ts';
import { classAgreement, divergencesOf, type FreeRun } from '../../support/freeRunning.ts';
import { randomCase } from './networks.ts';
import { openTraced } from './support.ts';

const options = {
  seed: 1,
  optimizer: { kind: 'sgd', momentum: 0, weightDecay: 0 },
  clipNorm: null,
} as const;

async function runExported(graph: Graph, parameters: Tensors, batch: Batch, fold: boolean): Promise<FreeRun> {
  const model = await openTraced(graph, parameters, fold);
  const run = await model.run(batch);
  await model.dispose();
  return run;
}

async function runInterpreter(graph: Graph, parameters: Tensors, batch: Batch): Promise<FreeRun> {
  const model = await referenceTarget().compile(graph, options);
  model.load(parameters);
  const { scores, traces } = await model.evaluate(batch, { wantTraces: true });
  return { scores, traces: traces as Tensors };
}

const layers = ['adLIF', 'RadLIF'].map((type) => ({
  type,
  size: 24,
  norm: 'batchnorm' as const,
  bias: false,
  bidirectional: false,
}));

describe.each([
  [1, 20],
  [1, 50],
  [32, 20],
  [32, 50],
])('a free-running batch of %i over %i steps', (size, steps) => {
  const network = { layers, merge: null, head: 'softmax_sum', batch: size, steps, padded: false, seed: 4 };
  const { graph, parameters, batch } = randomCase(network);

  it.each([true, false])('differs from the interpreter only by rounding at the threshold (fold: %s)', async (fold) => {
    const a = await runInterpreter(graph, parameters, batch);
    const b = await runExported(graph, parameters, batch, fold);
    expect(unexplained(divergencesOf(graph, parameters, batch, a, b))).toEqual([]);
    expect(classAgreement(a, b, graph.classes)).toBeGreaterThanOrEqual(0.99);
  });
});

it('finds a program that is wrong', async () => {
  const network = { layers, merge: null, head: 'softmax_sum', batch: 8, steps: 40, padded: false, seed: 5 };
  const { graph, parameters, batch } = randomCase(network);
  const decay = parameters.get('snn.1.alpha') as Float32Array;
  const wrong = new Map(parameters).set(
    'snn.1.alpha',
    decay.map((v) => v + 0.01),
  );
  const a = await runInterpreter(graph, parameters, batch);
  const b = await runExported(graph, wrong, batch, true);
  const found = divergencesOf(graph, parameters, batch, a, b);
  expect(unexplained(found).map(({ layer }) => layer)).toContain('h1');
  expect(found.map(({ layer }) => layer)).not.toContain('h0');
});
