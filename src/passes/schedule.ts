import type { AdjointStep, Atom, Eqn, Step, Var } from '../ir/step.ts';

/**
 * How to run a body over a sequence with as little work as possible inside the time loop. `before` and `after` run once
 * on whole sequences [time, rows, features] (a matvec there is one large matrix product), only `loop` runs step by step.
 * Every equation of the body is in exactly one part, in its original order.
 */
export interface Schedule {
  /** Depends on no state: runs once over the whole sequence, before the loop. */
  readonly before: readonly Eqn[];
  /** Depends on a state, and some next state depends on it. */
  readonly loop: readonly Eqn[];
  /** Depends on a state, but no next state depends on it: runs once over the stacked values, after the loop. */
  readonly after: readonly Eqn[];
  /** What the loop hands from one step to the next. */
  readonly carried: readonly { readonly current: Var; readonly next: Atom }[];
  /** Variables given per step from outside the loop that it reads: their slice at the current step is needed. */
  readonly sliced: readonly Var[];
}

/** The forward pass, in order of time: the states after a step are the states before the next. */
export function scheduleForward(step: Step): Schedule {
  return schedule(
    step.body,
    step.states.map((s) => ({ current: s.before, next: s.after })),
  );
}

/** The backward pass, against the order of time: the cotangents of the states before a step are those after the previous. */
export function scheduleBackward(adjoint: AdjointStep): Schedule {
  return schedule(
    adjoint.body,
    adjoint.states.map((s) => ({ current: s.after, next: s.before })),
  );
}

/** Residuals of the forward pass by how the backward pass reads them: whole sequences, single steps, or both. */
export function residualUses(
  adjoint: AdjointStep,
  backward: Schedule,
): { whole: readonly Var[]; steps: readonly Var[] } {
  const read = new Set([
    ...readBy([...backward.before, ...backward.after]),
    ...idsOf([...adjoint.inputs.map((i) => i.cotangent), ...reductions(adjoint)]),
  ]);
  const sliced = new Set(backward.sliced.map((v) => v.id));
  return {
    whole: adjoint.residuals.filter((v) => read.has(v.id)),
    steps: adjoint.residuals.filter((v) => sliced.has(v.id)),
  };
}

function schedule(body: readonly Eqn[], carried: Schedule['carried']): Schedule {
  const stateful = dependents(body, carried);
  const needed = dependencies(body, carried);
  const before = body.filter((e) => !stateful.has(e.out.id));
  const loop = body.filter((e) => stateful.has(e.out.id) && needed.has(e.out.id));
  const after = body.filter((e) => stateful.has(e.out.id) && !needed.has(e.out.id));
  return { before, loop, after, carried, sliced: slicedVars(loop, carried) };
}

/** Ids of the carried variables and of everything computed from them. */
function dependents(body: readonly Eqn[], carried: Schedule['carried']): Set<number> {
  const ids = new Set(carried.map((c) => c.current.id));
  for (const eqn of body) if (eqn.args.some((a) => a.kind === 'var' && ids.has(a.id))) ids.add(eqn.out.id);
  return ids;
}

/** Ids of everything that some next carried value is computed from. */
function dependencies(body: readonly Eqn[], carried: Schedule['carried']): Set<number> {
  const ids = new Set(idsOf(carried.map((c) => c.next)));
  for (const eqn of body.toReversed()) if (ids.has(eqn.out.id)) for (const id of idsOf(eqn.args)) ids.add(id);
  return ids;
}

function slicedVars(loop: readonly Eqn[], carried: Schedule['carried']): Var[] {
  const inside = new Set([...loop.map((e) => e.out.id), ...carried.map((c) => c.current.id)]);
  const sliced = new Map<number, Var>();
  for (const atom of [...loop.flatMap((e) => e.args), ...carried.map((c) => c.next)]) {
    if (atom.kind === 'var' && atom.type.extent === 'rows' && !inside.has(atom.id)) sliced.set(atom.id, atom);
  }
  return [...sliced.values()];
}

function reductions(adjoint: AdjointStep): Atom[] {
  return [...adjoint.sums.map((s) => s.value), ...adjoint.outers.flatMap((o) => [o.left, o.right])];
}

function readBy(eqns: readonly Eqn[]): number[] {
  return idsOf(eqns.flatMap((e) => e.args));
}

function idsOf(atoms: readonly Atom[]): number[] {
  return atoms.flatMap((a) => (a.kind === 'var' ? [a.id] : []));
}
