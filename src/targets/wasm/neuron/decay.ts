import { EqnBuilder } from '../../../ir/builder.ts';
import type { AdjointStep, Atom, Step, Var } from '../../../ir/step.ts';
import { residualsOf } from '../../../passes/differentiate.ts';
import { otherFactor } from './leak.ts';
import type { Levels } from './levels.ts';
import { passingStates, planResiduals } from './residuals.ts';

/** A state s that each step sets to c * s + r. */
export interface Decay {
  readonly state: number;
  /** Of the adjoint: the sum that is c's cotangent, and the state that is added to it, times s, before the first step. */
  readonly sum: number;
  readonly carried: number;
}

/**
 * The gradient of c, the sum over time of d * s where d is the cotangent of c * s + r, needs no s: it is made of what was
 * added up in s. With q the sum of the d to come, each times c for every step that s takes there, it is the sum of r * q, and
 * of s * q before the first step. Then a state that nothing else reads is not kept.
 */
export function withoutDecays(
  adjoint: AdjointStep,
  forward: Levels,
): { readonly adjoint: AdjointStep; readonly decays: readonly Decay[] } {
  const decays: Decay[] = [];
  let current = adjoint;
  adjoint.step.states.forEach((_, state) => {
    const changed = withoutDecay(current, state);
    if (!changed) return;
    // What one decay adds up may be a state of which another has left nothing but its start.
    const passing = passingStates(changed.adjoint, forward, false);
    if (![...decays.map((d) => d.state), state].every((s) => passing.includes(s))) return;
    if (planResiduals(changed.adjoint).kept.length > planResiduals(current).kept.length) return;
    current = changed.adjoint;
    decays.push({ state, sum: changed.sum, carried: current.states.length - 1 });
  });
  return { adjoint: current, decays };
}

function withoutDecay(adjoint: AdjointStep, state: number) {
  const parts = partsOf(adjoint.step, state);
  if (!parts) return null;
  const { before, c, rest } = parts;
  const sum = adjoint.sums.findIndex((s) => s.target === c);
  const product = adjoint.body.find((e) => e.out === adjoint.sums[sum]?.value);
  const d = product && otherFactor(product, before);
  if (!d) return null;

  const builder = new EqnBuilder(endOf(adjoint));
  const q = builder.fresh(`q_${adjoint.states[state].name}'`, before.type);
  const earlier = builder.emit('add', [d, builder.emit('mul', [c, q])]);
  const r = rest.reduce((a, b) => builder.emit('add', [a, b]));
  const value = builder.emit('mul', [r, q]);
  const changed = {
    ...adjoint,
    body: [...adjoint.body.filter((e) => e !== product), ...builder.eqns],
    states: [...adjoint.states, { name: q.name, after: q, before: earlier }],
    sums: adjoint.sums.map((s, i) => (i === sum ? { ...s, value } : s)),
  };
  return { adjoint: { ...changed, residuals: residualsOf(changed) }, sum };
}

/** What a state is before the step, what it is multiplied by, and what is added; null where it is no such state. */
function partsOf(step: Step, state: number): { before: Var; c: Var; rest: Atom[] } | null {
  const { before, after } = step.states[state];
  const readerOf = (a: Atom) => step.body.find((e) => e.args.includes(a));
  const product = readerOf(before);
  const c = product?.args.find((a) => a !== before);
  if (product?.prim !== 'mul' || c?.kind !== 'var') return null;
  const rest: Atom[] = [];
  let sum = product;
  while (sum.out !== after) {
    const next = readerOf(sum.out);
    const others = next?.args.filter((a) => a !== sum.out);
    if (next?.prim !== 'add' || others?.length !== 1) return null;
    rest.push(...others);
    sum = next;
  }
  return rest.length > 0 ? { before, c, rest } : null;
}

/** One more than the largest id of a step's and its adjoint's variables. */
function endOf({ step, outputCotangent, states, body, prelude, sums, outers }: AdjointStep): number {
  const eqns = [...step.prelude, ...step.body, ...body, ...prelude];
  const given = [...step.inputs, ...step.parameters].map((p) => p.variable);
  const own = [...step.states.map((s) => s.before), outputCotangent, ...states.map((s) => s.after)];
  const into = [...sums, ...outers].map((t) => t.into);
  return 1 + Math.max(...[...eqns.map((e) => e.out), ...given, ...own, ...into].map((v) => v.id));
}
