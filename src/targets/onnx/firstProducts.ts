import type { Step } from '../../ir/step.ts';
import type { ProductAhead } from '../../passes/productsAhead.ts';
import type { Value } from './builder.ts';
import { emitEquations, Scope } from './equations.ts';

/** Values that broadcast to [rows, features]. */
export interface FirstProducts {
  /** The fixed initial states, in the order of the step's states. */
  readonly states: readonly Value[];
  /** By the product's variable. */
  readonly products: ReadonlyMap<number, Value>;
}

/** What a sequence begins with; see `Sequence`. */
interface Start {
  readonly step: Step;
  readonly initialStates: readonly Value[];
  readonly firstProducts: FirstProducts | null;
}

/** The products of the initial states: of rows that start at the fixed states, those known beforehand. */
export function emitFirstProducts(scope: Scope, start: Start, ahead: readonly ProductAhead[]): Value[] {
  const { builder } = scope;
  const { initialStates, firstProducts } = start;
  return ahead.map((product) => {
    const { state } = product;
    const computed = emitProduct(scope, start, product, initialStates);
    const known = knownProduct(start, product);
    if (!firstProducts || known === null) return computed;
    const i = stateIndex(start, product);
    const difference = builder.op('Sub', [initialStates[i], firstProducts.states[i]], `${state.name}_difference`);
    const size = builder.op('ReduceL1', [difference], `${state.name}_difference_size`, { axes: [-1], keepdims: 1 });
    const isFixed = builder.op('Equal', [size, builder.scalar(0)], `${state.name}_is_fixed`);
    return builder.op('Where', [isFixed, known, computed], `${product.product.out.name}_first`);
  });
}

/** Null where it is to be computed. */
export const knownProduct = ({ firstProducts }: Start, { product }: ProductAhead): Value | null =>
  firstProducts?.products.get(product.out.id) ?? null;

const stateIndex = ({ step }: Start, { state }: ProductAhead): number =>
  step.states.findIndex(({ before }) => before.id === state.id);

/** The product with the state among some values of all states. */
export function emitProduct(scope: Scope, start: Start, ahead: ProductAhead, states: readonly Value[]): Value {
  const inner = new Scope(scope.builder, scope, scope.products);
  inner.bind(ahead.state, states[stateIndex(start, ahead)]);
  emitEquations(inner, [ahead.product]);
  return inner.value(ahead.product.out);
}
