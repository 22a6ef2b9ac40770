import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileSource } from '../../../src/compile.ts';
import { importNirFile } from '../../../src/import/nir.ts';
import { convertToNir } from '../../../src/targets/nir/export.ts';
import { lively, outputOf } from './support.ts';

const dt = 1e-3;

/** A layer of a neuron with random parameters, and a readout that shows its spikes or potentials. */
function layerOf(neuron: string, seed: number, layer = 'N(4)') {
  const text = `
sparchc: 1
data: { source: "tensor(features=3, classes=4, step=${dt}s)" }
define: |
  neuron N { ${neuron} }
model: input |> ${layer}
`;
  const spec = compileSource({ name: 'neuron', text });
  return { spec, weights: lively(spec.graph, seed) };
}

const decays = 'param alpha in [0.5, 0.95]';

/** Neurons as people write them that are one of NIR's. */
const exact: Record<string, { neuron: string; type: string }> = {
  'reset in the step after, as in the README': {
    neuron: `input I ${decays}, theta in [0.5, 1.5] state u = 0, s = 0
      u' = alpha * u * (1 - s) + (1 - alpha) * I
      s' = spike(u' - theta, arctan(2)) output s'`,
    type: 'LIF',
  },
  'reset to a value in the step after': {
    neuron: `input I ${decays} frozen low in [-1, 0] state u = 0, s = 0
      let v = select(s, low, u)
      u' = alpha * v + (1 - alpha) * (I + 0.2)
      s' = spike(u' - 0.3, arctan(2)) output s'`.replace(' frozen', ', frozen'),
    type: 'LIF',
  },
  'reset in the step': {
    neuron: `input I param tau in [2ms, 20ms] state v = 0 let alpha = exp(-dt / tau)
      let u = alpha * v + I / 2
      let z = spike(u - 0.4, boxcar(0.5))
      v' = u * (1 - z) + 0.1 * z output z`,
    type: 'LIF',
  },
  'recurrence of another gain than the input': {
    neuron: `input I ${decays} recurrent V = orthogonal(diagonal=0) state u = 0, s = 0
      u' = alpha * u * (1 - s) + (1 - alpha) * I + 0.3 * (V @ s)
      s' = spike(u' - 0.2, arctan(2)) output s'`,
    type: 'LIF',
  },
  'a synaptic current': {
    neuron: `input I ${decays}, beta in [0.2, 0.8] state i = 0, u = 0, s = 0
      i' = beta * i + I
      u' = alpha * u * (1 - s) + 0.5 * i'
      s' = spike(u' - 0.4, arctan(2)) output s'`,
    type: 'CubaLIF',
  },
  'a synaptic current with recurrence': {
    neuron: `input I ${decays}, beta in [0.2, 0.8] recurrent V = orthogonal state i = 0, u = 0, s = 0
      i' = beta * i + I + V @ s
      u' = alpha * u * (1 - s) + 0.5 * i'
      s' = spike(u' - 0.4, arctan(2)) output s'`,
    type: 'CubaLIF',
  },
  'no leak': {
    neuron: `input I param g in [0.1, 0.5] state v = 0
      let u = v + g * I let z = spike(u - 0.5, arctan(2))
      v' = select(z, 0, u) output z`,
    type: 'IF',
  },
  'no spikes': {
    neuron: `input I ${decays} state u = 0 u' = alpha * u + (1 - alpha) * (I + 0.1) output u'`,
    type: 'LI',
  },
  'no spikes, with a synaptic current': {
    neuron: `input I ${decays} state i = 0, u = 0 i' = 0.6 * i + I u' = alpha * u + 0.2 * i' output u'`,
    type: 'CubaLI',
  },
  'neither spikes nor a leak': { neuron: `input I state u = 0 u' = u + 0.1 * I output u'`, type: 'I' },
  'no memory': { neuron: 'input I output spike(I - 0.3, arctan(2))', type: 'Threshold' },
};

describe('a neuron that is one of NIR exports exactly and comes back the same', () => {
  it.each(Object.entries(exact))('%s', async (_, { neuron, type }) => {
    const found = new Set<string>();
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 1e6 }), async (seed) => {
        const { spec, weights } = layerOf(neuron, seed, 'N(4, bias=true)');
        const { graph, deviations, refusals } = convertToNir(spec.graph, weights, dt);
        expect({ deviations, refusals }).toEqual({ deviations: [], refusals: [] });
        const node = graph.nodes.get('n')!;
        const inner = 'nodes' in node ? node.nodes.get('lif') : node;
        found.add(inner?.type as string);
        const back = importNirFile({ version: '1.0', graph, dt: null }, 'm.nir', 'm', dt);
        const x = Float32Array.from({ length: 2 * 30 * 3 }, (_, i) => 2 * Math.sin(seed + i * i));
        const expected = await outputOf(spec, weights, x, [2, 30, 3]);
        const output = await outputOf(back.spec, back.weights, x, [2, 30, 3]);
        if (spec.graph.layers[0].spiking) expect(output.some((v) => v === 1)).toBe(true);
        for (let i = 0; i < output.length; i++) expect(output[i]).toBeCloseTo(expected[i], 5);
      }),
      { numRuns: 5 },
    );
    expect([...found]).toEqual([type]);
  });
});

/** What NIR cannot say, and the reason. */
const inexact: [string, string, string[]][] = [
  [
    'subtractive reset',
    `input I ${decays} state u = 0, s = 0 u' = alpha * (u - s) + I s' = spike(u' - 1, boxcar(0.5)) output s'`,
    ['a spike lowers its potential, and that of a neuron of NIR is reset to a value'],
  ],
  [
    'subtractive reset in the step',
    `input I ${decays} state v = 0 let u = alpha * v + I let z = spike(u - 1, boxcar(0.5)) v' = u - z output z`,
    ['a spike lowers its potential, and that of a neuron of NIR is reset to a value'],
  ],
  [
    'no reset',
    `input I ${decays} state v = 0 v' = alpha * v + I output spike(v' - 1, boxcar(0.5))`,
    ['its potential is not reset by a spike, and that of a neuron of NIR is'],
  ],
  [
    'adaptation of the threshold',
    `input I ${decays} state u = 0, a = 0, s = 0 a' = 0.9 * a + 0.1 * s u' = alpha * u * (1 - s) + I
      s' = spike(u' - 1 - a', boxcar(0.5)) output s'`,
    ['NIR has no counterpart for its state "a"'],
  ],
  [
    'initial states',
    `input I ${decays} state u = uniform(0, 1) u' = alpha * u + I output u'`,
    ['it starts from initial values of its own (u), and a neuron of NIR from 0'],
  ],
];

describe('what a neuron of NIR cannot say is named', () => {
  it.each(inexact)('%s', (_, neuron, reasons) => {
    const { spec, weights } = layerOf(neuron, 1);
    const { deviations, refusals } = convertToNir(spec.graph, weights, dt);
    expect(deviations.map(({ reason }) => reason)).toEqual(reasons);
    expect(refusals).toEqual([]);
  });

  it.each([
    [
      'a bounded potential',
      `input I ${decays} state u = 0 u' = tanh(alpha * u + I) output u'`,
      /depends on a function \("tanh"\)/,
    ],
    ['a growing potential', `input I state u = 0 u' = 1.5 * u + I output u'`, /multiplied by 1.5 in a step/],
    [
      'the old potential',
      `input I ${decays} state u = 0 u' = alpha * u + I output u`,
      /neither spikes nor the new potential/,
    ],
    [
      'the old current',
      `input I ${decays} state i = 0, u = 0 i' = 0.5 * i + I u' = alpha * u + i output u'`,
      /reads the old value of the current "i"/,
    ],
    [
      'recurrence of potentials',
      `input I ${decays} recurrent V = orthogonal state u = 0 u' = alpha * u + I + V @ u output u'`,
      /recurrence carries more than its last spikes/,
    ],
    [
      'several inputs',
      `input I, J ${decays} state u = 0 u' = alpha * u + I * J output u'`,
      /have 2 inputs, and those of NIR one/,
    ],
    [
      'a reset that depends on the input',
      `input I ${decays} state v = 0 let u = alpha * v + I let z = spike(u - 1, boxcar(0.5)) v' = select(z, I, u) output z`,
      /its reset depends on more than the spike/,
    ],
  ])('and what is not near any of them: %s', (_, neuron, message) => {
    const { spec, weights } = layerOf(neuron, 1);
    expect(convertToNir(spec.graph, weights, dt).refusals).toEqual([
      { layer: 'n', reason: expect.stringMatching(message) },
    ]);
  });
});
