import type { Atom, Step, Var } from '../../ir/step.ts';
import { type Schedule, scheduleForward } from '../../passes/schedule.ts';
import type { GraphBuilder, Value } from './builder.ts';
import { emitEquations, isWorthEvents, Scope } from './equations.ts';
import { type Subgraph, valueInfo } from './proto.ts';

export interface Sequence {
  readonly step: Step;
  /** Neurons: the size of the last axis of every input, state and output. */
  readonly features: number;
  /** In the order of the step's inputs, each [time, rows, features]. */
  readonly inputs: readonly Value[];
  /** In the order of the step's states, each [rows, features]. */
  readonly initialStates: readonly Value[];
  /** [time, rows, 1] of bool: states stay as they are on steps where it is false. */
  readonly valid: Value;
  /** One bool, true where there is one row and all its steps are valid: a leaner loop runs then. Null: never. */
  readonly alone: Value | null;
  /** Where the mask [time, rows, 1] of bool is true, `states` (that broadcast to [rows, features]) take over first. */
  readonly restart: { readonly mask: Value; readonly states: readonly Value[] } | null;
}

/**
 * Runs a step over a sequence: what depends on the inputs alone is computed for all time steps at once, what depends on
 * states in a Scan, and what only follows from them at once again. `scope` binds the step's prelude.
 * Returns the outputs [time, rows, features] and the states after the last valid step, each [rows, features].
 */
export function emitSequence(scope: Scope, sequence: Sequence): { output: Value; finalStates: Value[] } {
  const { step, inputs } = sequence;
  const schedule = scheduleForward(step);
  step.inputs.forEach((input, i) => {
    scope.bind(input.variable, inputs[i]);
  });
  emitEquations(scope, schedule.before);
  const finalStates = step.states.length > 0 ? emitLoop(scope, sequence, schedule) : [];
  emitEquations(scope, schedule.after);
  return { output: emitOutput(scope, step.output, inputs[0]), finalStates };
}

/** The variables of the loop that are needed for all time steps after it. */
function stackedVariables(step: Step, { loop, after, carried }: Schedule): Var[] {
  const inLoop = new Set([...loop.map((eqn) => eqn.out.id), ...carried.map(({ current }) => current.id)]);
  const stacked = new Map<number, Var>();
  for (const atom of [...after.flatMap((eqn) => eqn.args), step.output]) {
    if (atom.kind === 'var' && inLoop.has(atom.id)) stacked.set(atom.id, atom);
  }
  return [...stacked.values()];
}

/** What a loop knows of its rows: any number with steps that may not count, or one row of which every step counts. */
type Rows = 'many' | 'one';

/** Emits the time loop and binds the variables that are needed after it to their sequences; returns the final states. */
function emitLoop(scope: Scope, sequence: Sequence, schedule: Schedule): Value[] {
  const { builder } = scope;
  const { step, alone } = sequence;
  const stacked = stackedVariables(step, schedule);
  const loop = { sequence, schedule, stacked };
  const finalStates = step.states.map((state) => builder.name(`${state.name}_final`));
  const sequences = stacked.map((v) => builder.name(v.name));
  const outputs = [...finalStates, ...sequences];
  if (alone === null) emitScan(scope, loop, 'many', outputs);
  else {
    builder.node('If', [alone], outputs, {
      then_branch: emitBranch(scope, loop, 'one'),
      else_branch: emitBranch(scope, loop, 'many'),
    });
  }
  stacked.forEach((v, i) => {
    scope.bind(v, sequences[i]);
  });
  return finalStates;
}

interface Loop {
  readonly sequence: Sequence;
  readonly schedule: Schedule;
  readonly stacked: readonly Var[];
}

/** A Scan alone in a graph. Outputs: final states, sequences of the stacked variables. */
function emitBranch(outer: Scope, loop: Loop, rows: Rows): Subgraph {
  const { step, features } = loop.sequence;
  const scope = new Scope(outer.builder.subgraph(), outer);
  const { builder } = scope;
  const name = builder.name(`${step.name}_${rows}`);
  const finalStates = step.states.map((state) => builder.name(`${state.name}_end`));
  const sequences = loop.stacked.map((v) => builder.name(`${v.name}_sequence`));
  emitScan(scope, loop, rows, [...finalStates, ...sequences]);
  const floats = (names: readonly Value[], shape: readonly string[]) =>
    names.map((value) => valueInfo(value, 'float32', [...shape.map((d) => `${name}.${d}`), features]));
  return {
    name,
    node: builder.nodes,
    initializer: [],
    input: [],
    output: [...floats(finalStates, ['rows']), ...floats(sequences, ['time', 'rows'])],
  };
}

function emitScan(scope: Scope, loop: Loop, rows: Rows, outputs: readonly Value[]): void {
  const { sequence, schedule } = loop;
  const masks = rows === 'one' ? [] : [sequence.valid, ...(sequence.restart ? [sequence.restart.mask] : [])];
  const scanInputs = [...schedule.sliced.map((v) => scope.value(v)), ...masks];
  scope.builder.node('Scan', [...sequence.initialStates, ...scanInputs], outputs, {
    body: emitLoopBody(scope, loop, rows),
    num_scan_inputs: scanInputs.length,
  });
}

/**
 * Inputs: states, slices and, for many rows, valid and perhaps restart. Outputs: next states, stacked variables. All else
 * is seen from the outer graph.
 */
function emitLoopBody(outer: Scope, { sequence, schedule, stacked }: Loop, kind: Rows): Subgraph {
  const { step, features } = sequence;
  const events = kind === 'one' ? eventOperands(step, features) : new Set<number>();
  const scope = new Scope(outer.builder.subgraph(), outer, events);
  const { builder } = scope;
  const name = builder.name(`${step.name}_step`);
  // onnxruntime takes dimensions of one name for equal, but loops over one and two directions have different rows.
  const rows = `${name}.rows`;
  const floats = (value: Value) => valueInfo(value, 'float32', [rows, features]);
  const received = [...schedule.carried.map(({ current }) => current), ...schedule.sliced].map((v) => {
    const slice = builder.name(`${v.name}_t`);
    scope.bind(v, slice);
    return slice;
  });
  const masks = kind === 'one' ? null : emitMasks(scope, sequence, schedule);
  emitEquations(scope, schedule.loop);
  const next = schedule.carried.map(({ current, next }) =>
    masks
      ? builder.op('Where', [masks.valid, scope.value(next), scope.value(current)], `${current.name}_next`)
      : scope.value(next),
  );
  const emitted = stacked.map((v) => scope.value(v));
  return {
    name,
    node: builder.nodes,
    initializer: [],
    input: [...received.map(floats), ...(masks?.inputs ?? []).map((mask) => valueInfo(mask, 'bool', [rows, 1]))],
    output: distinct(builder, [...next, ...emitted], received).map(floats),
  };
}

/** The loop's inputs for masks; where there is a restart, the current states become those that take over. */
function emitMasks(scope: Scope, { restart }: Sequence, schedule: Schedule): { valid: Value; inputs: Value[] } {
  const { builder } = scope;
  const valid = builder.name('valid_t');
  if (!restart) return { valid, inputs: [valid] };
  const mask = builder.name('restart_t');
  schedule.carried.forEach(({ current }, i) => {
    const now = builder.op('Where', [mask, restart.states[i], scope.value(current)], `${current.name}_now`);
    scope.bind(current, now);
  });
  return { valid, inputs: [valid, mask] };
}

/** A graph's outputs have names of their own and are none of its inputs: what is not so is copied. */
function distinct(builder: GraphBuilder, values: readonly Value[], inputs: readonly Value[]): Value[] {
  const taken = new Set(inputs);
  const computed = new Set(builder.nodes.flatMap((node) => node.output));
  return values.map((value) => {
    const own = computed.has(value) && !taken.has(value) ? value : builder.op('Identity', [value], `${value}_out`);
    taken.add(own);
    return own;
  });
}

/** The spiking states of a step, where products with them are best event-driven. */
function eventOperands(step: Step, features: number): Set<number> {
  const spiking = step.states.filter(({ after }) => after.kind === 'var' && after.type.set !== 'real');
  return new Set(isWorthEvents(features, features) ? spiking.map(({ before }) => before.id) : []);
}

/** The output for every time step, also where it is a constant or one number per neuron. */
function emitOutput(scope: Scope, output: Atom, like: Value): Value {
  const value = scope.value(output);
  if (output.kind === 'var' && output.type.extent === 'rows') return value;
  const { builder } = scope;
  return builder.op('Expand', [value, builder.op('Shape', [like], 'sequence_shape')], 'output');
}
