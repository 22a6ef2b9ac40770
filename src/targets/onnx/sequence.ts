import type { Atom, Step, Var } from '../../ir/step.ts';
import { type Schedule, scheduleForward } from '../../passes/schedule.ts';
import type { Value } from './builder.ts';
import { emitEquations, Scope } from './equations.ts';
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
  const finalStates = step.states.length > 0 ? emitScan(scope, sequence, schedule) : [];
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

/** Emits the time loop and binds the variables that are needed after it to their sequences; returns the final states. */
function emitScan(scope: Scope, sequence: Sequence, schedule: Schedule): Value[] {
  const { builder } = scope;
  const { step, initialStates, valid, restart } = sequence;
  const stacked = stackedVariables(step, schedule);
  const body = emitLoopBody(scope, sequence, schedule, stacked);
  const finalStates = step.states.map((state) => builder.name(`${state.name}_final`));
  const sequences = stacked.map((v) => builder.name(v.name));
  const masks = restart ? [valid, restart.mask] : [valid];
  const scanInputs = [...schedule.sliced.map((v) => scope.value(v)), ...masks];
  builder.node('Scan', [...initialStates, ...scanInputs], [...finalStates, ...sequences], {
    body,
    num_scan_inputs: scanInputs.length,
  });
  stacked.forEach((v, i) => {
    scope.bind(v, sequences[i]);
  });
  return finalStates;
}

/**
 * Inputs: states, slices, valid and perhaps restart. Outputs: next states, stacked variables. All else is seen from the
 * outer graph.
 */
function emitLoopBody(
  outer: Scope,
  { step, features, restart }: Sequence,
  schedule: Schedule,
  stacked: readonly Var[],
): Subgraph {
  const scope = new Scope(outer.builder.subgraph(), outer);
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
  const valid = builder.name('valid_t');
  const masks = [valid];
  if (restart) {
    const mask = builder.name('restart_t');
    masks.push(mask);
    schedule.carried.forEach(({ current }, i) => {
      const carried = scope.value(current);
      scope.bind(current, builder.op('Where', [mask, restart.states[i], carried], `${current.name}_now`));
    });
  }
  emitEquations(scope, schedule.loop);
  const next = schedule.carried.map(({ current, next }) =>
    builder.op('Where', [valid, scope.value(next), scope.value(current)], `${current.name}_next`),
  );
  const emitted = stacked.map((v) => builder.op('Identity', [scope.value(v)], `${v.name}_out`));
  return {
    name,
    node: builder.nodes,
    initializer: [],
    input: [...received.map(floats), ...masks.map((mask) => valueInfo(mask, 'bool', [rows, 1]))],
    output: [...next, ...emitted].map(floats),
  };
}

/** The output for every time step, also where it is a constant or one number per neuron. */
function emitOutput(scope: Scope, output: Atom, like: Value): Value {
  const value = scope.value(output);
  if (output.kind === 'var' && output.type.extent === 'rows') return value;
  const { builder } = scope;
  return builder.op('Expand', [value, builder.op('Shape', [like], 'sequence_shape')], 'output');
}
