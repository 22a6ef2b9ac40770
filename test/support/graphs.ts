import type { Batch } from '../../src/data/batch.ts';
import { Reporter } from '../../src/diagnostics/diagnostic.ts';
import { formatDiagnostics } from '../../src/diagnostics/format.ts';
import type { Graph } from '../../src/ir/graph.ts';
import { buildGraph, type GraphContext } from '../../src/passes/buildGraph.ts';
import { extendLibrary, standardLibrary } from '../../src/passes/library.ts';
import { type LayerConfig, layerConfig } from '../../src/passes/model.ts';
import { Stream } from '../../src/random/stream.ts';
import { wholeSource } from '../../src/syntax/text.ts';

/** Small graphs and batches for tests. */
export interface GraphOptions extends Partial<Pick<GraphContext, 'lossPool' | 'regularizer' | 'classes'>> {
  readonly features?: number;
  /** Definitions of its own, in the DSL. */
  readonly define?: string;
}

type Given = Parameters<typeof layerConfig>[0];

export function graphOf(layers: readonly Given[], options: GraphOptions = {}): Graph {
  const { features = 3, classes = 3, lossPool = 'steps', regularizer = null, define = '' } = options;
  const reporter = new Reporter();
  const library = extendLibrary(standardLibrary(), [wholeSource({ name: 'test.snn', text: define })], reporter);
  const input = { features, set: 'real' as const, stepDuration: null };
  const model = { layers: layers.map((l): LayerConfig => layerConfig(l)) };
  const graph = buildGraph(model, { name: 'test', library, input, classes, lossPool, regularizer }, reporter);
  if (!graph) throw new Error(formatDiagnostics(reporter.diagnostics));
  return graph;
}

export interface BatchOptions {
  readonly size?: number;
  readonly steps?: number;
  readonly features?: number;
  readonly classes?: number;
  readonly lengths?: readonly number[];
  readonly seed?: number;
}

/** Real-valued inputs between -1 and 2. */
export function randomBatch(options: BatchOptions = {}): Batch {
  const { size = 3, steps = 4, features = 3, classes = 3, lengths, seed = 1 } = options;
  const stream = new Stream(seed, 'test batch');
  return {
    size,
    steps,
    features,
    input: {
      kind: 'dense',
      values: Float32Array.from({ length: size * steps * features }, () => stream.uniform(-1, 2)),
    },
    labels: Int32Array.from({ length: size }, () => stream.integer(classes)),
    samples: Int32Array.from({ length: size }, (_, i) => i),
    ...(lengths && { lengths: Int32Array.from(lengths) }),
  };
}

/** Counts as events, with lengths. */
export function eventBatch(seed: number, size = 19, steps = 12, features = 50): Batch {
  const stream = new Stream(seed, 'events');
  const offsets = new Int32Array(size * steps + 1);
  const units: number[] = [];
  const counts: number[] = [];
  for (let row = 0; row < size * steps; row++) {
    for (let f = 0; f < features; f++) {
      if (stream.uniform() > 0.2) continue;
      units.push(f);
      counts.push(1 + stream.integer(3));
    }
    offsets[row + 1] = units.length;
  }
  return {
    size,
    steps,
    features,
    input: { kind: 'events', offsets, units: Uint16Array.from(units), counts: Uint16Array.from(counts) },
    labels: Int32Array.from({ length: size }, () => stream.integer(3)),
    samples: Int32Array.from({ length: size }, (_, i) => 11 * i),
    lengths: Int32Array.from({ length: size }, () => 1 + stream.integer(steps)),
  };
}
