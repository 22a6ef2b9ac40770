import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { type Batch, toDense } from '../../../src/data/batch.ts';
import type { Graph } from '../../../src/ir/graph.ts';
import { Stream } from '../../../src/random/stream.ts';
import { exportOnnx } from '../../../src/targets/onnx/export.ts';
import { Sequence } from '../../../src/targets/reference/sequence.ts';
import { referenceTarget } from '../../../src/targets/reference/target.ts';
import type { Tensors } from '../../../src/targets/target.ts';
import { type Divergence, firstDivergences, unexplained } from '../../support/divergence.ts';
import { forcedPotentials, randomRounding } from '../../support/potentials.ts';
import { randomCase } from './networks.ts';
import { metadata, withTraces } from './support.ts';

const options = {
  seed: 1,
  optimizer: { kind: 'sgd', momentum: 0, weightDecay: 0 },
  clipNorm: null,
} as const;

interface Run {
  readonly scores: Float32Array;
  readonly traces: Tensors;
}

async function runExported(graph: Graph, parameters: Tensors, batch: Batch, fold: boolean): Promise<Run> {
  const bytes = withTraces(exportOnnx(graph, parameters, { fold, metadata }), graph);
  const session = await InferenceSession.create(bytes, { logSeverityLevel: 3, intraOpNumThreads: 1 });
  const x = new Tensor('float32', toDense(batch), [batch.size, batch.steps, batch.features]);
  // The session takes defaults from the file, as any other runtime does.
  const results = await session.run({ x });
  const traces = graph.layers.map(({ layer, features }) => {
    const values = Float64Array.from(results[`trace.${layer}`].data as Float32Array);
    return [layer, new Sequence(batch.steps, batch.size, features, values).toBatchMajor()] as const;
  });
  await session.release();
  return { scores: results.scores.data as Float32Array, traces: new Map(traces) };
}

async function runInterpreter(graph: Graph, parameters: Tensors, batch: Batch): Promise<Run> {
  const model = await referenceTarget().compile(graph, options);
  model.load(parameters);
  const { scores, traces } = await model.evaluate(batch, { wantTraces: true });
  return { scores, traces: traces as Tensors };
}

/** Where two runs first differ, with the potentials of a run forced to the spikes of the first. */
function divergencesOf(graph: Graph, parameters: Tensors, batch: Batch, a: Run, b: Run): Divergence[] {
  const exact = forcedPotentials(graph, parameters, batch, a.traces);
  const rounded = [1, 2, 3, 4].map((seed) =>
    forcedPotentials(graph, parameters, batch, a.traces, randomRounding(new Stream(seed, 'rounding'))),
  );
  const rasters = graph.layers
    .filter((layer) => layer.spiking)
    .map(({ layer, features }) => ({
      layer,
      features,
      a: a.traces.get(layer) as Float32Array,
      b: b.traces.get(layer) as Float32Array,
    }));
  return firstDivergences(rasters, batch, (layer, sample, step, neuron) => {
    const of = (potentials: typeof exact) => (potentials.get(layer) as Sequence).get(step, sample, neuron);
    const reach = Math.max(...rounded.map((potentials) => Math.abs(of(potentials) - of(exact))));
    return { distance: Math.abs(of(exact)), reach };
  });
}

function classOf(scores: Float32Array, row: number, classes: number): number {
  const own = scores.subarray(row * classes, (row + 1) * classes);
  return own.indexOf(Math.max(...own));
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
    const divergences = divergencesOf(graph, parameters, batch, a, b);
    expect(unexplained(divergences)).toEqual([]);
    const same = Array.from({ length: size }, (_, row) => row).filter(
      (row) => classOf(a.scores, row, graph.classes) === classOf(b.scores, row, graph.classes),
    );
    expect(same.length / size, 'share of samples of the same class').toBeGreaterThanOrEqual(0.99);
  });
});

it('finds a program that is wrong', async () => {
  const network = { layers, merge: null, head: 'softmax_sum', batch: 8, steps: 40, padded: false, seed: 5 };
  const { graph, parameters, batch } = randomCase(network);
  const wrong = new Map(parameters).set(
    'snn.1.alpha',
    (parameters.get('snn.1.alpha') as Float32Array).map((v) => v + 0.01),
  );
  const a = await runInterpreter(graph, parameters, batch);
  const b = await runExported(graph, wrong, batch, true);
  const divergences = divergencesOf(graph, parameters, batch, a, b);
  expect(unexplained(divergences).map(({ layer }) => layer)).toContain('h1');
  expect(divergences.some(({ layer }) => layer === 'h0')).toBe(false);
});
