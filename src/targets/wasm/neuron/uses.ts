import type { AdjointStep, Atom } from '../../../ir/step.ts';

/** How often an atom is read, in the body or as a result. */
export function usesOf(adjoint: AdjointStep): (atom: Atom) => number {
  const read = [
    ...adjoint.body.flatMap((e) => e.args),
    ...adjoint.states.map((s) => s.before),
    ...adjoint.inputs.map((i) => i.cotangent),
    ...adjoint.sums.map((s) => s.value),
    ...adjoint.outers.flatMap((o) => [o.left, o.right]),
  ];
  return (atom) => read.filter((a) => a === atom).length;
}
