import type { AdjointStep, Eqn, Var } from '../../../ir/step.ts';

/**
 * Where a cotangent is multiplied by a surrogate of compact support, it matters only where the surrogate is not zero:
 * a variable of the adjoint body, known from the forward pass alone, that gates it. Its zeros say which elements of
 * products in the backward pass need not be computed.
 */
export interface Gates {
  /** What gates the cotangent of the output, or null. */
  readonly output: Var | null;
  /** Products `matvecTransposed` whose result is gated, one time step earlier, by the same variable. */
  readonly products: ReadonlySet<number>;
  /** The equations that compute the gate from residuals. */
  readonly eqns: readonly Eqn[];
}

const none: Gates = { output: null, products: new Set(), eqns: [] };

export function gatesOf(adjoint: AdjointStep): Gates {
  const given = new Set([adjoint.outputCotangent.id, ...adjoint.states.map((s) => s.after.id)]);
  const dynamic = new Set(given);
  for (const e of adjoint.body) if (e.args.some((a) => a.kind === 'var' && dynamic.has(a.id))) dynamic.add(e.out.id);

  const gate = gateOf(adjoint, adjoint.outputCotangent.id, dynamic);
  if (!gate) return none;
  const gatedStates = new Set(
    adjoint.states.flatMap((s, i) => (gateOf(adjoint, s.after.id, dynamic)?.id === gate.id ? [i] : [])),
  );
  const products = adjoint.body.filter(
    (e) => e.prim === 'matvecTransposed' && reachesOnly(adjoint, e.out.id, gatedStates),
  );
  return { output: gate, products: new Set(products.map((e) => e.out.id)), eqns: eqnsFor(adjoint, gate) };
}

/** The one variable that a cotangent is multiplied by wherever it goes, or null. */
function gateOf(adjoint: AdjointStep, id: number, dynamic: ReadonlySet<number>): Var | null {
  const gates = new Map<number, Var>();
  const { ids, ends } = linearUses(adjoint, id, (eqn, from) => {
    const other = eqn.args.find((a) => !(a.kind === 'var' && from.has(a.id)));
    const isGate =
      eqn.prim === 'mul' && other?.kind === 'var' && other.type.extent === 'rows' && !dynamic.has(other.id);
    if (isGate) gates.set(other.id, other);
    return isGate;
  });
  if (!ends || gates.size !== 1 || results(adjoint).some((a) => a.kind === 'var' && ids.has(a.id))) return null;
  const [gate] = gates.values();
  // A residual has no equation here; only what the adjoint computes, such as a surrogate's slope, can have many zeros.
  return adjoint.body.some((e) => e.out.id === gate.id) ? gate : null;
}

/** Whether a product's result only adds to what is carried to gated states. */
function reachesOnly(adjoint: AdjointStep, id: number, gatedStates: ReadonlySet<number>): boolean {
  const { ids, ends } = linearUses(adjoint, id, () => false);
  const others = [
    ...adjoint.inputs.map((i) => i.cotangent),
    ...adjoint.sums.map((s) => s.value),
    ...adjoint.outers.flatMap((o) => [o.left, o.right]),
  ];
  const isIn = (a: { kind: string; id?: number }) => a.kind === 'var' && ids.has(a.id as number);
  return ends && !others.some(isIn) && adjoint.states.every((s, i) => !isIn(s.before) || gatedStates.has(i));
}

/** Follows a value through sums and differences; `ends` says whether all other uses are accepted. */
function linearUses(adjoint: AdjointStep, id: number, accept: (eqn: Eqn, from: ReadonlySet<number>) => boolean) {
  const ids = new Set([id]);
  let ends = true;
  for (const eqn of adjoint.body) {
    if (!eqn.args.some((a) => a.kind === 'var' && ids.has(a.id))) continue;
    if (['add', 'sub', 'neg'].includes(eqn.prim)) ids.add(eqn.out.id);
    else if (!accept(eqn, ids)) ends = false;
  }
  return { ids, ends };
}

function results(adjoint: AdjointStep) {
  return [
    ...adjoint.states.map((s) => s.before),
    ...adjoint.inputs.map((i) => i.cotangent),
    ...adjoint.sums.map((s) => s.value),
    ...adjoint.outers.flatMap((o) => [o.left, o.right]),
  ];
}

function eqnsFor(adjoint: AdjointStep, gate: Var): Eqn[] {
  const needed = new Set([gate.id]);
  const kept: Eqn[] = [];
  for (const eqn of adjoint.body.toReversed()) {
    if (!needed.has(eqn.out.id)) continue;
    kept.push(eqn);
    for (const a of eqn.args) if (a.kind === 'var') needed.add(a.id);
  }
  return kept.reverse();
}
