import { describe, expect, it } from 'vitest';
import type { Batch } from '../../../src/data/batch.ts';
import type { DropoutNode, Graph, PopulationNode } from '../../../src/ir/graph.ts';
import type { LayerConfig } from '../../../src/passes/model.ts';
import { drawDropoutMask, drawInitialStates } from '../../../src/targets/draws.ts';
import type { CompiledModel, CompileOptions, Tensors, TrainRequest } from '../../../src/targets/target.ts';
import { memoryPlan } from '../../../src/targets/wasm/memory.ts';
import { wasmTarget } from '../../../src/targets/wasm/target.ts';
import { graphOf, randomBatch } from '../../support/graphs.ts';

const options: CompileOptions = {
  seed: 5,
  optimizer: { kind: 'adam', beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0 },
  clipNorm: 1,
};
const size = 37;
const steps = 12;
const features = 20;
const everything = { epoch: 1, learningRate: 0.01, wantGradients: true, wantTraces: true, wantOutput: true };

function network(norm: LayerConfig['norm'], regularizer: { min: number; max: number; factor: number } | null = null) {
  const layer = { norm, size: 40, dropout: 0.2 } as const;
  return graphOf(
    [
      { ...layer, name: 'h0', type: 'RadLIF', from: ['input'] },
      { ...layer, name: 'h1', type: 'RadLIF', from: ['h0'], bidirectional: true },
      { name: 'readout', type: 'LI', norm, size: 3, from: ['h1'] },
      { name: 'pool', type: 'softmax_sum', from: ['readout'] },
    ],
    { features, regularizer },
  );
}

const batch: Batch = {
  ...randomBatch({ size, steps, features, lengths: Array.from({ length: size }, (_, i) => 1 + (i % steps)) }),
  samples: Int32Array.from({ length: size }, (_, i) => 7 * i),
};

const totalOf = (graph: Graph, samples: number) =>
  memoryPlan(graph, options, { batch: samples, steps, events: null }, Number.POSITIVE_INFINITY).total;

async function compiled(graph: Graph, memoryLimit?: number, notices: string[] = []): Promise<CompiledModel> {
  const onNotice = (sentence: string) => void notices.push(sentence);
  return wasmTarget({ threads: 1 }).compile(graph, { ...options, memoryLimit, onNotice });
}

/** Up to the rounding of float32 sums. */
function expectClose(actual: Tensors, expected: Tensors): void {
  expect([...actual.keys()]).toEqual([...expected.keys()]);
  for (const [key, values] of expected) {
    const scale = Math.max(1e-3, ...values.map(Math.abs));
    const worst = Math.max(...values.map((v, i) => Math.abs(v - actual.get(key)![i])));
    expect(worst / scale, key).toBeLessThan(2e-5);
  }
}

function given(graph: Graph): Pick<TrainRequest, 'initialStates' | 'dropoutMasks'> {
  const populations = graph.nodes.filter((n): n is PopulationNode => n.kind === 'population');
  const dropouts = graph.nodes.filter((n): n is DropoutNode => n.kind === 'dropout');
  return {
    initialStates: new Map(populations.flatMap((n) => [...drawInitialStates(n, batch, 9, 9)])),
    dropoutMasks: new Map(dropouts.map((n) => [n.layer, drawDropoutMask(n, batch, 9, 9)])),
  };
}

describe('a step that does not fit into memory', () => {
  it.each([
    ['as drawn', 'layernorm', () => ({})],
    ['with states and masks of the caller', 'none', given],
    [
      'of a weighted output',
      'none',
      () => ({ outputWeights: Float32Array.from({ length: 3 * size }, (_, i) => Math.sin(i)) }),
    ],
  ] as const)('is the whole step in parts, %s', async (_, norm, more) => {
    const graph = network(norm);
    const notices: string[] = [];
    const whole = await compiled(graph);
    const parts = await compiled(graph, totalOf(graph, 12), notices);
    for (let step = 0; step < 2; step++) {
      // The bits differ after the first update: each step starts from the same weights.
      parts.load(await whole.parameters());
      const expected = await whole.trainStep(batch, { ...everything, ...more(graph) });
      const result = await parts.trainStep(batch, { ...everything, ...more(graph) });
      expect(result.loss).toBeCloseTo(expected.loss, 5);
      expect(result.scores).toEqual(expected.scores);
      expect(result.output).toEqual(expected.output);
      expect(result.traces).toEqual(expected.traces);
      expectClose(result.firingRates, expected.firingRates);
      expectClose(result.gradients!, expected.gradients!);
      expectClose(await parts.optimizerState().then(withoutParts), await whole.optimizerState());
    }
    expect(whole.execution?.microBatches).toBe(1);
    expect(parts.execution?.microBatches).toBe(4);
    expect(notices).toEqual([expect.stringContaining('computed in 4 parts')]);
    whole.dispose();
    parts.dispose();
  });

  it.each([
    ['batchnorm', null, 'batchnorm needs the statistics of a whole batch'],
    ['none', { min: 0.1, max: 0.2, factor: 1 }, 'the firing-rate regulariser needs the rates of a whole batch'],
  ] as const)(
    'with norm %s and regulariser %o is refused, with the batch that fits',
    async (norm, regularizer, why) => {
      const graph = network(norm, regularizer);
      const model = await compiled(graph, totalOf(graph, 20));
      await expect(model.trainStep(batch, everything)).rejects.toThrow(
        new RegExp(
          `a batch of ${size} samples of ${steps} time steps needs .* and there are .*; .*${why}; a batch of \\d+ fits`,
        ),
      );
      const error: Error = await model.trainStep(batch, everything).then(
        () => expect.fail('it fitted'),
        (e) => e,
      );
      const fits = Number(error.message.match(/a batch of (\d+) fits/)?.[1]);
      expect(fits).toBeGreaterThan(10);
      await expect(model.trainStep(randomBatch({ size: fits + 1, steps, features }), everything)).rejects.toThrow();
      await model.trainStep(randomBatch({ size: fits, steps, features }), everything);
      model.dispose();
    },
  );

  it('is refused before it begins where the parameters alone do not fit', async () => {
    await expect(compiled(network('none'), 600_000)).rejects.toThrow(
      /the parameters with their gradients and moments need .*; make the network smaller/,
    );
  });

  it('is refused where one sample is too large', async () => {
    const graph = network('none');
    const model = await compiled(graph, totalOf(graph, 1) - 20_000);
    await expect(model.trainStep(batch, everything)).rejects.toThrow(
      /one sample of 12 time steps needs .*; make the network smaller or the samples shorter/,
    );
    await expect(model.evaluate(randomBatch({ size: 2, steps: 900, features }))).rejects.toThrow('make the network');
    model.dispose();
  });

  it('is cut as before after a resume', async () => {
    const graph = network('none');
    const first = await compiled(graph, totalOf(graph, 12));
    await first.trainStep(batch, everything);
    const resumed = await compiled(graph);
    resumed.load(await first.parameters());
    resumed.loadOptimizerState(await first.optimizerState());
    const next = { ...everything, epoch: 2 };
    expect(await resumed.trainStep(batch, next)).toEqual(await first.trainStep(batch, next));
    expect(await resumed.parameters()).toEqual(await first.parameters());
    first.dispose();
    resumed.dispose();
  });
});

it('evaluates in parts with the same outputs, whatever the norm', async () => {
  const graph = network('batchnorm', { min: 0.1, max: 0.2, factor: 1 });
  const whole = await compiled(graph);
  const parts = await compiled(graph, totalOf(graph, 5));
  const request = { wantOutput: true, wantTraces: true };
  const expected = await whole.evaluate(batch, request);
  const result = await parts.evaluate(batch, request);
  const { loss, firingRates, ...outputs } = result;
  expect(outputs).toEqual({ scores: expected.scores, output: expected.output, traces: expected.traces });
  expect(loss).toBeCloseTo(expected.loss, 5);
  expectClose(firingRates, expected.firingRates);
  whole.dispose();
  parts.dispose();
});

const withoutParts = (state: Tensors) => new Map([...state].filter(([key]) => key !== 'micro_batches'));
