import type { Batch } from '../../data/batch.ts';
import { type Graph, nodeById } from '../../ir/graph.ts';
import type { ForwardRequest, StepResult } from '../target.ts';
import type { Buffer } from './call.ts';
import { readRows } from './layout.ts';
import type { FedProgram, Pass, Prediction } from './modelCode.ts';
import { rowAt, rowCount, rowsOf } from './shape.ts';

/** What a pass left in memory, copied out of it. `loss` is without the regulariser. */
export function readOutputs(
  memory: Float32Array,
  graph: Graph,
  pass: Pass,
  batch: Batch,
  request: ForwardRequest,
): StepResult {
  const { results } = pass;
  const vector = (buffer: Buffer, count: number) => {
    const start = pass.program.addressOf(buffer) / 4;
    return memory.slice(start, start + count);
  };
  const value = (buffer: Buffer, id: string) => rowsAt(memory, pass, buffer, nodeById(graph, id).type);
  const outputOf = (layer: string) => graph.nodes.find((n) => n.kind === 'population' && n.layer === layer)!.id;
  const traces = [...pass.traces].map(([layer, buffer]) => [layer, value(buffer, outputOf(layer))] as const);
  return {
    loss: vector(results.losses, lossCount(graph, batch)).reduce((sum, l) => sum + l, 0),
    scores: value(results.scores, graph.prediction),
    firingRates: new Map(graph.layers.map((l) => [l.layer, vector(results.rates.get(l.layer)!, l.features)])),
    output: pass.output ? value(pass.output, graph.output) : undefined,
    traces: request.wantTraces ? new Map(traces) : undefined,
  };
}

/** Class scores, [batch, classes]. */
export function readScores(memory: Float32Array, graph: Graph, prediction: Prediction): Float32Array {
  return rowsAt(memory, prediction, prediction.scores, nodeById(graph, graph.prediction).type);
}

/** The firing-rate regulariser, of the rates of a training step. */
export function penalty(graph: Graph, { firingRates }: StepResult): number {
  const { regularizer } = graph.loss;
  if (!regularizer) return 0;
  let total = 0;
  for (const layer of graph.layers.filter((l) => l.spiking)) {
    for (const rate of firingRates.get(layer.layer)!) {
      total += Math.max(0, regularizer.min - rate) + Math.max(0, rate - regularizer.max);
    }
  }
  return regularizer.factor * total;
}

/** A node's value, [batch, time, features] or [batch, features]. */
function rowsAt(
  memory: Float32Array,
  { program, shape }: FedProgram,
  buffer: Buffer,
  { features, time }: { readonly features: number; readonly time: boolean },
): Float32Array {
  const all = rowsOf(shape, time);
  const { B, T } = all;
  const array = memory.subarray(program.addressOf(buffer) / 4);
  const rowOf = (i: number) => rowAt(all, Math.floor(i / T), i % T);
  return readRows(array, { rows: rowCount(shape, time), features }, B * T, rowOf);
}

function lossCount(graph: Graph, { size, steps }: Batch): number {
  return nodeById(graph, graph.loss.scores).type.time ? size * steps : size;
}
