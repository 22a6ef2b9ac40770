import type { Eqn, Var } from '../ir/step.ts';
import type { Schedule } from './schedule.ts';

/** matrix @ state, which a loop with products ahead carries as `product.out` from the step before. */
export interface ProductAhead {
  readonly product: Eqn;
  /** The carried variable that is multiplied. */
  readonly state: Var;
}

/**
 * The same loop with each product of a spiking state computed at the end of the step before, from the new state: that one
 * consists of spikes for certain, where the state before the first step is any real number. Before the first step, the
 * products of the initial states are due. They are the last of what is carried, in the order of `ahead`.
 */
export function computeProductsAhead(schedule: Schedule): { schedule: Schedule; ahead: readonly ProductAhead[] } {
  const { loop, carried } = schedule;
  const spiking = new Map(carried.filter(({ next }) => isSpike(next)).map((entry) => [entry.current.id, entry]));
  const isAhead = ({ prim, args }: Eqn) => prim === 'matvec' && args[1].kind === 'var' && spiking.has(args[1].id);
  const products = loop.filter(isAhead);
  let id = Math.max(...loop.map(({ out }) => out.id));
  const next = products.map((eqn): Eqn => {
    const { next: spikes } = spiking.get((eqn.args[1] as Var).id) as Schedule['carried'][number];
    return { ...eqn, out: { ...eqn.out, id: ++id }, args: [eqn.args[0], spikes] };
  });
  return {
    schedule: {
      ...schedule,
      loop: [...loop.filter((eqn) => !isAhead(eqn)), ...next],
      carried: [...carried, ...products.map(({ out }, i) => ({ current: out, next: next[i].out }))],
    },
    ahead: products.map((product) => ({ product, state: product.args[1] as Var })),
  };
}

function isSpike(atom: Schedule['carried'][number]['next']): boolean {
  return atom.kind === 'var' && atom.type.set === 'spike';
}
