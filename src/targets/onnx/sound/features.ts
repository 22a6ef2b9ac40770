import type { GraphBuilder, Value } from '../builder.ts';
import type { FrontEnd } from './frontEnd.ts';
import { emitLogMel } from './spectrum.ts';

/** The samples that wait for the frame which they belong to, [batch or 1, any number]. */
export const soundState = 'state.sound';
export const nextSoundState = 'next_state.sound';
/** Their name among the states after a chunk. */
export const waitingSound = 'sound';

export interface SoundFeatures {
  /** [batch, time, mels]; there is always one step or more. */
  readonly values: Value;
  /** Steps that are frames of the sound: one number for each sample of a batch, or [1] for a chunk, where it may be 0. */
  readonly frames: Value;
}

/**
 * Of whole recordings: `x` [batch, samples], of which the first `lengths` count. What is shorter than a frame is padded
 * with zeros to one.
 */
export function emitRecordingFeatures(builder: GraphBuilder, frontEnd: FrontEnd): SoundFeatures {
  const { length, snipEdges } = frontEnd.plan.framing;
  const batch = builder.op('Shape', ['x'], 'sound.batch', { start: 0, end: 1 });
  const given = builder.op('Shape', ['x'], 'sound.given', { start: 1, end: 2 });
  const within = builder.op('Min', ['lengths', given], 'sound.lengths_within');
  const lengths = builder.op('Max', [within, builder.ints([1])], 'sound.lengths');
  const whole = builder.op(
    'Max',
    [emitFrameCount(builder, frontEnd, given, 'sound.frames'), builder.ints([1])],
    'sound.steps',
  );
  const indices = emitIndices(builder, frontEnd, whole);
  const frames = snipEdges
    ? builder.op('Gather', [emitPadded(builder, 'x', length), indices], 'frames', { axis: 1 })
    : emitMirroredFrames(builder, indices, { batch, lengths, length });
  return {
    values: emitLogMel(builder, frontEnd, batch, frames),
    frames: emitFrameCount(builder, frontEnd, lengths, 'sound.valid_frames'),
  };
}

/**
 * Of a chunk of a stream: `x` [batch, samples] and the samples that were left over by the chunks before, which count as
 * zeros in rows that start afresh. Where no frame is complete there is one step that is none.
 */
export function emitChunkFeatures(builder: GraphBuilder, frontEnd: FrontEnd): SoundFeatures & { readonly rest: Value } {
  const { length, shift } = frontEnd.plan.framing;
  const batch = builder.op('Shape', ['x'], 'sound.batch', { start: 0, end: 1 });
  const waiting = builder.op('Shape', [soundState], 'sound.waiting', { start: 1, end: 2 });
  const shape = builder.op('Concat', [batch, waiting], 'sound.waiting_shape', { axis: 0 });
  const before = builder.op('Expand', [soundState, shape], 'sound.before');
  const reset = builder.op('Unsqueeze', ['reset', builder.ints([1])], 'sound.reset');
  const kept = builder.op('Where', [reset, builder.scalar(0), before], 'sound.kept');
  const sound = builder.op('Concat', [kept, 'x'], 'sound', { axis: 1 });
  const count = builder.op('Shape', [sound], 'sound.samples', { start: 1, end: 2 });
  const frames = emitFrameCount(builder, frontEnd, count, 'sound.frames');
  const steps = builder.op('Max', [frames, builder.ints([1])], 'sound.steps');
  const padded = emitPadded(builder, sound, length);
  const gathered = builder.op('Gather', [padded, emitIndices(builder, frontEnd, steps)], 'frames', { axis: 1 });
  const used = builder.op('Mul', [frames, builder.ints([shift])], 'sound.used');
  const end = builder.ints([Number.MAX_SAFE_INTEGER]);
  return {
    values: emitLogMel(builder, frontEnd, batch, gathered),
    frames,
    rest: builder.op('Slice', [sound, used, end, builder.ints([1])], 'sound.rest'),
  };
}

/** How many frames so many samples have, elementwise on int64. */
function emitFrameCount(builder: GraphBuilder, { plan }: FrontEnd, samples: Value, wish: string): Value {
  const { length, shift, snipEdges } = plan.framing;
  if (!snipEdges) {
    // One for every shift, to the nearest: floor((samples + shift / 2) / shift).
    const doubled = builder.op('Mul', [samples, builder.ints([2])], `${wish}_doubled`);
    const rounded = builder.op('Add', [doubled, builder.ints([shift])], `${wish}_rounded`);
    return builder.op('Div', [rounded, builder.ints([2 * shift])], wish);
  }
  const beyond = builder.op('Sub', [samples, builder.ints([length - shift])], `${wish}_beyond`);
  const positive = builder.op('Max', [beyond, builder.ints([0])], `${wish}_positive`);
  return builder.op('Div', [positive, builder.ints([shift])], wish);
}

/** Where the samples of each frame are, [time, length] of int64; frames that reach over the edges begin before 0. */
function emitIndices(builder: GraphBuilder, { plan }: FrontEnd, steps: Value): Value {
  const { length, shift, snipEdges } = plan.framing;
  const first = snipEdges ? 0 : Math.floor(shift / 2) - Math.floor(length / 2);
  const frame = builder.op('Unsqueeze', [builder.range(steps, 'frame.index'), builder.ints([1])], 'frame.column');
  const start = builder.op('Mul', [frame, builder.ints([shift])], 'frame.shift');
  const offset = builder.op(
    'Add',
    [builder.range(builder.ints([length]), 'frame.offset'), builder.ints([first])],
    'frame.offsets',
  );
  return builder.op('Add', [start, offset], 'frame.indices');
}

/** Every recording is mirrored at both ends of its own length, edge samples repeated. */
function emitMirroredFrames(
  builder: GraphBuilder,
  indices: Value,
  { batch, lengths, length }: { readonly batch: Value; readonly lengths: Value; readonly length: number },
): Value {
  const perSample = builder.op(
    'Unsqueeze',
    [builder.op('Expand', [lengths, batch], 'sound.each_length'), builder.ints([1])],
    'sound.length_column',
  );
  const period = builder.op('Mul', [perSample, builder.ints([2])], 'mirror.period');
  const flat = builder.op('Reshape', [indices, builder.ints([1, -1])], 'mirror.indices');
  // The remainder has the sign of the period, which is positive.
  const wrapped = builder.op('Mod', [flat, period], 'mirror.wrapped');
  const back = builder.op(
    'Sub',
    [builder.op('Sub', [period, builder.ints([1])], 'mirror.last'), wrapped],
    'mirror.back',
  );
  const inside = builder.op('Less', [wrapped, perSample], 'mirror.inside');
  const mirrored = builder.op('Where', [inside, wrapped, back], 'mirror.where');
  const samples = builder.op('GatherElements', ['x', mirrored], 'mirror.samples', { axis: 1 });
  const shape = builder.op('Concat', [batch, builder.ints([-1, length])], 'mirror.shape', { axis: 0 });
  return builder.op('Reshape', [samples, shape], 'frames');
}

function emitPadded(builder: GraphBuilder, sound: Value, samples: number): Value {
  return builder.op('Pad', [sound, builder.ints([0, 0, 0, samples])], 'sound.padded');
}
