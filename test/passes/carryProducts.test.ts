import { expect, it } from 'vitest';
import { carryProducts } from '../../src/passes/carryProducts.ts';
import { deploy } from '../../src/passes/deploy.ts';
import { referenceTarget } from '../../src/targets/reference/target.ts';
import { graphOf, randomBatch } from '../support/graphs.ts';
import { livelyParameters } from '../targets/onnx/networks.ts';

const options = {
  seed: 1,
  optimizer: { kind: 'sgd', momentum: 0, weightDecay: 0 },
  clipNorm: null,
} as const;

it.each([
  ['RLIF', 1],
  ['RadLIF', 1],
  ['LIF', 0],
  ['GRU', 0],
])('computes the same with products of spikes carried: %s', async (type, count) => {
  const graph = graphOf(
    [
      { name: 'h0', type, from: ['input'], size: 9, norm: 'batchnorm', bias: true },
      { name: 'h1', type, from: ['h0'], size: 6, bidirectional: true },
      { name: 'out', type: 'LI', from: ['h1'], size: 3 },
      { name: 'pool', type: 'softmax_sum', from: ['out'] },
    ],
    { features: 5 },
  );
  const deployed = deploy(graph);
  const carrying = carryProducts(deployed);
  const values = deployed.values(livelyParameters(graph, 2));
  const batch = randomBatch({ features: 5, steps: 6, lengths: [6, 2, 5] });
  const [expected, actual] = await Promise.all(
    [deployed, carrying].map(async (network) => {
      const model = await referenceTarget().compile(network.graph, options);
      model.load(values);
      return [...(await model.evaluate(batch)).scores];
    }),
  );
  actual.forEach((score, i) => {
    expect(Math.abs(score - expected[i])).toBeLessThan(1e-6);
  });
  for (const node of carrying.graph.nodes) {
    if (node.kind !== 'population' || node.id === 'out') continue;
    const { states, body } = node.step;
    expect(states.filter(({ name }) => name.startsWith('product-'))).toHaveLength(count);
    const carried = new Set(states.filter(({ after }) => after.kind === 'var' && after.type.set === 'spike'));
    const operands = body.flatMap(({ prim, args }) => (prim === 'matvec' ? [args[1]] : []));
    expect([...carried].filter(({ before }) => operands.includes(before))).toEqual([]);
    expect(carrying.populations.get(node.id)?.firstProducts.size).toBe(0);
  }
});
