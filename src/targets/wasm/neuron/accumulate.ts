import type { AdjointStep, Atom, Eqn } from '../../../ir/step.ts';
import { levelsOf } from './levels.ts';
import { usesOf } from './uses.ts';

/**
 * Where a product `matvecTransposed` is one term of what is carried to a state, and nothing else reads it or the sum, the
 * other terms are summed first and the product is added to them in memory: no pass over the neurons after it.
 */
export function accumulate(adjoint: AdjointStep): {
  readonly adjoint: AdjointStep;
  /** By id of the product: the state. */
  readonly accumulated: ReadonlyMap<number, number>;
} {
  const accumulated = new Map<number, number>();
  let current = adjoint;
  adjoint.states.forEach(({ before }, i) => {
    const found = productTerm(current, before);
    if (!found) return;
    accumulated.set(found.product.id, i);
    current = withRest(current, i, found.chain, found.others);
  });
  return { adjoint: current, accumulated };
}

function productTerm(adjoint: AdjointStep, before: Atom) {
  const uses = usesOf(adjoint);
  const definition = (a: Atom) => adjoint.body.find((e) => e.out === a);
  const chain: Eqn[] = [];
  const terms: Atom[] = [];
  const flatten = (a: Atom) => {
    const eqn = definition(a);
    if (eqn?.prim !== 'add' || uses(a) !== 1) terms.push(a);
    else {
      chain.push(eqn);
      eqn.args.forEach(flatten);
    }
  };
  flatten(before);
  const products = terms.filter((t) => definition(t)?.prim === 'matvecTransposed' && uses(t) === 1);
  const [product] = products;
  const others = terms.filter((t) => t !== product);
  if (products.length !== 1 || product.kind !== 'var' || others.length === 0) return null;
  const { levelOf } = levelsOf(adjoint.body);
  // The other terms must be known when the product is computed.
  return others.every((t) => levelOf(t) < levelOf(product)) ? { product, others, chain } : null;
}

/** The adjoint in which a state is carried the sum of `others` in place of that of `chain`. */
function withRest(adjoint: AdjointStep, state: number, chain: readonly Eqn[], others: readonly Atom[]): AdjointStep {
  const at = adjoint.body.indexOf(chain[0]);
  // One addition less than before: the variables of the others serve.
  const spare = chain.slice(1);
  const added: Eqn[] = [];
  const sum = others.reduce((a, b) => {
    const eqn = spare[added.length];
    added.push({ ...eqn, args: [a, b] });
    return eqn.out;
  });
  const body = [...adjoint.body.slice(0, at), ...added, ...adjoint.body.slice(at + 1)].filter(
    (e) => added.includes(e) || !chain.includes(e),
  );
  const states = adjoint.states.map((s, i) => (i === state ? { ...s, before: sum } : s));
  return { ...adjoint, body, states };
}
