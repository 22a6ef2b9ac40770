import { describe, expect, it } from 'vitest';
import { deploy } from '../../src/passes/deploy.ts';
import { referenceTarget } from '../../src/targets/reference/target.ts';
import { graphOf, randomBatch } from '../support/graphs.ts';
import { livelyParameters } from '../targets/onnx/networks.ts';

const options = {
  seed: 1,
  optimizer: { kind: 'sgd', momentum: 0, weightDecay: 0 },
  clipNorm: null,
} as const;

const networkOf = (type: string) =>
  graphOf(
    [
      { name: 'h0', type, from: ['input'], size: 9, norm: 'batchnorm', bias: true },
      { name: 'h1', type, from: ['h0'], size: 6, norm: 'layernorm', bidirectional: true },
      { name: 'out', type: 'LI', from: ['h1'], size: 3 },
      { name: 'pool', type: 'softmax_sum', from: ['out'] },
    ],
    { features: 5 },
  );

describe.each(['LIF', 'adLIF', 'RLIF', 'RadLIF', 'MLP', 'RNN', 'LiGRU', 'GRU'])('the deployed graph of %s', (type) => {
  it.each([true, false])('computes the same (products into diagonals: %s)', async (diagonals) => {
    const graph = networkOf(type);
    const parameters = livelyParameters(graph, 2);
    const deployment = deploy(graph, diagonals);
    const values = deployment.values(parameters);
    expect([...values.keys()].toSorted()).toEqual(deployment.graph.parameters.map(({ key }) => key).toSorted());

    const batch = randomBatch({ features: 5, steps: 6, lengths: [6, 2, 5] });
    const scores: Float32Array[] = [];
    for (const [g, p] of [[graph, parameters] as const, [deployment.graph, values] as const]) {
      const model = await referenceTarget().compile(g, options);
      model.load(p);
      scores.push((await model.evaluate(batch)).scores);
    }
    scores[0].forEach((score, i) => {
      expect(Math.abs(score - scores[1][i])).toBeLessThan(1e-5);
    });
  });
});

it('folds batchnorm, leaves no prelude, and adds up what is no event in float64 where spikes are ahead', () => {
  const { graph } = deploy(networkOf('RadLIF'));
  const projections = graph.nodes.filter((node) => node.kind === 'projection');
  expect(projections.map(({ norm }) => norm.kind)).toEqual(['none', 'layernorm', 'none']);
  expect(projections.map(({ inDouble }) => inDouble)).toEqual([true, false, false]);
  for (const node of graph.nodes) if (node.kind === 'population') expect(node.step.prelude).toEqual([]);
  expect(deploy(networkOf('GRU')).graph.nodes.some((node) => node.kind === 'projection' && node.inDouble)).toBe(false);
});

it('knows the products of the fixed initial states', () => {
  const graph = networkOf('RadLIF');
  const parameters = livelyParameters(graph, 2);
  const { populations, values, graph: deployed } = deploy(graph);
  const all = values(parameters);
  const node = deployed.nodes.find((n) => n.id === 'h0');
  const population = populations.get('h0');
  if (node?.kind !== 'population' || !population) throw new Error('no layer h0');
  const [{ key, state, matrix }] = [...population.firstProducts.values()];
  expect(state).toBe('s');
  const [V, s, product] = [matrix, node.initialStates.s, key].map((k) => all.get(k) as Float32Array);
  product.forEach((value, i) => {
    const expected = s.reduce((sum, v, j) => sum + V[i * 9 + j] * v, 0);
    expect(Math.abs(value - expected)).toBeLessThan(1e-6);
  });
});
