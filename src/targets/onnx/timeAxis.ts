import type { GraphBuilder, Value } from './builder.ts';
import { once } from './once.ts';
import { dataTypes } from './proto.ts';

/** What the model's nodes need to know about batch and time. */
export interface TimeAxis {
  /** The batch size, [1] of int64. */
  readonly batch: Value;
  /** [time, batch, 1] of bool. */
  readonly valid: Value;
  /** One bool, true where the batch is one sample and all its steps are valid; null where steps may be held back. */
  readonly alone: Value | null;
  /** One bool, true where there is one step of one sample; null where that is no case of its own. */
  readonly oneStep: Value | null;
  /** [batch, 1] of bool: rows whose states are the initial ones whatever was fed; null where no row is. */
  readonly reset: Value | null;
  /** [time, batch, 1] of bool: states are the initial ones again before such a step; null where they never are. */
  readonly restart: Value | null;
  /** The last valid step of a sequence: [time, batch, features] -> [batch, features]. */
  last(sequence: Value, wish: string): Value;
  /** The mean over the valid steps of a sequence: [time, batch, features] -> [batch, features]. */
  mean(sequence: Value, wish: string): Value;
  /** Every sample reversed within its own length, [time, batch, features]; padded steps stay where they are. */
  reverse(sequence: Value, wish: string): Value;
}

/** Of whole sequences `x` [batch, time, features]; `lengthsInput` is one number, or one per sample, cut to 1 .. time. */
export function emitTimeAxis(builder: GraphBuilder, x: Value, lengthsInput: Value): TimeAxis {
  const { batch, time } = emitExtent(builder, x);
  const within = builder.op('Min', [lengthsInput, time], 'lengths_within');
  const positive = builder.op('Max', [within, builder.ints([1])], 'lengths_positive');
  const lengths = builder.op('Expand', [positive, batch], 'lengths_per_sample');
  const steps = builder.op('Unsqueeze', [builder.range(time, 'steps'), builder.ints([1])], 'steps_column');
  const before = builder.op('Less', [steps, lengths], 'valid_steps');
  const valid = builder.op('Unsqueeze', [before, builder.ints([2])], 'valid');

  const shortest = builder.op('ReduceMin', [lengths], 'shortest', { keepdims: 1 });
  const whole = builder.op('Equal', [shortest, time], 'all_valid');
  const single = builder.op('Equal', [batch, builder.ints([1])], 'one_sample');

  const lastIndices = once(() => {
    const last = builder.op('Sub', [lengths, builder.ints([1])], 'last_step');
    const columns = [last, builder.range(batch, 'samples')].map((v) =>
      builder.op('Unsqueeze', [v, builder.ints([1])], `${v}_column`),
    );
    return builder.op('Concat', columns, 'last_indices', { axis: 1 });
  });
  const counted = once(() => {
    const counts = builder.op('Cast', [lengths], 'length_counts', { to: dataTypes.float32 });
    return {
      ones: builder.op('Cast', [valid], 'valid_ones', { to: dataTypes.float32 }),
      counts: builder.op('Unsqueeze', [counts, builder.ints([1])], 'length_column'),
    };
  });

  return {
    batch,
    valid,
    alone: builder.op('And', [single, whole], 'alone'),
    oneStep: null,
    reset: null,
    restart: null,
    last: (sequence, wish) => builder.op('GatherND', [sequence, lastIndices()], wish),
    mean(sequence, wish) {
      const { ones, counts } = counted();
      const masked = builder.op('Mul', [sequence, ones], `${wish}_masked`);
      const sum = builder.op('ReduceSum', [masked, builder.ints([0])], `${wish}_sum`, { keepdims: 0 });
      return builder.op('Div', [sum, counts], wish);
    },
    reverse: (sequence, wish) =>
      builder.op('ReverseSequence', [sequence, lengths], wish, { time_axis: 0, batch_axis: 1 }),
  };
}

/** Of a chunk `x` [batch, time, features] of a stream, of which every step counts; `steps` are how many, [1] of int64. */
export function emitChunkAxis(builder: GraphBuilder, x: Value): TimeAxis & { readonly steps: Value } {
  const { batch, time } = emitExtent(builder, x);
  const shape = builder.op('Concat', [time, batch, builder.ints([1])], 'valid_shape', { axis: 0 });
  const alone = builder.op('Equal', [batch, builder.ints([1])], 'alone');
  const single = builder.op('Equal', [time, builder.ints([1])], 'single_step');
  return {
    batch,
    steps: time,
    valid: builder.op('Expand', [builder.yes(), shape], 'valid'),
    alone,
    oneStep: builder.op('And', [alone, single], 'one_step'),
    reset: null,
    restart: null,
    last: (sequence, wish) => builder.op('Gather', [sequence, builder.index(-1)], wish, { axis: 0 }),
    mean: (sequence, wish) => builder.op('ReduceMean', [sequence], wish, { axes: [0], keepdims: 0 }),
    reverse() {
      throw new Error('a stream has no end to be read from');
    },
  };
}

function emitExtent(builder: GraphBuilder, x: Value): { batch: Value; time: Value } {
  return {
    batch: builder.op('Shape', [x], 'batch_size', { start: 0, end: 1 }),
    time: builder.op('Shape', [x], 'time_steps', { start: 1, end: 2 }),
  };
}
