import type { PopulationNode } from '../ir/graph.ts';
import type { Eqn, Step, StepState, Var } from '../ir/step.ts';
import type { Deployment } from './deploy.ts';
import type { DeployedPopulation } from './deployPopulation.ts';

/**
 * The deployed network with the products of spiking states as states of their own, computed at the end of the step before:
 * a state may start from any real number, and the products of the fixed initial states are known beforehand.
 */
export function carryProducts(deployment: Deployment): Deployment {
  const { graph, populations } = deployment;
  const nodes = graph.nodes.map((node) => {
    const population = populations.get(node.id);
    return node.kind === 'population' && population ? carryProductsOf(node, population) : node;
  });
  const none: DeployedPopulation = { firstProducts: new Map() };
  return {
    ...deployment,
    graph: { ...graph, nodes },
    populations: new Map([...populations].map(([id]) => [id, none])),
  };
}

function carryProductsOf(node: PopulationNode, { firstProducts }: DeployedPopulation): PopulationNode {
  const { step } = node;
  const fresh = 1 + Math.max(0, ...step.body.map(({ out }) => out.id), ...variablesOf(step).map(({ id }) => id));
  const products = step.body.filter(({ out }) => firstProducts.has(out.id));
  const next = products.map((eqn, i): Eqn => {
    const state = step.states.find(({ before }) => before === eqn.args[1]) as StepState;
    return { ...eqn, out: { ...eqn.out, id: fresh + i }, args: [eqn.args[0], state.after] };
  });
  // No name in the language has a hyphen.
  const nameOf = (i: number) => `product-${i + 1}`;
  const states = products.map(({ out }, i): StepState => {
    return { name: nameOf(i), before: out, after: next[i].out, initializer: { kind: 'constant', value: 0 } };
  });
  const keys = products.map(({ out }, i) => [nameOf(i), firstProducts.get(out.id)?.key as string]);
  return {
    ...node,
    step: {
      ...step,
      body: [...step.body.filter((eqn) => !products.includes(eqn)), ...next],
      states: [...step.states, ...states],
    },
    initialStates: { ...node.initialStates, ...Object.fromEntries(keys) },
  };
}

function variablesOf({ inputs, parameters, states, prelude }: Step): Var[] {
  return [
    ...[...inputs, ...parameters].map(({ variable }) => variable),
    ...states.map(({ before }) => before),
    ...prelude.map(({ out }) => out),
  ];
}
