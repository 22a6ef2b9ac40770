import { type Batch, toDense } from '../../src/data/batch.ts';
import type { Graph } from '../../src/ir/graph.ts';
import { Stream } from '../../src/random/stream.ts';
import type { Sequence } from '../../src/targets/reference/sequence.ts';
import type { Tensors } from '../../src/targets/target.ts';
import { type Divergence, firstDivergences } from './divergence.ts';
import { forcedPotentials, randomRounding } from './potentials.ts';

/** What a program made of a batch. */
export interface FreeRun {
  /** [batch, classes] */
  readonly scores: Float32Array;
  /** Every layer's output, [batch, time, features]. */
  readonly traces: Tensors;
}

/**
 * Where two programs first differ on each sample, with the potentials of a third one forced to the spikes of `a`.
 * Layers run forward in time only.
 */
export function divergencesOf(graph: Graph, parameters: Tensors, batch: Batch, a: FreeRun, b: FreeRun): Divergence[] {
  const samples = Array.from({ length: batch.size }, (_, sample) => sample);
  const differing = samples.filter((sample) => layersOf(graph).some((l) => differ(a, b, l, sample, batch.size)));
  if (differing.length === 0) return [];
  const part = { batch: partOf(batch, differing), a: runOf(a, batch, differing), b: runOf(b, batch, differing) };
  const exact = forcedPotentials(graph, parameters, part.batch, part.a.traces);
  const rounded = [1, 2, 3, 4].map((seed) =>
    forcedPotentials(graph, parameters, part.batch, part.a.traces, randomRounding(new Stream(seed, 'rounding'))),
  );
  const rasters = layersOf(graph).map(({ layer, features }) => ({
    layer,
    features,
    a: part.a.traces.get(layer) as Float32Array,
    b: part.b.traces.get(layer) as Float32Array,
  }));
  const found = firstDivergences(rasters, part.batch, (layer, sample, step, neuron) => {
    const of = (potentials: typeof exact) => (potentials.get(layer) as Sequence).get(step, sample, neuron);
    const reach = Math.max(...rounded.map((potentials) => Math.abs(of(potentials) - of(exact))));
    return { distance: Math.abs(of(exact)), reach };
  });
  return found.map((divergence) => ({ ...divergence, sample: differing[divergence.sample] }));
}

/** The share of samples that both programs put in the same class. */
export function classAgreement(a: FreeRun, b: FreeRun, classes: number): number {
  const own = classesOf(a.scores, classes);
  const other = classesOf(b.scores, classes);
  return own.filter((c, sample) => c === other[sample]).length / own.length;
}

export function classesOf(scores: Float32Array, classes: number): number[] {
  return Array.from({ length: scores.length / classes }, (_, sample) => {
    const row = scores.subarray(sample * classes, (sample + 1) * classes);
    return row.indexOf(Math.max(...row));
  });
}

type SpikingLayer = Graph['layers'][number];

function layersOf(graph: Graph): SpikingLayer[] {
  return graph.layers.filter((layer) => layer.spiking);
}

function differ(a: FreeRun, b: FreeRun, { layer }: SpikingLayer, sample: number, size: number): boolean {
  const [x, y] = [a, b].map((run) => rowsOf(run.traces.get(layer) as Float32Array, size, [sample]));
  return x.some((value, i) => value !== y[i]);
}

/** Of an array [size, ...], those samples. */
function rowsOf(values: Float32Array, size: number, samples: readonly number[]): Float32Array {
  const stride = values.length / size;
  const rows = new Float32Array(samples.length * stride);
  samples.forEach((sample, k) => void rows.set(values.subarray(sample * stride, (sample + 1) * stride), k * stride));
  return rows;
}

function runOf({ scores, traces }: FreeRun, { size }: Batch, samples: readonly number[]): FreeRun {
  return {
    scores: rowsOf(scores, size, samples),
    traces: new Map([...traces].map(([layer, values]) => [layer, rowsOf(values, size, samples)])),
  };
}

function partOf(batch: Batch, samples: readonly number[]): Batch {
  const pick = (values: Int32Array) => Int32Array.from(samples, (sample) => values[sample]);
  return {
    size: samples.length,
    steps: batch.steps,
    features: batch.features,
    input: { kind: 'dense', values: rowsOf(toDense(batch), batch.size, samples) },
    labels: pick(batch.labels),
    samples: pick(batch.samples),
    ...(batch.lengths && { lengths: pick(batch.lengths) }),
  };
}
