import type { GraphBuilder, Value } from './builder.ts';
import { once } from './once.ts';
import { stateName } from './population.ts';
import { emitChunkFeatures, emitRecordingFeatures } from './sound/features.ts';
import type { FrontEnd } from './sound/frontEnd.ts';
import { emitNormalize, runningNorm, runningStates } from './sound/normalize.ts';
import type { CarriedState } from './stateVector.ts';
import { type Chunk, emitChunk, emitStreamAxis, type Segmentation, type StreamAxis, stepStreamAxis } from './stream.ts';
import { emitTimeAxis, type TimeAxis } from './timeAxis.ts';

export interface EmittedInput {
  readonly time: TimeAxis;
  /** Null for whole sequences. */
  readonly stream: StreamAxis | null;
  /** What the network takes, a sequence. */
  readonly values: () => Value;
  /** The same as [batch, time, features], where it comes so and sequences are something else. */
  readonly batchMajor: Value | null;
  /** By state. */
  readonly finalStates: ReadonlyMap<string, Value>;
}

/** Whole sequences, the graph input `x`: features as they are, or those of sound where there is a front end. */
export function emitSequenceInput(builder: GraphBuilder, frontEnd: FrontEnd | null): EmittedInput {
  if (!frontEnd) {
    const time = emitTimeAxis(builder, 'x', 'lengths');
    const values = once(() => time.fromBatchMajor('x'));
    return { time, stream: null, values, batchMajor: 'x', finalStates: new Map() };
  }
  const { values, frames } = emitRecordingFeatures(builder, frontEnd);
  const time = emitTimeAxis(builder, values, frames);
  const normalized = emitNormalized(builder, frontEnd, time, time.fromBatchMajor(values));
  return { time, stream: null, ...normalized, values: () => normalized.values, batchMajor: null };
}

/** The chunk that the graph input `x` is. */
export function emitStreamChunk(
  builder: GraphBuilder,
  frontEnd: FrontEnd | null,
  segmentation: Segmentation,
  states: readonly CarriedState[],
): Chunk {
  if (!frontEnd) return emitChunk(builder, segmentation, states, { values: 'x', steps: null, rest: null });
  const { values, frames, rest } = emitChunkFeatures(builder, frontEnd);
  return emitChunk(builder, segmentation, states, { values, steps: frames, rest });
}

/** `isStep`: the chunk is known to be one step of one sample. */
export function emitStreamInput(
  builder: GraphBuilder,
  frontEnd: FrontEnd | null,
  chunk: Chunk,
  isStep: boolean,
): EmittedInput {
  const stream = isStep ? stepStreamAxis(builder, chunk) : emitStreamAxis(builder, chunk);
  const { time, finalStates } = stream;
  const values = once(() => time.fromBatchMajor(chunk.values));
  if (!frontEnd) return { time, stream, values, batchMajor: isStep ? null : chunk.values, finalStates };
  const normalized = emitNormalized(builder, frontEnd, time, values());
  const all = new Map([...finalStates, ...normalized.finalStates]);
  return { time, stream, values: () => normalized.values, batchMajor: null, finalStates: all };
}

function emitNormalized(
  builder: GraphBuilder,
  { normalize, fbank }: FrontEnd,
  time: TimeAxis,
  values: Value,
): { readonly values: Value; readonly finalStates: ReadonlyMap<string, Value> } {
  if (!normalize) return { values, finalStates: new Map() };
  const names = (normalize.over === 'past' ? runningStates() : []).map((name) => stateName(runningNorm, name));
  const starts = names.map((name) => time.carried?.get(name) ?? emitZeros(builder, time, fbank.mels));
  const normalized = emitNormalize(builder, normalize, time, fbank.mels, values, starts);
  const finalStates = new Map(names.map((name, i) => [name, normalized.finalStates[i]]));
  return { values: normalized.values, finalStates };
}

function emitZeros(builder: GraphBuilder, { batch }: TimeAxis, features: number): Value {
  const shape = builder.op('Concat', [batch, builder.ints([features])], 'norm.shape', { axis: 0 });
  return builder.op('Expand', [builder.scalar(0), shape], 'norm.start');
}
