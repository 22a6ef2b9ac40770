import type { Atom, Step, Var } from '../../ir/step.ts';
import { computeProductsAhead } from '../../passes/productsAhead.ts';
import { type Schedule, scheduleForward } from '../../passes/schedule.ts';
import type { GraphBuilder, Value } from './builder.ts';
import { emitEquations, type ProductOptions, Scope } from './equations.ts';
import { isWorthEvents } from './events.ts';
import { emitFirstProducts, emitProduct, type FirstProducts, knownProduct } from './firstProducts.ts';
import { type Subgraph, valueInfo } from './proto.ts';
import { emitRecurrence, type Recurrence, recurrencesOf } from './recurrence.ts';

export interface Sequence {
  readonly step: Step;
  /** Neurons: the size of the last axis of every input, state and output. */
  readonly features: number;
  /** In the order of the step's inputs, each [time, rows, features], or as `isStep` says. */
  readonly inputs: readonly Value[];
  /** In the order of the step's states, each [rows, features]. */
  readonly initialStates: readonly Value[];
  /** Broadcasts to [time, rows, 1] of bool: states stay as they are on steps where it is false. */
  readonly valid: Value;
  /** One bool, true where there is one row and all its steps are valid: a leaner loop runs then. Null: never. */
  readonly alone: Value | null;
  /** There is but one step of one row; inputs and the output are [rows, features] then. */
  readonly isStep: boolean;
  /** Products with spikes are best computed in integers, since matrices are stored so. */
  readonly integers: boolean;
  /** Where the mask [time, rows, 1] of bool is true, `states` (that broadcast to [rows, features]) take over first. */
  readonly restart: { readonly mask: Value; readonly states: readonly Value[] } | null;
  /** Products of the fixed initial states, known beforehand; null where none are. */
  readonly firstProducts: FirstProducts | null;
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

export interface Loop {
  readonly sequence: Sequence;
  readonly schedule: Schedule;
  readonly stacked: readonly Var[];
}

/** The final states, then the sequences of the stacked variables. */
type Results = readonly Value[];
type Emit = (scope: Scope) => Results;

/** Emits the time loop and binds the variables that are needed after it to their sequences; returns the final states. */
function emitLoop(scope: Scope, sequence: Sequence, schedule: Schedule): Value[] {
  const { step } = sequence;
  const loop = { sequence, schedule, stacked: stackedVariables(step, schedule) };
  const results = emitResults(scope, loop);
  const count = step.states.length;
  loop.stacked.forEach((v, i) => {
    scope.bind(v, results[count + i]);
  });
  return results.slice(0, count);
}

function emitResults(scope: Scope, loop: Loop): Results {
  const { isStep, alone } = loop.sequence;
  if (isStep) return emitStep(scope, loop);
  return alone === null ? emitScanAhead(scope, loop, 'many') : emitChoice(scope, loop, alone);
}

function emitChoice(scope: Scope, loop: Loop, alone: Value): Results {
  const results = resultNames(scope.builder, loop);
  const recurrences = directRecurrences(scope, loop);
  scope.builder.node('If', [alone], results, {
    then_branch: emitBranch(scope, loop, (inner) =>
      recurrences ? emitRecurrences(inner, loop, recurrences) : emitScanAhead(inner, loop, 'one'),
    ),
    else_branch: emitBranch(scope, loop, (inner) => emitScanAhead(inner, loop, 'many')),
  });
  return results;
}

function emitBranch(outer: Scope, { sequence }: Loop, emit: Emit): Subgraph {
  const { step, features } = sequence;
  const scope = new Scope(outer.builder.subgraph(), outer);
  const { builder } = scope;
  const results = distinct(builder, emit(scope), []);
  const name = builder.name(`${step.name}_branch`);
  const shape = (i: number) => (i < step.states.length ? ['rows'] : ['time', 'rows']).map((d) => `${name}.${d}`);
  const output = results.map((value, i) => valueInfo(value, 'float32', [...shape(i), features]));
  return { name, node: builder.nodes, initializer: [], input: [], output };
}

function resultNames(builder: GraphBuilder, { sequence, stacked }: Loop): Value[] {
  const finalStates = sequence.step.states.map((state) => builder.name(`${state.name}_final`));
  return [...finalStates, ...stacked.map((v) => builder.name(v.name))];
}

export function emitScan(scope: Scope, loop: Loop, rows: Rows): Results {
  const { sequence, schedule } = loop;
  const masks = rows === 'one' ? [] : [sequence.valid, ...(sequence.restart ? [sequence.restart.mask] : [])];
  const scanInputs = [...schedule.sliced.map((v) => scope.value(v)), ...masks];
  const results = resultNames(scope.builder, loop);
  scope.builder.node('Scan', [...sequence.initialStates, ...scanInputs], results, {
    body: emitLoopBody(scope, loop, rows),
    num_scan_inputs: scanInputs.length,
  });
  return results;
}

/** A loop whose products of spiking states are computed at the end of the step before; those of the initial states come before it. */
function emitScanAhead(scope: Scope, loop: Loop, rows: Rows): Results {
  const { sequence, stacked } = loop;
  const { step, initialStates, restart } = sequence;
  const { schedule, ahead } = computeProductsAhead(loop.schedule);
  const first = emitFirstProducts(scope, sequence, ahead);
  const states = ahead.map(({ product }) => ({ ...step.states[0], name: product.out.name }));
  const restarted = (mask: Value, fixed: readonly Value[]) => ({
    mask,
    states: [
      ...fixed,
      ...ahead.map((product) => knownProduct(sequence, product) ?? emitProduct(scope, sequence, product, fixed)),
    ],
  });
  const carrying = {
    ...sequence,
    step: { ...step, states: [...step.states, ...states] },
    initialStates: [...initialStates, ...first],
    restart: restart && restarted(restart.mask, restart.states),
  };
  const results = emitScan(scope, { sequence: carrying, schedule, stacked }, rows);
  return results.toSpliced(step.states.length, ahead.length);
}

/** The recurrences that the loop can be computed by without taking step after step; null where that is not so. */
function directRecurrences(scope: Scope, { schedule, stacked }: Loop): Recurrence[] | null {
  // Whether a potential reaches its threshold must not hang on the order of a sum.
  if (schedule.after.some(({ prim }) => prim === 'spike' || prim === 'greater')) return null;
  const recurrences = recurrencesOf(schedule);
  // Powers of larger factors would overflow.
  const areStable = recurrences?.every(({ factor }) => factor === null || scope.contractions.has(factor.id));
  const areAll = stacked.every((v) => recurrences?.some(({ next }) => next.id === v.id));
  return areStable && areAll ? recurrences : null;
}

/** A loop that consists of linear recurrences, without a loop. */
function emitRecurrences(
  scope: Scope,
  { sequence, schedule, stacked }: Loop,
  recurrences: readonly Recurrence[],
): Results {
  const { carried } = schedule;
  const results = new Map(
    recurrences.map((recurrence) => {
      const state = carried.findIndex(({ current }) => current.id === recurrence.current.id);
      return [recurrence.next.id, emitRecurrence(scope, recurrence, sequence.initialStates[state])];
    }),
  );
  const resultOf = (atom: Atom) => results.get((atom as Var).id) as { sequence: Value; last: Value };
  return [...carried.map(({ next }) => resultOf(next).last), ...stacked.map((v) => resultOf(v).sequence)];
}

/** The one step of a sequence that has no other. */
function emitStep(outer: Scope, { sequence, schedule, stacked }: Loop): Results {
  const scope = new Scope(outer.builder, outer, productsOfOne(sequence));
  const { initialStates } = sequence;
  schedule.carried.forEach(({ current }, i) => {
    scope.bind(current, initialStates[i]);
  });
  const { ahead } = computeProductsAhead(schedule);
  emitFirstProducts(scope, sequence, ahead).forEach((value, i) => {
    scope.bind(ahead[i].product.out, value);
  });
  emitEquations(
    scope,
    schedule.loop.filter((eqn) => !ahead.some(({ product }) => product === eqn)),
  );
  return [...schedule.carried.map(({ next }) => scope.value(next)), ...stacked.map((v) => scope.value(v))];
}

/**
 * Inputs: states, slices and, for many rows, valid and perhaps restart. Outputs: next states, stacked variables. All else
 * is seen from the outer graph.
 */
function emitLoopBody(outer: Scope, { sequence, schedule, stacked }: Loop, kind: Rows): Subgraph {
  const { step, features } = sequence;
  const scope = new Scope(outer.builder.subgraph(), outer, kind === 'one' ? productsOfOne(sequence) : {});
  const { builder } = scope;
  const name = builder.name(`${step.name}_step`);
  // onnxruntime takes dimensions of one name for equal, but loops over one and two directions have different rows.
  const rows = kind === 'one' ? 1 : `${name}.rows`;
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
export function distinct(builder: GraphBuilder, values: readonly Value[], inputs: readonly Value[]): Value[] {
  const taken = new Set(inputs);
  const computed = new Set(builder.nodes.flatMap((node) => node.output));
  return values.map((value) => {
    const own = computed.has(value) && !taken.has(value) ? value : builder.op('Identity', [value], `${value}_out`);
    taken.add(own);
    return own;
  });
}

function productsOfOne({ step, features, integers }: Sequence): ProductOptions {
  return integers ? { integers } : { events: eventOperands(step, features) };
}

/** The spiking states of a step, before and after it, where products with them are best event-driven. */
function eventOperands(step: Step, features: number): Set<number> {
  if (!isWorthEvents(features, features)) return new Set();
  const spiking = step.states.filter(({ after }) => after.kind === 'var' && after.type.set !== 'real');
  return new Set(spiking.flatMap(({ before, after }) => [before, after as Var]).map(({ id }) => id));
}

/** The output for every time step, also where it is a constant or one number per neuron. */
function emitOutput(scope: Scope, output: Atom, like: Value): Value {
  const value = scope.value(output);
  if (output.kind === 'var' && output.type.extent === 'rows') return value;
  const { builder } = scope;
  return builder.op('Expand', [value, builder.op('Shape', [like], 'sequence_shape')], 'output');
}
