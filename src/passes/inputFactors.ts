import type { Atom, Step } from '../ir/step.ts';
import { isConstant } from './sums.ts';

/**
 * A step that is given some of its inputs multiplied by a constant which it would multiply them by and does nothing else
 * with: whatever computes such an input can have the factor in its weights.
 */
export interface WithoutFactors {
  readonly step: Step;
  /** By the input's name. */
  readonly factors: ReadonlyMap<string, Atom>;
}

/** `isFree` says of which inputs, by position, the factors may be taken. */
export function takeInputFactors(step: Step, isFree: (input: number) => boolean): WithoutFactors {
  const factors = new Map<string, Atom>();
  let { body } = step;
  const inputs = step.inputs.map((input, i) => {
    const { name, variable } = input;
    const [product, ...others] = step.body.filter(({ args }) => args.includes(variable));
    const factor = product?.args.find((arg) => arg !== variable);
    const isOnly = others.length === 0 && ![step.output, ...step.states.map(({ after }) => after)].includes(variable);
    if (!isFree(i) || !isOnly || product?.prim !== 'mul' || !factor || !isConstant(factor)) return input;
    body = body.filter((eqn) => eqn !== product);
    factors.set(name, factor);
    return { name, variable: product.out };
  });
  return { step: { ...step, inputs, body }, factors };
}
