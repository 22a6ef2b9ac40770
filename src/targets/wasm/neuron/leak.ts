import { lit } from '../../../ir/builder.ts';
import type { AdjointStep, Atom, Eqn, Step, Var } from '../../../ir/step.ts';
import { residualsOf } from '../../../passes/differentiate.ts';
import { usesOf } from './uses.ts';

/** The slowest leak whose drive is known from the potentials: rounding errors of these are divided by 1 - a. */
const slowest = 0.99;

/** A state after the step that is a * x + (1 - a) * y. */
interface Leak {
  readonly after: Var;
  readonly a: Var;
  readonly x: Atom;
  /** 1 - a. */
  readonly rest: Var;
  readonly y: Atom;
}

/**
 * Where d is the cotangent of u = a * x + (1 - a) * y, the gradient of a is the sum of d * (x - y): of d * x for a, less
 * that of d * y for 1 - a. But y, what drives the neuron, need not be kept for it: y - x is (u - x) / (1 - a), and the
 * division, the same at all steps, follows the sum, which is all that is left of the two.
 */
export function withoutDrives(adjoint: AdjointStep): AdjointStep {
  return leaksOf(adjoint.step).reduce(withoutDrive, adjoint);
}

function withoutDrive(adjoint: AdjointStep, { after, a, x, rest, y }: Leak): AdjointStep {
  const uses = usesOf(adjoint);
  /** The sum over a product with the cotangent, where nothing else needs the product. */
  const sumOf = (target: Var, factor: Atom) => {
    const sum = adjoint.sums.find((s) => s.target === target);
    const product = adjoint.body.find((e) => e.out === sum?.value);
    const cotangent = product && otherFactor(product, factor);
    return sum && product && cotangent && uses(product.out) === 1 ? { sum, product, cotangent } : null;
  };
  const [ofA, ofRest] = [sumOf(a, x), sumOf(rest, y)];
  if (!ofA || ofA.cotangent !== ofRest?.cotangent) return adjoint;

  // The variables of the two products and of the two sums serve.
  const difference: Eqn = { out: ofA.product.out, prim: 'sub', args: [after, x] };
  const product: Eqn = { out: ofRest.product.out, prim: 'mul', args: [ofA.cotangent, difference.out] };
  const last = Math.max(...[ofA, ofRest].map((s) => adjoint.body.indexOf(s.product)));
  const body = adjoint.body.flatMap((e, i) =>
    i === last ? [difference, product] : e === ofA.product || e === ofRest.product ? [] : [e],
  );
  const [total, ofBoth] = [ofA.sum.into, ofRest.sum.into];
  const sums = adjoint.sums.flatMap((s) => (s === ofA.sum ? [] : s === ofRest.sum ? [{ ...s, into: total }] : [s]));
  const quotient: Eqn = { out: ofBoth, prim: 'div', args: [total, rest] };
  const withoutA = (e: Eqn): Eqn => ({ ...e, args: e.args.map((v) => (v === total ? lit(0) : v)) });
  const changed = { ...adjoint, body, sums, prelude: [quotient, ...adjoint.prelude.map(withoutA)] };
  return { ...changed, residuals: residualsOf(changed) };
}

function leaksOf(step: Step): Leak[] {
  return step.states.flatMap(({ after }) => {
    const sum = step.body.find((e) => e.out === after);
    if (sum?.prim !== 'add') return [];
    const terms = sum.args.map((t) => step.body.find((e) => e.out === t));
    return [terms, terms.toReversed()].flatMap(([first, second]) => leakOf(step, sum.out, first, second));
  });
}

function leakOf({ prelude }: Step, after: Var, first: Eqn | undefined, second: Eqn | undefined): Leak[] {
  return prelude.flatMap(({ out: rest, prim, args: [one, a] }) => {
    if (prim !== 'sub' || one.kind !== 'lit' || one.value !== 1 || a.kind !== 'var') return [];
    const [x, y] = [first && otherFactor(first, a), second && otherFactor(second, rest)];
    return x && y && isFast(prelude, a) ? [{ after, a, x, rest, y }] : [];
  });
}

/** Whether a is kept in a range that ends well below 1. */
function isFast(prelude: readonly Eqn[], a: Var): boolean {
  const clamp = prelude.find((e) => e.out === a);
  if (clamp?.prim !== 'clamp') return false;
  const high = clamp.args[2];
  return high.kind === 'lit' && high.value <= slowest;
}

/** What a product multiplies a factor by, or null where it is no such product. */
export function otherFactor({ prim, args: [left, right] }: Eqn, factor: Atom): Atom | null {
  if (prim !== 'mul') return null;
  return left === factor ? right : right === factor ? left : null;
}
