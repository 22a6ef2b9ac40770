import { describe, expect, it } from 'vitest';
import { referenceTarget } from '../../src/targets/reference/target.ts';
import type { OptimizerConfig, Target, Tensors } from '../../src/targets/target.ts';
import { graphOf, randomBatch } from '../support/graphs.ts';
import { describeBackends } from './tfjs/available.ts';

const adam = { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.1 };
const optimizers: readonly OptimizerConfig[] = [
  { kind: 'sgd', momentum: 0.9, weightDecay: 0.1 },
  { kind: 'adam', ...adam },
  { kind: 'adamw', ...adam },
];
const batch = randomBatch({ size: 4, steps: 6 });
const regularizer = { min: 0.2, max: 0.4, factor: 0.5 };

interface Treatment {
  readonly freeze?: boolean;
  readonly lrScale?: number;
}

function network(treated: Treatment, layer: 'h1' | 'h2' | 'out') {
  const of = (name: string) => (name === layer ? treated : {});
  return graphOf(
    [
      { name: 'h1', type: 'RadLIF', from: ['input'], size: 5, ...of('h1') },
      { name: 'h2', type: 'RLIF', from: ['h1'], size: 4, norm: 'layernorm', bias: true, ...of('h2') },
      { name: 'out', type: 'LI', from: ['h2'], size: 3, ...of('out') },
      { name: 'pool', type: 'softmax_sum', from: ['out'] },
    ],
    { regularizer },
  );
}

async function trained(target: Target, graph: ReturnType<typeof graphOf>, optimizer: OptimizerConfig, steps: number) {
  const model = await target.compile(graph, { seed: 3, optimizer, clipNorm: null });
  const before = await model.parameters();
  for (let epoch = 0; epoch < steps; epoch++) await model.trainStep(batch, { epoch, learningRate: 0.05 });
  const after = await model.parameters();
  const memory = await model.optimizerState();
  model.loadOptimizerState(memory);
  model.dispose();
  return { before, after, memory };
}

const change = (before: Tensors, after: Tensors, key: string) =>
  Array.from(after.get(key) as Float32Array, (v, i) => v - (before.get(key) as Float32Array)[i]);

function finetunes(target: Target) {
  it.each(optimizers)('a frozen layer keeps its weights, and the others train ($kind)', async (optimizer) => {
    for (const layer of ['h1', 'h2', 'out'] as const) {
      const graph = network({ freeze: true }, layer);
      const { before, after, memory } = await trained(target, graph, optimizer, 3);
      for (const { key, role, layer: of } of network({}, layer).parameters.filter((p) => p.trainable)) {
        const moved = change(before, after, key).some((d) => d !== 0);
        expect(moved, `${key} (${role}) with ${layer} frozen`).toBe(of !== layer);
        if (of === layer) expect([...memory.keys()].filter((k) => k.endsWith(key))).toEqual([]);
      }
    }
  });

  it('a frozen layer changes no gradient of the others', async () => {
    const options = { seed: 3, optimizer: optimizers[0], clipNorm: null };
    const request = { epoch: 0, learningRate: 0, wantGradients: true };
    const all = await (await target.compile(network({}, 'h2'), options)).trainStep(batch, request);
    const frozen = await (await target.compile(network({ freeze: true }, 'h2'), options)).trainStep(batch, request);
    expect([...(frozen.gradients as Tensors).keys()].some((key) => key.startsWith('snn.1.'))).toBe(false);
    for (const [key, gradient] of frozen.gradients as Tensors) expect(gradient).toEqual(all.gradients?.get(key));
  });

  it('running statistics of a frozen layer follow the data, as in PyTorch', async () => {
    const { before, after } = await trained(target, network({ freeze: true }, 'h1'), optimizers[0], 1);
    expect(change(before, after, 'snn.0.norm.running_mean').every((d) => d !== 0)).toBe(true);
  });

  it.each(optimizers)('lr_scale multiplies the first update of its layer alone ($kind)', async (optimizer) => {
    const plain = await trained(target, network({}, 'h2'), optimizer, 1);
    const graph = network({ lrScale: 0.25 }, 'h2');
    const scaled = await trained(target, graph, optimizer, 1);
    for (const { key, layer } of graph.parameters.filter((p) => p.trainable)) {
      const factor = layer === 'h2' ? 0.25 : 1;
      const expected = change(plain.before, plain.after, key).map((d) => factor * d);
      change(scaled.before, scaled.after, key).forEach((d, i) => void expect(d, key).toBeCloseTo(expected[i], 6));
    }
  });
}

describe('reference', () => finetunes(referenceTarget()));
describeBackends(finetunes);
