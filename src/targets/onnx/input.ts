import type { GraphBuilder, Value } from './builder.ts';
import { once } from './once.ts';
import { emitChunkFeatures, emitRecordingFeatures, finalSound } from './sound/features.ts';
import type { FrontEnd } from './sound/frontEnd.ts';
import { emitNormalize, runningNorm, runningStates } from './sound/normalize.ts';
import { emitStreamAxis, type Segmentation, type StreamAxis } from './stream.ts';
import { emitTimeAxis, type TimeAxis } from './timeAxis.ts';

export interface EmittedInput {
  readonly time: TimeAxis;
  /** Null for whole sequences. */
  readonly stream: StreamAxis | null;
  /** What the network takes, [time, batch, features]. */
  readonly values: () => Value;
  /** The same as [batch, time, features], where it comes so. */
  readonly batchMajor: Value | null;
  /** By output name. */
  readonly finalStates: ReadonlyMap<string, Value>;
}

/** The graph input `x` and the time axis: features as they are, or those of sound where there is a front end. */
export function emitInput(
  builder: GraphBuilder,
  frontEnd: FrontEnd | null,
  segmentation: Segmentation | null,
): EmittedInput {
  if (!frontEnd) {
    const stream = segmentation && emitStreamAxis(builder, segmentation, { values: 'x', steps: null });
    const time = stream ? stream.time : emitTimeAxis(builder, 'x', 'lengths');
    const values = once(() => timeMajor(builder, 'x'));
    return { time, stream, values, batchMajor: 'x', finalStates: stream?.finalStates ?? new Map() };
  }
  if (segmentation) return emitSoundStream(builder, frontEnd, segmentation);
  const { values, frames } = emitRecordingFeatures(builder, frontEnd);
  const time = emitTimeAxis(builder, values, frames);
  const normalized = emitNormalized(builder, frontEnd, time, timeMajor(builder, values), () => builder.scalar(0));
  return { time, stream: null, ...normalized, values: () => normalized.values, batchMajor: null };
}

function emitSoundStream(builder: GraphBuilder, frontEnd: FrontEnd, segmentation: Segmentation): EmittedInput {
  const { values, frames, rest } = emitChunkFeatures(builder, frontEnd);
  const stream = emitStreamAxis(builder, segmentation, { values, steps: frames });
  const normalized = emitNormalized(
    builder,
    frontEnd,
    stream.time,
    timeMajor(builder, values),
    (name) => `state.${runningNorm}.${name}`,
  );
  const finalStates = new Map([...stream.finalStates, ...normalized.finalStates, [finalSound, rest]]);
  return { time: stream.time, stream, values: () => normalized.values, batchMajor: null, finalStates };
}

function emitNormalized(
  builder: GraphBuilder,
  { normalize, fbank }: FrontEnd,
  time: TimeAxis,
  values: Value,
  initialState: (name: string) => Value,
): { readonly values: Value; readonly finalStates: ReadonlyMap<string, Value> } {
  if (!normalize) return { values, finalStates: new Map() };
  const names = normalize.over === 'past' ? runningStates() : [];
  const shape = builder.op('Concat', [time.batch, builder.ints([fbank.mels])], 'norm.shape', { axis: 0 });
  const starts = names.map((name) => builder.op('Expand', [initialState(name), shape], `norm.${name}`));
  const normalized = emitNormalize(builder, normalize, time, fbank.mels, values, starts);
  const finals = names.map((name, i) => [`final.${runningNorm}.${name}`, normalized.finalStates[i]] as const);
  return { values: normalized.values, finalStates: new Map(finals) };
}

function timeMajor(builder: GraphBuilder, values: Value): Value {
  return builder.op('Transpose', [values], `${values}.time_major`, { perm: [1, 0, 2] });
}
