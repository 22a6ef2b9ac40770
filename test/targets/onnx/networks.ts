import fc from 'fast-check';
import type { Batch } from '../../../src/data/batch.ts';
import { Reporter } from '../../../src/diagnostics/diagnostic.ts';
import type { Graph } from '../../../src/ir/graph.ts';
import { buildGraph } from '../../../src/passes/buildGraph.ts';
import { standardLibrary } from '../../../src/passes/library.ts';
import { type LayerConfig, layerConfig } from '../../../src/passes/model.ts';
import { Stream } from '../../../src/random/stream.ts';
import { initialParameters } from '../../../src/targets/draws.ts';

interface RandomLayer {
  readonly type: string;
  readonly size: number;
  readonly norm: 'batchnorm' | 'layernorm' | 'none';
  readonly bias: boolean;
  readonly bidirectional: boolean;
}

export interface RandomNetwork {
  readonly layers: readonly RandomLayer[];
  /** Merges the last layer with the first. */
  readonly merge: 'add' | 'concat' | null;
  /** `LI |> POOL`, or `dense` (a pool first, then a projection), or a sequence with a loss per step or pooled. */
  readonly head: string;
  readonly batch: number;
  readonly steps: number;
  readonly padded: boolean;
  readonly seed: number;
}

const features = 5;
const classes = 3;

export const randomNetwork: fc.Arbitrary<RandomNetwork> = fc.record({
  layers: fc.array(
    fc.record({
      type: fc.constantFrom('LIF', 'adLIF', 'RLIF', 'RadLIF', 'MLP', 'RNN', 'LiGRU', 'GRU'),
      size: fc.integer({ min: 1, max: 6 }),
      norm: fc.constantFrom('batchnorm', 'layernorm', 'none'),
      bias: fc.boolean(),
      bidirectional: fc.boolean(),
    }),
    { minLength: 1, maxLength: 3 },
  ),
  merge: fc.constantFrom(null, 'add', 'concat'),
  head: fc.constantFrom('softmax_sum', 'mean', 'max', 'last', 'dense', 'steps', 'sequence'),
  batch: fc.integer({ min: 1, max: 4 }),
  steps: fc.integer({ min: 1, max: 9 }),
  padded: fc.boolean(),
  seed: fc.integer({ min: 0, max: 1000 }),
});

/** A network with random weights and statistics, lively enough to spike, and a batch of random counts for it. */
export function randomCase(network: RandomNetwork): {
  graph: Graph;
  parameters: Map<string, Float32Array>;
  batch: Batch;
} {
  const graph = graphOf(network);
  return { graph, parameters: livelyParameters(graph, network.seed), batch: randomBatch(network) };
}

function graphOf(network: RandomNetwork): Graph {
  const reporter = new Reporter();
  const context = {
    name: 'random',
    library: standardLibrary(),
    input: { features, set: 'count', stepDuration: null },
    classes,
    lossPool: network.head === 'sequence' ? 'mean' : 'steps',
    regularizer: null,
  } as const;
  const graph = buildGraph({ layers: layersOf(network) }, context, reporter);
  if (!graph) throw new Error(reporter.diagnostics.map((d) => d.message).join('\n'));
  return graph;
}

function layersOf({ layers, merge, head }: RandomNetwork): LayerConfig[] {
  // Adding needs equal sizes: those of the first layer.
  const shape = (layer: RandomLayer) =>
    merge === 'add' ? { ...layer, size: layers[0].size, bidirectional: layers[0].bidirectional } : layer;
  const hidden = layers.map((layer, i) =>
    layerConfig({
      ...shape(layer),
      name: `h${i}`,
      from: [i === 0 ? 'input' : `h${i - 1}`],
      dropout: i === 0 ? 0.2 : 0,
    }),
  );
  const ends = ['h0', `h${layers.length - 1}`];
  const merged = merge ? [layerConfig({ name: 'merged', type: 'merge', from: ends, operation: merge })] : [];
  const last = merge ? 'merged' : ends[1];
  return [...hidden, ...merged, ...headOf(head, last)];
}

function headOf(head: string, from: string): LayerConfig[] {
  if (head === 'dense') {
    return [
      layerConfig({ name: 'pool', type: 'softmax_sum', from: [from] }),
      layerConfig({ name: 'readout', type: 'dense', from: ['pool'], size: classes }),
    ];
  }
  const readout = layerConfig({ name: 'readout', type: 'LI', from: [from], size: classes });
  if (head === 'steps' || head === 'sequence') return [readout];
  return [readout, layerConfig({ name: 'pool', type: head, from: ['readout'] })];
}

/** Weights and statistics with which neurons spike. */
export function livelyParameters(graph: Graph, seed: number): Map<string, Float32Array> {
  const parameters = initialParameters(graph, seed);
  for (const { key, role } of graph.parameters) {
    const stream = new Stream(seed, 'lively', key);
    const values = parameters.get(key) as Float32Array;
    if (role === 'weight')
      parameters.set(
        key,
        values.map((v) => 4 * v),
      );
    if (role === 'norm')
      parameters.set(
        key,
        values.map((v) => v + stream.uniform(0, 2)),
      );
    if (role === 'running')
      parameters.set(
        key,
        values.map((v) => v + stream.uniform(-0.3, 0.3)),
      );
  }
  return parameters;
}

function randomBatch({ batch: size, steps, padded, seed }: RandomNetwork): Batch {
  const stream = new Stream(seed, 'batch');
  const values = Float32Array.from({ length: size * steps * features }, () => Math.max(0, stream.integer(6) - 3));
  const lengths = Int32Array.from({ length: size }, () => 1 + stream.integer(steps));
  return {
    size,
    steps,
    features,
    input: { kind: 'dense', values },
    labels: Int32Array.from({ length: size }, () => stream.integer(classes)),
    samples: Int32Array.from({ length: size }, (_, i) => i),
    ...(padded && { lengths }),
  };
}
