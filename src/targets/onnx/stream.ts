import type { Call } from '../../data/config.ts';
import { UserError } from '../../diagnostics/diagnostic.ts';
import type { Graph } from '../../ir/graph.ts';
import type { GraphBuilder, Value } from './builder.ts';
import { dataTypes, valueInfo } from './proto.ts';
import { waitingSound } from './sound/features.ts';
import { type CarriedState, emitParts, emitVector } from './stateVector.ts';
import { emitChunkAxis, emitIsStep, stepAxis, type TimeAxis } from './timeAxis.ts';

/** What a pool gathers from a stream, which has no end. */
export type Segmentation =
  /** All steps since the last reset. */
  | { readonly kind: 'reset' }
  /** The last `steps` steps: the pool runs over exactly these. */
  | { readonly kind: 'window'; readonly steps: number }
  /**
   * The current utterance. After `steps` steps without any event in a row the model stands still (states and scores stay
   * as they are) until the next event, with which it starts afresh. A step is an event where a feature is above
   * `threshold` (log-mel energies, before they are normalized), or, without a threshold, where one is not 0 (spikes).
   */
  | { readonly kind: 'silence'; readonly steps: number; readonly threshold?: number };

/** The state of the silence gate, the last of all, [batch, 1]: steps without an event in a row so far, at most those that close it. */
export const silentSteps = 'silent-steps';

/** Throws UserError SP626 where the network or its input needs the end of a sequence before the first output. */
export function requireCausal(graph: Graph, preprocessing: readonly Call[]): void {
  if (preprocessing.some(({ type, params }) => type === 'normalize' && params.over === 'utterance')) {
    throw new UserError(
      'SP626',
      'the features are normalized over the whole utterance, whose end a stream does not know; export with --mode sequence, or train with normalize(over=past)',
      { exitCode: 2 },
    );
  }
  for (const node of graph.nodes) {
    if (node.kind !== 'population' || !node.bidirectional) continue;
    throw new UserError(
      'SP626',
      `layer "${node.layer}" is bidirectional: it reads the sequence from its end, which a stream does not have; export with --mode sequence, or train the network without "bidirectional"`,
      { exitCode: 2 },
    );
  }
}

/**
 * Throws UserError SP627 where the silence gate would never close, or its threshold is about features that `x` is not.
 */
export function requireSilence(
  segmentation: Segmentation,
  preprocessing: readonly Call[],
  input: 'features' | 'waveform',
): void {
  if (segmentation.kind !== 'silence' || !preprocessing.some(({ type }) => type === 'fbank')) return;
  if (segmentation.threshold === undefined) {
    throw new UserError(
      'SP627',
      'log-mel energies are never 0, so the silence gate needs to know which ones are silence; add --threshold, such as --threshold -5',
      { exitCode: 2 },
    );
  }
  if (input === 'features' && preprocessing.some(({ type }) => type === 'normalize')) {
    throw new UserError(
      'SP627',
      'the features are normalized, which leaves no level that would be silence; export with --input waveform, whose gate looks at them before',
      { exitCode: 2 },
    );
  }
}

/** A chunk of a stream, before its steps are computed. */
export interface Chunk {
  readonly segmentation: Segmentation;
  /** [batch, time, features]; sound that completes no frame has one step that is none. */
  readonly values: Value;
  /** How many of the time steps there really are, [1] of int64; null: all of them. */
  readonly steps: Value | null;
  /** Whether that is one or more, [1] of bool. */
  readonly some: Value | null;
  readonly states: readonly CarriedState[];
  /** Before the chunk, [batch or 1, size]. */
  readonly vector: Value;
  readonly gate: SilenceGate | null;
  /** Sound that waits for the next chunk; null where `x` is no sound. */
  readonly rest: Value | null;
}

export function emitChunk(
  builder: GraphBuilder,
  segmentation: Segmentation,
  states: readonly CarriedState[],
  given: Pick<Chunk, 'values' | 'steps' | 'rest'>,
): Chunk {
  const { values, steps } = given;
  const vector = emitVector(builder, states);
  const some = steps && builder.op('Greater', [steps, builder.ints([0])], 'chunk_has_steps');
  const gate = segmentation.kind === 'silence' ? emitSilenceGate(builder, values, vector, some, segmentation) : null;
  return { ...given, segmentation, states, vector, some, gate };
}

/** Whether the chunk is one step of one sample, which counts and only goes on with what was heard; [1] of bool. */
export function emitIsOneStep(builder: GraphBuilder, { values, some, gate }: Chunk): Value {
  return emitAll(builder, [emitIsStep(builder, values), some, gate?.goesOn ?? null]);
}

export interface StreamAxis {
  readonly segmentation: Segmentation;
  readonly time: TimeAxis;
  /** The steps of the chunk, [1] of int64. */
  readonly steps: Value;
  /** Cuts a sequence [batch, time, features] to the steps of the chunk. */
  arrived(sequence: Value): Value;
  /** By state. */
  readonly finalStates: ReadonlyMap<string, Value>;
}

/** Of a chunk that `emitIsOneStep` says to be one step. */
export function stepStreamAxis(builder: GraphBuilder, chunk: Chunk): StreamAxis {
  return {
    segmentation: chunk.segmentation,
    time: stepAxis(builder, emitParts(builder, chunk.states, chunk.vector)),
    steps: builder.ints([1]),
    arrived: (sequence) => sequence,
    finalStates: finalStatesOf(chunk),
  };
}

/** Of any chunk: every step counts, but for those that the silence gate holds back. */
export function emitStreamAxis(builder: GraphBuilder, chunk: Chunk): StreamAxis {
  const { segmentation, values, steps, some, gate } = chunk;
  const whole = emitChunkAxis(builder, values);
  const carried = emitParts(builder, chunk.states, emitRows(builder, chunk.vector, whole.batch));
  const counts = gate?.open ?? some;
  const all = [some, gate?.goesOn ?? null];
  return {
    segmentation,
    time: { ...(counts ? emitOnly(builder, whole, counts, all) : whole), carried, restart: gate?.opens ?? null },
    steps: steps ?? builder.op('Shape', [values], 'chunk_steps', { start: 1, end: 2 }),
    arrived: (sequence) => (steps ? emitFirst(builder, sequence, steps) : sequence),
    finalStates: finalStatesOf(chunk),
  };
}

/** [batch or 1, columns] -> [batch, columns] */
function emitRows(builder: GraphBuilder, value: Value, batch: Value): Value {
  const shape = builder.op('Concat', [batch, builder.ints([1])], `${value}.shape`, { axis: 0 });
  return builder.op('Expand', [value, shape], `${value}.all`);
}

function finalStatesOf({ gate, rest }: Chunk): ReadonlyMap<string, Value> {
  const finalStates = new Map<string, Value>();
  if (gate) finalStates.set(silentSteps, gate.silent);
  if (rest !== null) finalStates.set(waitingSound, rest);
  return finalStates;
}

/** Of those conditions that there are. */
function emitAll(builder: GraphBuilder, conditions: readonly (Value | null)[]): Value {
  return conditions.filter((v) => v !== null).reduce((a, b) => builder.op('And', [a, b], `${a}_too`));
}

/**
 * The time axis with those steps only that `counts`, which broadcasts to [time, batch, 1], says; `all`, each one bool, where
 * they all count and none starts afresh.
 */
function emitOnly(builder: GraphBuilder, time: TimeAxis, counts: Value, all: readonly (Value | null)[]): TimeAxis {
  const valid = builder.op('And', [time.valid, counts], 'valid_of_chunk');
  return {
    ...time,
    valid,
    alone: emitAll(builder, [time.alone, ...all]),
    mean: (sequence, wish) => emitMeanOf(builder, valid, sequence, wish),
  };
}

/** Whether the gate is open all the time and was so before. */
function emitGoesOn(builder: GraphBuilder, open: Value, opens: Value): Value {
  const stays = builder.op('And', [open, builder.op('Not', [opens], 'gate_stays')], 'gate_goes_on');
  const number = builder.op('Cast', [stays], 'gate_goes_on_number', { to: dataTypes.float32 });
  const least = builder.op('ReduceMin', [number], 'gate_goes_on_least', { axes: [0, 1, 2], keepdims: 0 });
  return builder.op('Greater', [least, builder.scalar(0)], 'gate_goes_on_all');
}

/** [batch, time, features] -> [batch, steps, features] */
function emitFirst(builder: GraphBuilder, sequence: Value, steps: Value): Value {
  const [zero, axis] = [[0], [1]].map((v) => builder.ints(v));
  return builder.op('Slice', [sequence, zero, steps, axis], `${sequence}.arrived`);
}

interface SilenceGate {
  /** [time, batch, 1] of bool: the step counts. */
  readonly open: Value;
  /** [time, batch, 1] of bool: the first event after the gate was closed. */
  readonly opens: Value;
  /** One bool: the chunk only goes on with what was heard. */
  readonly goesOn: Value;
  /** [batch, 1] */
  readonly silent: Value;
}

/** `some`, [1] of bool, is false where the chunk's only step is none: then the gate stays as it is. */
function emitSilenceGate(
  builder: GraphBuilder,
  chunk: Value,
  vector: Value,
  some: Value | null,
  { steps, threshold }: Extract<Segmentation, { kind: 'silence' }>,
): SilenceGate {
  const values = builder.op('Transpose', [chunk], 'gate_x', { perm: [1, 0, 2] });
  const levels = threshold === undefined ? builder.op('Abs', [values], 'gate_magnitude') : values;
  const largest = builder.op('ReduceMax', [levels], 'gate_largest', { axes: [-1], keepdims: 1 });
  const event = builder.op('Greater', [largest, builder.scalar(threshold ?? 0)], 'gate_event');
  const closed = builder.scalar(steps);
  const [last, end, axis] = [[-1], [Number.MAX_SAFE_INTEGER], [1]].map((v) => builder.ints(v));
  const batch = builder.op('Shape', [chunk], 'gate_batch', { start: 0, end: 1 });
  const start = emitRows(builder, builder.op('Slice', [vector, last, end, axis], 'gate_before_chunk'), batch);

  const [silent, before, after] = ['gate_final', 'gate_before', 'gate_after'].map((wish) => builder.name(wish));
  builder.node('Scan', [start, event], [silent, before, after], {
    body: silenceBody(builder.subgraph(), steps),
    num_scan_inputs: 1,
  });
  const open = builder.op('Less', [after, closed], 'gate_open');
  const wasClosed = builder.op('GreaterOrEqual', [before, closed], 'gate_was_closed');
  const opens = builder.op('And', [event, wasClosed], 'gate_opens');
  const goesOn = emitGoesOn(builder, open, opens);
  if (!some) return { open, opens, goesOn, silent };
  const [openNow, opensNow] = [open, opens].map((v) => builder.op('And', [v, some], `${v}_now`));
  return { open: openNow, opens: opensNow, goesOn, silent: builder.op('Where', [some, silent, start], 'gate_kept') };
}

/** Inputs: silent steps so far, whether there is an event now. Outputs: silent steps after this one; both for all steps. */
function silenceBody(builder: GraphBuilder, steps: number) {
  const [before, event] = ['silent_before', 'event_t'].map((wish) => builder.name(wish));
  const more = builder.op('Add', [before, builder.scalar(1)], 'silent_more');
  const capped = builder.op('Min', [more, builder.scalar(steps)], 'silent_capped');
  const next = builder.op('Where', [event, builder.scalar(0), capped], 'silent_next');
  const outputs = [before, next].map((v) => builder.op('Identity', [v], `${v}_out`));
  const column = (name: Value, type: 'float32' | 'bool') => valueInfo(name, type, ['silence.rows', 1]);
  return {
    name: 'silence_step',
    node: builder.nodes,
    initializer: [],
    input: [column(before, 'float32'), column(event, 'bool')],
    output: [next, ...outputs].map((v) => column(v, 'float32')),
  };
}

/** The mean over the steps that count, 0 where none does: [time, batch, features] -> [batch, features]. */
function emitMeanOf(builder: GraphBuilder, valid: Value, sequence: Value, wish: string): Value {
  const ones = builder.op('Cast', [valid], `${wish}_ones`, { to: dataTypes.float32 });
  const masked = builder.op('Mul', [sequence, ones], `${wish}_masked`);
  const sum = builder.op('ReduceSum', [masked, builder.ints([0])], `${wish}_sum`, { keepdims: 0 });
  const count = builder.op('ReduceSum', [ones, builder.ints([0])], `${wish}_count`, { keepdims: 0 });
  return builder.op('Div', [sum, builder.op('Max', [count, builder.scalar(1)], `${wish}_positive`)], wish);
}
