import { expect, it } from 'vitest';
import type { PopulationNode } from '../../../src/ir/graph.ts';
import type { AdjointStep, Atom } from '../../../src/ir/step.ts';
import { differentiate } from '../../../src/passes/differentiate.ts';
import { accumulate } from '../../../src/targets/wasm/neuron/accumulate.ts';
import { graphOf } from '../../support/graphs.ts';

function adjointOf(type: string): AdjointStep {
  const graph = graphOf([{ name: 'h', type, norm: 'none', size: 4, from: ['input'] }], { features: 3, classes: 4 });
  const node = graph.nodes.find((n): n is PopulationNode => n.kind === 'population') as PopulationNode;
  return differentiate(node.step);
}

/** The terms that a value is the sum of. */
function termsOf({ body }: AdjointStep, value: Atom): Atom[] {
  const eqn = body.find((e) => e.out === value);
  return eqn?.prim === 'add' ? eqn.args.flatMap((a) => termsOf({ body } as AdjointStep, a)) : [value];
}

it.each(['RLIF', 'RadLIF'])('adds the recurrent product of %s to what is carried to its spikes', (type) => {
  const before = adjointOf(type);
  const { adjoint, accumulated } = accumulate(before);
  const product = before.body.find((e) => e.prim === 'matvecTransposed')!.out;
  const spikes = before.states.findIndex((s) => s.name === 's');
  expect([...accumulated]).toEqual([[product.id, spikes]]);
  const others = termsOf(before, before.states[spikes].before).filter((t) => t !== product);
  expect(termsOf(adjoint, adjoint.states[spikes].before)).toEqual(others);
  expect(adjoint.body.filter((e) => e.args.includes(product))).toEqual([]);
});

it.each(['LIF', 'adLIF', 'MLP'])('leaves %s, which has no recurrent product, as it is', (type) => {
  const before = adjointOf(type);
  const { adjoint, accumulated } = accumulate(before);
  expect(accumulated.size).toBe(0);
  expect(adjoint).toBe(before);
});
