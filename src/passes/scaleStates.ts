import { EqnBuilder, lit } from '../ir/builder.ts';
import type { Atom, Eqn, Step, StepState, Var } from '../ir/step.ts';
import { isConstant } from './sums.ts';

export interface ScaledStates {
  readonly step: Step;
  /** By state: the step's state is that of the original one times this factor, which does not change over time. */
  readonly factors: ReadonlyMap<string, Atom>;
}

/**
 * A step that carries a state x as k * x where that is all that others read of it, as RadLIF's adaptation, which the
 * potential reads as (1 - alpha) * w: one product less once sums are combined. `isNonZero` says whether a factor has an
 * inverse for every neuron.
 */
export function scaleStates(step: Step, isNonZero: (factor: Atom) => boolean): ScaledStates {
  const factors = new Map<string, Atom>();
  const ids = [...step.inputs, ...step.parameters].map(({ variable }) => variable.id);
  const used = step.body.flatMap(({ args }) => args).flatMap((arg) => (arg.kind === 'var' ? [arg.id] : []));
  const computed = [...step.prelude, ...step.body].map(({ out }) => out.id);
  const builder = new EqnBuilder(
    1 + Math.max(...ids, ...used, ...computed, ...step.states.map(({ before }) => before.id)),
  );
  let body = [...step.body];
  const states = step.states.map((state) => {
    const product = onlyProduct(step, state);
    if (!product || !isNonZero(product.factor)) return state;
    factors.set(state.name, product.factor);
    const inverse = builder.emit('div', [lit(1), product.factor]);
    const original = builder.emit('mul', [state.before, inverse]);
    body = body.map((eqn) =>
      eqn === product.own ? { ...eqn, args: eqn.args.map((a) => (isVar(a, state.before) ? original : a)) } : eqn,
    );
    return { ...state, after: product.out };
  });
  const { eqns } = builder;
  const prelude = [...step.prelude, ...eqns.filter(({ out }) => isConstant(out))];
  return {
    step: { ...step, prelude, body: [...eqns.filter(({ out }) => !isConstant(out)), ...body], states },
    factors,
  };
}

/**
 * The product with a constant that alone reads the state's next value, where the state itself is read by nothing but another
 * product with a constant (`own`); null where that is not so.
 */
function onlyProduct(step: Step, { before, after }: StepState): { out: Var; factor: Atom; own: Eqn } | null {
  if (after.kind !== 'var') return null;
  const readers = (v: Var) => step.body.filter(({ args }) => args.some((arg) => isVar(arg, v)));
  const [product, ...others] = readers(after);
  const [own, ...more] = readers(before);
  if (!product || !own || others.length > 0 || more.length > 0) return null;
  const elsewhere = [...step.states.map((state) => state.after), step.output];
  if (elsewhere.filter((atom) => isVar(atom, after)).length > 1 || elsewhere.some((atom) => isVar(atom, before)))
    return null;
  const factor = factorOf(product, after);
  return factor && factorOf(own, before) ? { out: product.out, factor, own } : null;
}

function factorOf({ prim, args }: Eqn, variable: Var): Atom | null {
  const factor = args.find((arg) => !isVar(arg, variable));
  return prim === 'mul' && factor && isConstant(factor) ? factor : null;
}

function isVar(atom: Atom, variable: Var): boolean {
  return atom.kind === 'var' && atom.id === variable.id;
}
