import type { GraphBuilder, Value } from './builder.ts';
import { once } from './once.ts';
import { dataTypes } from './proto.ts';

/** What the model's nodes need to know about batch and time. */
export interface TimeAxis {
  /** The batch size, [1] of int64. */
  readonly batch: Value;
  /** There is one step of one sample, and sequences are [batch, features], without the axis of time named below. */
  readonly isStep: boolean;
  /** [time, batch, 1] of bool, or the scalar true. */
  readonly valid: Value;
  /** One bool, true where the batch is one sample and all its steps are valid. */
  readonly alone: Value;
  /** States before the first step by name, each [batch, ...]; null where they are inputs of the graph. */
  readonly carried: ReadonlyMap<string, Value> | null;
  /** [time, batch, 1] of bool: states are the initial ones again before such a step; null where they never are. */
  readonly restart: Value | null;
  /** The last valid step of a sequence: [time, batch, features] -> [batch, features]. */
  last(sequence: Value, wish: string): Value;
  /** The mean over the valid steps of a sequence: [time, batch, features] -> [batch, features]. */
  mean(sequence: Value, wish: string): Value;
  /** Every sample reversed within its own length, [time, batch, features]; padded steps stay where they are. */
  reverse(sequence: Value, wish: string): Value;
  /** [batch, time, features] as a sequence, [time, batch, features] */
  fromBatchMajor(values: Value): Value;
  toBatchMajor(sequence: Value): Value;
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
    isStep: false,
    carried: null,
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
    ...transposing(builder),
  };
}

function transposing(builder: GraphBuilder): Pick<TimeAxis, 'fromBatchMajor' | 'toBatchMajor'> {
  const transpose = (v: Value, wish: string) => builder.op('Transpose', [v], wish, { perm: [1, 0, 2] });
  return {
    fromBatchMajor: (values) => transpose(values, `${values}.time_major`),
    toBatchMajor: (sequence) => transpose(sequence, `${sequence}.batch_major`),
  };
}

/** Of a chunk `x` [batch, time, features] of a stream, of which every step counts. */
export function emitChunkAxis(builder: GraphBuilder, x: Value): TimeAxis {
  const { batch, time } = emitExtent(builder, x);
  const shape = builder.op('Concat', [time, batch, builder.ints([1])], 'valid_shape', { axis: 0 });
  return {
    batch,
    isStep: false,
    valid: builder.op('Expand', [builder.yes(), shape], 'valid'),
    alone: builder.op('Equal', [batch, builder.ints([1])], 'alone'),
    carried: null,
    restart: null,
    last: (sequence, wish) => builder.op('Gather', [sequence, builder.index(-1)], wish, { axis: 0 }),
    mean: (sequence, wish) => builder.op('ReduceMean', [sequence], wish, { axes: [0], keepdims: 0 }),
    reverse: refuseReversal,
    ...transposing(builder),
  };
}

/** Of one step of one sample. */
export function stepAxis(builder: GraphBuilder, carried: TimeAxis['carried']): TimeAxis {
  const one = builder.ints([1]);
  return {
    batch: one,
    isStep: true,
    valid: builder.yes(),
    alone: builder.yes(),
    carried,
    restart: null,
    last: (step) => step,
    mean: (step) => step,
    reverse: refuseReversal,
    fromBatchMajor: (values) => builder.op('Squeeze', [values, one], `${values}.step`),
    toBatchMajor: (step) => builder.op('Unsqueeze', [step, one], `${step}.batch_major`),
  };
}

/** Whether `x` [batch, time, features] is one step of one sample. */
export function emitIsStep(builder: GraphBuilder, x: Value): Value {
  const extent = builder.op('Shape', [x], 'extent', { start: 0, end: 2 });
  const count = builder.op('ReduceProd', [extent], 'step_count', { keepdims: 1 });
  return builder.op('Equal', [count, builder.ints([1])], 'is_step');
}

function refuseReversal(): never {
  throw new Error('a stream has no end to be read from');
}

function emitExtent(builder: GraphBuilder, x: Value): { batch: Value; time: Value } {
  return {
    batch: builder.op('Shape', [x], 'batch_size', { start: 0, end: 1 }),
    time: builder.op('Shape', [x], 'time_steps', { start: 1, end: 2 }),
  };
}
