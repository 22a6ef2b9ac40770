import { describe, expect, it } from 'vitest';
import { compileSource, compileSpec } from '../../src/compile.ts';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import { formatDiagnostics } from '../../src/diagnostics/format.ts';

const shd = 'sparchc: 1\ndata: { source: "shd(folder=\\"x\\") |> bin(steps=100, window=1.4s)" }\n';

function compileText(text: string, sets: readonly string[] = []) {
  try {
    return compileSource({ name: 'spec.yaml', text, folder: '/specs' }, { sets });
  } catch (error) {
    if (error instanceof CompileError) throw new Error(formatDiagnostics(error.diagnostics));
    throw error;
  }
}

describe('compileSpec', () => {
  it('compiles an example', () => {
    const { graph, experiment } = compileSpec('specs/randman.yaml');
    expect(graph.classes).toBe(10);
    expect(experiment.model.layers.map((l) => l.name)).toEqual(['radlif1', 'radlif2', 'li', 'softmax_sum']);
    expect(graph.parameters.filter((p) => p.trainable).map((p) => p.key)).toContain('snn.1.V.weight');
  });

  it('gives the same experiment from text and from keys', () => {
    const text = compileText(
      `${shd}model: |\n  h = input |> LIF(64, theta=0.8)\n  merge(concat, h, input) |> LI(classes) |> mean\n`,
    );
    const keys = compileText(`sparchc: 1
data:
  source: { type: shd, folder: x }
  transforms: [{ type: bin, steps: 100, window: 1400ms }]
model:
  layers:
    - { name: h, type: LIF, from: [input], size: 64, theta: 0.8 }
    - { name: merge, type: merge, from: [h, input], operation: concat }
    - { name: li, type: LI, from: [merge], size: classes }
    - { name: mean, type: mean, from: [li] }
`);
    expect(keys.resolvedYaml).toBe(text.resolvedYaml);
    expect(keys.specSha256).toBe(text.specSha256);
  });

  it('prints a resolved spec that means the same', () => {
    const text = `${shd}define: |
  surrogate half { derivative = 0.5  antiderivative = 0.5 * x }
  neuron N "own" { input I  const theta = 1  state u = 0
    u' = u + I
    output spike(u' - theta, half) }
model: |
  input |> N(8, theta=2, dropout=0.1) |> LI(classes) |> last
train: { regularizer: "firing_rate(max=0.3)", clip_norm: 2 }
`;
    const first = compileText(text);
    const second = compileText(first.resolvedYaml);
    expect(second.resolvedYaml).toBe(first.resolvedYaml);
  });

  it('addresses layers, transforms and calls in overrides', () => {
    const text = `${shd}vars: { hidden: 64 }\nmodel: |\n  h = input |> LIF($hidden)\n  h |> LI(classes) |> mean\n`;
    const { experiment } = compileText(text, [
      'model.layers.h.dropout=0.2',
      'vars.hidden=32',
      'data.transforms.bin.steps=50',
      'data.source.folder=/tmp/y',
      'train.optimizer=sgd(lr=0.1)',
      'train.optimizer.momentum=0.9',
    ]);
    expect(experiment.model.layers[0]).toMatchObject({ size: 32, dropout: 0.2 });
    expect(experiment.data.transforms[0].params.steps).toBe(50);
    expect(experiment.data.source.params.folder).toBe('/tmp/y');
    expect(experiment.train.optimizer).toMatchObject({ type: 'sgd', params: { lr: 0.1, momentum: 0.9 } });
  });
});
