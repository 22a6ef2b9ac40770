import type { Graph } from '../../ir/graph.ts';
import type { CompileOptions } from '../target.ts';
import { whyWhole } from './microBatches.ts';
import { ModelCode } from './modelCode.ts';
import type { PlacedBuffer, Program } from './program.ts';
import { shapeOf } from './shape.ts';
import { largestThat } from './stepPlan.ts';

/** What a training step needs memory for, in bytes. */
export interface MemoryPlan {
  readonly parameters: number;
  /** Gradients and the optimiser's moments. */
  readonly optimizer: number;
  /** The parameters as they are evaluated. */
  readonly evaluated: number;
  /** The batch: its events, or its features. */
  readonly input: number;
  /** What the forward pass keeps for the backward pass, by layer. */
  readonly kept: ReadonlyMap<string, number>;
  /** Everything that lives for a part of the step: it shares the same memory. */
  readonly scratch: number;
  readonly total: number;
  /** What happens where `total` is more than there is; null where it is not. */
  readonly shortage: Shortage | null;
}

/** Steps are computed in that many parts, or refused: why, and the largest batch that fits. */
export type Shortage =
  | { readonly there: number; readonly parts: number }
  | { readonly there: number; readonly reason: string; readonly largest: number };

export interface StepSize {
  readonly batch: number;
  readonly steps: number;
  /** Non-zero inputs there is room for, or null where the inputs are dense. */
  readonly events: number | null;
}

/** The memory that the target "wasm" plans for a training step, where so many bytes are there. */
export function memoryPlan(graph: Graph, options: CompileOptions, size: StepSize, there: number): MemoryPlan {
  const code = new ModelCode(graph, options);
  const { kept, end } = trainingProgram(code, size);
  const source = graph.nodes.find((n) => n.kind === 'source')?.id;
  const parameters = code.trained.bytes + code.fixed.bytes;
  const optimizer = 3 * code.trained.bytes;
  const evaluated = code.deployed.bytes;
  const input = bytesOf(kept.filter((p) => p.buffer.layer === source));
  const keptForLayers = kept.filter((p) => p.buffer.layer !== source);
  return {
    parameters,
    optimizer,
    evaluated,
    input,
    kept: bytesByLayer(keptForLayers),
    scratch: end - parameters - optimizer - evaluated - input - bytesOf(keptForLayers),
    total: end,
    shortage: end > there ? shortage(graph, code, size, there) : null,
  };
}

function shortage(graph: Graph, code: ModelCode, { batch, steps, events }: StepSize, there: number): Shortage {
  const fits = (samples: number) => {
    const share = events && Math.ceil((events * samples) / batch);
    return trainingProgram(code, { batch: samples, steps, events: share }).end <= there;
  };
  const reason = fits(1) ? whyWhole(graph) : 'the parameters and one sample alone need more';
  if (reason) return { there, reason, largest: largestThat(fits, batch) };
  let parts = 2;
  while (!fits(Math.ceil(batch / parts))) parts *= 2;
  return { there, parts: Math.min(parts, batch) };
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
    parts: 1,
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
