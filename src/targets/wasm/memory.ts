import type { Graph } from '../../ir/graph.ts';
import type { CompileOptions } from '../target.ts';
import { ModelCode } from './modelCode.ts';
import type { PlacedBuffer, Program } from './program.ts';
import { shapeOf } from './shape.ts';

/** What a training step needs memory for, in bytes. */
export interface MemoryPlan {
  readonly parameters: number;
  /** Gradients and the optimiser's moments. */
  readonly optimizer: number;
  /** The batch: its events, or its features. */
  readonly input: number;
  /** What the forward pass keeps for the backward pass, by layer. */
  readonly kept: ReadonlyMap<string, number>;
  /** Everything that lives for a part of the step: it shares the same memory. */
  readonly scratch: number;
  readonly total: number;
}

export interface StepSize {
  readonly batch: number;
  readonly steps: number;
  /** Non-zero inputs there is room for, or null where the inputs are dense. */
  readonly events: number | null;
}

/** The memory that the target "wasm" plans for a training step. */
export function memoryPlan(graph: Graph, options: CompileOptions, size: StepSize): MemoryPlan {
  const code = new ModelCode(graph, options);
  const program = trainingProgram(code, size);
  const parameters = code.trained.bytes + code.fixed.bytes;
  const optimizer = 3 * code.trained.bytes;
  const source = graph.nodes.find((n) => n.kind === 'source')?.id;
  const keptForInput = program.kept.filter((p) => p.buffer.layer === source);
  const keptForLayers = program.kept.filter((p) => p.buffer.layer !== source);
  const input = bytesOf(keptForInput);
  return {
    parameters,
    optimizer,
    input,
    kept: bytesByLayer(keptForLayers),
    scratch: program.end - parameters - optimizer - input - bytesOf(keptForLayers),
    total: program.end,
  };
}

function trainingProgram(code: ModelCode, { batch, steps, events }: StepSize): Program {
  const variant = {
    shape: shapeOf({ size: batch, steps }),
    training: true,
    input: events === null ? ('dense' as const) : ('events' as const),
    events: events ?? 0,
    lengths: true,
    drawsStates: true,
    drawsMasks: true,
  };
  return code.pass(variant, { weighted: false, wantOutput: false, wantTraces: false, update: true }).program;
}

function bytesByLayer(buffers: readonly PlacedBuffer[]): Map<string, number> {
  const bytes = new Map<string, number>();
  for (const { buffer } of buffers) {
    const layer = buffer.layer ?? 'loss';
    bytes.set(layer, (bytes.get(layer) ?? 0) + buffer.bytes);
  }
  return bytes;
}

function bytesOf(buffers: readonly PlacedBuffer[]): number {
  return buffers.reduce((sum, { buffer }) => sum + buffer.bytes, 0);
}
