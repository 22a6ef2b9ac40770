import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { type Batch, toDense } from '../../../src/data/batch.ts';
import type { Graph } from '../../../src/ir/graph.ts';
import { exportOnnx } from '../../../src/targets/onnx/export.ts';
import type { Tensors } from '../../../src/targets/target.ts';
import { wasmTarget } from '../../../src/targets/wasm/target.ts';
import { randomBatch as denseBatch, graphOf } from '../../support/graphs.ts';
import { livelyParameters, randomCase } from './networks.ts';
import { metadata, openTraced } from './support.ts';

/**
 * Recurrent adaptive neurons carry a difference in the last bit to another spike within tens of steps: programs agree on
 * every spike of long sequences only where they agree on every bit.
 */
const options = {
  seed: 1,
  optimizer: { kind: 'sgd', momentum: 0, weightDecay: 0 },
  clipNorm: null,
} as const;

const steps = 200;

async function expectSameSpikes(graph: Graph, parameters: Tensors, batch: Batch): Promise<void> {
  const trainer = await wasmTarget({ threads: 2 }).compile(graph, options);
  trainer.load(parameters);
  const evaluated = await trainer.evaluate(batch, { wantTraces: true });
  trainer.dispose();
  const model = await openTraced(graph, parameters, true);
  const exported = await model.run(batch);
  await model.dispose();
  const counts = (i: number, perStep: number) => {
    const step = Math.floor(i / perStep);
    return step % steps < (batch.lengths?.[Math.floor(step / steps)] ?? steps);
  };
  for (const { layer, features } of graph.layers.filter(({ spiking }) => spiking)) {
    const [own, other] = [evaluated, exported].map(({ traces }) => traces?.get(layer) as Float32Array);
    expect(
      own.some((v) => v !== 0),
      `${layer} is active`,
    ).toBe(true);
    expect(
      own.findIndex((v, i) => counts(i, features) && v !== other[i]),
      `first difference in ${layer}`,
    ).toBe(-1);
  }
  evaluated.scores.forEach((score, i) => {
    expect(Math.abs(score - exported.scores[i])).toBeLessThan(1e-4);
  });
}

describe.each(['LIF', 'adLIF', 'RLIF', 'RadLIF'])('%s', (type) => {
  it.each([
    ['one by one', 1, false, 'batchnorm' as const],
    ['in batches of unequal lengths', 5, false, 'batchnorm' as const],
    ['in both directions', 3, true, 'batchnorm' as const],
    ['without a norm', 4, false, 'none' as const],
  ])('spikes in the exported model as in evaluation, %s', async (_, size, bidirectional, norm) => {
    const layer = { type, size: 97, norm, bias: norm === 'none', bidirectional };
    const layers = [layer, { ...layer, size: size === 1 ? 97 : 100, norm: 'batchnorm' as const }];
    const network = { layers, merge: null, head: 'softmax_sum', batch: size, steps, padded: size > 1, seed: 7 };
    const { graph, parameters, batch } = randomCase(network);
    await expectSameSpikes(graph, parameters, batch);
  });

  it.each([1, 6])('spikes as in evaluation on real numbers, %i at a time', async (size) => {
    const graph = graphOf(
      [
        { name: 'h0', type, from: ['input'], size: 93, norm: 'batchnorm' },
        { name: 'h1', type, from: ['h0'], size: 70, norm: 'batchnorm' },
        { name: 'out', type: 'LI', from: ['h1'], size: 3 },
        { name: 'pool', type: 'softmax_sum', from: ['out'] },
      ],
      { features: 39 },
    );
    await expectSameSpikes(graph, livelyParameters(graph, 3), denseBatch({ size, steps, features: 39 }));
  });
});

const ownNeurons = `
neuron Reverberating {
  input I
  param alpha in [0.8, 0.95]
  recurrent V = orthogonal(diagonal=0)
  state u = uniform(0, 1), w = 0, s = uniform(0, 1)
  u' = alpha * (u - s) + (1 - alpha) * (I - w)
  s' = spike(u' - 1, boxcar(0.5))
  w' = 0.5 * w + V @ s'
  output s'
}
neuron Detector {
  input I
  param alpha in [0.8, 0.95]
  state u = 0
  u' = alpha * u + (1 - alpha) * I
  output spike(u' - 1, boxcar(0.5))
}`;

const networkOf = (type: string, size: number) =>
  graphOf(
    [
      { name: 'h0', type, from: ['input'], size, norm: 'batchnorm' },
      { name: 'h1', type, from: ['h0'], size: 50, norm: 'batchnorm' },
      { name: 'out', type: 'LI', from: ['h1'], size: 3 },
      { name: 'pool', type: 'softmax_sum', from: ['out'] },
    ],
    { features: 39, define: ownNeurons },
  );

it.each([
  ['a neuron that multiplies by the spikes of the same step', 'Reverberating', 700],
  ['wide layers, whose products are event-driven', 'RadLIF', 400],
])('spikes as in evaluation, one sample alone: %s', async (_, type, size) => {
  const graph = networkOf(type, size);
  await expectSameSpikes(graph, livelyParameters(graph, 3), denseBatch({ size: 1, steps, features: 39 }));
});

it.each([
  ['Detector', 50],
  ['Reverberating', 50],
  ['Reverberating', 400],
  ['RadLIF', 400],
])('gives a sample alone the states that it has in a batch, to the last bit: %s, %i neurons', async (type, size) => {
  const graph = networkOf(type, size);
  const bytes = exportOnnx(graph, livelyParameters(graph, 3), { fold: true, metadata });
  const session = await InferenceSession.create(bytes, { logSeverityLevel: 3 });
  const x = toDense(denseBatch({ size: 1, steps, features: 39 }));
  const [alone, twice] = await Promise.all(
    [1, 2].map(async (samples) => {
      const rows = new Tensor(
        'float32',
        Float32Array.from({ length: samples * x.length }, (_, i) => x[i % x.length]),
        [samples, steps, 39],
      );
      const results = await session.run({ x: rows });
      const states = Object.keys(results).filter((name) => name.startsWith('final.h0.'));
      return states.map((name) => (results[name].data as Float32Array).slice(0, size));
    }),
  );
  await session.release();
  expect(alone.every((state) => state.some((v) => v !== 0))).toBe(true);
  expect(alone).toEqual(twice);
});
