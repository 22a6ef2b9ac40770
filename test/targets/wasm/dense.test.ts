import { expect, it } from 'vitest';
import type { Batch } from '../../../src/data/batch.ts';
import { Stream } from '../../../src/random/stream.ts';
import { referenceTarget } from '../../../src/targets/reference/target.ts';
import type { CompileOptions } from '../../../src/targets/target.ts';
import { graphOf } from '../../support/graphs.ts';
import { wasmTargets } from '../../support/wasmTargets.ts';

const options: CompileOptions = { seed: 3, optimizer: { kind: 'sgd', momentum: 0, weightDecay: 0 }, clipNorm: null };

/** Real numbers that are all there, half of them, few or none, depending on the step. */
function batchOf(size: number, steps: number, features: number): Batch {
  const stream = new Stream(7, 'dense batch');
  const shares = [1, 0.5, 0.05, 0];
  const values = new Float32Array(size * steps * features);
  for (let i = 0; i < values.length; i++) {
    const step = Math.floor(i / features) % steps;
    const kept = stream.uniform() < shares[Math.floor(step / 2) % shares.length];
    values[i] = kept ? stream.uniform(-1, 2) : 0;
  }
  return {
    size,
    steps,
    features,
    input: { kind: 'dense', values },
    labels: Int32Array.from({ length: size }, () => stream.integer(3)),
    samples: Int32Array.from({ length: size }, (_, i) => i),
    lengths: Int32Array.from({ length: size }, () => 1 + stream.integer(steps)),
  };
}

it.each([
  { type: 'GRU', size: 36, features: 37, batch: 19 },
  { type: 'LiGRU', size: 20, features: 5, batch: 16 },
  { type: 'RNN', size: 64, features: 70, batch: 3 },
  { type: 'MLP', size: 33, features: 32, batch: 9 },
])('gives the gradients of the interpreter for $type $size, whatever the share of zeros', async (c) => {
  const layer = { type: c.type, size: c.size, norm: 'layernorm', dropout: 0.2 } as const;
  const graph = graphOf(
    [
      { ...layer, name: 'h0', from: ['input'] },
      { ...layer, name: 'h1', from: ['h0'], bidirectional: true },
      { name: 'pool', type: 'mean', from: ['h1'] },
      { name: 'readout', type: 'dense', norm: 'none', size: 3, from: ['pool'] },
    ],
    { features: c.features },
  );
  const batch = batchOf(c.batch, 16, c.features);
  const request = { epoch: 0, learningRate: 0.01, wantGradients: true };
  const [reference, ...own] = await Promise.all(
    [referenceTarget(), ...wasmTargets(2)].map(async (target) => {
      const model = await target.compile(graph, options);
      const result = await model.trainStep(batch, request);
      model.dispose();
      return result;
    }),
  );
  for (const { loss, gradients } of own) {
    expect(loss).toBeCloseTo(reference.loss, 5);
    for (const [key, gradient] of reference.gradients!) {
      const scale = Math.max(...gradient.map(Math.abs), 1e-6);
      const off = gradients!.get(key)!.map((x, i) => Math.abs(x - gradient[i]) / scale);
      expect(Math.max(...off), key).toBeLessThan(2e-5);
    }
  }
});
