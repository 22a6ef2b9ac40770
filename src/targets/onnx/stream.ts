import type { Call } from '../../data/config.ts';
import { UserError } from '../../diagnostics/diagnostic.ts';
import type { Graph } from '../../ir/graph.ts';
import type { GraphBuilder, Value } from './builder.ts';
import { dataTypes, valueInfo } from './proto.ts';
import { emitTimeAxis, type TimeAxis } from './timeAxis.ts';

/** What a pool gathers from a stream, which has no end. */
export type Segmentation =
  /** All steps since the last reset. */
  | { readonly kind: 'reset' }
  /** The last `steps` steps: the pool runs over exactly these. */
  | { readonly kind: 'window'; readonly steps: number }
  /**
   * The current utterance. After `steps` steps without any event in a row the model stands still (states and scores stay
   * as they are) until the next event, with which it starts afresh.
   */
  | { readonly kind: 'silence'; readonly steps: number };

/** The state of the silence gate, [batch, 1]: steps without an event in a row so far, at most those that close it. */
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

export interface StreamAxis {
  readonly time: TimeAxis;
  /** [batch, 1] of bool: `time.reset`, which streams always have. */
  readonly reset: Value;
  /** By output name. */
  readonly finalStates: ReadonlyMap<string, Value>;
}

/** The time axis of a chunk of a stream: every step counts, but for those that the silence gate holds back. */
export function emitStreamAxis(builder: GraphBuilder, segmentation: Segmentation): StreamAxis {
  const steps = builder.op('Shape', ['x'], 'chunk_steps', { start: 1, end: 2 });
  const whole = { ...emitTimeAxis(builder, 'x', steps), oneStep: emitOneStep(builder) };
  const rows = builder.op('Expand', ['reset', whole.batch], 'reset_rows');
  const reset = builder.op('Unsqueeze', [rows, builder.ints([1])], 'reset_column');
  if (segmentation.kind !== 'silence') return { time: { ...whole, reset }, reset, finalStates: new Map() };
  const gate = emitSilenceGate(builder, reset, segmentation.steps);
  const time: TimeAxis = {
    ...whole,
    valid: gate.open,
    alone: null,
    reset,
    restart: gate.opens,
    mean: (sequence, wish) => emitMeanOfOpen(builder, gate.open, sequence, wish),
  };
  return { time, reset, finalStates: new Map([[`final.${silentSteps}`, gate.silent]]) };
}

/** Whether `x` is one step of one row. */
function emitOneStep(builder: GraphBuilder): Value {
  const extent = builder.op('Shape', ['x'], 'chunk_extent', { start: 0, end: 2 });
  const longest = builder.op('ReduceMax', [extent], 'chunk_longest', { axes: [0], keepdims: 1 });
  return builder.op('Equal', [longest, builder.ints([1])], 'one_step');
}

interface SilenceGate {
  /** [time, batch, 1] of bool: the step counts. */
  readonly open: Value;
  /** [time, batch, 1] of bool: the first event after the gate was closed. */
  readonly opens: Value;
  /** [batch, 1] */
  readonly silent: Value;
}

function emitSilenceGate(builder: GraphBuilder, resetColumn: Value, steps: number): SilenceGate {
  const magnitude = builder.op(
    'Abs',
    [builder.op('Transpose', ['x'], 'gate_x', { perm: [1, 0, 2] })],
    'gate_magnitude',
  );
  const largest = builder.op('ReduceMax', [magnitude], 'gate_largest', { axes: [-1], keepdims: 1 });
  const event = builder.op('Greater', [largest, builder.scalar(0)], 'gate_event');
  const closed = builder.scalar(steps);
  const input = `state.${silentSteps}`;
  const shape = builder.op('Shape', [resetColumn], 'gate_shape');
  const start = builder.op(
    'Where',
    [resetColumn, closed, builder.op('Expand', [input, shape], 'gate_rows')],
    'gate_start',
  );

  const [silent, before, after] = ['gate_final', 'gate_before', 'gate_after'].map((wish) => builder.name(wish));
  builder.node('Scan', [start, event], [silent, before, after], {
    body: silenceBody(builder.subgraph(), steps),
    num_scan_inputs: 1,
  });
  const open = builder.op('Less', [after, closed], 'gate_open');
  const wasClosed = builder.op('GreaterOrEqual', [before, closed], 'gate_was_closed');
  return { open, opens: builder.op('And', [event, wasClosed], 'gate_opens'), silent };
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
function emitMeanOfOpen(builder: GraphBuilder, open: Value, sequence: Value, wish: string): Value {
  const ones = builder.op('Cast', [open], `${wish}_ones`, { to: dataTypes.float32 });
  const masked = builder.op('Mul', [sequence, ones], `${wish}_masked`);
  const sum = builder.op('ReduceSum', [masked, builder.ints([0])], `${wish}_sum`, { keepdims: 0 });
  const count = builder.op('ReduceSum', [ones, builder.ints([0])], `${wish}_count`, { keepdims: 0 });
  return builder.op('Div', [sum, builder.op('Max', [count, builder.scalar(1)], `${wish}_positive`)], wish);
}
