import type { Batch } from '../../data/batch.ts';
import type { Graph, PopulationNode } from '../../ir/graph.ts';
import type { ForwardRequest, StepResult, Tensors, TrainRequest } from '../target.ts';

/** Why the gradients of a batch are not the sum of those of its parts; null where they are. */
export function whyWhole({ nodes, loss }: Graph): string | null {
  const normalised = nodes.some((n) => n.kind === 'projection' && n.norm.kind === 'batchnorm');
  if (normalised) return 'batchnorm needs the statistics of a whole batch';
  return loss.regularizer ? 'the firing-rate regulariser needs the rates of a whole batch' : null;
}

/** Samples `from` to `to` (not included) of a batch. */
export function sliceBatch(batch: Batch, from: number, to: number): Batch {
  const { steps, features, input, labels, lengths, samples } = batch;
  return {
    size: to - from,
    steps,
    features,
    input: sliceInput(input, from * steps, to * steps, features),
    labels: labels.slice(from, to),
    samples: samples.slice(from, to),
    ...(lengths && { lengths: lengths.slice(from, to) }),
  };
}

function sliceInput(input: Batch['input'], from: number, to: number, features: number): Batch['input'] {
  if (input.kind === 'dense') return { kind: 'dense', values: input.values.subarray(from * features, to * features) };
  const [start, end] = [input.offsets[from], input.offsets[to]];
  return {
    kind: 'events',
    offsets: input.offsets.slice(from, to + 1).map((offset) => offset - start),
    units: input.units.slice(start, end),
    counts: input.counts.slice(start, end),
  };
}

/** What was asked for a batch of `size`, for its samples `from` to `to` (not included). */
export function sliceRequest<R extends ForwardRequest | TrainRequest>(
  graph: Graph,
  request: R,
  size: number,
  from: number,
  to: number,
): R {
  const slice = (values: Float32Array) => {
    const each = values.length / size;
    return values.slice(from * each, to * each);
  };
  const { initialStates } = request;
  const { dropoutMasks, outputWeights } = request as Partial<TrainRequest>;
  return {
    ...request,
    ...(initialStates && { initialStates: sliceStates(graph, initialStates, size, slice) }),
    ...(dropoutMasks && { dropoutMasks: new Map([...dropoutMasks].map(([layer, mask]) => [layer, slice(mask)])) }),
    ...(outputWeights && { outputWeights: slice(outputWeights) }),
  };
}

/** The rows of the reversed direction follow those of the forward one. */
function sliceStates(graph: Graph, states: Tensors, size: number, slice: (values: Float32Array) => Float32Array) {
  const populations = graph.nodes.filter((n): n is PopulationNode => n.kind === 'population');
  const widths = new Map(populations.flatMap((n) => Object.values(n.initialStates).map((key) => [key, n.size])));
  return new Map(
    [...states].map(([key, values]) => {
      const direction = size * (widths.get(key) ?? values.length / size);
      const parts = [];
      for (let start = 0; start < values.length; start += direction) {
        parts.push(slice(values.subarray(start, start + direction)));
      }
      return [key, concatenated(parts)];
    }),
  );
}

/** The result of a batch from those of its parts, whose losses and rates are shares of the whole. */
export function joined(results: readonly StepResult[]): StepResult {
  const [first] = results;
  const all = <T>(pick: (result: StepResult) => T | undefined) => results.map((r) => pick(r) as T);
  const byLayer = (tensors: Tensors, join: (layer: string) => Float32Array) =>
    new Map([...tensors.keys()].map((layer) => [layer, join(layer)]));
  return {
    loss: results.reduce((sum, { loss }) => sum + loss, 0),
    scores: concatenated(all((r) => r.scores)),
    firingRates: byLayer(first.firingRates, (layer) => summed(all((r) => r.firingRates.get(layer)))),
    output: first.output && concatenated(all((r) => r.output)),
    traces: first.traces && byLayer(first.traces, (layer) => concatenated(all((r) => r.traces?.get(layer)))),
  };
}

export function concatenated(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let start = 0;
  for (const part of parts) {
    all.set(part, start);
    start += part.length;
  }
  return all;
}

function summed(parts: readonly Float32Array[]): Float32Array {
  return parts[0].map((_, i) => parts.reduce((sum, part) => sum + part[i], 0));
}
