import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import type { Batch, EventInput } from '../../../src/data/batch.ts';
import type { DropoutNode, Graph, PopulationNode } from '../../../src/ir/graph.ts';
import { drawDropoutMask, drawInitialStates } from '../../../src/targets/draws.ts';
import type { CompiledModel, CompileOptions } from '../../../src/targets/target.ts';
import { wasmTarget } from '../../../src/targets/wasm/target.ts';
import { eventBatch, graphOf, randomBatch } from '../../support/graphs.ts';

const options: CompileOptions = {
  seed: 5,
  optimizer: { kind: 'adam', beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0 },
  clipNorm: 1,
};
const request = { learningRate: 0.01, wantGradients: true, wantTraces: true };

function network(): Graph {
  const layer = { norm: 'batchnorm', size: 40, dropout: 0.2 } as const;
  return graphOf(
    [
      { ...layer, name: 'h0', type: 'RadLIF', from: ['input'] },
      { ...layer, name: 'h1', type: 'RadLIF', from: ['h0'], bidirectional: true },
      { ...layer, name: 'h2', type: 'LIF', from: ['h1'] },
      { name: 'readout', type: 'LI', norm: 'batchnorm', size: 3, from: ['h2'] },
      { name: 'pool', type: 'softmax_sum', from: ['readout'] },
    ],
    { features: 50, regularizer: { min: 0.05, max: 0.2, factor: 0.5 } },
  );
}

/** Everything that a few steps leave, bit by bit. */
async function trace(model: CompiledModel): Promise<unknown> {
  const seen: unknown[] = [];
  for (let epoch = 0; epoch < 3; epoch++) {
    const { loss, scores, gradients, traces, firingRates } = await model.trainStep(eventBatch(epoch), {
      ...request,
      epoch,
    });
    seen.push(loss, scores, gradients, traces, firingRates);
  }
  seen.push(await model.evaluate(eventBatch(9)), await model.parameters(), await model.optimizerState());
  return seen;
}

it.each([1, 2, 8])('gives the same bits with %d threads as with one, and from run to run', async (threads) => {
  const graph = network();
  const one = await wasmTarget({ threads: 1 }).compile(graph, options);
  const many = await wasmTarget({ threads }).compile(graph, options);
  expect(await trace(many)).toEqual(await trace(one));
  one.dispose();
  many.dispose();
});

it('trains on batches of any size, one after the other, as if each had come first', async () => {
  const graph = network();
  const shapes = [
    [19, 12],
    [3, 5],
    [40, 12],
    [1, 1],
    [19, 12],
  ] as const;
  const used = await wasmTarget({ threads: 1 }).compile(graph, options);
  for (const [i, [size, steps]] of shapes.entries()) {
    const fresh = await wasmTarget({ threads: 1 }).compile(graph, options);
    fresh.load(await used.parameters());
    fresh.loadOptimizerState(await used.optimizerState());
    const batch = eventBatch(i, size, steps);
    expect(await fresh.trainStep(batch, { ...request, epoch: i })).toEqual(
      await used.trainStep(batch, { ...request, epoch: i }),
    );
    expect(await fresh.parameters()).toEqual(await used.parameters());
    expect(await fresh.optimizerState()).toEqual(await used.optimizerState());
    fresh.dispose();
  }
  used.dispose();
});

it('changes nothing in evaluation', async () => {
  const model = await wasmTarget({ threads: 1 }).compile(network(), options);
  await model.trainStep(eventBatch(1), { ...request, epoch: 0 });
  const before = [await model.parameters(), await model.optimizerState()];
  const first = await model.evaluate(eventBatch(2));
  expect(await model.evaluate(eventBatch(2))).toEqual(first);
  expect([await model.parameters(), await model.optimizerState()]).toEqual(before);
  model.dispose();
});

it('draws the initial states that every target draws', async () => {
  const define =
    "neuron Keep { input I\n state x = uniform(-0.3, 0.77), y = uniform(0, 1)\n x' = x\n y' = y\n output select(I > 1e30, 0, x) }";
  const graph = graphOf([{ name: 'h', type: 'Keep', size: 37, from: ['input'], bidirectional: true, norm: 'none' }], {
    classes: 74,
    define,
  });
  const batch = { ...randomBatch({ size: 5, steps: 1 }), samples: Int32Array.from([3, 1, 4, 70000, 5]) };
  const model = await wasmTarget({ threads: 1 }).compile(graph, options);
  const { output } = await model.trainStep(batch, { epoch: 2, learningRate: 0, wantOutput: true });
  const node = graph.nodes.find((n): n is PopulationNode => n.kind === 'population')!;
  const drawn = drawInitialStates(node, batch, options.seed, 2).get(node.initialStates.x)!;
  const both = Float32Array.from({ length: 5 * 74 }, (_, i) => {
    const [sample, feature] = [Math.floor(i / 74), i % 74];
    return feature < 37 ? drawn[sample * 37 + feature] : drawn[(5 + sample) * 37 + feature - 37];
  });
  expect(output).toEqual(both);
  model.dispose();
});

it.each([4, 20, 36, 37, 64])('draws the dropout masks that every target draws, of %d features', async (size) => {
  const graph = graphOf([{ name: 'h', type: 'MLP', size, from: ['input'], norm: 'none', dropout: 0.37 }], {
    classes: size,
  });
  const batch = { ...randomBatch({ size: 3, steps: 5 }), samples: Int32Array.from([3, 1, 70000]) };
  const model = await wasmTarget({ threads: 1 }).compile(graph, options);
  const { output } = await model.trainStep(batch, { epoch: 2, learningRate: 0, wantOutput: true });
  const node = graph.nodes.find((n): n is DropoutNode => n.kind === 'dropout')!;
  const mask = drawDropoutMask(node, batch, options.seed, 2);
  expect(output?.map((x) => (x === 0 ? 0 : 1))).toEqual(mask.map((x) => (x === 0 ? 0 : 1)));
  model.dispose();
});

it('never keeps the process alive, disposed of or not', () => {
  const built = fileURLToPath(new URL('../../../dist/', import.meta.url));
  const program = `
    const { wasmTarget } = await import(${JSON.stringify(`${built}targets/wasm/target.js`)});
    const { compileSource } = await import(${JSON.stringify(`${built}compile.js`)});
    const text = 'sparchc: 1\\nname: x\\ndata: { source: "randman() |> bin(steps=10, window=1s)" }\\nmodel: "input |> LIF(8) |> LI(classes) |> softmax_sum"';
    const { graph } = compileSource({ name: 'x', text, folder: '.' });
    const options = { seed: 1, optimizer: { kind: 'sgd', momentum: 0, weightDecay: 0 }, clipNorm: null };
    const disposed = await wasmTarget({ threads: 2 }).compile(graph, options);
    await wasmTarget({ threads: 2 }).compile(graph, options);
    disposed.dispose();
    console.log('done');
  `;
  const { status, stdout, stderr, signal } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    timeout: 20_000,
    encoding: 'utf8',
  });
  expect({ status, signal, stdout, stderr }).toEqual({ status: 0, signal: null, stdout: 'done\n', stderr: '' });
});

it('predicts the scores that it evaluates, to the last bit, whatever ran before and for any number of threads', async () => {
  const models = await Promise.all([1, 2].map((threads) => wasmTarget({ threads }).compile(network(), options)));
  const [other] = models;
  const shapes = [
    [1, 12],
    [5, 12],
    [1, 7],
  ] as const;
  for (const model of models) {
    for (const [i, [size, steps]] of shapes.entries()) {
      const batch = eventBatch(i, size, steps);
      const { scores } = await other.evaluate(batch);
      expect(await model.predict(batch)).toEqual(scores);
      expect(await model.predict(eventBatch(i, size, steps))).toEqual(scores);
    }
  }
  for (const model of models) model.dispose();
});

const easy =
  "neuron Easy { input I\n state u = uniform(0, 1)\n u' = 0.5 * u + I\n output spike(u' - 0.1, boxcar(0.5)) }\n";
/** Its recurrent products read numbers that its neurons replace before other threads need have read them. */
const hasty =
  'neuron Hasty { input I\n recurrent V = orthogonal, U = orthogonal\n state x = uniform(0, 1), y = uniform(0, 1)\n' +
  " x' = 0.5 * I\n y' = 0.5 * tanh(V @ x + U @ (x * y) + I)\n output x' + y' }";

/** Products with the spikes of the same step, and with an input. */
const mixing =
  '\nneuron Mixing { input I\n recurrent V = orthogonal, U = orthogonal\n' +
  ' state u = uniform(0, 1), w = 0, s = uniform(0, 1)\n' +
  " u' = 0.9 * (u - s) + U @ I - 0.1 * w\n s' = spike(u' - 0.1, boxcar(0.5))\n w' = 0.5 * w + V @ s'\n output s' }";

it.each([
  ['RadLIF', 'batchnorm'],
  ['Easy', 'batchnorm'],
  ['GRU', 'batchnorm'],
  ['Hasty', 'batchnorm'],
  ['Mixing', 'batchnorm'],
  ['Mixing', 'none'],
] as const)(
  'predicts a single sample of large layers of %s with several threads (norm: %s)',
  async (type, norm) => {
    const layer = { norm, type };
    const layers = [
      { ...layer, name: 'h0', size: 516, from: ['input'] },
      { ...layer, name: 'h1', size: 516, from: ['h0'] },
    ];
    const graph = graphOf(layers, { classes: 516, features: 50, define: easy + hasty + mixing });
    const models = await Promise.all([1, 3].map((threads) => wasmTarget({ threads }).compile(graph, options)));
    const [one, ...others] = models;
    for (const seed of [1, 2]) {
      const batch = eventBatch(seed, 1, 20);
      const { scores } = await one.evaluate(batch);
      expect(scores.some((s) => s > 0)).toBe(true);
      for (const model of others) expect(await model.predict(batch)).toEqual(scores);
    }
    for (const model of models) model.dispose();
  },
  20_000,
);

it('evaluates and predicts with the weights at hand after training and loading', async () => {
  const graph = network();
  const model = await wasmTarget({ threads: 1 }).compile(graph, options);
  const batch = eventBatch(3, 1);
  const expectCurrent = async () => {
    const fresh = await wasmTarget({ threads: 1 }).compile(graph, options);
    fresh.load(await model.parameters());
    const expected = await fresh.evaluate(batch);
    // The program that ran last before the weights changed is the first one after it.
    for (let twice = 0; twice < 2; twice++) expect(await model.evaluate(batch)).toEqual(expected);
    for (let twice = 0; twice < 2; twice++) expect(await model.predict(batch)).toEqual(expected.scores);
    expect(await model.evaluate(batch)).toEqual(expected);
    fresh.dispose();
    return expected.scores;
  };
  const untrained = await model.parameters();
  const before = await expectCurrent();
  await model.trainStep(eventBatch(4), { ...request, epoch: 0, learningRate: 0.5 });
  expect(await expectCurrent()).not.toEqual(before);
  model.load(untrained);
  expect(await expectCurrent()).toEqual(before);
  model.dispose();
});

it('refuses counts that are not what memory has room for', async () => {
  const model = await wasmTarget({ threads: 1 }).compile(network(), options);
  const batch = eventBatch(1);
  const counts = Float32Array.from((batch.input as EventInput).counts);
  const given = { ...batch, input: { ...batch.input, counts } } as unknown as Batch;
  await expect(model.predict!(given)).rejects.toThrow('the counts of events are no Uint16Array');
  model.dispose();
});
