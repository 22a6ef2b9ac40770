import { expect, it } from 'vitest';
import type { Batch } from '../../../src/data/batch.ts';
import type { Graph } from '../../../src/ir/graph.ts';
import { Stream } from '../../../src/random/stream.ts';
import { referenceTarget } from '../../../src/targets/reference/target.ts';
import type { CompiledModel, CompileOptions, StepResult, Target, TrainRequest } from '../../../src/targets/target.ts';
import { type GraphOptions, graphOf, randomBatch } from '../../support/graphs.ts';
import { randomNeuron } from '../../support/randomNeuron.ts';
import { describeBackends } from './available.ts';

type Layers = Parameters<typeof graphOf>[0];

const sgd = { kind: 'sgd', momentum: 0.9, weightDecay: 0.01 } as const;
const options: CompileOptions = { seed: 3, optimizer: sgd, clipNorm: null };

/** Two training steps and an evaluation give what the float64 interpreter gives. */
async function expectParity(
  target: Target,
  graph: Graph,
  batch: Batch,
  request: Partial<TrainRequest> = {},
  tolerance = 3e-5,
  compileOptions = options,
) {
  const [model, judge] = await Promise.all([target, referenceTarget()].map((t) => t.compile(graph, compileOptions)));
  for (let epoch = 0; epoch < 2; epoch++) {
    const full = { epoch, learningRate: 0.05, wantOutput: true, wantTraces: true, wantGradients: true, ...request };
    const [actual, expected] = [await model.trainStep(batch, full), await judge.trainStep(batch, full)];
    expectSameStep(actual, expected, validOf(batch), tolerance);
  }
  expectSameValues('parameters', await model.parameters(), await judge.parameters(), 10 * tolerance);
  const wanted = { wantOutput: true, wantTraces: true };
  const [actual, expected] = [await model.evaluate(batch, wanted), await judge.evaluate(batch, wanted)];
  expectSameStep(actual, expected, validOf(batch), tolerance);
  for (const m of [model, judge] as CompiledModel[]) m.dispose();
}

function expectSameStep(actual: StepResult, expected: StepResult, valid: Masking, tolerance: number) {
  expectNear('loss', Float32Array.of(actual.loss), Float32Array.of(expected.loss), tolerance);
  expectNear('scores', actual.scores, expected.scores, tolerance);
  expectNear('output', valid(actual.output!), valid(expected.output!), tolerance);
  expectSameValues('firing rates', actual.firingRates, expected.firingRates, tolerance);
  expect([...actual.traces!.keys()]).toEqual([...expected.traces!.keys()]);
  for (const [layer, trace] of expected.traces!)
    expectNear(layer, valid(actual.traces!.get(layer)!), valid(trace), tolerance);
  if (expected.gradients) expectSameValues('gradient', actual.gradients!, expected.gradients, 10 * tolerance);
}

type Values = ReadonlyMap<string, Float32Array>;

/** Relative to the largest of all entries: some gradients are zero but for rounding. */
function expectSameValues(what: string, actual: Values, expected: Values, tolerance: number) {
  expect([...actual.keys()].sort()).toEqual([...expected.keys()].sort());
  const scale = Math.max(...[...expected.values()].map(largest));
  for (const [key, value] of expected) expectNear(`${what} ${key}`, actual.get(key)!, value, tolerance, scale);
}

const largest = (values: Float32Array) => values.reduce((m, v) => Math.max(m, Math.abs(v)), 0);

function expectNear(what: string, actual: Float32Array, expected: Float32Array, tolerance: number, scale = 1) {
  expect(actual.length, what).toBe(expected.length);
  const errors = expected.map((v, i) => Math.abs(actual[i] - v));
  expect(Math.max(...errors), what).toBeLessThanOrEqual(tolerance * scale);
}

type Masking = (values: Float32Array) => Float32Array;

/** Zeroes padded steps of sequences: what a target leaves there is its own business. */
function validOf(batch: Batch): Masking {
  const { lengths, size, steps } = batch;
  return (values) => {
    if (!lengths || values.length % (size * steps) !== 0) return values;
    const features = values.length / (size * steps);
    return values.map((v, i) => {
      const row = Math.floor(i / features);
      return row % steps < lengths[Math.floor(row / steps)] ? v : 0;
    });
  };
}

const chain = (hidden: object, tail: Layers = [{ name: 'pool', type: 'softmax_sum', from: ['out'] }]): Layers => [
  { name: 'h', type: 'RadLIF', from: ['input'], size: 5, ...hidden },
  { name: 'out', type: 'LI', from: ['h'], size: 3 },
  ...tail,
];

const skip: Layers = [
  { name: 'a', type: 'LIF', from: ['input'], size: 4, norm: 'layernorm' },
  { name: 'b', type: 'adLIF', from: ['a'], size: 4, bias: true, norm: 'none' },
  { name: 'sum', type: 'merge', operation: 'add', from: ['a', 'b'] },
  { name: 'c', type: 'RLIF', from: ['sum'], size: 3, bidirectional: true, dropout: 0.3 },
  { name: 'all', type: 'merge', operation: 'concat', from: ['c', 'a', 'input'] },
  { name: 'out', type: 'LI', from: ['all'], size: 3 },
  { name: 'pool', type: 'mean', from: ['out'] },
];

const regularizer = { min: 0.2, max: 0.4, factor: 0.5 };
const lengths = [7, 4, 1];

const cases: Record<string, { layers: Layers; graph?: GraphOptions; lengths?: number[]; request?: object }> = {
  'a chain with a regulariser': { layers: chain({}), graph: { regularizer } },
  'skip connections, merges and dropout': { layers: skip, graph: { regularizer } },
  'the same with lengths': { layers: skip, graph: { regularizer }, lengths },
  'bidirectional batchnorm with lengths': { layers: chain({ bidirectional: true, dropout: 0.2 }), lengths },
  'a loss per step': { layers: chain({}, []), lengths },
  'a sequence with a pooled loss': { layers: chain({}, []), graph: { lossPool: 'max' }, lengths },
  'output weights': {
    layers: chain({ bidirectional: true }, []),
    lengths,
    request: { outputWeights: Float32Array.from({ length: 63 }, (_, i) => Math.sin(i)) },
  },
  'gates and a dense readout': {
    layers: [
      { name: 'h', type: 'GRU', from: ['input'], size: 4, norm: 'layernorm' },
      { name: 'pool', type: 'softmax_sum', from: ['h'] },
      { name: 'out', type: 'dense', from: ['pool'], size: 3, dropout: 0.2, bias: true },
    ],
    lengths,
  },
  ...Object.fromEntries(
    ['softmax_sum', 'mean', 'max', 'last'].map((type) => [
      `the pool ${type} with lengths`,
      { layers: chain({ type: 'LIF', norm: 'none' }, [{ name: 'pool', type, from: ['out'] }]), lengths },
    ]),
  ),
  ...Object.fromEntries(
    ['triangle', 'fast_sigmoid', 'arctan', 'sigmoid_derivative', 'straight_through'].map((name) => [
      `the surrogate ${name}`,
      { layers: chain({ surrogate: { name, args: [] } }) },
    ]),
  ),
};

describeBackends((target) => {
  it.each(Object.entries(cases))('%s', async (_, { layers, graph, lengths: given, request }) => {
    await expectParity(target, graphOf(layers, graph), randomBatch({ steps: 7, lengths: given }), request);
  });

  it.each(Array.from({ length: 12 }, (_, seed) => seed))('random neuron %i', async (seed) => {
    const hidden = { type: 'Random', bidirectional: seed % 3 === 0, norm: 'layernorm' as const };
    const graph = graphOf(chain(hidden), { define: randomNeuron(seed) });
    await expectParity(
      target,
      graph,
      randomBatch({ steps: 5, lengths: seed % 2 ? [5, 3, 2] : undefined, seed }),
      {},
      1e-4,
    );
  });

  it('clips gradients before the update, but not those it returns', async () => {
    const graph = graphOf(chain({}), { regularizer });
    await expectParity(target, graph, randomBatch({ steps: 7 }), {}, 3e-5, { ...options, clipNorm: 0.1 });
  });

  it('events give what the same dense input gives', async () => {
    const dense = randomBatch({ steps: 4, features: 3 });
    const stream = new Stream(1, 'events');
    const counts = Uint16Array.from({ length: 36 }, () => stream.integer(3));
    const units = Uint16Array.from({ length: 36 }, (_, i) => i % 3);
    const present = [...counts.keys()].filter((i) => counts[i] > 0);
    const offsets = Int32Array.from({ length: 13 }, (_, row) => present.filter((i) => i < row * 3).length);
    const pick = (values: Uint16Array) => present.map((i) => values[i]);
    const events = {
      kind: 'events' as const,
      offsets,
      units: Uint16Array.from(pick(units)),
      counts: Uint16Array.from(pick(counts)),
    };
    const graph = graphOf(chain({}));
    const losses: number[] = [];
    for (const input of [events, { kind: 'dense' as const, values: Float32Array.from(counts) }]) {
      const model = await target.compile(graph, options);
      losses.push((await model.trainStep({ ...dense, input }, { epoch: 0, learningRate: 0.1 })).loss);
      model.dispose();
    }
    expect(losses[0]).toBe(losses[1]);
  });
});
