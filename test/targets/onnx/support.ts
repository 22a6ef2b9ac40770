import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll } from 'vitest';
import { type Batch, toDense } from '../../../src/data/batch.ts';
import type { Graph } from '../../../src/ir/graph.ts';
import { type ExportOptions, exportOnnx } from '../../../src/targets/onnx/export.ts';
import { stateInput } from '../../../src/targets/onnx/population.ts';
import { decodeModel, encodeModel, type Node, valueInfo } from '../../../src/targets/onnx/proto.ts';
import { type OnnxModel, openOnnx } from '../../../src/targets/onnx/run.ts';
import { Sequence } from '../../../src/targets/reference/sequence.ts';
import type { Tensors } from '../../../src/targets/target.ts';
import type { FreeRun } from '../../support/freeRunning.ts';

export const metadata: ExportOptions['metadata'] = {
  version: '0.0.0-test',
  spec: 'sparchc: 1\n',
  specSha256: 'ab'.repeat(32),
  license: 'CC0-1.0',
  classNames: null,
  sampleRate: 16_000,
  assumeRate: true,
  stepSeconds: 0.05,
  pipeline: 'bin(steps=12, window=0.6s)',
  preprocessing: [{ type: 'bin', params: { steps: 12, window: 0.6 } }],
};

/** A folder that goes with the test file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sparchc-onnx-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Exports to a file and opens it, as a user would. */
export async function exported(folder: string, graph: Graph, parameters: Tensors, fold: boolean): Promise<OnnxModel> {
  const path = join(folder, `model-${fold ? 'folded' : 'unfolded'}.onnx`);
  writeFileSync(path, exportOnnx(graph, parameters, { fold, metadata }));
  return openOnnx(path, { threads: 1 });
}

/** Initial states by the name of the model's input instead of the buffer's key. */
export function byInput(graph: Graph, states: Tensors): Map<string, Float32Array> {
  const named = new Map<string, Float32Array>();
  for (const node of graph.nodes) {
    if (node.kind !== 'population') continue;
    for (const { name } of node.step.states) {
      const values = states.get(node.initialStates[name]);
      if (values) named.set(stateInput(node.layer, name), values);
    }
  }
  return named;
}

/** One sample of a batch with dense input, cut to its own length. */
export function sampleOf(batch: Batch, row: number): Batch {
  if (batch.input.kind !== 'dense') throw new Error('dense batches only');
  const { steps, features } = batch;
  const length = batch.lengths?.[row] ?? steps;
  const start = row * steps * features;
  return {
    size: 1,
    steps: length,
    features,
    input: { kind: 'dense', values: batch.input.values.slice(start, start + length * features) },
    labels: batch.labels.slice(row, row + 1),
    samples: batch.samples.slice(row, row + 1),
  };
}

/** Row `row` of states [rows, size], or of both directions of [2, rows, size]. */
export function stateRow(states: Tensors, graph: Graph, row: number, batch: number): Map<string, Float32Array> {
  const rows = new Map<string, Float32Array>();
  for (const node of graph.nodes) {
    if (node.kind !== 'population') continue;
    for (const { name } of node.step.states) {
      const input = stateInput(node.layer, name);
      const values = states.get(input);
      if (!values) continue;
      const starts = node.bidirectional ? [row, batch + row] : [row];
      rows.set(
        input,
        Float32Array.from(starts.flatMap((r) => [...values.subarray(r * node.size, (r + 1) * node.size)])),
      );
    }
  }
  return rows;
}

export interface TracedModel {
  run(batch: Batch): Promise<FreeRun>;
  dispose(): Promise<void>;
}

/** An exported model in a session of its own that takes defaults from the file, as any other runtime does; but for lengths. */
export async function openTraced(graph: Graph, parameters: Tensors, fold: boolean): Promise<TracedModel> {
  const bytes = withTraces(exportOnnx(graph, parameters, { fold, metadata }), graph);
  const session = await InferenceSession.create(bytes, { logSeverityLevel: 3, intraOpNumThreads: 1 });
  return {
    async run(batch) {
      const x = new Tensor('float32', toDense(batch), [batch.size, batch.steps, batch.features]);
      const lengths = BigInt64Array.from(batch.lengths ?? [batch.steps], BigInt);
      const results = await session.run({ x, lengths: new Tensor('int64', lengths, [lengths.length]) });
      const traces = graph.layers.map(({ layer, features }) => {
        const values = Float64Array.from(results[`trace.${layer}`].data as Float32Array);
        return [layer, new Sequence(batch.steps, batch.size, features, values).toBatchMajor()] as const;
      });
      return { scores: results.scores.data as Float32Array, traces: new Map(traces) };
    },
    dispose: () => session.release(),
  };
}

/** The exported model with one more output per layer: its activity, [time, batch, features], named `trace.LAYER`. */
function withTraces(bytes: Uint8Array, graph: Graph): Uint8Array {
  const model = decodeModel(bytes);
  // onnxruntime-node takes no inputs that have a default.
  model.graph.initializer = model.graph.initializer.filter(({ name }) => name !== 'lengths');
  for (const { layer, features } of graph.layers) {
    const masked = model.graph.node.find((node) => node.output[0] === `${layer}.rate_masked`) as Node;
    const output = [`trace.${layer}`];
    model.graph.node.push({ name: output[0], opType: 'Identity', input: [masked.input[0]], output, attribute: [] });
    model.graph.output.push(valueInfo(output[0], 'float32', ['time', 'batch', features]));
  }
  return encodeModel(model);
}
