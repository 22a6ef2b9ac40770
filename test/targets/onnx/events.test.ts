import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Batch, toDense } from '../../../src/data/batch.ts';
import { exportOnnx } from '../../../src/targets/onnx/export.ts';
import { decodeModel, type Node } from '../../../src/targets/onnx/proto.ts';
import { type OnnxModel, openOnnxBytes } from '../../../src/targets/onnx/run.ts';
import { openOnnxStream } from '../../../src/targets/onnx/runStream.ts';
import { expectClose } from '../../golden/golden.ts';
import { randomCase } from './networks.ts';
import { metadata, temporaryFolder } from './support.ts';

/**
 * Layers wide enough for event-driven products in the loops of single samples. All numbers that products read are
 * multiples of 1/64, and the decay that goes into them is 15/16, so that sums of spikes' weights are exact in any order,
 * and results must be equal to the last bit.
 */
const layer = { type: 'RadLIF', size: 400, norm: 'none', bias: false, bidirectional: false } as const;
const { graph, parameters, batch } = randomCase({
  layers: [layer, layer],
  merge: null,
  head: 'mean',
  batch: 1,
  steps: 12,
  padded: false,
  seed: 7,
});
for (const [key, values] of parameters) {
  if (/W|V|initial/.test(key))
    parameters.set(
      key,
      values.map((v) => Math.round(v * 64) / 64),
    );
  if (key.endsWith('alpha')) values.fill(15 / 16);
}
const bytes = exportOnnx(graph, parameters, { fold: true, metadata });
const folder = temporaryFolder();

const dense = (values: Float32Array, size: number): Batch => ({
  ...batch,
  size,
  input: { kind: 'dense', values },
  labels: new Int32Array(size),
  samples: new Int32Array(size),
});

function opTypes(nodes: readonly Node[]): string[] {
  return nodes.flatMap((node) => [node.opType, ...node.attribute.flatMap(({ g }) => (g ? opTypes(g.node) : []))]);
}

describe('event-driven products of single samples', () => {
  const x = toDense(batch);
  let model: OnnxModel;

  beforeAll(async () => {
    model = await openOnnxBytes(bytes, 'the model', { threads: 1 });
    return () => model.dispose();
  });

  it('are in the loops of wide spiking layers', () => {
    expect(opTypes(decodeModel(bytes).graph.node).filter((op) => op === 'NonZero')).toHaveLength(2);
  });

  it('give what dense products give', async () => {
    const alone = await model.evaluate(dense(x, 1));
    const pair = await model.evaluate(dense(Float32Array.from([...x, ...x]), 2));
    const rates = alone.firingRates.get(graph.layers[1].layer) as Float32Array;
    expect(rates.some((r) => r > 0) && rates.some((r) => r < 1)).toBe(true);
    for (const { layer, spiking } of graph.layers) {
      if (spiking) expect(alone.firingRates.get(layer), layer).toEqual(pair.firingRates.get(layer));
    }
    // The readout adds up in another order where there is one sample.
    expectClose('scores', alone.scores, pair.scores.slice(0, graph.classes), 1e-5);
    for (const [name, values] of alone.finalStates) {
      if (name.includes('.h')) expect(values, name).toEqual(pair.finalStates.get(name)?.slice(0, values.length));
    }
  });

  it('give zero where nothing spikes', async () => {
    const silent = new Map(
      [...parameters].filter(([key]) => key.includes('initial')).map(([key, v]) => [key, new Float32Array(v.length)]),
    );
    const quiet = exportOnnx(graph, new Map([...parameters, ...silent]), { fold: true, metadata });
    const still = await openOnnxBytes(quiet, 'the model', { threads: 1 });
    const { firingRates, scores } = await still.evaluate(dense(new Float32Array(x.length), 1));
    expect([...firingRates.get(graph.layers[0].layer)!]).toEqual(Array(layer.size).fill(0));
    expect(scores.every(Number.isFinite)).toBe(true);
    await still.dispose();
  });

  it('are products of integers where weights are stored in int8, and give what the weights in float32 give', async () => {
    const quantized = exportOnnx(graph, parameters, { fold: true, weights: 'int8', metadata });
    expect(opTypes(decodeModel(quantized).graph.node).filter((op) => op === 'MatMulInteger')).toHaveLength(3);
    const small = await openOnnxBytes(quantized, 'the model', { threads: 1 });
    const alone = await small.evaluate(dense(x, 1));
    // Of two samples no product is one of integers.
    const pair = await small.evaluate(dense(Float32Array.from([...x, ...x]), 2));
    for (const { layer, spiking } of graph.layers) {
      if (spiking) expect(alone.firingRates.get(layer), layer).toEqual(pair.firingRates.get(layer));
    }
    expectClose('scores', alone.scores, pair.scores.slice(0, graph.classes), 1e-5);
    for (const [name, values] of alone.finalStates) {
      expectClose(name, values, pair.finalStates.get(name)?.slice(0, values.length) as Float32Array, 1e-4);
    }
    await small.dispose();
  });

  it.each([
    ['float32', 'folded'],
    ['float32', 'unfolded'],
    ['int8', 'folded'],
  ] as const)('give the same to a stream that is fed step by step: %s, %s', async (weights, folding) => {
    const options = { fold: folding === 'folded', weights, metadata };
    const stepwise = exportOnnx(graph, parameters, { ...options, segmentation: { kind: 'reset' } });
    const path = join(folder, `step.${weights}.onnx`);
    writeFileSync(path, stepwise);
    const stream = await openOnnxStream(path, { threads: 1 });
    const ofSequences = await openOnnxBytes(exportOnnx(graph, parameters, options), 'the model', { threads: 1 });
    const whole = await ofSequences.evaluate(dense(x, 1));
    const { features, steps } = batch;
    for (let t = 0; t < steps; t++) {
      const { scores } = await stream.feed(x.slice(t * features, (t + 1) * features));
      if (t === steps - 1) expectClose('scores', scores, whole.scores, 1e-5);
    }
    const products = opTypes(decodeModel(stepwise).graph.node);
    const found = ['MatMulInteger', 'NonZero'].map((op) => products.filter((type) => type === op).length);
    // Of a single step two recurrent ones and a projection, and of a loop the recurrent ones; integers in the projection, too.
    expect(found).toEqual(weights === 'int8' ? [6, 0] : [0, 5]);
    await Promise.all([stream.dispose(), ofSequences.dispose()]);
  });

  it('give the same to a stream whose rows are gathered in parts, where few or none of the neurons spike', async () => {
    const wide = { type: 'LIF', size: 1100, norm: 'none', bias: false, bidirectional: false } as const;
    const network = { layers: [wide, wide], merge: null, head: 'mean', batch: 1, steps: 8, padded: false, seed: 3 };
    const { graph: wideGraph, parameters: weights, batch: input } = randomCase(network);
    for (const [key, values] of weights) if (key.includes('initial')) values.fill(0);
    const path = join(folder, 'wide.onnx');
    writeFileSync(path, exportOnnx(wideGraph, weights, { fold: true, segmentation: { kind: 'reset' }, metadata }));
    const stream = await openOnnxStream(path, { threads: 1 });
    const whole = await openOnnxBytes(exportOnnx(wideGraph, weights, { fold: true, metadata }), 'it', { threads: 1 });
    const { features, steps } = input;
    const values = toDense(input).map((v, i) => (i < 2 * features ? 0 : 4 * v));
    const { scores, firingRates } = await whole.evaluate({ ...input, input: { kind: 'dense', values } });
    for (let t = 0; t < steps; t++) {
      const result = await stream.feed(values.slice(t * features, (t + 1) * features));
      if (t === steps - 1) expectClose('scores', result.scores, scores, 1e-5);
    }
    expect(firingRates.get(wideGraph.layers[1].layer)?.some((rate) => rate > 0)).toBe(true);
    await Promise.all([stream.dispose(), whole.dispose()]);
  });
});
