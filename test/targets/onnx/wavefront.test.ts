import { describe, expect, it } from 'vitest';
import { type Batch, toDense } from '../../../src/data/batch.ts';
import type { Graph } from '../../../src/ir/graph.ts';
import { exportOnnx } from '../../../src/targets/onnx/export.ts';
import { decodeModel, type Node } from '../../../src/targets/onnx/proto.ts';
import { type OnnxModel, type OnnxResult, openOnnxBytes } from '../../../src/targets/onnx/run.ts';
import type { Tensors } from '../../../src/targets/target.ts';
import { wasmTarget } from '../../../src/targets/wasm/target.ts';
import { expectClose } from '../../golden/golden.ts';
import { graphOf, randomBatch } from '../../support/graphs.ts';
import { livelyParameters } from './networks.ts';
import { metadata } from './support.ts';

const size = 30;

/** Two hidden layers, with a skip connection from the first to the readout, or three. */
function networkOf(type: string, depth: 2 | 3 = 2): Graph {
  const layer = { type, size, norm: 'batchnorm' } as const;
  return graphOf(
    [
      { ...layer, name: 'h0', from: ['input'] },
      { ...layer, name: 'h1', from: ['h0'], dropout: 0.1 },
      ...(depth === 3 ? [{ ...layer, name: 'h2', from: ['h1'] }] : []),
      { name: 'both', type: 'merge', from: ['h0', `h${depth - 1}`], operation: 'add' as const },
      { name: 'out', type: 'LI', from: ['both'], size: 3 },
      { name: 'pool', type: 'softmax_sum', from: ['out'] },
    ],
    { features: 7 },
  );
}

/** Counts of events. */
function batchOf(steps: number, rows: number): Batch {
  const batch = randomBatch({ size: rows, steps, features: 7 });
  const values = toDense(batch).map((v) => Math.max(0, Math.round(2 * v)));
  return { ...batch, input: { kind: 'dense', values } };
}

/** The batch twice: two samples have no loop of their own. */
function twice(batch: Batch): Batch {
  const values = toDense(batch);
  return {
    ...batch,
    size: 2,
    input: { kind: 'dense', values: Float32Array.from([...values, ...values]) },
    labels: new Int32Array(2),
    samples: new Int32Array(2),
  };
}

const inTwoRows = (states: Tensors): Map<string, Float32Array> =>
  new Map([...states].map(([name, values]) => [name, Float32Array.from([...values, ...values])]));

function expectSame(alone: OnnxResult, pair: OnnxResult): void {
  for (const [layer, rates] of alone.firingRates) {
    if (layer.startsWith('h')) expect([...rates], layer).toEqual([...(pair.firingRates.get(layer) as Float32Array)]);
  }
  for (const [name, values] of alone.finalStates) {
    const other = pair.finalStates.get(name) as Float32Array;
    if (name.includes('.h')) expect([...values], name).toEqual([...other.slice(0, values.length)]);
  }
  // The readout adds up in another order where there is one sample.
  expectClose('scores', alone.scores, pair.scores.slice(0, 3), 1e-4);
}

const hasLoopOver = (nodes: readonly Node[], states: number, neurons: number): boolean =>
  nodes.some(({ opType, attribute }) => {
    const graphs = attribute.flatMap(({ g }) => (g ? [g] : []));
    const widths = graphs.flatMap((g) => g.input.map((v) => Number(v.type?.tensorType?.shape?.dim?.at(-1)?.dimValue)));
    const isOne = opType === 'Scan' && widths.filter((w) => w === neurons).length >= states;
    return isOne || graphs.some((g) => hasLoopOver(g.node, states, neurons));
  });

function isOneLoop(graph: Graph, options: { readonly stream?: boolean; readonly fold?: boolean } = {}): boolean {
  const { stream = false, fold = true } = options;
  const segmentation = stream ? ({ kind: 'reset' } as const) : undefined;
  const bytes = exportOnnx(graph, livelyParameters(graph, 1), { fold, segmentation, metadata });
  return hasLoopOver(decodeModel(bytes).graph.node, 2, 2 * size);
}

async function opened(graph: Graph, parameters: Tensors): Promise<OnnxModel> {
  return openOnnxBytes(exportOnnx(graph, parameters, { fold: true, metadata }), 'the model', { threads: 1 });
}

describe.each(['RLIF', 'RadLIF'])('two layers of %s', (type) => {
  const graph = networkOf(type);
  const parameters = livelyParameters(graph, 5);

  it('are one loop in a model of whole sequences with folded parameters', () => {
    expect(isOneLoop(graph)).toBe(true);
    expect(isOneLoop(graph, { stream: true })).toBe(false);
    expect(isOneLoop(graph, { fold: false })).toBe(false);
  });

  it.each([1, 2, 3, 4, 150])(
    'give to the last bit what they give one after the other, over %i steps',
    async (steps) => {
      const model = await opened(graph, parameters);
      const batch = batchOf(steps, 1);
      const alone = await model.evaluate(batch);
      expectSame(alone, await model.evaluate(twice(batch)));
      if (steps > 100)
        for (const layer of ['h0', 'h1']) expect(Math.max(...alone.firingRates.get(layer)!)).toBeGreaterThan(0);
      // On from there: no fixed states, whose products are known.
      const next = batchOf(20, 1);
      const { finalStates } = alone;
      expectSame(await model.evaluate(next, finalStates), await model.evaluate(twice(next), inTwoRows(finalStates)));
      await model.dispose();
    },
  );

  it('spike as in evaluation', async () => {
    const trainer = await wasmTarget({ threads: 1 }).compile(graph, {
      seed: 1,
      optimizer: { kind: 'sgd', momentum: 0, weightDecay: 0 },
      clipNorm: null,
    });
    trainer.load(parameters);
    const model = await opened(graph, parameters);
    const batch = batchOf(150, 1);
    const own = await trainer.evaluate(batch);
    const exported = await model.evaluate(batch);
    for (const layer of ['h0', 'h1']) {
      const rates = own.firingRates.get(layer) as Float32Array;
      expectClose(layer, exported.firingRates.get(layer) as Float32Array, rates, 1e-6);
    }
    trainer.dispose();
    await model.dispose();
  });
});

it('takes the first two of three layers, and the third by itself', async () => {
  const graph = networkOf('RadLIF', 3);
  expect(isOneLoop(graph)).toBe(true);
  const model = await opened(graph, livelyParameters(graph, 5));
  const batch = batchOf(60, 1);
  expectSame(await model.evaluate(batch), await model.evaluate(twice(batch)));
  await model.dispose();
});

it.each(['LIF', 'adLIF', 'LiGRU', 'GRU', 'RNN'])('leaves layers of %s, which have no product of spikes', (type) => {
  expect(isOneLoop(networkOf(type))).toBe(false);
});
