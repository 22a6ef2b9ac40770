import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Costs } from '../../src/cost/costs.ts';
import { CostMeter } from '../../src/cost/meter.ts';
import { addProbes } from '../../src/cost/probes.ts';
import { type Batch, toDense } from '../../src/data/batch.ts';
import type { Graph } from '../../src/ir/graph.ts';
import { verifyGraph } from '../../src/ir/verify.ts';
import { referenceTarget } from '../../src/targets/reference/target.ts';
import { selectTarget } from '../../src/targets/select.ts';
import type { Target, Tensors } from '../../src/targets/target.ts';
import { graphOf, randomBatch } from '../support/graphs.ts';

const options = { seed: 1, optimizer: { kind: 'sgd', momentum: 0, weightDecay: 0 }, clipNorm: null } as const;

async function costsOn(target: Target, graph: Graph, batches: readonly Batch[], weights?: Tensors): Promise<Costs> {
  const probed = addProbes(graph);
  verifyGraph(probed.graph);
  const model = await target.compile(probed.graph, options);
  if (weights) model.load(weights);
  const meter = new CostMeter(model, probed, await model.parameters());
  for (const batch of batches) await meter.evaluate(batch);
  meter.dispose();
  return meter.costs();
}

describe('agrees with the code of NeuroBench', () => {
  const fixture = JSON.parse(readFileSync('test/fixtures/cost/neurobench.json', 'utf8'));
  const graph = graphOf(
    [
      { name: 'h1', type: 'RLIF', size: 8, from: ['input'], norm: 'none' },
      { name: 'h2', type: 'LIF', size: 7, from: ['h1'], norm: 'none' },
      { name: 'out', type: 'LI', size: 3, from: ['h2'], norm: 'none' },
      { name: 'pool', type: 'softmax_sum', from: ['out'] },
    ],
    { features: fixture.features },
  );

  /** The weights of the torch network by sparchc's keys. */
  function weights(): Tensors {
    const names = { W: 'weight', V: 'recurrent.weight', alpha: 'alpha', u: 'u0', s: 's0' };
    const stored = (key: string): number[] => {
      const [, layer, name] = key.match(/^snn\.(\d)\.(?:initial\.)?(\w+)/) as RegExpMatchArray;
      const cell = ['h1', 'h2', 'out'][Number(layer)];
      const own = name === 'W' ? `w${Number(layer) + 1}` : cell;
      return fixture.state[`${own}.${names[name as keyof typeof names]}`];
    };
    return new Map(graph.parameters.map(({ key }) => [key, Float32Array.from(stored(key))]));
  }

  const batch: Batch = {
    size: fixture.samples,
    steps: fixture.steps,
    features: fixture.features,
    input: { kind: 'dense', values: Float32Array.from(fixture.x) },
    labels: new Int32Array(fixture.samples),
    samples: new Int32Array(fixture.samples),
  };

  it.each(['reference', 'wasm', 'tfjs/cpu'])('on the target %s', async (name) => {
    const target = name === 'reference' ? referenceTarget() : (await selectTarget(name)).target;
    const costs = await costsOn(target, graph, [batch], weights());
    const expected = fixture.neurobench;
    expect(costs.footprint).toBe(expected.Footprint);
    expect(costs.connectionSparsity).toBeCloseTo(expected.ConnectionSparsity, 4);
    expect(costs.activationSparsity).toBeCloseTo(expected.ActivationSparsity, 12);
    expect(costs.activationSparsityByLayer).toEqual(expected.ActivationSparsityByLayer);
    expect(costs.synapticOperations).toEqual({
      dense: expected.SynapticOperations.Dense,
      effectiveMacs: expected.SynapticOperations.Effective_MACs,
      effectiveAcs: expected.SynapticOperations.Effective_ACs,
    });
    expect(costs.membraneUpdates).toBe(expected.MembraneUpdates);
  });
});

describe('every target counts the same', () => {
  const graph = graphOf(
    [
      { name: 'a', type: 'RadLIF', size: 8, from: ['input'], bidirectional: true, norm: 'none' },
      { name: 'g', type: 'GRU', size: 8, from: ['a'] },
      { name: 'b', type: 'LIF', size: 8, from: ['g'], dropout: 0.1, norm: 'none' },
      { name: 'c', type: 'LI', size: 3, from: ['b'] },
      { name: 'p', type: 'softmax_sum', from: ['c'] },
    ],
    { features: 5 },
  );
  const batch = randomBatch({ size: 4, steps: 7, features: 5, lengths: [7, 3, 5, 2] });
  const loud: Batch = { ...batch, input: { kind: 'dense', values: toDense(batch).map((x) => 8 * x) } };

  it.each(['wasm', 'tfjs/cpu', 'tfjs/wasm'])('%s', async (name) => {
    const expected = await costsOn(referenceTarget(), graph, [loud]);
    expect(expected.activationSparsityByLayer.a).toBeLessThan(0.95);
    expect(await costsOn((await selectTarget(name)).target, graph, [loud])).toEqual(expected);
  });
});

describe('what NeuroBench leaves open', () => {
  const hidden = { type: 'RadLIF', size: 6, from: ['input'], norm: 'none' } as const;
  const graph = graphOf(
    [
      { ...hidden, name: 'h', bidirectional: true },
      { name: 'out', type: 'LI', size: 3, from: ['h'] },
      { name: 'pool', type: 'softmax_sum', from: ['out'] },
    ],
    { features: 5 },
  );
  const target = referenceTarget();

  it('padding counts nowhere, so costs do not depend on how samples are batched', async () => {
    const lengths = [7, 2, 5, 1];
    const together = randomBatch({ size: 4, steps: 7, features: 5, lengths });
    const alone = lengths.map((steps, i): Batch => {
      const values = toDense(together).slice(i * 35, i * 35 + steps * 5);
      return { ...together, size: 1, steps, input: { kind: 'dense', values }, lengths: undefined };
    });
    const costs = await costsOn(target, graph, [together]);
    expect(await costsOn(target, graph, alone)).toEqual(costs);
    const perStep = 5 * 6 + 2 * 6 * 6 + 12 * 3;
    expect(costs.synapticOperations?.dense).toBe((15 * perStep) / 4);
  });

  it('events cost what the same numbers cost as an array', async () => {
    const steps = [[], [[0, 1]], [[1, 2], [4, 1]], [[2, 1], [3, 1]]]; // biome-ignore format: one row per step
    const events = steps.flat();
    const offsets = Int32Array.from([0, 0, 1, 3, 5]);
    const units = Uint16Array.from(events, ([unit]) => unit);
    const counts = Uint16Array.from(events, ([, n]) => n);
    const shape = { size: 1, steps: 4, features: 5, labels: new Int32Array(1), samples: new Int32Array(1) };
    const sparse: Batch = { ...shape, input: { kind: 'events', offsets, units, counts } };
    const dense: Batch = { ...shape, input: { kind: 'dense', values: toDense(sparse) } };
    expect(await costsOn(target, graph, [sparse])).toEqual(await costsOn(target, graph, [dense]));
  });

  it('a recurrent product with a computed vector, and a projection after the pool', async () => {
    const gated = graphOf(
      [
        { name: 'g', type: 'GRU', size: 4, from: ['input'], norm: 'none' },
        { name: 'pool', type: 'softmax_sum', from: ['g'] },
        { name: 'out', type: 'dense', size: 3, from: ['pool'], norm: 'none' },
      ],
      { features: 5 },
    );
    const batch = randomBatch({ size: 2, steps: 3, features: 5 });
    const { synapticOperations, membraneUpdates, activationSparsity } = await costsOn(target, gated, [batch]);
    // Three projections and three recurrent products in each of 3 steps; the state is 0 before the first.
    expect(synapticOperations).toEqual({
      dense: 3 * (3 * 5 * 4 + 3 * 4 * 4) + 4 * 3,
      effectiveMacs: 3 * 3 * 5 * 4 + 2 * 3 * 4 * 4 + 4 * 3,
      effectiveAcs: 0,
    });
    expect(membraneUpdates).toBe(0);
    expect(activationSparsity).toBe(0);
  });

  it('merged layers are what the next layer reads', async () => {
    const wide = graphOf(
      [
        { ...hidden, name: 'a', type: 'LIF' },
        { ...hidden, name: 'b', type: 'MLP' },
        { name: 'both', type: 'merge', operation: 'concat', from: ['a', 'b'] },
        { name: 'out', type: 'LI', size: 3, from: ['both'], norm: 'none' },
        { name: 'pool', type: 'softmax_sum', from: ['out'] },
      ],
      { features: 5 },
    );
    const batch = randomBatch({ size: 2, steps: 3, features: 5 });
    const { synapticOperations, activationSparsityByLayer } = await costsOn(target, wide, [batch]);
    const spikes = (1 - activationSparsityByLayer.a) * 6 * 3;
    // Sigmoids are never 0, so every product is of MACs; what spikes feeds 3 neurons.
    expect(synapticOperations?.effectiveMacs).toBeCloseTo(3 * 2 * 5 * 6 + (spikes + 6 * 3) * 3, 9);
    expect(synapticOperations?.effectiveAcs).toBe(0);
  });

  it('the potential of a neuron is the state its spikes are decided by, whatever it is called', async () => {
    const define = `neuron Mine { input I  state a = 0.5, x = 0, s = 0
      let y = x / 2 + I
      s' = spike(y - 10, boxcar(0.5))
      x' = y * (1 - s')
      a' = a + 1
      output s' }`;
    const own = graphOf([{ name: 'm', type: 'Mine', size: 4, from: ['input'], norm: 'none' }], {
      features: 2,
      classes: 4,
      define,
    });
    const { membraneUpdates } = await costsOn(target, own, [randomBatch({ size: 1, steps: 4, features: 2 })]);
    const silent: Batch = {
      ...randomBatch({ size: 1, steps: 4, features: 2 }),
      input: { kind: 'dense', values: new Float32Array(8) },
    };
    expect(membraneUpdates).toBe(16);
    expect((await costsOn(target, own, [silent])).membraneUpdates).toBe(4);
  });
});
