import { expect, it } from 'vitest';
import type { CompiledModel, CompileOptions, TrainRequest } from '../../../src/targets/target.ts';
import { graphOf, randomBatch } from '../../support/graphs.ts';
import { describeBackends } from './available.ts';

const adam = { kind: 'adam', beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0 } as const;
const options: CompileOptions = { seed: 3, optimizer: adam, clipNorm: 1 };

const graph = graphOf(
  [
    { name: 'h', type: 'RadLIF', from: ['input'], size: 5, bidirectional: true, dropout: 0.2 },
    { name: 'wide', type: 'merge', operation: 'concat', from: ['h', 'input'] },
    { name: 'out', type: 'LI', from: ['wide'], size: 3, norm: 'layernorm', bias: true },
    { name: 'pool', type: 'softmax_sum', from: ['out'] },
  ],
  { regularizer: { min: 0.2, max: 0.4, factor: 0.5 } },
);
const batch = randomBatch({ size: 4, steps: 6, lengths: [6, 5, 3, 1] });
const request: TrainRequest = { epoch: 0, learningRate: 0.05, wantGradients: true, wantOutput: true, wantTraces: true };

async function train(model: CompiledModel, from: number, to: number) {
  for (let epoch = from; epoch < to; epoch++) await model.trainStep(batch, { ...request, epoch });
}

describeBackends((target, { tf }) => {
  it('holds as many tensors after a step as before, and none when disposed of', async () => {
    const before = tf.memory().numTensors;
    const model = await target.compile(graph, options);
    await train(model, 0, 1);
    const between = tf.memory().numTensors;
    await train(model, 1, 4);
    await model.evaluate(batch, request);
    await model.trainStep(randomBatch({ size: 2, steps: 9 }), request);
    model.load(await model.parameters());
    model.loadOptimizerState(await model.optimizerState());
    expect(tf.memory().numTensors - between).toBe(0);
    model.dispose();
    expect(tf.memory().numTensors - before).toBe(0);
  });

  it('frees everything when a step fails', async () => {
    const model = await target.compile(graph, options);
    await train(model, 0, 1);
    const before = tf.memory().numTensors;
    const dropoutMasks = new Map([['h', new Float32Array(1)]]);
    await expect(model.trainStep(batch, { ...request, dropoutMasks })).rejects.toThrow();
    expect(tf.memory().numTensors).toBe(before);
    model.dispose();
  });

  it('gives identical weights when run twice', async () => {
    const weights = [];
    for (let run = 0; run < 2; run++) {
      const model = await target.compile(graph, options);
      await train(model, 0, 5);
      weights.push(await model.parameters());
      model.dispose();
    }
    expect(weights[0]).toEqual(weights[1]);
  });

  it('continues exactly from saved parameters and optimiser state', async () => {
    const whole = await target.compile(graph, options);
    await train(whole, 0, 2);
    const saved = [await whole.parameters(), await whole.optimizerState()];
    await train(whole, 2, 4);
    const resumed = await target.compile(graph, { ...options, seed: options.seed });
    resumed.load(saved[0]);
    resumed.loadOptimizerState(saved[1]);
    await train(resumed, 2, 4);
    expect(await resumed.parameters()).toEqual(await whole.parameters());
    expect(await resumed.optimizerState()).toEqual(await whole.optimizerState());
    for (const model of [whole, resumed]) model.dispose();
  });

  it('draws initial states by sample, not by the batch it is in', async () => {
    const model = await target.compile(
      graphOf([{ name: 'h', type: 'LIF', from: ['input'], size: 3, norm: 'none' }]),
      options,
    );
    const traceOf = async (b: typeof batch) => {
      const { traces } = await model.trainStep(b, { ...request, learningRate: 0 });
      return traces?.get('h') as Float32Array;
    };
    const all = await traceOf(batch);
    const last = await traceOf({
      ...batch,
      size: 1,
      input: { kind: 'dense', values: (batch.input as { values: Float32Array }).values.slice(-18) },
      labels: batch.labels.slice(-1),
      samples: batch.samples.slice(-1),
      lengths: batch.lengths?.slice(-1),
    });
    expect(last).toEqual(all.slice(-last.length));
    model.dispose();
  });

  it('keeps running statistics finite over a last batch of one sample', async () => {
    const dense = graphOf([
      { name: 'h', type: 'LIF', from: ['input'], size: 3 },
      { name: 'pool', type: 'mean', from: ['h'] },
      { name: 'out', type: 'dense', from: ['pool'], size: 3, norm: 'batchnorm' },
    ]);
    const model = await target.compile(dense, options);
    await model.trainStep(randomBatch({ size: 1 }), request);
    for (const [key, values] of await model.parameters()) expect(values.every(Number.isFinite), key).toBe(true);
    model.dispose();
  });

  it('says which parameter does not fit', async () => {
    const model = await target.compile(graph, options);
    expect(() => model.load(new Map([['snn.0.W.weight', new Float32Array(3)]]))).toThrow(
      'the parameter "snn.0.W.weight" has 3 values; this model needs 15 values',
    );
    expect(() => model.load(new Map([['snn.9.W', new Float32Array(3)]]))).toThrow(
      'this model has no parameter "snn.9.W"',
    );
    const state = await model.optimizerState();
    state.delete('exp_avg.snn.0.alpha');
    expect(() => model.loadOptimizerState(state)).toThrow('the saved optimiser state lacks "exp_avg.snn.0.alpha"');
    model.dispose();
  });
});
