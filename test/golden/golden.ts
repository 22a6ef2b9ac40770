import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'vitest';
import type { Batch } from '../../src/data/batch.ts';
import { Reporter } from '../../src/diagnostics/diagnostic.ts';
import type { Graph, PopulationNode } from '../../src/ir/graph.ts';
import { buildGraph } from '../../src/passes/buildGraph.ts';
import { standardLibrary } from '../../src/passes/library.ts';
import { type LayerConfig, layerConfig } from '../../src/passes/model.ts';
import type { CompiledModel, Target } from '../../src/targets/target.ts';

/** Reference vectors computed with sparch (PyTorch, float64); test/fixtures/golden/ holds copies. */
interface Array_ {
  readonly shape: number[];
  readonly data: number[];
}

interface GoldenFile {
  model: string;
  normalization: 'batchnorm' | 'layernorm' | 'none';
  use_bias: boolean;
  bidirectional: boolean;
  readout: boolean;
  layer_sizes: number[];
  batch: number;
  steps: number;
  features: number;
  threshold: number;
  dropout: number;
  x: Array_;
  y: number[];
  params: Record<string, Array_>;
  params_after_step: Record<string, Array_>;
  grads: Record<string, Array_>;
  initial_states_train: Array_[];
  initial_states_eval: Array_[];
  dropout_masks?: Array_[];
  output_weights?: Array_;
  output: Array_;
  output_eval: Array_;
  firing_rates: Array_ | null;
  loss: number;
  zero_gradient: string[];
  adam_lr: number;
  regularizers?: { factor: number; fmin: number; fmax: number };
}

const folder = new URL('../fixtures/golden/', import.meta.url);

export const goldenNames = readdirSync(folder)
  .filter((f) => f.endsWith('.json'))
  .map((f) => f.replace('.json', ''));

const spikingModels = ['LIF', 'adLIF', 'RLIF', 'RadLIF'];
export const isSpiking = (name: string) => spikingModels.includes(name.split('-')[0]);

export interface Golden {
  readonly name: string;
  readonly file: GoldenFile;
  readonly graph: Graph;
  readonly batch: Batch;
  /** Parameters by key, in this project's layout (recurrent matrices of spiking layers transposed). */
  readonly parameters: Map<string, Float32Array>;
  readonly parametersAfterStep: Map<string, Float32Array>;
  readonly gradients: Map<string, Float32Array>;
  readonly statesTrain: Map<string, Float32Array>;
  readonly statesEval: Map<string, Float32Array>;
  readonly dropoutMasks: Map<string, Float32Array>;
}

export function loadGolden(name: string): Golden {
  const file = JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8')) as GoldenFile;
  const graph = goldenGraph(file);
  const populations = graph.nodes.filter((n) => n.kind === 'population');
  const droppers = graph.nodes.filter((n) => n.kind === 'dropout');
  const masks = file.dropout_masks ?? [];
  return {
    name,
    file,
    graph,
    batch: {
      size: file.batch,
      steps: file.steps,
      features: file.features,
      input: { kind: 'dense', values: Float32Array.from(file.x.data) },
      labels: Int32Array.from(file.y),
      samples: Int32Array.from(file.y.keys()),
    },
    parameters: fromReference(file.params),
    parametersAfterStep: fromReference(file.params_after_step),
    gradients: fromReference(file.grads),
    statesTrain: statesByKey(populations, file.initial_states_train),
    statesEval: statesByKey(populations, file.initial_states_eval),
    dropoutMasks: new Map(droppers.map((node, i) => [node.layer, Float32Array.from(masks[i].data)])),
  };
}

function goldenGraph(file: GoldenFile): Graph {
  const spiking = spikingModels.includes(file.model);
  const hidden = file.readout ? file.layer_sizes.slice(0, -1) : file.layer_sizes;
  const common = { norm: file.normalization, bias: file.use_bias };
  const layers: LayerConfig[] = hidden.map((size, i) =>
    layerConfig({
      ...common,
      name: `h${i}`,
      type: file.model,
      from: [i === 0 ? 'input' : `h${i - 1}`],
      size,
      // The reference's MLP has no direction in time and says so.
      bidirectional: file.bidirectional && file.model !== 'MLP',
      dropout: file.dropout,
      consts: spiking ? { theta: file.threshold } : {},
    }),
  );
  const last = `h${hidden.length - 1}`;
  if (file.readout) {
    const classes = file.layer_sizes.at(-1) as number;
    const readout: LayerConfig[] = spiking
      ? [
          layerConfig({ ...common, name: 'readout', type: 'LI', from: [last], size: classes }),
          layerConfig({ name: 'pool', type: 'softmax_sum', from: ['readout'] }),
        ]
      : [
          layerConfig({ name: 'pool', type: 'softmax_sum', from: [last] }),
          layerConfig({ ...common, name: 'readout', type: 'dense', from: ['pool'], size: classes }),
        ];
    layers.push(...readout);
  }
  const reporter = new Reporter();
  const { regularizers: r } = file;
  const outputSize = (file.layer_sizes.at(-1) as number) * (file.bidirectional && !file.readout ? 2 : 1);
  const graph = buildGraph(
    { layers },
    {
      name: file.model,
      library: standardLibrary(),
      input: { features: file.features, set: 'real', stepDuration: null },
      classes: outputSize,
      lossPool: 'steps',
      regularizer: r ? { min: r.fmin, max: r.fmax, factor: r.factor } : null,
    },
    reporter,
  );
  if (!graph) throw new Error(reporter.diagnostics.map((d) => d.message).join('\n'));
  return graph;
}

/** `V` multiplies from the right in the reference's spiking layers (s V) and from the left here (V @ s). */
function fromReference(arrays: Record<string, Array_>): Map<string, Float32Array> {
  return new Map(
    Object.entries(arrays).map(([key, { shape, data }]) => {
      if (!key.startsWith('snn') || !key.endsWith('V.weight')) return [key, Float32Array.from(data)];
      const n = shape[0];
      return [key, Float32Array.from({ length: n * n }, (_, i) => data[(i % n) * n + Math.floor(i / n)])];
    }),
  );
}

function statesByKey(populations: readonly PopulationNode[], draws: readonly Array_[]): Map<string, Float32Array> {
  const states = new Map<string, Float32Array>();
  let next = 0;
  // The reference draws u, then w, then s: the order in which the library declares them. Gated states start at 0.
  for (const node of populations) {
    for (const state of node.step.states) {
      if (state.initializer.kind === 'constant') continue;
      states.set(node.initialStates[state.name], Float32Array.from(draws[next++].data));
    }
  }
  return states;
}

export async function compileGolden(
  golden: Golden,
  target: Target,
  parameters = golden.parameters,
): Promise<CompiledModel> {
  const optimizer = { kind: 'adam', beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0 } as const;
  const model = await target.compile(golden.graph, { seed: 1, optimizer, clipNorm: null });
  model.load(parameters);
  return model;
}

/** Everything a reference vector says about a target, to the tolerances of its README. */
export async function checkGolden(golden: Golden, target: Target): Promise<void> {
  const { file, batch } = golden;
  const model = await compileGolden(golden, target);
  const outputWeights = file.output_weights && Float32Array.from(file.output_weights.data);
  const trained = await model.trainStep(batch, {
    epoch: 0,
    learningRate: file.adam_lr,
    initialStates: golden.statesTrain,
    dropoutMasks: golden.dropoutMasks,
    outputWeights,
    wantOutput: true,
    wantGradients: true,
  });
  expectClose('output', trained.output as Float32Array, file.output.data, 1e-5);
  expectClose('loss', [trained.loss], [file.loss], 1e-5);
  if (file.firing_rates) {
    const spiking = golden.graph.layers.filter((l) => l.spiking);
    const rates = spiking.flatMap((l) => [...(trained.firingRates.get(l.layer) as Float32Array)]);
    expectClose('firing rates', rates, file.firing_rates.data, 1e-5);
  }
  for (const [key, expected] of golden.gradients) {
    if (file.zero_gradient.includes(key)) continue;
    expectRelative(`gradient of ${key}`, trained.gradients?.get(key) as Float32Array, expected, 1e-4);
  }
  const stepped = await model.parameters();
  for (const [key, expected] of golden.parametersAfterStep) {
    if (file.zero_gradient.includes(key)) continue;
    expectRelative(`${key} after a step`, stepped.get(key) as Float32Array, expected, 1e-4);
  }
  model.load(golden.parametersAfterStep);
  const evaluated = await model.evaluate(batch, { initialStates: golden.statesEval, wantOutput: true });
  expectClose('evaluation output', evaluated.output as Float32Array, file.output_eval.data, 1e-5);
  model.dispose();
}

export function expectClose(
  what: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
): void {
  expect(actual.length, `${what}: number of values`).toBe(expected.length);
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i] - expected[i]);
    if (!(error <= worst)) worst = error;
  }
  expect(worst, `${what}: largest absolute error`).toBeLessThanOrEqual(tolerance);
}

/** Relative to the largest entry of the expected tensor. */
export function expectRelative(
  what: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
): void {
  const largest = Array.from(expected).reduce((m, v) => Math.max(m, Math.abs(v)), 0);
  expectClose(what, actual, expected, tolerance * Math.max(largest, 1e-30));
}
